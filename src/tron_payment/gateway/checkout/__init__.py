"""The checkout page of an invoice, at `/checkout/{payment_id}`: for whoever has its address.

Mounted at the root like a module of its own; it reads invoices by the gateway's service.
"""

from typing import Final

from beanie import Document

from tron_payment.gateway.checkout.routes import checkout_router
from tron_payment.module import House, Module

DOCUMENTS: Final[tuple[type[Document], ...]] = ()
SERVICE: Final = "payment-gateway"

__all__ = ["DOCUMENTS", "build"]


async def build(house: House) -> Module:
    """Wire the page; the gateway is built already."""
    return Module(name="checkout", service=SERVICE, routers=(checkout_router(),))
