"""Staking operations and unstakings on their way, as stored, and every query on them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import insert_many_once
from tron_payment.ordered import OrderedDocument, ordered_indexes
from tron_payment.staking.domain import Operation

EXPIRIES_MAX: Final = 500


class Stake(OrderedDocument):
    """One staking operation on its way to the chain. Amounts in sun, locks in blocks.

    What follows the order is in `OrderedDocument`.
    """

    operation: Operation
    amount_sun: int = Field(ge=0, le=UNITS_MAX)
    """0 for what has no amount of its own: votes, withdrawals, cancelations."""

    resource: str | None = None
    receiver: str | None = None
    lock_blocks: int = 0
    votes: list[dict[str, Any]] = Field(default_factory=list)
    """Representative's `address` and `count` in whole TRX of power."""

    class Settings:
        name = "stakes"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = ordered_indexes()


class Unstaking(Document):
    """An unstaking of one of our holders that a solidified block has begun."""

    id: str  # type: ignore[assignment]  # the txid
    address: str
    resource: str
    amount_sun: int
    started_at: datetime
    expires_at: datetime
    announced: bool = False
    """Its end was told."""

    ended_by: str | None = None
    """The transaction that took it back or canceled it."""

    class Settings:
        name = "unstakings"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("address", ASCENDING), ("expires_at", ASCENDING)], name="address"),
            IndexModel([("announced", ASCENDING), ("expires_at", ASCENDING)], name="due"),
        ]


async def totals() -> list[dict[str, Any]]:
    """Number, sun and fees of all operations, by operation and status."""
    pipeline: list[dict[str, Any]] = [
        {
            "$group": {
                "_id": {"operation": "$operation", "status": "$status"},
                "n": {"$sum": 1},
                "sun": {"$sum": "$amount_sun"},
                "fee_sun": {"$sum": {"$ifNull": ["$fee_paid_sun", 0]}},
            }
        },
        {"$sort": {"_id": 1}},
    ]
    cursor = await Stake.get_pymongo_collection().aggregate(pipeline)
    return [row async for row in cursor]


async def remember_unstakings(rows: Sequence[Unstaking]) -> None:
    """Store them; those that are stored already stay as they are."""
    if rows:
        await insert_many_once(rows)


async def end_unstakings(address: str, txid: str, expired_by: datetime | None) -> None:
    """A transaction has ended the holder's unstakings.

    Args:
        expired_by: Only those that had expired by then; None for all (a cancelation).
    """
    query: dict[str, Any] = {"address": address, "ended_by": None, "_id": {"$ne": txid}}
    if expired_by is not None:
        query["expires_at"] = {"$lte": expired_by}
    await Unstaking.get_pymongo_collection().update_many(query, {"$set": {"ended_by": txid}})


async def unannounced_unstakings() -> list[Unstaking]:
    """Those whose end was not told yet, soonest first."""
    query = {"announced": False, "ended_by": None}
    return await Unstaking.find(query).sort("+expires_at").limit(EXPIRIES_MAX).to_list()


async def announced(ids: Sequence[str]) -> None:
    await Unstaking.get_pymongo_collection().update_many(
        {"_id": {"$in": list(ids)}}, {"$set": {"announced": True}}
    )


async def pending_unstakings(limit: int = EXPIRIES_MAX) -> list[Unstaking]:
    """What is on its way back or may be taken back, soonest first."""
    return await Unstaking.find({"ended_by": None}).sort("+expires_at").limit(limit).to_list()
