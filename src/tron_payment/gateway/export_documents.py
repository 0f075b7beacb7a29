"""Exports as stored, piece by piece, and every query on them."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.core.clock import to_ms
from tron_payment.db.cas import compare_and_set, insert_once
from tron_payment.db.faults import store_errors
from tron_payment.engine import Order

RUNNING_AT_ONCE: Final = 10
MODULES: Final = ("gateway", "payouts", "usdt")
"""Whose orders are rows of exports: refunds, payouts, transfers."""


class ExportStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class ExportKind(StrEnum):
    DAYS = "days"
    """The figures by day, merchant and currency."""

    ENTRIES = "entries"
    """Every movement: what an accountant books."""


class Export(Document):
    """A report that is written in the background, day by day."""

    id: str  # type: ignore[assignment]  # exp_...
    principal: str
    own_only: bool
    """Whether it holds the principal's own rows only; decided when it was asked for."""

    kind: ExportKind
    form: str  # csv, jsonl
    first: datetime
    last: datetime
    """Beginnings of the first and of the last day."""

    value_currency: str = ""
    rates: dict[str, int] = Field(default_factory=dict)
    status: ExportStatus = ExportStatus.RUNNING
    version: int = 0
    op_id: str = ""
    days_done: int = 0
    days_total: int
    rows: int = 0
    parts: int = 0
    reason: str = ""
    waiting_for: str = ""
    created_at: datetime
    finished_at: datetime | None = None
    expires_at: datetime

    class Settings:
        name = "exports"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("created_at", ASCENDING)], name="running"),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        ]


class ExportPart(Document):
    """A piece of the file: rows of one day. The same piece always has the same id."""

    id: str  # type: ignore[assignment]  # <export>:<number>
    text: str
    expires_at: datetime

    class Settings:
        name = "export_parts"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)
        ]


async def add(export: Export) -> None:
    await insert_once(export)


async def by_id(export_id: str, owner: Mapping[str, str]) -> Export | None:
    with store_errors():
        return await Export.find_one({"_id": export_id, **owner})


async def running() -> list[Export]:
    """Some of those under way; those that wait come last, so that they hold up nobody."""
    with store_errors():
        return (
            await Export.find({"status": ExportStatus.RUNNING.value})
            .sort("+waiting_for", "+created_at")
            .limit(RUNNING_AT_ONCE)
            .to_list()
        )


async def untold_before(end: datetime) -> bool:
    """Whether an order whose block is earlier has ended and its module has not been told: then
    what it moved is not in the rows yet."""
    query = {
        "module": {"$in": list(MODULES)},
        "news": True,
        "result.block_timestamp_ms": {"$lt": to_ms(end)},
    }
    with store_errors():
        return await Order.find_one(query) is not None


async def count_running(principal: str) -> int:
    query = {"status": ExportStatus.RUNNING.value, "principal": principal}
    with store_errors():
        return await Export.find(query).count()


async def write_part(export: Export, number: int, text: str) -> None:
    """Store a piece; one that an earlier try left behind is replaced."""
    part = ExportPart(id=_name(export.id, number), text=text, expires_at=export.expires_at)
    with store_errors():
        await ExportPart.get_pymongo_collection().replace_one(
            {"_id": part.id}, {"text": part.text, "expires_at": part.expires_at}, upsert=True
        )


async def parts(export: Export) -> AsyncIterator[str]:
    """The file, piece by piece."""
    for number in range(export.parts):
        with store_errors():
            part = await ExportPart.find_one({"_id": _name(export.id, number)})
        assert part is not None, (export.id, number)
        yield part.text


async def change(export: Export, **fields: Any) -> Export:
    """
    Raises:
        LostRace: Another process works on it.
    """
    return await compare_and_set(
        Export,
        export.id,
        version=export.version,
        where={"status": ExportStatus.RUNNING.value},
        set=fields,
    )


def _name(export_id: str, number: int) -> str:
    return f"{export_id}:{number:06d}"
