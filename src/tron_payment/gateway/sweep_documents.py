"""Sweeps as stored, and every query on them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.db.faults import store_errors

LIVE_MAX: Final = 200


class SweepStatus(StrEnum):
    FUNDING = "funding"
    LENDING = "lending"
    """Energy of the treasury's stake is on its way to the address."""

    MOVING = "moving"
    RETURNING = "returning"
    """It has moved, or never will; the energy goes back."""

    SETTLED = "settled"
    FAILED = "failed"


S = SweepStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.FUNDING: {S.LENDING, S.MOVING, S.FAILED},
        S.LENDING: {S.MOVING, S.RETURNING},
        S.MOVING: {S.RETURNING, S.SETTLED, S.FAILED},
        S.RETURNING: {S.SETTLED, S.FAILED},
        S.SETTLED: set(),
        S.FAILED: set(),
    }
)


class Sweep(Document):
    """Money of one asset on its way from an invoice's address to the treasury."""

    id: str  # type: ignore[assignment]  # swp_...
    payment_id: str
    wallet_id: str
    address: str
    asset: str
    units: int
    destination: str
    treasury_wallet_id: str
    treasury_detached: bool = False
    """The treasury's key is elsewhere: what it sends for the fee waits for a signature."""

    live: str | None = None
    """``<address>|<asset>`` while money may still move: one at a time; then ``returning|<id>``,
    until it has ended."""

    status: SweepStatus
    version: int = 0
    op_id: str = ""
    fee_order_id: str
    fee_sun: int = 0
    """What the treasury sends for the fee; 0 when the address has enough."""

    lent_sun: int = 0
    """Of the treasury's stake, whose energy pays for the transfer; 0 when TRX is burned."""

    asked_sun: int = 0
    """What lending was planned with, and may have come about whatever was decided afterwards."""

    empty_since: datetime | None = None
    """Since when a node says that nothing is lent, though we have lent it."""

    has_moved: bool = False
    order_id: str
    reason: str = ""
    created_at: datetime
    updated_at: datetime

    @property
    def lends(self) -> bool:
        """Whether energy may be lent for it, by whatever process asked for that."""
        return max(self.lent_sun, self.asked_sun) > 0

    class Settings:
        name = "sweeps"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("live", ASCENDING)], name="live", unique=True, sparse=True),
            IndexModel([("address", ASCENDING), ("asset", ASCENDING)], name="address"),
        ]


async def live(skip: int = 0) -> list[Sweep]:
    """Sweeps that have not ended, from the one after `skip` others on."""
    with store_errors():
        return await Sweep.find({"live": {"$gt": ""}}).skip(skip).limit(LIVE_MAX).to_list()


async def is_moving(address: str, assets: Iterable[str]) -> bool:
    """Whether a sweep of one of these assets from this address is under way."""
    names = [f"{address}|{asset}" for asset in assets]
    with store_errors():
        return await Sweep.find_one({"live": {"$in": names}}) is not None


async def count(address: str, asset: str) -> int:
    """How many sweeps of this address and asset there have ever been."""
    with store_errors():
        return await Sweep.find({"address": address, "asset": asset}).count()


async def rests(address: str, asset: str, since: datetime, now: datetime) -> bool:
    """Whether a sweep of it has failed since then; what a clock that was ahead has dated later than
    now does not count."""
    ended = [SweepStatus.RETURNING.value, SweepStatus.FAILED.value]
    query = {"status": {"$in": ended}, "has_moved": False}
    query |= {"address": address, "asset": asset, "updated_at": {"$gt": since, "$lte": now}}
    with store_errors():
        return await Sweep.find_one(query) is not None


async def lent_by(treasury: str) -> Mapping[SweepStatus, int]:
    """Sun of the treasury's stake that live sweeps have been promised, by what they are at."""
    pipeline = [
        {"$match": {"live": {"$gt": ""}, "destination": treasury, "lent_sun": {"$gt": 0}}},
        {"$group": {"_id": "$status", "sun": {"$sum": "$lent_sun"}}},
    ]
    with store_errors():
        rows = await Sweep.get_pymongo_collection().aggregate(pipeline)
        return {SweepStatus(row["_id"]): row["sun"] async for row in rows}


async def returning_s(now: datetime) -> int:
    """Seconds for which the oldest energy that is to come back has been awaited; 0 for none."""
    query = {"live": {"$gt": ""}, "status": SweepStatus.RETURNING.value}
    with store_errors():
        found = await Sweep.find(query).sort("updated_at").limit(1).to_list()
    return max(0, int((now - found[0].updated_at).total_seconds())) if found else 0
