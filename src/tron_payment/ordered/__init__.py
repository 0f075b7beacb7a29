"""What an order carries: a transfer, a stake, anything that becomes a transaction and is followed.

Such an object is stored with its order's id; the order is placed, and what becomes of it is taken
over. A module says what its objects are (`ObjectKind`), adds its own fields to `OrderedDocument`,
and has the rest from `OrderedObjects`.

    class Transfer(OrderedDocument): ...
    KIND = ObjectKind(document=Transfer, prefix="trf", ...)
    class Transfers(OrderedObjects[Transfer]): judge, and what only transfers do
"""

from tron_payment.ordered.asking import Caller, provide_caller
from tron_payment.ordered.documents import (
    SWEEP_AFTER,
    OrderedDocument,
    follow_orders,
    of_orders,
    ordered_indexes,
    showing,
    taken_over,
)
from tron_payment.ordered.domain import BROADCAST, LIFECYCLE, OrderedStatus, shown, status_of
from tron_payment.ordered.service import ObjectKind, OrderedObjects
from tron_payment.ordered.views import FeeView, MoneyRequest, OrderedView, order_part

__all__ = [
    "BROADCAST",
    "LIFECYCLE",
    "SWEEP_AFTER",
    "Caller",
    "FeeView",
    "MoneyRequest",
    "ObjectKind",
    "OrderedDocument",
    "OrderedObjects",
    "OrderedStatus",
    "OrderedView",
    "follow_orders",
    "of_orders",
    "order_part",
    "ordered_indexes",
    "provide_caller",
    "showing",
    "shown",
    "status_of",
    "taken_over",
]
