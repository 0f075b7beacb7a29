"""Which way an object goes that an order carries. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.engine import OrderStatus

BROADCAST: Final = "broadcast"
"""What a signed object is called once its bytes were sent: one stored state, two names."""


class OrderedStatus(StrEnum):
    """As stored. The view says `broadcast` for `signed` once a send time is known."""

    QUEUED = "queued"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELED = "canceled"
    QUARANTINED = "quarantined"


S = OrderedStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.QUEUED: {S.AWAITING_SIGNATURE, S.SIGNED, S.CANCELED, S.FAILED},
        S.AWAITING_SIGNATURE: {S.QUEUED, S.SIGNED, S.CANCELED, S.FAILED},
        S.SIGNED: {S.QUEUED, S.SETTLED, S.FAILED, S.CANCELED, S.QUARANTINED},
        S.QUARANTINED: {S.SETTLED, S.FAILED, S.QUEUED},
        S.SETTLED: set(),
        S.FAILED: set(),
        S.CANCELED: set(),
    }
)


def status_of(order_status: OrderStatus) -> OrderedStatus:
    """What an order's status means for the object in it."""
    if order_status in (OrderStatus.QUEUED, OrderStatus.RESERVED):
        return OrderedStatus.QUEUED
    return OrderedStatus(order_status.value)


def shown(status: StrEnum, sent_at: datetime | None) -> str:
    """The status as everybody sees it: `signed` and `broadcast` differ by a send time."""
    if status.value == OrderedStatus.SIGNED.value and sent_at is not None:
        return BROADCAST
    return status.value
