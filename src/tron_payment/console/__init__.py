"""The console: pages for people with a role, at `/console`.

It is a client of our own API inside the process: every page asks `/api/v1` with the token of the
person who looks, so it uses the same services and guards and can do nothing that the API cannot.
"""

from tron_payment.console.routes import console_router
from tron_payment.console.sessions import ConsoleSession, Sessions, SignInLink
from tron_payment.module import House, Module

DOCUMENTS = (ConsoleSession, SignInLink)
SERVICE = "payment-gateway"


async def build(house: House) -> Module:
    """Wire the module."""
    sessions = Sessions(house.clock)
    house.offer(sessions)
    return Module(
        name="console",
        service=SERVICE,
        routers=(console_router(sessions, house.settings),),
    )


__all__ = ["DOCUMENTS", "Sessions", "build"]
