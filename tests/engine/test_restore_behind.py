"""As many nodes as have to agree are behind, one of them on purpose; the third tells the truth."""

from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_restore_claims import Refusing, signs_what_it_can
from tests.engine.test_restore_forks import paid_in_the_newest
from tests.engine.test_restore_liars import NODES, PROMISE_BLOCKS, Bad, sign_all
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment.core.clock import to_ms
from tron_payment.engine.reading import KEPT_BACK_MAX, KEPT_BACK_S, Patience
from tron_payment.engine.tip import FRESH_BLOCKS

BEHIND = FRESH_BLOCKS + 3


def set_right(world: World) -> None:
    """Our clock says what the newest block does."""
    late_ms = world.network.tip.timestamp_ms - to_ms(world.clock.now())
    world.clock.advance(timedelta(milliseconds=late_ms))


@pytest.mark.parametrize("refuses", [False, True])
async def test_what_our_clock_bears_out_they_do_not_refute(mongo: Mongo, refuses: bool) -> None:
    """Restored; the payment stands further ahead of them than blocks that are only fresh."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await paid_in_the_newest(solid_lag=19)
    newest = world.network.tip.number
    liar = world.nodes[0] = Bad(world.network, "n0", hides=True, stands_at=newest - BEHIND)
    world.nodes[1].lag = lambda: BEHIND
    true = world.nodes[2] = Refusing(world.network, "n2", first=newest, times=1_000 * refuses)
    set_right(world)
    world.start()
    now_s = [100.0]
    world.engine.safe_mode._patience = Patience(lambda: now_s[0])
    await signs_what_it_can(world, looks=1)
    assert await begun_why() == ([] if refuses else ["forgotten"])
    await signs_what_it_can(world, looks=KEPT_BACK_MAX)
    now_s[0] += KEPT_BACK_S
    await signs_what_it_can(world, looks=1)
    assert await begun_why() == (["behind"] if refuses else ["forgotten"])
    liar.hides, liar.stands_at, true.times = False, None, 0
    world.nodes[1].lag = lambda: 0
    world.clock.advance(timedelta(minutes=1))
    for _ in range(60):
        await world.tick()
    assert len(world.key.signed) == 1 and world.network.token[ALICE] == UNITS
    assert await world.engine.stats() == {"settled": 1}
    await world.assert_books_equal_chain()


async def test_two_honest_ones_that_are_behind_delay_nothing(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=NODES, agreement=2, solid_lag=19)
    await world.tick(20)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(2)
    for node in world.nodes[:2]:
        node.lag = lambda: BEHIND
    set_right(world)
    world.start()
    await sign_all(world)
    assert len(world.key.signed) == 1 and world.alarms == []


async def test_a_chain_that_stood_still_costs_a_lifetime_once(mongo: Mongo) -> None:
    """From a backup of before that time nobody can tell a process that starts right after it: what
    was signed since, and is in no block yet, shows nowhere."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=NODES, agreement=2)
    await world.tick(20)
    await world.engine.place(world.wish("a", UNITS))
    world.network.mine(1, 360_000)
    world.clock.advance(timedelta(seconds=363))
    world.start()
    await sign_all(world)
    assert await begun_why() == ["behind"] and world.key.signed == []
    await world.run_until_final("a", blocks=PROMISE_BLOCKS)
    assert world.network.token[ALICE] == UNITS


async def test_while_a_chain_stands_still_a_start_waits_for_nothing(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=NODES, agreement=2)
    await world.tick(20)
    await world.engine.place(world.wish("a", UNITS))
    world.clock.advance(timedelta(hours=1))
    world.start()
    await sign_all(world)
    assert len(world.key.signed) == 1 and world.alarms == []
