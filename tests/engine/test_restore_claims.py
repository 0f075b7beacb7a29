"""A restored store, and what was paid since stands where one node alone says that the chain is.

Two of three have to agree. One is behind, one is away, and the third, which tells the truth, does
not show each block at the first time of asking.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import UNITS, begun_why, held_until_backed_up, restore
from tests.engine.test_restore_liars import AHEAD, Bad, Runaway, made, restored, sign_all
from tests.engine.world import ALICE, ALL_DOCUMENTS, Process, World
from tron_payment.chain import Block, BlockHeader, MongoCursors, NodeUnavailable
from tron_payment.core.errors import Unavailable
from tron_payment.engine import SafeMode


@dataclass
class Refusing(SimNode):
    """Does not show blocks from this one on that are not solidified, so many times."""

    first: int = 0
    times: int = 0

    async def block(self, number: int, solid: bool = True) -> Block:
        if self.times and not solid and number >= self.first:
            self.times -= 1
            raise NodeUnavailable(self.alias, "timeout")
        return await super().block(number, solid)


async def signs_what_it_can(world: World, looks: int) -> None:
    for _ in range(looks):
        with suppress(Unavailable):
            await sign_all(world)


async def is_paid_once(world: World, signed_before: int) -> None:
    world.clock.advance(timedelta(minutes=1))  # who has failed has rested
    for _ in range(60):
        await world.tick()
    assert await world.engine.stats() == {"settled": 3}
    assert len(world.key.signed) == signed_before
    assert world.network.token[ALICE] == 3 * UNITS


@pytest.mark.parametrize("times", [1, 1_000])
@pytest.mark.parametrize("emptied", [False, True])
async def test_who_does_not_show_what_it_claims_is_waited_for(
    mongo: Mongo, times: int, emptied: bool
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, behind = await made(0)
    truthful = world.nodes[2] = Refusing(world.network, world.nodes[2].alias)
    standing = world.network.tip.number
    signed_before = await restored(world, 8)
    behind.stands_at, behind.hides = standing, emptied
    world.nodes[1].away = True
    truthful.first, truthful.times = standing + 1, times
    await signs_what_it_can(world, looks=8)
    assert len(world.key.signed) == signed_before
    behind.stands_at, behind.hides, truthful.times = None, False, 0
    world.nodes[1].away = False
    await is_paid_once(world, signed_before)


async def test_the_lowest_claim_counts_beside_a_higher_one(mongo: Mongo) -> None:
    """All three have to agree: one is behind, one tells the truth, one claims more than that."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3)
    behind = Bad(world.network, world.nodes[0].alias)
    liar = Runaway(world.network, world.nodes[2].alias, ahead=0, later_ms=3_000)
    world.nodes[0], world.nodes[2] = behind, liar

    def process() -> Process:
        return Process(
            world.nodes, world.clock, world.key, agreement=3, lifetime_s=world.lifetime_s
        )

    world.process = process()
    backup, held = await held_until_backed_up(world, "a", "b", "c")
    standing = world.network.tip.number
    await world.tick(50)
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.tick(5)
    assert world.network.token[ALICE] == 3 * UNITS
    signed_before = len(world.key.signed)
    await restore(backup)
    world.process = process()
    behind.stands_at, behind.hides, liar.ahead = standing, True, AHEAD
    await sign_all(world)
    (mode,) = await SafeMode.find_all().to_list()
    true_head = world.network.tip.number
    assert (mode.claimed_from, mode.claimed_to) == (true_head, true_head + AHEAD)
    behind.stands_at, behind.hides, liar.ahead = None, False, 0
    world.clock.advance(timedelta(minutes=1))
    while await world.process.follower.step():
        world.clock.advance(timedelta(seconds=15))
        await sign_all(world)
    await world.tick(10)
    assert len(world.key.signed) == signed_before
    assert world.network.token[ALICE] == 3 * UNITS


@dataclass
class OldDate(SimNode):
    """Its head has the right height, and the date of long ago."""

    lies: bool = False

    async def head(self) -> BlockHeader:
        found = await super().head()
        return replace(found, timestamp_ms=1_000) if self.lies else found


async def test_after_a_time_without_blocks_the_true_date_counts_beside_a_false_one(
    mongo: Mongo,
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2)
    liar = world.nodes[0] = OldDate(world.network, world.nodes[0].alias)
    world.start()
    backup, _ = await held_until_backed_up(world, "a")
    world.pass_time(100)
    world.network.mine(1, 168_000)
    world.clock.advance(timedelta(seconds=171))
    world.pass_time(100)
    await world.process.run_dry()
    await restore(backup)
    world.start()
    liar.lies, world.nodes[1].away = True, True
    await sign_all(world)
    (mode,) = await SafeMode.find_all().to_list()
    assert mode.claimed_to == world.network.tip.number, "more than its height says may be true"
    true_ms = world.network.tip.timestamp_ms
    liar.lies, world.nodes[1].away = False, False
    world.clock.advance(timedelta(minutes=1))
    while not world.key.signed:
        with suppress(Unavailable):
            await world.tick()
    at = await MongoCursors().load()
    assert at is not None and at.timestamp_ms >= true_ms + world.lifetime_s * 1_000


async def test_a_restore_under_a_first_look_begins_it_anew(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2)
    backup, held = await held_until_backed_up(world, "a")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.tick(9)
    world.pass_time(10)
    newest = world.network.tip.number
    late = [Refusing(world.network, f"n{i}", first=newest - 1, times=1_000) for i in range(2)]
    world.nodes[0], world.nodes[1] = late
    world.start()
    with suppress(Unavailable):
        while await world.follower.step():
            pass
    await restore(backup)
    for each in late:
        each.times = 0
    world.clock.advance(timedelta(seconds=6))
    await signs_what_it_can(world, looks=2)
    assert len(world.key.signed) == 1
    assert await begun_why() == ["forgotten"]
