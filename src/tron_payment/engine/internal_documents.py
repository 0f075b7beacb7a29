"""What was decided of TRX that contracts have sent to us: one document a transaction."""

from datetime import datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.faults import store_errors

COUNTED_MAX: Final = 10_000
"""More than a block holds."""


class InternalVerdict(Document):
    """Of one transaction: whether and where what it sent to us by contracts counts."""

    id: str  # type: ignore[assignment]  # the txid
    block_number: int
    """Where it stands."""

    counted_in: int | None = None
    """The block in which it counts; None as long as too few nodes tell it. Set once."""

    parts: list[dict[str, Any]] = []
    """The receipt's internal transactions as enough nodes told them."""

    opened: list[str] = []
    """Of its parties those whose books had begun with what they had on the chain before its block:
    that balance cannot hold it."""

    told: list[str] = []
    """What was told at first, for people."""

    seen_at: datetime
    looked_at: datetime

    class Settings:
        name = "internal_verdicts"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("counted_in", ASCENDING), ("looked_at", ASCENDING)], name="counted_in_looked_at"
            )
        ]


async def counted_in(number: int) -> list[InternalVerdict]:
    """What counts in a block, always in the same order."""
    with store_errors():
        rows = InternalVerdict.find({"counted_in": number}).sort("+_id")
        return await rows.limit(COUNTED_MAX).to_list()


async def first_within(first: int, last: int) -> int | None:
    """The first of these blocks in which something counts."""
    with store_errors():
        found = await InternalVerdict.get_pymongo_collection().find_one(
            {"counted_in": {"$gte": first, "$lte": last}},
            {"counted_in": 1},
            sort=[("counted_in", ASCENDING)],
        )
    return None if found is None else int(found["counted_in"])


async def waiting(seen_after: datetime, most: int) -> list[InternalVerdict]:
    """What counts nowhere yet, the one that was looked at longest ago first."""
    with store_errors():
        rows = InternalVerdict.find({"counted_in": None, "seen_at": {"$gt": seen_after}})
        return await rows.sort("+looked_at").limit(most).to_list()


async def waiting_count(seen_after: datetime) -> int:
    """How many there are of them, at most `COUNTED_MAX`."""
    waits = {"counted_in": None, "seen_at": {"$gt": seen_after}}
    with store_errors():
        return await InternalVerdict.get_pymongo_collection().count_documents(
            waits, limit=COUNTED_MAX
        )


async def looked(verdict: InternalVerdict, now: datetime) -> None:
    """Others have their turn before it."""
    with store_errors():
        await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id}, {"$set": {"looked_at": now}}
        )


async def count(verdict: InternalVerdict, number: int, parts: list[dict[str, Any]]) -> None:
    """Let it count in a block, unless it counts in one already."""
    with store_errors():
        await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id, "counted_in": None},
            {"$set": {"counted_in": number, "parts": parts}},
        )


async def late_after(number: int) -> list[InternalVerdict]:
    """What stands in blocks up to this one and counts after it."""
    with store_errors():
        return await InternalVerdict.find(
            {"counted_in": {"$gt": number}, "block_number": {"$lte": number}}
        ).to_list(COUNTED_MAX)
