"""Which invoices are looked at for a sweep, and when: queries on payments.

What costs too much to move rests by its own time, stored with it: however much of that there is,
whatever has arrived since is looked at before it, and a new process need not look at all of it.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from tron_payment.db.faults import store_errors
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.domain import OPEN, PaymentStatus

SWEEPS_AT_ONCE: Final = 50
LONGEST_REST: Final = timedelta(hours=1)
FINISHED: Final = tuple(status for status in PaymentStatus if status not in OPEN)
"""An invoice that may still be topped up keeps its money until it is full or expired."""

_WANTED: Final[dict[str, Any]] = {
    "sweepable": True,
    "status": {"$in": [status.value for status in FINISHED]},
}


async def fresh(skip: int) -> list[Payment]:
    """Payments whose address may hold something and that do not rest, after `skip` others."""
    query = {**_WANTED, "sweep_not_before": None}
    with store_errors():
        return await Payment.find(query).skip(skip).limit(SWEEPS_AT_ONCE).to_list()


async def rested(now: datetime) -> list[Payment]:
    """Those that have rested, the longest first; then those that would rest longer than anything
    may: a clock that was ahead has said until when."""
    found = await _resting({"$lte": now}, SWEEPS_AT_ONCE)
    if (room := SWEEPS_AT_ONCE - len(found)) > 0:
        found += await _resting({"$gt": now + LONGEST_REST}, room)
    return found


async def _resting(until: dict[str, datetime], at_most: int) -> list[Payment]:
    """By the index of rests: so many are read, however many rest."""
    query = {**_WANTED, "sweep_not_before": until}
    with store_errors():
        return await Payment.find(query).sort("+sweep_not_before").limit(at_most).to_list()


async def put_off(payments: Collection[Payment], until: datetime) -> None:
    """Let them rest, except what has changed since it was read: something may have arrived."""
    seen = [{"_id": each.id, "version": each.version} for each in payments]
    if not seen:
        return
    with store_errors():
        await Payment.get_pymongo_collection().update_many(
            {"$or": seen}, {"$set": {"sweep_not_before": until}}
        )
