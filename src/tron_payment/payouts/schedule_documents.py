"""Schedules as stored, and when their occurrences are due."""

import calendar
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.db.cas import compare_and_set
from tron_payment.db.faults import store_errors
from tron_payment.http.twins import COUNTED_GOOD_FOR, UNDER_WAY_MAX

CLAIM_ENDS: Final = timedelta(minutes=5)
"""What a process that died has claimed is free again."""

CLAIM_GOOD_FOR: Final = CLAIM_ENDS - (UNDER_WAY_MAX - COUNTED_GOOD_FOR)
"""Whoever claimed longer ago makes no batch: a write that it begins before ends before."""

CANCEL_FIRST: Final = timedelta(minutes=1)
"""How long what was left for dead waits for somebody who would cancel it."""


class Every(StrEnum):
    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ScheduleStatus(StrEnum):
    ACTIVE = "active"
    FINISHED = "finished"
    CANCELED = "canceled"


class Schedule(Document):
    """Rows that become a batch at their times."""

    id: str  # type: ignore[assignment]  # sch_...
    principal: str
    role: str
    permissions: list[str]
    name: str
    body: bytes
    """The upload as JSON."""

    rows: int
    every: Every
    first_at: datetime
    until: datetime | None = None
    next_at: datetime
    occurrence: int = 0
    part: int = 0
    """Batches that the occurrence which is due has already."""

    left: list[int] = Field(default_factory=list)
    """The rows that those have not paid and that are still owed; empty before the first."""

    waiting_for: str = ""
    """Why what is owed is not paid yet: the code of a refusal that may pass."""

    busy_until: datetime | None = None
    """Until then somebody makes the batch that is due; nobody else does."""

    unsure_until: datetime | None = None
    """Until then that batch may come to be, whatever has become of whoever makes it."""

    status: ScheduleStatus = ScheduleStatus.ACTIVE
    version: int = 0
    op_id: str = ""
    last_batch_id: str | None = None
    last_refusal: str | None = None
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "schedules"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("next_at", ASCENDING)], name="due"),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_history",
            ),
            IndexModel(
                [("next_at", ASCENDING)],
                name="waiting",
                partialFilterExpression={"waiting_for": {"$gt": ""}},
            ),
            IndexModel(
                [("updated_at", ASCENDING)],
                name="named",
                partialFilterExpression={"body": {"$gt": b""}},
            ),
        ]


async def due(now: datetime, limit: int) -> list[str]:
    """The schedules that are due and that nobody runs, the longest first."""
    found = Schedule.get_pymongo_collection().find(_due(now), {"_id": 1})
    with store_errors():
        return [row["_id"] async for row in found.sort("next_at", ASCENDING).limit(limit)]


async def still_due(schedule_id: str, now: datetime) -> Schedule | None:
    """A schedule that is due; None when somebody has run it meanwhile."""
    with store_errors():
        return await Schedule.find_one({"_id": schedule_id, **_due(now)})


async def claim(schedule: Schedule, now: datetime) -> Schedule:
    """Nobody else makes the batch that is due now, and nobody cancels, until it is `let_go`, or
    `CLAIM_ENDS` is over, and `CANCEL_FIRST`.

    What was let go unsure is claimed again for the rest of that time only: however often it is
    tried, the time ends, and who would cancel it has a turn.

    Raises:
        LostRace: Somebody else has claimed, run or canceled it.
    """
    ends = schedule.unsure_until
    if ends is None or now >= ends + CANCEL_FIRST:
        ends = now + CLAIM_ENDS
    return await change(schedule, now, unsure_until=ends, busy_until=ends + CANCEL_FIRST)


def claimed_since(claimed: Schedule) -> datetime:
    """When the time of a claim began: with this one, or with one before that was let go unsure."""
    assert claimed.unsure_until is not None, claimed.id
    return claimed.unsure_until - CLAIM_ENDS


async def let_go(claimed: Schedule, now: datetime, *, sure: bool) -> None:
    """There is no outcome; another may claim it at once. Where that could make no batch any more
    it is after the claim's end, and `CANCEL_FIRST`.

    Args:
        sure: No batch comes of what was begun, now or by a claim before.

    Raises:
        LostRace: It is not ours any more.
    """
    if sure:
        await change(claimed, now, busy_until=None, unsure_until=None)
    elif now < claimed_since(claimed) + CLAIM_GOOD_FOR:
        await change(claimed, now, busy_until=None)


async def change(schedule: Schedule, now: datetime, **changes: Any) -> Schedule:
    """
    Raises:
        LostRace: Another has changed it, or it has ended.
    """
    return await compare_and_set(
        Schedule,
        schedule.id,
        version=schedule.version,
        where={"status": ScheduleStatus.ACTIVE.value},
        set={"updated_at": now, **changes},
    )


def _due(now: datetime) -> dict[str, Any]:
    return {
        "status": ScheduleStatus.ACTIVE.value,
        "next_at": {"$lte": now},
        "$or": [{"busy_until": None}, {"busy_until": {"$lte": now}}],
    }


def occurrence_at(first_at: datetime, every: Every, number: int) -> datetime | None:
    """When an occurrence is due, 0 being the first; None when there is no such one.

    A month has the first one's day, or its own last day when it is too short.
    """
    match every:
        case Every.ONCE:
            return first_at if number == 0 else None
        case Every.DAY:
            return first_at + timedelta(days=number)
        case Every.WEEK:
            return first_at + timedelta(weeks=number)
        case Every.MONTH:
            years, month = divmod(first_at.month - 1 + number, 12)
            year = first_at.year + years
            day = min(first_at.day, calendar.monthrange(year, month + 1)[1])
            return first_at.replace(year=year, month=month + 1, day=day)
