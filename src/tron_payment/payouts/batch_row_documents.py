"""The rows of a batch as payouts: every query and change of many of them at once."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tron_payment.db.lean import fetch
from tron_payment.http.paging import InvalidCursor
from tron_payment.payouts.batch_text import ROWS_MAX
from tron_payment.payouts.documents import CANCELED_BY_HAND, Payout
from tron_payment.payouts.domain import PayoutStatus

ROW_CURSOR: Final = "row-"


async def of_batch(
    batch_id: str, *, after_row: int, limit: int, where: Mapping[str, Any] | None = None
) -> list[Payout]:
    """The next rows of a batch."""
    wanted = {**(where or {}), "batch_id": batch_id, "row": {"$gt": after_row}}
    return await fetch(Payout, wanted, sort="row", limit=limit)


async def counts_of_batch(batch_id: str) -> dict[str, int]:
    """How many rows of a batch are in each status."""
    pipeline: list[dict[str, Any]] = [
        {"$match": {"batch_id": batch_id}},
        {"$group": {"_id": "$status", "n": {"$sum": 1}}},
    ]
    cursor = await Payout.get_pymongo_collection().aggregate(pipeline)
    return {row["_id"]: row["n"] async for row in cursor}


async def release_rows(batch_id: str, now: datetime) -> None:
    """The batch is approved: its rows are queued."""
    await Payout.get_pymongo_collection().update_many(
        {"batch_id": batch_id, "status": PayoutStatus.AWAITING_APPROVAL.value},
        {
            "$set": {"status": PayoutStatus.QUEUED.value, "updated_at": now},
            "$inc": {"version": 1},
        },
    )


async def end_rows(
    batch_id: str, status: PayoutStatus, reason: str, now: datetime, untold: str
) -> None:
    """The batch was never approved: no row of it has an order. They say what is to be told."""
    await Payout.get_pymongo_collection().update_many(
        {"batch_id": batch_id, "status": PayoutStatus.AWAITING_APPROVAL.value},
        {
            "$set": {
                "status": status.value,
                "reason": reason,
                "updated_at": now,
                "untold": untold,
            },
            "$inc": {"version": 1},
        },
    )


async def untold_of(batch_id: str, *, limit: int) -> list[Payout]:
    """Some rows that say what nobody was told yet."""
    wanted = {"batch_id": batch_id, "untold": {"$gt": ""}}
    return await fetch(Payout, wanted, sort="row", limit=limit)


async def mark_rows_ejected(batch_id: str) -> None:
    """Every row that is not signed shall leave its transaction."""
    unsigned = [PayoutStatus.QUEUED.value, PayoutStatus.AWAITING_SIGNATURE.value]
    await Payout.get_pymongo_collection().update_many(
        {"batch_id": batch_id, "status": {"$in": unsigned}, "eject": None},
        {"$set": {"eject": CANCELED_BY_HAND}, "$inc": {"version": 1}},
    )


async def unsigned_orders(batch_id: str) -> list[str]:
    """Orders of a batch that carry rows which may still be called back."""
    unsigned = [PayoutStatus.QUEUED.value, PayoutStatus.AWAITING_SIGNATURE.value]
    found: list[str] = await Payout.get_pymongo_collection().distinct(
        "order_id", {"batch_id": batch_id, "status": {"$in": unsigned}}
    )
    return found


def row_of(cursor: str | None) -> int:
    """The row after which a page of rows begins.

    Raises:
        InvalidCursor: Not from such a list.
    """
    if cursor is None:
        return 0
    digits = cursor.removeprefix(ROW_CURSOR)
    known = cursor.startswith(ROW_CURSOR) and digits.isascii() and digits.isdigit()
    if not known or len(digits) > len(str(ROWS_MAX)):
        raise InvalidCursor(param="cursor")
    return int(digits)
