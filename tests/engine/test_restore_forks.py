"""A restored store, and a fork that moves what was paid since, while the look at it goes on."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import UNITS, begun_why, held_until_backed_up, restore
from tests.engine.test_restore_claims import Refusing, signs_what_it_can
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment.chain import Block, MongoCursors

BEFORE = 8
"""Blocks without a payment between the store and the one with it: as many as are read together."""


async def paid_in_the_newest(solid_lag: int) -> World:
    """The restored store is nine blocks behind; its payment stands in the ninth."""
    world = await World.create(nodes=3, agreement=2, solid_lag=solid_lag)
    await world.tick(solid_lag + 20)
    backup, held = await held_until_backed_up(world, "a")
    at = await MongoCursors().load()
    assert at is not None
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    world.network.unfit = lambda txid: True
    await world.process.run_dry()
    while world.network.tip.number < at.number + max(BEFORE, solid_lag):
        world.pass_time(1)
    world.network.unfit = lambda txid: False
    world.pass_time(1)
    assert world.network.token[ALICE] == UNITS and len(world.key.signed) == 1
    await restore(backup)
    return world


async def is_found(world: World) -> None:
    world.clock.advance(timedelta(seconds=10))
    await signs_what_it_can(world, looks=3)
    assert await begun_why() == ["forgotten"] and len(world.key.signed) == 1
    await world.tick(60)
    assert world.network.token[ALICE] == UNITS
    assert await world.engine.stats() == {"settled": 1}
    await world.assert_books_equal_chain()


@pytest.mark.parametrize(("solid_lag", "depth"), [(5, 2), (19, 6)])
async def test_between_two_tries_beside_an_answer_that_is_lost(
    mongo: Mongo, solid_lag: int, depth: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await paid_in_the_newest(solid_lag)
    newest = world.network.tip.number
    world.nodes[:] = [Refusing(world.network, f"n{i}", first=newest, times=1) for i in range(3)]
    world.start()
    await signs_what_it_can(world, looks=1)
    assert len(world.key.signed) == 1 and await begun_why() == []
    assert world.network.fork(depth) == depth
    world.pass_time(depth + 1)
    await is_found(world)


@dataclass
class Forks(SimNode):
    """Takes back two blocks when this one is asked for the first time, and makes them again."""

    when: int = 0
    forked: list[int] = field(default_factory=list)

    async def block(self, number: int, solid: bool = True) -> Block:
        if number == self.when and not solid and not self.forked:
            self.forked.append(self.network.fork(2))
            self.network.mine(2)
        return await super().block(number, solid)


async def test_within_one_try(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await paid_in_the_newest(5)
    newest, forked = world.network.tip.number, list[int]()
    world.nodes[:] = [Forks(world.network, f"n{i}", when=newest, forked=forked) for i in range(3)]
    world.start()
    await signs_what_it_can(world, looks=1)
    assert forked == [2] and len(world.key.signed) == 1
    await is_found(world)


async def test_a_fork_of_what_was_never_paid_delays_for_a_moment(mongo: Mongo) -> None:
    """Nothing is restored, and one node stays behind on the branch that was left."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2, solid_lag=5)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(9)
    newest, forked = world.network.tip.number, list[int]()
    world.nodes[:] = [Forks(world.network, f"n{i}", when=newest, forked=forked) for i in range(3)]
    world.start()
    await signs_what_it_can(world, looks=2)
    assert forked == [2] and len(world.key.signed) == 1 and world.alarms == []
