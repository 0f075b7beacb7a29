"""Staking operations and unstakings on their way, as stored, and every query on them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import insert_many_once
from tron_payment.http.paging import InvalidFilter
from tron_payment.staking.domain import Operation, StakeStatus

SWEEP_AFTER: Final = timedelta(seconds=10)
"""A queued operation this old must have its order; the sweeper makes sure."""

SWEEP_MAX: Final = 200
BROADCAST: Final = "broadcast"
EXPIRIES_MAX: Final = 500


class Stake(Document):
    """One staking operation on its way to the chain. Amounts in sun, locks in blocks.

    The id is derived from the principal and the idempotency key; `status` follows the order.
    """

    id: str  # type: ignore[assignment]  # stk_...
    operation: Operation
    principal: str
    wallet_id: str
    signer: str
    amount_sun: int = Field(ge=0, le=UNITS_MAX)
    """0 for what has no amount of its own: votes, withdrawals, cancelations."""

    resource: str | None = None
    receiver: str | None = None
    lock_blocks: int = 0
    votes: list[dict[str, Any]] = Field(default_factory=list)
    """Representative's `address` and `count` in whole TRX of power."""

    detached: bool = False
    max_fee_sun: int
    order_id: str
    order_version: int = -1
    """Version of the order that the fields below were taken from; it only grows."""

    status: StakeStatus = StakeStatus.QUEUED
    version: int = 0
    op_id: str = ""
    waiting_for: str = ""
    reason: str = ""
    txid: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    fee_paid_sun: int | None = None
    block_number: int | None = None
    settled_at: datetime | None = None
    """The solidified block's own time."""

    sweep_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "stakes"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("order_id", ASCENDING)], name="order"),
            IndexModel([("status", ASCENDING), ("sweep_at", ASCENDING)], name="sweep"),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_history",
            ),
        ]


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


def showing(statuses: Sequence[str]) -> dict[str, Any]:
    """The filter for statuses as the view shows them; everything for none.

    `signed` and `broadcast` are one stored state: a send time tells them apart.

    Raises:
        InvalidFilter: An unknown one.
    """
    known = {each.value for each in StakeStatus} | {BROADCAST}
    if set(statuses) - known:
        raise InvalidFilter("a status is one of " + ", ".join(sorted(known)), param="status")
    sent = {"status": StakeStatus.SIGNED.value, "sent_at": {"$ne": None}}
    unsent = {"status": StakeStatus.SIGNED.value, "sent_at": None}
    shown = {BROADCAST: sent, StakeStatus.SIGNED.value: unsent}
    wanted = [shown.get(each, {"status": each}) for each in statuses]
    return {"$or": wanted} if wanted else {}


async def by_id(stake_id: str, owner: dict[str, str]) -> Stake | None:
    return await Stake.find_one({"_id": stake_id, **owner})


async def of_orders(order_ids: Sequence[str]) -> dict[str, Stake]:
    """Operations by the id of their order."""
    found = await Stake.find({"order_id": {"$in": list(order_ids)}}).to_list()
    return {each.order_id: each for each in found}


async def follow_orders(changes: Sequence[tuple[str, int, dict[str, Any]]]) -> None:
    """Take over what orders say: (order id, order version, fields).

    A compare-and-set on the order's version: telling it twice, or late, changes nothing.
    """
    if changes:
        await Stake.get_pymongo_collection().bulk_write(
            [
                UpdateOne(
                    {"order_id": order_id, "order_version": {"$lte": order_version}},
                    {"$set": {**fields, "order_version": order_version}, "$inc": {"version": 1}},
                )
                for order_id, order_version, fields in changes
            ],
            ordered=False,
        )


async def unswept(now: datetime) -> list[Stake]:
    """Queued operations whose order may be missing."""
    return (
        await Stake.find({"status": StakeStatus.QUEUED.value, "sweep_at": {"$lte": now}})
        .limit(SWEEP_MAX)
        .to_list()
    )


async def swept(stake_ids: Sequence[str]) -> None:
    """Their orders exist."""
    if stake_ids:
        await Stake.get_pymongo_collection().update_many(
            {"_id": {"$in": list(stake_ids)}}, {"$unset": {"sweep_at": ""}}
        )


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


async def expired_unstakings(now: datetime) -> list[Unstaking]:
    """Those whose end was not told yet."""
    query = {"announced": False, "ended_by": None, "expires_at": {"$lte": now}}
    return await Unstaking.find(query).limit(EXPIRIES_MAX).to_list()


async def announced(ids: Sequence[str]) -> None:
    await Unstaking.get_pymongo_collection().update_many(
        {"_id": {"$in": list(ids)}}, {"$set": {"announced": True}}
    )


async def pending_unstakings(limit: int = EXPIRIES_MAX) -> list[Unstaking]:
    """What is on its way back or may be taken back, soonest first."""
    return await Unstaking.find({"ended_by": None}).sort("+expires_at").limit(limit).to_list()
