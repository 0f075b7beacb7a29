"""An empty authenticated handler: checks the token, finds one payout, encodes it. Nothing else.

The same framework, server, event loop, document and view as the service's; what the service does
more (headers, limits, permissions, owners, problems, logs, measurements) is what it is compared
for.
"""

import sys
from functools import lru_cache
from typing import Any

import jwt
import uvicorn
import uvloop
from litestar import Litestar, Request, get

from tron_payment import configuration
from tron_payment.app import DOCUMENTS
from tron_payment.db.connect import connect
from tron_payment.db.lean import fetch_one
from tron_payment.development import with_secrets
from tron_payment.payouts import Payout
from tron_payment.payouts.views import PayoutView


async def main(port: int, uri: str) -> None:
    """Serve until ended."""
    settings = with_secrets(configuration.load())
    secret = settings.jwt_secret_key.get_secret_value()
    store = await connect(uri, settings.payment_db_name, DOCUMENTS)

    @lru_cache(maxsize=1_000)
    def subject(token: str) -> str:
        claims = jwt.decode(
            token,
            secret,
            ["HS256"],
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
        )
        return str(claims["sub"])

    @get("/api/v1/payouts/{payout_id:str}")
    async def read(request: Request[Any, Any, Any], payout_id: str) -> PayoutView:
        subject(request.headers["authorization"].removeprefix("Bearer "))
        found = await fetch_one(Payout, {"_id": payout_id})
        assert found is not None
        return PayoutView.of(found)

    app = Litestar([read], openapi_config=None, logging_config=None)
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, loop="none")
    await uvicorn.Server(config).serve()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
