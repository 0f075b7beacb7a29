"""Energy that our holders' transactions used, by the hour, as stored, and every query on it."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from beanie import Document
from pymongo import ASCENDING

from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors
from tron_payment.staking.energy_domain import Spent

HOURS_MAX: Final = 24 * 100
FORM: Final = "%Y-%m-%dT%H"


class EnergyHour(Document):
    """One hour (UTC, of the blocks). Each block is added once, for `to_block` only grows."""

    id: str  # type: ignore[assignment]  # 2026-11-20T13
    to_block: int
    transactions: int
    energy: int
    staked: int
    creator: int
    burned_sun: int
    staked_seconds: int

    class Settings:
        name = "energy_hours"


async def add(hour: datetime, block_number: int, spent: Spent) -> None:
    """Add what a block's transactions used; harmless when the block comes again."""
    name = hour.strftime(FORM)
    figures = asdict(spent)
    del figures["hour"]
    with store_errors():
        done = await EnergyHour.get_pymongo_collection().update_one(
            {"_id": name, "to_block": {"$lt": block_number}},
            {"$set": {"to_block": block_number}, "$inc": figures},
        )
    if not done.matched_count:  # the first of its hour, or added already
        await insert_once(EnergyHour(id=name, to_block=block_number, **figures))


async def between(first: datetime, last: datetime) -> list[Spent]:
    """The hours from one to the other that have any use, oldest first."""
    within = {"$gte": first.strftime(FORM), "$lte": last.strftime(FORM)}
    with store_errors():
        rows = EnergyHour.get_pymongo_collection().find({"_id": within})
        return [
            Spent(
                hour=datetime.strptime(row["_id"], FORM).replace(tzinfo=UTC),
                transactions=row["transactions"],
                energy=row["energy"],
                staked=row["staked"],
                creator=row["creator"],
                burned_sun=row["burned_sun"],
                staked_seconds=row["staked_seconds"],
            )
            async for row in rows.sort("_id", ASCENDING).limit(HOURS_MAX)
        ]


def hour_of(at: datetime) -> datetime:
    """The beginning of the hour."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
