"""What the rolling limits ask of payouts: which are promised, which were given up, what counts."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus

GIVEN_UP: Final = [
    status.value for status in (PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.REJECTED)
]
"""Ended, and never paid."""


def promised_since(since: datetime) -> AsyncIterator[Payout]:
    """Payouts accepted since then that may still be, or were, paid."""
    return aiter(Payout.find({"created_at": {"$gte": since}, "status": {"$nin": GIVEN_UP}}))


async def given_up(payout_ids: Sequence[str]) -> set[str]:
    """Those of these that have ended unpaid."""
    wanted = {"_id": {"$in": list(payout_ids)}, "status": {"$in": GIVEN_UP}}
    rows = Payout.get_pymongo_collection().find(wanted, {"_id": 1})
    return {row["_id"] async for row in rows}


async def holds_of(payout_ids: Sequence[str]) -> dict[str, str | None]:
    """What the limits have counted for these payouts; those that do not exist are left out."""
    rows = Payout.get_pymongo_collection().find({"_id": {"$in": list(payout_ids)}}, {"hold_id": 1})
    return {row["_id"]: row.get("hold_id") async for row in rows}
