"""A look at a start that takes several tries; two of three nodes have to agree.

Nothing restored: no node delays it for long by what it tells and does not show. Restored: later
tries forget nothing that the first ones would have found.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_restore_claims import Refusing, is_paid_once, signs_what_it_can
from tests.engine.test_restore_forks import BEFORE, is_found, paid_in_the_newest
from tests.engine.test_restore_liars import NODES, Bad, made, process, restored, sign_all
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment.chain import Block, BlockHeader, NodeHasNot, NodeUnavailable
from tron_payment.core.errors import Unavailable
from tron_payment.engine.safe_mode import LAG_MAX_MS

ROUND_BLOCKS = 2
"""Blocks between two tries."""

MOMENT_ROUNDS = 5
"""Until the late one has the head of the start and five blocks: half a minute at most."""

ROUNDS_MAX = LAG_MAX_MS // 3_000 // ROUND_BLOCKS + 5
"""Then the start counts as far behind, and safe mode begins."""


@dataclass
class Boast(SimNode):
    """Tells heads, and has none of the blocks that are not solidified."""

    ahead: int = 0

    async def head(self) -> BlockHeader:
        found = await super().head()
        return replace(found, number=found.number + self.ahead)

    async def block(self, number: int, solid: bool = True) -> Block:
        if not solid:
            raise NodeHasNot(self.alias, f"no block {number}")
        return await super().block(number, solid)


async def ordinary(boast_at: int, late_at: int) -> World:
    """An order that is ready to be signed, and a process that has just started."""
    world = await World.create(nodes=NODES, agreement=2)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(8)
    world.nodes[boast_at] = Boast(world.network, world.nodes[boast_at].alias)
    world.nodes[late_at].lag = lambda: 1
    world.start()
    return world


async def rounds_until_signed(world: World, blocks: int = ROUND_BLOCKS) -> int:
    for tried in range(1, ROUNDS_MAX + 1):
        with suppress(Unavailable):
            await sign_all(world)
        if world.key.signed:
            return tried
        world.pass_time(blocks)
    raise AssertionError(await begun_why())


@pytest.mark.parametrize(("boast_at", "late_at"), [(0, 1), (1, 0), (2, 1)])
async def test_a_node_without_the_fresh_blocks_it_tells_of_delays_for_a_moment(
    mongo: Mongo, boast_at: int, late_at: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await ordinary(boast_at, late_at)
    assert await rounds_until_signed(world) <= MOMENT_ROUNDS
    assert world.alarms == []
    await world.run_until_final("a", blocks=12)
    assert world.network.token[ALICE] == UNITS
    await world.assert_books_equal_chain()


async def test_a_far_head_that_is_refuted_moves_no_target(mongo: Mongo) -> None:
    """It was possible while another was away; then that one comes back, a block behind."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await ordinary(boast_at=0, late_at=1)
    boast = world.nodes[0]
    assert isinstance(boast, Boast)
    boast.ahead, world.nodes[1].away = 60, True
    with pytest.raises(Unavailable):
        await sign_all(world)
    boast.ahead, world.nodes[1].away = 0, False
    world.pass_time(ROUND_BLOCKS)
    assert await rounds_until_signed(world) <= MOMENT_ROUNDS
    assert world.alarms == []


@dataclass
class Between(SimNode):
    """Its head is dated between those of two honest nodes, one block apart, at any height."""

    ahead: int = 0

    async def head(self) -> BlockHeader:
        found = await super().head()
        number, told_ms = found.number + self.ahead, found.timestamp_ms - 1
        return replace(found, number=number, timestamp_ms=told_ms)


@pytest.mark.parametrize("ahead", [-50, 50, 10**9])
async def test_a_believable_date_passes_off_no_height(mongo: Mongo, ahead: int) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=NODES, agreement=2)
    await world.tick(60)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(2)
    world.nodes[1] = Between(world.network, world.nodes[1].alias, ahead=ahead)
    world.nodes[2].lag = lambda: 1
    world.start()
    await rounds_until_signed(world, blocks=1)
    assert world.alarms == []
    await world.run_until_final("a", blocks=12)


@dataclass
class Strict(SimNode):
    """Refuses everything once it was asked so often since `left` was filled up."""

    left: int = 0

    async def _enter(self, call: str) -> None:
        if not self.left:
            raise NodeUnavailable(self.alias, "HTTP status 429", rest_s=10)
        self.left -= 1
        await super()._enter(call)


async def test_a_few_calls_at_a_time_are_enough_to_start(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=NODES, agreement=2)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(30)
    strict = [Strict(world.network, node.alias) for node in world.nodes]
    await world.process.engine.dispatcher.step()  # set aside
    world.nodes[:] = strict
    world.start()
    for _ in range(ROUNDS_MAX):
        for node in strict:
            node.left = 5
        with suppress(Unavailable):
            await sign_all(world)
        if world.key.signed:
            break
        world.pass_time(4)
    assert world.key.signed and world.alarms == []


# ---- a store that is restored ------------------------------------------------------------------


@pytest.mark.parametrize(("boast_at", "late_at"), [(0, 1), (1, 0), (2, 1)])
async def test_beside_such_a_node_a_payment_in_the_newest_block_is_found(
    mongo: Mongo, boast_at: int, late_at: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, _ = await made(0)
    signed_before = await restored(world, 1)
    world.nodes[boast_at] = Boast(world.network, world.nodes[boast_at].alias)
    world.nodes[late_at] = SimNode(world.network, world.nodes[late_at].alias, lag=lambda: 1)
    world.process = process(world)
    for _ in range(3):
        await signs_what_it_can(world, looks=1)
        world.pass_time(ROUND_BLOCKS)
    assert await begun_why() == ["forgotten"]
    world.nodes[late_at].lag = lambda: 0
    await is_paid_once(world, signed_before)


def refuse_once(world: World, first: int) -> list[Refusing]:
    """Two honest nodes that do not show a block, once; and a process that starts."""
    honest = [Refusing(world.network, f"n{i}", first=first, times=1) for i in (1, 2)]
    world.nodes[1:] = honest
    world.process = process(world)
    return honest


async def test_what_a_fork_has_replaced_between_two_tries_is_read_again(mongo: Mongo) -> None:
    """The payment comes into a block whose earlier shape was shown already."""
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(0)
    signed_before = await restored(world, 1)
    bad.hides = True
    refuse_once(world, first=world.network.tip.number)
    await signs_what_it_can(world, looks=1)
    assert await begun_why() == [] and len(world.key.signed) == signed_before
    paid_in = world.network.tip.number
    assert world.network.fork(2) == 2
    world.network.mine(2)
    assert world.network.blocks[paid_in - 1].transactions and world.network.token[ALICE]
    world.clock.advance(timedelta(seconds=3))
    await signs_what_it_can(world, looks=2)
    assert await begun_why() == ["forgotten"]
    await is_paid_once(world, signed_before)


async def test_nodes_that_catch_up_meanwhile_are_read_to_where_they_then_are(
    mongo: Mongo,
) -> None:
    """Their heads at the first try said too little about the chain at that time."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await paid_in_the_newest(solid_lag=5)
    paid_in = world.network.tip.number
    world.nodes[0] = Bad(world.network, "n0", hides=True)
    honest = refuse_once(world, first=0)
    for node in honest:
        node.lag = lambda: BEFORE
    await signs_what_it_can(world, looks=1)
    assert not any(node.times for node in honest)
    for node in honest:
        node.lag, node.first, node.times = lambda: 0, paid_in, 1
    await signs_what_it_can(world, looks=1)
    assert await begun_why() == [] and len(world.key.signed) == 1
    await is_found(world)
