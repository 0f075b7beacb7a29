"""The page on which a browser wallet signs: `/sign/{request_id}`, for whoever has its address.

Nobody can guess a request's id, and a signature is its own proof: it is taken only if it is by a
key that the chain lets sign these very bytes, and whoever has such a key could send them himself.
Mounted at the root like a module of its own; it reads requests by the wallets' service.
"""

from typing import Final

from beanie import Document
from litestar import Router

from tron_payment.module import House, Module
from tron_payment.wallets.browser.routes import HANDLERS

DOCUMENTS: Final[tuple[type[Document], ...]] = ()
SERVICE: Final = "wallet-manager"

__all__ = ["DOCUMENTS", "build"]


async def build(house: House) -> Module:
    """Wire the page; the wallets are built already."""
    pages = Router("/sign", route_handlers=list(HANDLERS), include_in_schema=False)
    return Module(name="sign", service=SERVICE, routers=(pages,))
