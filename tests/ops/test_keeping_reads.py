"""Retention and erasure read what they are about, however much there is and was ever forgotten."""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from tron_payment.core.clock import ManualClock
from tron_payment.db.events import Event
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.webhook_documents import Delivery
from tron_payment.http.idempotency import StoredRequest
from tron_payment.keeping import BATCH_MAX, EMPTY, LARGE_MAX, Keeping
from tron_payment.payouts import ENDED, ERASED, Payout
from tron_payment.payouts.batch_documents import Batch, pack_refused
from tron_payment.payouts.recipients import Recipient
from tron_payment.payouts.schedules import Schedule

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS: Final = 90
GONE, DUE, YOUNG = range(2_000), range(2_000, 2_020), range(2_020, 4_000)
"""Forgotten long ago; to be forgotten now; not yet. All have ended."""

UPLOAD: Final = zlib.compress(b'{"user_id":"carol"}')
PROFILE_BYTES: Final = 32 * 1024 * 1024
READ_MAX: Final = 3 * len(DUE)
"""By one look: far less than what is gone, and than what is young."""


def ended_at(number: int) -> datetime:
    days = DAYS - 1 if number in YOUNG else DAYS + 1
    return NOW - timedelta(days=days) + timedelta(seconds=number)


@pytest.fixture
async def database(mongo: Any) -> Any:
    """A collection of each kind with thousands of rows; of a name of its own, as it is watched."""
    assert mongo.name
    models = [Payout, Payment, Batch, Delivery, Event, Recipient, Schedule, StoredRequest]
    database = (await mongo.connect(models)).database
    rows = [(number, ended_at(number), number in GONE) for number in (*GONE, *DUE, *YOUNG)]
    times = [{"_id": f"{n:05}", "created_at": at, "updated_at": at} for n, at, _ in rows]
    at_work = [{**times[0], "_id": f"busy_{n}"} for n in range(20)]
    said: dict[str, list[dict[str, Any]]] = {
        "payouts": [
            {
                "order_id": f"o{n}",
                "status": ENDED[n % len(ENDED)],
                "user_id": ERASED if gone else ("alice", "zoe")[n % 2],
            }
            for n, _, gone in rows
        ],
        "payments": [
            {} if gone else {"metadata": {"a": "b"}} if n % 2 else {"return_url": "https://x"}
            for n, _, gone in rows
        ],
        "batches": [
            {"status": "completed", "rows": EMPTY if gone else UPLOAD, "nameless": gone}
            for n, _, gone in rows
        ],
        "schedules": [{"status": "finished", "body": b"" if gone else b"b"} for *_, gone in rows],
    }
    for name, each in said.items():
        packed = {"refused": pack_refused([])} if name == "batches" else {}
        await database[name].insert_many(
            [{**time, **one, **packed} for time, one in zip(times, each, strict=True)]
        )
    await database["payouts"].insert_many(
        [{**row, "order_id": "b", "status": "queued", "user_id": "bob"} for row in at_work]
    )
    await database["requests"].insert_many(
        [
            {"_id": f"r{n}", "object_ids": [f"{n:05}"], "forgotten": False, "body": b"x"}
            for n, *_ in rows
        ]
    )
    await database["webhook_deliveries"].insert_many(
        [
            {"_id": n, "endpoint_id": "whk", "object_id": f"{n:05}", "status": "delivered"}
            | {"since": at, "body": b'{"data":{}}', "event_seq": n}
            for n, at, gone in rows
            if not gone
        ]
    )
    return database


@asynccontextmanager
async def watched(database: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """What the server itself says of each operation: its plan, and how much it has read."""
    seen: list[dict[str, Any]] = []
    await database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    await database.command({"profile": 2})
    try:
        yield seen
    finally:
        await database.command({"profile": 0})
        ours = {"ns": {"$not": {"$regex": "system"}}, "docsExamined": {"$exists": True}}
        seen += [row async for row in database["system.profile"].find(ours)]
        await database["system.profile"].drop()


def assert_little(seen: list[dict[str, Any]], most: int) -> None:
    assert seen
    for row in seen:
        plan, read = row["planSummary"], (row["keysExamined"], row["docsExamined"])
        assert "COLLSCAN" not in plan, (row["ns"], row["command"])
        assert max(read) <= most, (row["ns"], plan, read, row["command"])


async def test_retention_reads_what_is_due_and_when_nothing_is_next_to_nothing(
    database: Any,
) -> None:
    clock = ManualClock(NOW)
    async with watched(database) as seen:
        assert await Keeping(clock, DAYS).step()
    assert_little(seen, READ_MAX)
    names = {row["ns"].split(".")[-1] for row in seen}
    assert names >= {"payouts", "payments", "batches", "schedules", "webhook_deliveries", "events"}
    left = {"alice": len(YOUNG) // 2, "zoe": len(YOUNG) // 2, "bob": 20}
    for name, count in left.items():
        assert await database["payouts"].count_documents({"user_id": name}) == count
    for name, named in (
        ("payments", {"$or": [{"metadata": {"$gt": {}}}, {"return_url": {"$exists": True}}]}),
        ("batches", {"nameless": False}),
        ("schedules", {"body": {"$gt": b""}}),
        ("webhook_deliveries", {}),
    ):
        assert await database[name].count_documents(named) == len(YOUNG), name
    async with watched(database) as seen:
        assert not await Keeping(clock, DAYS).step(), "another process, or the next start"
    assert_little(seen, most=10)


async def test_more_than_a_look_takes_is_taken_by_the_next_ones(database: Any) -> None:
    """All of it ended at the very same time, as the rows of a batch that was called back."""
    await database["payouts"].update_many({}, {"$set": {"updated_at": ended_at(0)}})
    keeping, looks = Keeping(ManualClock(NOW), DAYS), 0
    async with watched(database) as seen:
        while await keeping.step():
            looks += 1
    assert looks == -(-(len(DUE) + len(YOUNG)) // BATCH_MAX)
    finds = [row for row in seen if row["op"] == "query"]
    assert_little(finds, BATCH_MAX + 10)


async def test_erasing_a_person_reads_that_person_and_not_what_is_gone(database: Any) -> None:
    hers = len(range(0, len(DUE) + len(YOUNG), 2))
    async with watched(database) as seen:
        done = await Keeping(ManualClock(NOW), 0).erase("alice")
    assert done.payouts == hers
    by_one_query = max(BATCH_MAX * 2, LARGE_MAX) + 20
    rows = [row for row in seen if not row["ns"].endswith("schedules")]
    assert_little(rows, by_one_query)
    assert await database["requests"].count_documents({"forgotten": True}) == hers
