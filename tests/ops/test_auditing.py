"""The whole audit log is read anew by itself, slice by slice, and what is wrong is a figure."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from tests.conftest import Mongo
from tron_payment import auditing
from tron_payment.auditing import FIRST_AFTER, PASS_EVERY, Auditing
from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.metrics import Figures

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY_S = PASS_EVERY.total_seconds()


class World:
    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.clock = ManualClock(NOW)
        self.audit = Audit(self.clock)
        self.figures = Figures()
        self.auditing = Auditing(self.audit, self.clock, self.figures)

    async def append(self, count: int) -> None:
        acts = [Act(actor="a", role="b", action="c", object_id=f"o{n}") for n in range(count)]
        await self.audit.append_many(acts)

    async def read(self, slices: int, after: timedelta) -> float | None:
        """Whether the log was found sound by so many slices."""
        self.clock.advance(after)
        for _ in range(slices):
            assert not await self.auditing.step(), "no sign of work"
        return self.figures.get("audit_log_ok")

    @property
    def age_s(self) -> float | None:
        return self.figures.get("audit_verified_age_seconds")


@pytest.fixture
async def world(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(auditing, "SLICE", 4)
    store = await mongo.connect([AuditEntry])
    made = World(store.database["audit"])
    await made.append(10)
    yield made


async def test_all_of_it_is_read_once_a_day_slice_by_slice(world: World) -> None:
    assert await world.read(1, timedelta()) is None and world.age_s == 0
    assert await world.read(2, FIRST_AFTER) is None and world.age_s == 60, "two of three slices"
    assert await world.read(1, timedelta()) == 1 and world.age_s == 0
    await world.append(1)
    await world.rows.update_one({"seq": 2}, {"$set": {"actor": "x"}})
    assert await world.read(3, PASS_EVERY / 2) == 1 and world.age_s == DAY_S / 2, "not due yet"
    with structlog.testing.capture_logs() as said:
        assert await world.read(1, PASS_EVERY / 2) == 0
    assert [(each["event"], each["seq"], each["fault"]) for each in said] == [
        ("audit.broken", 2, "changed")
    ]
    assert await world.read(1, PASS_EVERY / 2) == 0 and world.age_s == DAY_S * 1.5
    await world.rows.update_one({"seq": 2}, {"$set": {"actor": "a"}})
    assert await world.read(3, PASS_EVERY / 2) == 1 and world.age_s == 0


@pytest.mark.parametrize("seq", [4, 5, 9, 10])
async def test_what_is_changed_or_removed_anywhere_is_found(world: World, seq: int) -> None:
    row = await world.rows.find_one_and_update({"seq": seq}, {"$set": {"role": "x"}})
    assert await world.read(3, FIRST_AFTER) == 0
    await world.rows.replace_one({"seq": seq}, row)
    assert await world.read(3, PASS_EVERY) == 1
    await world.rows.delete_one({"seq": seq})
    assert await world.read(3, PASS_EVERY) == 0


@pytest.mark.parametrize("left", [0, 3, 9])
async def test_what_was_read_sound_is_not_cut_off_later(world: World, left: int) -> None:
    assert await world.read(3, FIRST_AFTER) == 1
    await world.rows.delete_many({"seq": {"$gt": left}})
    assert await world.read(3, PASS_EVERY) == 0


async def test_what_was_read_sound_is_not_written_anew(world: World) -> None:
    assert await world.read(3, FIRST_AFTER) == 1
    await world.rows.delete_many({})
    other = Audit(world.clock)
    await other.append_many(
        [Act(actor="z", role="b", action="c", object_id=str(n)) for n in range(12)]
    )
    assert await world.read(3, PASS_EVERY) == 0


async def test_an_empty_log_is_nothing_to_worry_about(world: World) -> None:
    await world.rows.delete_many({})
    await world.read(1, PASS_EVERY * 3)
    assert world.age_s == 0


@pytest.mark.parametrize("seq", [10, 4], ids=["the newest", "where a slice ends"])
async def test_an_entry_that_is_none_any_more_is_found(world: World, seq: int) -> None:
    assert await world.read(1, FIRST_AFTER) is None
    await world.rows.update_one({"seq": seq}, {"$set": {"actor": ["x"]}})
    await world.read(4, PASS_EVERY)
    assert await world.read(4, PASS_EVERY) == 0
