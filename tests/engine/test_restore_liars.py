"""A young backup, and a node that does not show what was paid since: two of three have to agree.

The engine tests' key has no journal, as if that had been restored with the orders.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

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
from tron_payment.chain import (
    Block,
    BlockHeader,
    BlockTransaction,
    MongoCursors,
    NodesUnavailable,
    RawData,
    Transfer,
    encode,
    txid,
)
from tron_payment.engine import SafeMode, safe_mode
from tron_payment.engine.safe_mode import SCAN_BLOCKS_MAX
from tron_payment.engine.tip import FRESH_BLOCKS

NODES = 3
CENTURY_MS = 100 * 365 * 86_400_000
PROMISE_BLOCKS = 45
"""`PAYOUT_TIMEOUT`, which is a minute here, a minute for solidification, and 15 seconds."""

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


# ---- a head that one node alone shows, and shows whole -----------------------------------------


@dataclass
class Runaway(SimNode):
    """Shows blocks of its own invention above the chain's."""

    ahead: int = 1
    later_ms: int = CENTURY_MS
    invents: tuple[BlockTransaction, ...] = ()
    slow: bool = False
    asked: list[int] = field(default_factory=list)
    top: int = 0

    def _invented(self, number: int) -> bool:
        if not self.ahead:
            return False
        self.top = max(self.top, self.network.tip.number + self.ahead)
        return self.network.tip.number < number <= self.top

    async def head(self) -> BlockHeader:
        found = await super().head()
        number = found.number + self.ahead
        return await self.header(number, solid=False) if self.ahead else found

    async def header(self, number: int, *, solid: bool = True) -> BlockHeader:
        if solid or not self._invented(number):
            return await super().header(number, solid=solid)
        made = self.network.tip
        return replace(made, number=number, timestamp_ms=made.timestamp_ms + self.later_ms)

    async def block(self, number: int, solid: bool = True) -> Block:
        if solid or not self._invented(number):
            return await super().block(number, solid)
        self.asked.append(number)
        if self.slow:
            await asyncio.Event().wait()
        head = await self.header(number, solid=False)
        return Block(number, head.block_id, head.parent_id, head.timestamp_ms, self.invents)


async def beside_a_runaway(place: int, **how: Any) -> tuple[World, Runaway]:
    world = await World.create(nodes=NODES)
    liar = Runaway(world.network, world.nodes[place].alias, **how)
    world.nodes[place] = liar
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(2)
    world.process = process(world)
    return world, liar


@pytest.mark.parametrize("place", range(NODES))
@pytest.mark.parametrize("ahead", [1, AHEAD])
async def test_a_date_that_one_alone_shows_delays_nothing(
    mongo: Mongo, place: int, ahead: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, liar = await beside_a_runaway(place, ahead=ahead)
    await sign_all(world)
    assert await begun_why() == [] and len(world.key.signed) == 1
    assert len(liar.asked) <= FRESH_BLOCKS, "what is refuted is not read"
    liar.ahead = 0
    await world.run_until_final("a", blocks=12)
    assert world.alarms == [] and world.network.token[ALICE] == UNITS


def invented(world: World) -> BlockTransaction:
    raw = encode(
        RawData(
            contract=Transfer(world.key.address, ALICE, 1),
            ref_block_bytes=bytes(2),
            ref_block_hash=bytes(8),
            expiration_ms=world.network.tip.timestamp_ms + 60_000,
            timestamp_ms=world.network.tip.timestamp_ms,
            fee_limit_sun=0,
            permission_id=0,
        )
    )
    return BlockTransaction(txid(raw), raw, "SUCCESS")


@pytest.mark.parametrize("starts", [1, 3])
@pytest.mark.parametrize("ahead", [1, AHEAD])
async def test_one_that_invents_a_payment_delays_for_a_lifetime_whatever_its_date(
    mongo: Mongo, ahead: int, starts: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, liar = await beside_a_runaway(2, ahead=ahead)
    liar.invents = (invented(world),)
    for _ in range(starts):
        world.process = process(world)
        await sign_all(world)
        assert await begun_why() == ["forgotten"] and world.key.signed == []
    await world.run_until_final("a", blocks=PROMISE_BLOCKS)
    assert world.network.token[ALICE] == UNITS
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("ahead", [AHEAD, 10**9])
async def test_while_another_is_away_a_far_head_is_undecided_and_refuted_at_its_return(
    mongo: Mongo, ahead: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, liar = await beside_a_runaway(0, ahead=ahead)
    world.nodes[1].away = True
    await sign_all(world)
    assert await begun_why() == ["behind"] and world.key.signed == [] == liar.asked
    world.pass_time(PROMISE_BLOCKS)
    await sign_all(world)
    assert world.key.signed == [], "nobody can tell yet"
    world.nodes[1].away = False
    world.clock.advance(timedelta(minutes=1))  # it has rested
    await world.run_until_final("a", blocks=12)
    assert world.network.token[ALICE] == UNITS
    await world.assert_books_equal_chain()


async def test_a_far_head_that_turns_out_true_counts_from_there(mongo: Mongo) -> None:
    """The one that stood still let the cursor crawl past the end of what it had shown."""
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(0)
    backup = await back_up()
    standing = world.network.tip.number
    world.pass_time(150)
    true_ms = world.network.tip.timestamp_ms
    await restore(backup)
    world.process = process(world)
    bad.stands_at = standing
    world.nodes[1].away = True
    await world.engine.place(world.wish("a", UNITS))
    await sign_all(world)
    bad.stands_at = None
    world.nodes[1].away = False
    world.clock.advance(timedelta(minutes=1))  # it has rested
    for _ in range(60):
        await world.tick()
        if world.key.signed:
            break
    at = await MongoCursors().load()
    assert at is not None and at.timestamp_ms >= true_ms + 60_000
    await world.run_until_final("a", blocks=12)


async def test_a_look_at_blocks_that_are_kept_back_has_an_end(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another is away, what is kept back may be true."""
    await mongo.connect(ALL_DOCUMENTS)
    monkeypatch.setattr(safe_mode, "LOOK_MAX_S", 2.0)
    world, liar = await beside_a_runaway(2, slow=True)
    world.nodes[0].away = True
    await sign_all(world)
    assert await begun_why() == ["behind"] and liar.asked
    liar.ahead, world.nodes[0].away = 0, False
    world.clock.advance(timedelta(minutes=1))  # it has rested
    await world.run_until_final("a", blocks=PROMISE_BLOCKS)
    await world.assert_books_equal_chain()
