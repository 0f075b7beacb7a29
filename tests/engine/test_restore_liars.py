"""A young backup, and a node that does not show what was paid since: two of three have to agree.

The engine tests' key has no journal, as if that had been restored with the orders.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import (
    UNITS,
    back_up,
    begun_why,
    held_until_backed_up,
    it_ends_by_itself,
    restore,
)
from tests.engine.world import ALICE, ALL_DOCUMENTS, Process, World
from tron_payment.chain import Block, BlockHeader, NodesUnavailable
from tron_payment.engine import SafeMode
from tron_payment.engine.safe_mode import SCAN_BLOCKS_MAX

NODES = 3
AHEAD = 5_000


@dataclass
class Bad(SimNode):
    """Shows blocks that are not solidified without what is in them, or another head."""

    hides: bool = False
    stands_at: int | None = None
    ahead: int = 0
    ahead_ms: int = 0

    async def block(self, number: int, solid: bool = True) -> Block:
        found = await super().block(number, solid)
        return replace(found, transactions=()) if self.hides and not solid else found

    async def head(self) -> BlockHeader:
        found = await super().head()
        if self.stands_at is not None:
            return self.network.blocks[self.stands_at].header
        later_ms = found.timestamp_ms + self.ahead_ms
        return replace(found, number=found.number + self.ahead, timestamp_ms=later_ms)


async def made(place: int) -> tuple[World, Bad]:
    world = await World.create(nodes=NODES)
    bad = Bad(world.network, world.nodes[place].alias)
    world.nodes[place] = bad
    world.process = process(world)
    return world, bad


def process(world: World) -> Process:
    return Process(world.nodes, world.clock, world.key, agreement=2, lifetime_s=world.lifetime_s)


async def restored(world: World, blocks: int) -> int:
    """Three payments are on the chain and not in the store; how many signatures there are."""
    backup, held = await held_until_backed_up(world, "a", "b", "c")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.process.run_dry()
    world.pass_time(blocks)
    assert world.network.token[ALICE] == 3 * UNITS
    await restore(backup)
    world.process = process(world)
    return len(world.key.signed)


async def nothing_is_paid_again(world: World, signed_before: int) -> None:
    assert await begun_why() == ["forgotten"]
    for _ in range(60):
        await world.tick()
        if await world.engine.stats() == {"settled": 3}:
            break
    assert await world.engine.stats() == {"settled": 3}
    assert len(world.key.signed) == signed_before
    await it_ends_by_itself(world)
    assert world.network.token[ALICE] == 4 * UNITS
    await world.assert_books_equal_chain()


async def sign_all(world: World) -> None:
    while await world.process.engine.dispatcher.step():
        pass


@pytest.mark.parametrize("place", range(NODES))
@pytest.mark.parametrize("blocks", [1, 5])
async def test_a_node_that_hides_what_was_paid_since_is_not_believed(
    mongo: Mongo, place: int, blocks: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(place)
    bad.hides = True
    signed_before = await restored(world, blocks)
    await sign_all(world)
    await nothing_is_paid_again(world, signed_before)


@pytest.mark.parametrize("place", range(NODES))
async def test_nor_one_that_says_there_is_no_newer_block_while_another_is_away(
    mongo: Mongo, place: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(place)
    standing = world.network.tip.number
    signed_before = await restored(world, 2)
    bad.stands_at = standing
    world.nodes[(place + 1) % NODES].away = True
    await sign_all(world)
    assert await begun_why() == ["forgotten"]
    (mode,) = await SafeMode.find_all().to_list()
    assert mode.until_ms >= world.network.tip.timestamp_ms + 60_000, "the true head counts"
    bad.stands_at = None
    world.nodes[(place + 1) % NODES].away = False
    world.clock.advance(timedelta(minutes=1))  # it has rested
    await nothing_is_paid_again(world, signed_before)


async def test_an_old_backup_is_noticed_beside_one_that_stands_still(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(0)
    backup = await back_up()
    standing = world.network.tip.number
    world.pass_time(150)
    await restore(backup)
    world.process = process(world)
    bad.stands_at = standing
    world.nodes[1].away = True
    await world.engine.place(world.wish("a", UNITS))
    await sign_all(world)
    assert await begun_why() == ["behind"] and world.key.signed == []


async def test_with_one_node_of_three_a_process_that_starts_signs_nothing(mongo: Mongo) -> None:
    """One alone could hide what was paid. A process that has looked before goes on with one."""
    await mongo.connect(ALL_DOCUMENTS)
    world, _ = await made(0)
    await world.tick(2)
    for node in world.nodes[1:]:
        node.away = True
    await world.engine.place(world.wish("a", UNITS))
    await sign_all(world)
    assert len(world.key.signed) == 1, "it had looked"

    await world.engine.place(world.wish("b", UNITS))
    world.pass_time(1)
    world.process = process(world)
    with pytest.raises(NodesUnavailable, match="by 1 of 2 nodes"):
        await sign_all(world)
    assert len(world.key.signed) == 1
    for node in world.nodes[1:]:
        node.away = False
    world.clock.advance(timedelta(minutes=1))
    await world.run_until_final("a", "b")
    assert world.network.token[ALICE] == 2 * UNITS and world.alarms == []
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("ahead_ms", [0, 3_600_000])
@pytest.mark.parametrize("place", range(NODES))
async def test_one_that_claims_a_head_nobody_has_delays_nothing(
    mongo: Mongo, place: int, ahead_ms: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(place)
    bad.ahead, bad.ahead_ms = AHEAD, ahead_ms
    assert AHEAD > SCAN_BLOCKS_MAX
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(2)
    world.process = process(world)
    await world.run_until_final("a")
    assert world.alarms == [] and world.network.token[ALICE] == UNITS
