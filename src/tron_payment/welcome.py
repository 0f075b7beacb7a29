"""What the development mode tells a person at a terminal, and who one is there: tokens, links.

In production the gateway makes the tokens, and nobody is told anything.
"""

import secrets
import sys
import time
from pathlib import Path
from typing import Any, Final

import jwt

from tron_payment.assembly import Assembly
from tron_payment.console.sessions import Sessions, Visitor
from tron_payment.settings import Settings

TOKEN_LIFETIME_S: Final = 12 * 3600


async def announce(assembly: Assembly) -> None:
    """Tell a person at a terminal where everything is and how to pay for the first time."""
    settings = assembly.house.settings
    token = make_token(settings, "demo-operator", "operator")
    link = await make_link(assembly, "demo-operator", "operator")
    programs = Path(sys.executable).parent
    key = f"my-first-payout-{secrets.token_hex(4)}"  # another at each start: a new payout
    print(
        f"""
  tron-payment is ready on {settings.base_url}

    health     {settings.base_url}/health
    console    {link}   (signs you in once)
    API        {settings.base_url}/schema
    devnet     {settings.node_urls[0]}

  In another terminal, in this folder: the commands, and an operator's token

    export LUCID_ENV=development PATH="{programs}:$PATH"
    export TOKEN=$(tron-payment token)
    tron-payment console-link         # another link that signs in, when this one has scrolled away

  Pay 12.5 USDT to an address of the devnet:

    curl -s {settings.base_url}/api/v1/payouts/initiate \\
      -H 'Authorization: Bearer {token}' \\
      -H 'Idempotency-Key: {key}' -H 'Content-Type: application/json' \\
      -d '{{"user_id":"alice","recipient_address":"TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC",
           "amount":"12.5","currency":"USDT"}}'
""",
        flush=True,
    )


async def make_link(assembly: Assembly, subject: str, role: str) -> str:
    """An address that signs a browser in at the console, once, within a quarter of an hour."""
    settings = assembly.house.settings
    visitor = Visitor(subject, role, make_token(settings, subject, role))
    code = await assembly.house.use(Sessions).make_link(visitor)
    return f"{settings.base_url}/console/link/{code}"


def make_token(settings: Settings, subject: str, role: str, **claims: Any) -> str:
    """A token as the gateway would make it; only the development mode can."""
    now = int(time.time())
    return jwt.encode(
        {
            "sub": subject,
            "role": role,
            "iss": settings.jwt_issuer,
            "aud": settings.jwt_audience,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
            **claims,
        },
        settings.jwt_secret_key.get_secret_value(),
        algorithm="HS256",
    )
