"""Payouts added up by day, and every query for it.

A day (UTC, of the acceptance) may be closed when every payout of it has ended, because an end is
for ever: its sums are then stored once and read instead of the payouts. All others are added up
from the payouts as they are, whenever somebody asks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, Final

import msgspec
from beanie import Document
from pymongo import ASCENDING

from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors
from tron_payment.http.paging import QUERY_MS
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import LIFECYCLE, PayoutStatus

DAY: Final = timedelta(days=1)
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9999, 12, 31, tzinfo=UTC)
OPEN: Final = tuple(status.value for status in PayoutStatus if not LIFECYCLE.is_final(status))


@dataclass(frozen=True, slots=True)
class DaySum:
    """Payouts of one day, owner, route, currency and status. Units smallest, fees in sun."""

    day: str
    principal: str
    route: str
    currency: str
    status: str
    payouts: int
    units: int
    took_ms: int
    """From acceptance to the solidified block's own time, of all that settled together."""

    fee_sun: int
    energy: int
    burned_sun: int


class PayoutDay(Document):
    """A closed day. Written once; it never changes, only goes when it is found wrong."""

    id: str  # type: ignore[assignment]  # 2026-11-20
    payouts: int
    statuses: dict[str, int]
    """How many ended how."""

    sums: list[DaySum]
    closed_at: datetime

    class Settings:
        name = "payout_days"
        bson_encoders: ClassVar[dict[Any, Any]] = {DaySum: asdict}


def begin_of(day: date) -> datetime:
    """Midnight, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def first_day() -> date | None:
    """The day of the oldest payout; None when there is none."""
    found = await Payout.get_pymongo_collection().find_one(
        {}, {"created_at": 1}, sort=[("created_at", ASCENDING), ("_id", ASCENDING)]
    )
    return None if found is None else found["created_at"].date()


async def closed_days() -> set[date]:
    """All that are closed."""
    rows = PayoutDay.get_pymongo_collection().find({}, {"_id": 1})
    return {date.fromisoformat(row["_id"]) async for row in rows}


async def is_ended(day: date) -> bool:
    """Whether every payout of a day has ended."""
    between = {"$gte": begin_of(day), "$lt": begin_of(day) + DAY}
    condition = {"status": {"$in": OPEN}, "created_at": between}
    return await Payout.get_pymongo_collection().find_one(condition, {"_id": 1}) is None


async def close(day: date, now: datetime) -> None:
    """Store a day's sums; the caller knows that it has ended."""
    sums = await added_up({"created_at": {"$gte": begin_of(day), "$lt": begin_of(day) + DAY}})
    statuses: dict[str, int] = {}
    for each in sums:
        statuses[each.status] = statuses.get(each.status, 0) + each.payouts
    assert not statuses.keys() & set(OPEN), day
    await insert_once(
        PayoutDay(
            id=day.isoformat(),
            payouts=sum(statuses.values()),
            statuses=statuses,
            sums=sums,
            closed_at=now,
        )
    )


async def is_right(day: date) -> bool:
    """Whether a closed day still has as many payouts as were added up."""
    closed = await PayoutDay.get_pymongo_collection().find_one(
        {"_id": day.isoformat()}, {"payouts": 1}
    )
    between = {"$gte": begin_of(day), "$lt": begin_of(day) + DAY}
    count = await Payout.get_pymongo_collection().count_documents({"created_at": between})
    return closed is None or closed["payouts"] == count


async def reopen(day: date) -> None:
    """Forget a day's sums; they are made anew."""
    await PayoutDay.get_pymongo_collection().delete_one({"_id": day.isoformat()})


async def added_up(where: Mapping[str, Any]) -> list[DaySum]:
    """The sums of the payouts of a condition, from the payouts themselves."""
    took = {"$subtract": ["$settled_at", "$created_at"]}
    day = {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%d"}}
    fields = {"principal": 1, "route": 1, "currency": 1, "status": 1}
    pipeline: list[dict[str, Any]] = [
        {"$match": dict(where)},
        {
            "$group": {
                "_id": {"day": day, **{name: f"${name}" for name in fields}},
                "payouts": {"$sum": 1},
                "units": {"$sum": "$units"},
                "took_ms": {"$sum": took},
                "fee_sun": {"$sum": "$fee_paid_sun"},
                "energy": {"$sum": "$energy_used"},
                "burned_sun": {"$sum": "$energy_burned_sun"},
            }
        },
    ]
    with store_errors():
        rows = await Payout.get_pymongo_collection().aggregate(pipeline, maxTimeMS=QUERY_MS)
        found = [msgspec.convert({**row.pop("_id"), **row}, DaySum) async for row in rows]
    return sorted(found, key=lambda s: (s.day, s.principal, s.route, s.currency, s.status))


async def sums(begin: datetime, end: datetime, owner: Mapping[str, str]) -> list[DaySum]:
    """The sums of a time, both ends included: of closed days as stored, of all else as it is.

    Args:
        owner: Filter on `principal`; empty for all.
    """
    first, last = begin.astimezone(UTC).date(), end.astimezone(UTC).date()
    if begin_of(first) < begin:
        first += DAY
    found: list[DaySum] = []
    closed: set[date] = set()
    with store_errors():
        async for row in PayoutDay.get_pymongo_collection().find(
            {"_id": {"$gte": first.isoformat(), "$lt": last.isoformat()}}, {"sums": 1}
        ):
            closed.add(date.fromisoformat(row["_id"]))
            found += [
                msgspec.convert(each, DaySum)
                for each in row["sums"]
                if all(each[name] == value for name, value in owner.items())
            ]
    for span in spans(begin, end, closed):
        found += await added_up({**owner, "created_at": span})
    return found


def spans(begin: datetime, end: datetime, closed: Iterable[date]) -> list[dict[str, datetime]]:
    """What of a time lies in no closed day, as conditions; both ends belong to it."""
    left: list[dict[str, datetime]] = []
    at = begin
    for day in sorted(closed):
        if at < begin_of(day):
            left.append({"$gte": at, "$lt": begin_of(day)})
        at = begin_of(day) + DAY
    if at <= end:
        left.append({"$gte": at, "$lte": end})
    return left


async def counts() -> dict[str, int]:
    """How many payouts are in each status, now."""
    found: dict[str, int] = {}
    closed: set[date] = set()
    with store_errors():
        async for row in PayoutDay.get_pymongo_collection().find({}, {"statuses": 1}):
            closed.add(date.fromisoformat(row["_id"]))
            for status, count in row["statuses"].items():
                found[status] = found.get(status, 0) + count
        known = {"$in": [status.value for status in PayoutStatus]}
        left = [{"status": known, "created_at": span} for span in spans(EVER, LAST, closed)]
        pipeline: list[dict[str, Any]] = [
            {"$match": left[0] if len(left) == 1 else {"$or": left}},  # the index has all of it
            {"$group": {"_id": "$status", "n": {"$sum": 1}}},
        ]
        async for row in await Payout.get_pymongo_collection().aggregate(pipeline):
            found[row["_id"]] = found.get(row["_id"], 0) + row["n"]
    return found
