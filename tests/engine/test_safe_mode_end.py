"""Safe mode begins and ends by what is stored at that moment, and each is written down before."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.points import Crash
from tests.engine.test_restore import UNITS, begun_why, held_until_backed_up, restore
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment.chain import MongoCursors
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.engine import OrderStatus, SafeMode, safe_mode

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


async def test_who_dies_at_its_beginning_leaves_the_entry(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    await world.engine.place(world.wish("a"))
    world.pass_time(FEW_BLOCKS)
    world.start()

    async def die(_: object) -> bool:
        raise Crash

    with monkeypatch.context() as dying:
        dying.setattr(safe_mode, "insert_once", die)
        with pytest.raises(Crash):
            await world.process.run_dry()
    assert [event for event, _ in world.alarms] == ["safe_mode.begun"]
    assert world.key.signed == [] and await SafeMode.count() == 0
    world.start()
    await world.process.run_dry()
    assert await SafeMode.count() == 1
    await world.run_until_final("a", blocks=80)


async def test_one_that_ends_while_another_begins_has_begun(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that has looked long ago ends an old one when we have found it to be on."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    backup, held = await held_until_backed_up(world, "a", "b", "c")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.process.run_dry()
    world.pass_time(3)
    await restore(backup)
    at = await MongoCursors().load()
    assert at is not None
    other, now = world.another().engine.safe_mode, world.clock.now()
    other._looked, other._seen = True, at.number
    places = [0]

    async def meanwhile(mode: SafeMode) -> bool:
        places[0] += 1
        if places[0] == 1:
            await SafeMode(since=now, lag_ms=1, until_ms=at.timestamp_ms).insert()
        created = await insert_once(mode)
        if places[0] == 1:
            assert not created and await other.why_not_sign(at) == ""
        return created

    monkeypatch.setattr(safe_mode, "insert_once", meanwhile)
    world.start()
    await world.process.run_dry()
    assert places == [2] and await begun_why() == ["forgotten"]
    await world.tick(40)
    assert world.network.token[ALICE] == 3 * UNITS


async def test_who_begins_what_is_on_lets_it_last_longer(world: World) -> None:
    (before,) = await SafeMode.find_all().to_list()
    world.pass_time(FEW_BLOCKS)
    world.start()
    await world.process.run_dry()
    (after,) = await SafeMode.find_all().to_list()
    assert (after.since, after.why) == (before.since, before.why)
    assert after.until_ms > before.until_ms
    assert [event for event, _ in world.alarms] == ["safe_mode.begun"]


async def test_what_begins_again_while_a_human_ends_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing lasts longer by it: its end was judged without knowing of this."""
    at = await MongoCursors().load()
    assert at is not None
    human = world.another().engine.safe_mode
    (before,) = await SafeMode.find_all().to_list()

    async def meanwhile(_: str, __: object) -> None:
        await world.engine.safe_mode.begin(at)

    monkeypatch.setattr(human, "_alarm", meanwhile)
    with pytest.raises(LostRace):
        await human.end("tom")
    (after,) = await SafeMode.find_all().to_list()
    assert (after.until_ms, after.begun_again) == (before.until_ms, 1)

    monkeypatch.undo()
    assert await human.end("tom") and await SafeMode.count() == 0


@pytest.mark.parametrize("away", [False, True])
async def test_a_claim_is_decided_also_where_nothing_is_there_to_be_signed(
    mongo: Mongo, away: bool
) -> None:
    """Else what waits for money could not be canceled for ever. Not while the nodes are away."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    await world.engine.place(world.wish("a", 10**15))
    await world.tick(2)
    mode = SafeMode(since=world.clock.now(), lag_ms=0, why="behind", until_ms=0)
    mode.claimed_from = mode.claimed_to = 10_000_000
    await mode.insert()
    world.nodes[-1].away = away
    if away:
        with pytest.raises(Unavailable):
            await world.engine.cancel("ord_a")
        world.nodes[-1].away = False
        world.clock.advance(timedelta(minutes=1))  # it has rested
        await world.tick()
    await world.engine.cancel("ord_a")
    assert (await world.order("a")).status is OrderStatus.CANCELED
