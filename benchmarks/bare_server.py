"""An empty authenticated handler: checks the token, finds one payout, encodes it. Nothing else.

The same framework, server, event loop, collector of garbage, judge of tokens, document and view as
the service's; what the service does more (headers, limits, permissions, owners, problems, logs,
measurements) is what it is compared for. `TOGETHER` is the same handler with the service's find:
those who ask at the same time share a query. The other one asks the store for each request, as
anybody would write it.
"""

import gc
import sys
from typing import Any, Final

import uvicorn
import uvloop
from litestar import Litestar, Request, get

from tron_payment import configuration
from tron_payment.app import DOCUMENTS
from tron_payment.core.clock import SystemClock
from tron_payment.db.connect import connect
from tron_payment.db.grouped import GroupRead
from tron_payment.db.lean import fetch_one
from tron_payment.development import with_secrets
from tron_payment.http.tokens import TrustAnchor
from tron_payment.payouts import Payout
from tron_payment.payouts.documents import raw_by_ids
from tron_payment.payouts.views import PayoutView

ALONE: Final = "/api/v1/payouts/{}"
TOGETHER: Final = "/together/{}"


async def main(port: int, uri: str) -> None:
    """Serve until ended."""
    settings = with_secrets(configuration.load())
    anchor = TrustAnchor(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        clock=SystemClock(),
        secret=settings.jwt_secret_key.get_secret_value().encode(),
    )
    store = await connect(uri, settings.payment_db_name, DOCUMENTS)
    asked: GroupRead[str, dict[str, Any]] = GroupRead(raw_by_ids)

    def authenticate(request: Request[Any, Any, Any]) -> None:
        anchor.verify(request.headers["authorization"].removeprefix("Bearer "))

    @get(ALONE.format("{payout_id:str}"))
    async def read(request: Request[Any, Any, Any], payout_id: str) -> PayoutView:
        authenticate(request)
        found = await fetch_one(Payout, {"_id": payout_id})
        assert found is not None
        return PayoutView.of(found)

    @get(TOGETHER.format("{payout_id:str}"))
    async def read_together(request: Request[Any, Any, Any], payout_id: str) -> PayoutView:
        authenticate(request)
        found = await asked.ask([payout_id])
        return PayoutView.of(Payout.model_validate(found[payout_id]))

    app = Litestar([read, read_together], openapi_config=None, logging_config=None)
    config = uvicorn.Config(
        app,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        loop="none",
    )
    gc.freeze()
    await uvicorn.Server(config).serve()
    await store.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
