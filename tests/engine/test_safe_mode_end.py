"""Safe mode ends once, by what is stored at that moment."""

from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.points import Crash
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.chain import MongoCursors
from tron_payment.engine import SafeMode

FEW_BLOCKS = 120
"""Six minutes: enough to be taken for a restore."""

HOUR_MS = 3_600_000


@pytest.fixture
async def world(mongo: Mongo) -> World:
    """Safe mode has just begun, with an order that waits for its end."""
    await mongo.connect(ALL_DOCUMENTS)
    made = await World.create()
    await made.engine.place(made.wish("a"))
    made.pass_time(FEW_BLOCKS)
    made.start()
    await made.process.run_dry()
    assert await SafeMode.count() == 1
    return made


async def test_what_an_older_build_began_ends_by_itself(world: World) -> None:
    rows = SafeMode.get_pymongo_collection()
    begun = await rows.update_one({}, {"$unset": {"claimed_from": "", "claimed_to": ""}})
    assert begun.modified_count == 1
    await world.run_until_final("a", blocks=80)
    assert await SafeMode.count() == 0
    assert [event for event, _ in world.alarms] == ["safe_mode.begun", "safe_mode.ended"]


async def test_who_ends_it_by_an_older_look_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Any = SafeMode.find_one

    async def meanwhile(*where: Any) -> SafeMode | None:
        mode: SafeMode | None = await read(*where)
        await SafeMode.get_pymongo_collection().update_one({}, {"$inc": {"until_ms": 1}})
        return mode

    monkeypatch.setattr(SafeMode, "find_one", meanwhile)
    at = await MongoCursors().load()
    assert at is not None
    late = replace(at, timestamp_ms=at.timestamp_ms + HOUR_MS)
    assert await world.engine.safe_mode.why_not_sign(late) == "safe_mode"
    assert await SafeMode.count() == 1
    assert [event for event, _ in world.alarms] == ["safe_mode.begun"]


@pytest.mark.parametrize("place", ["before", "after"])
async def test_who_dies_at_its_end_leaves_the_entry(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Rather two entries than none: it is written before the deletion."""

    async def die(label: str) -> None:
        if label == "db:safe_mode":
            raise Crash(label)

    world.points.watch(monkeypatch)
    setattr(world.points, place, die)
    with pytest.raises(Crash):
        await world.run_until_final("a", blocks=80)
    assert await SafeMode.count() == (1 if place == "before" else 0)
    world.points.reset()
    told = [event for event, _ in world.alarms]
    assert told == ["safe_mode.begun", "safe_mode.ended"]
    world.start()
    await world.run_until_final("a", blocks=12)
    assert await SafeMode.count() == 0
    assert {event for event, _ in world.alarms[2:]} <= {"safe_mode.ended"}
    await world.assert_books_equal_chain()


async def test_a_human_who_dies_ending_it_leaves_the_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(label: str) -> None:
        raise Crash(label)

    world.points.watch(monkeypatch)
    world.points.after = die
    with pytest.raises(Crash):
        await world.engine.safe_mode.end("tom")
    assert await SafeMode.count() == 0
    assert world.alarms[-1] == ("safe_mode.ended", {"by": "tom"})
