"""The store is restored while one replica works and another stands by, which then takes over."""

from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore import UNITS, begun_why, held_until_backed_up, restore
from tests.engine.test_restore_liars import sign_all
from tests.engine.world import ALICE, ALL_DOCUMENTS, Process, World
from tron_payment.chain import MongoCursors


async def looked_long_ago(world: World) -> Process:
    """It has looked at its start, and then another has done the work."""
    standby = world.another()
    at = await MongoCursors().load()
    assert at is not None
    assert await standby.engine.safe_mode.why_not_sign(at) == ""
    return standby


@pytest.mark.parametrize("blocks", [3, 60])
async def test_who_takes_over_looks_anew(mongo: Mongo, blocks: int) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    standby = await looked_long_ago(world)
    await world.tick(20)
    backup, held = await held_until_backed_up(world, "a", "b", "c")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.process.run_dry()
    await world.tick(blocks)
    assert world.network.token[ALICE] == 3 * UNITS
    await standby.follower.watch()
    await restore(backup)
    world.clock.advance(timedelta(seconds=6))
    world.process = standby
    standby.engine.safe_mode.look_anew()
    await sign_all(world)
    assert await begun_why() == ["forgotten"] and len(world.key.signed) == 3
    await world.tick(40)
    assert await world.engine.stats() == {"settled": 3}
    assert world.network.token[ALICE] == 3 * UNITS
    await world.assert_books_equal_chain()


async def test_taking_over_what_nobody_restored_delays_nothing(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    standby = await looked_long_ago(world)
    await world.tick(20)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(1)
    world.process = standby
    for _ in range(3):
        standby.engine.safe_mode.look_anew()
        await sign_all(world)
    assert len(world.key.signed) == 1 and world.alarms == []
    await world.run_until_final("a", blocks=12)
