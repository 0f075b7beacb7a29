"""What one node shows of a block that may go away is for screens: it decides nothing, and what an
older build has written down by it counts only if evidence tells the same.
"""

from dataclasses import replace

import pytest

from tests.conftest import Mongo
from tests.engine.test_internal_decided import (
    STRANGER,
    SUN,
    ask_again,
    booked_in,
    drain,
    silent,
)
from tests.engine.world import ALL_DOCUMENTS, World, assert_books
from tron_payment.chain import MongoCursors, SolidBlock, join, late_internal
from tron_payment.chain.internal import kept
from tron_payment.db.cas import LostRace
from tron_payment.engine import InternalVerdict
from tron_payment.engine.internal_documents import a_name

LAG = 5


@pytest.fixture
async def world(mongo: Mongo) -> World:
    """Two nodes that have to agree, and a head that is `LAG` blocks before what is solidified."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=2, agreement=2, solid_lag=LAG)
    world.pass_time(LAG + 1)
    await drain(world.process)
    return world


def at_the_head(world: World) -> tuple[str, SolidBlock]:
    """A contract pays us: the block as one node shows it while it may still go away."""
    txid = world.network.forward(STRANGER, world.key.address, SUN)
    world.pass_time(1)
    made = world.network.blocks[world.network.included[txid]]
    return txid, join(made.block(), made.receipts)


def forks(world: World, txid: str) -> int:
    """The block goes away, and the transaction stands in the next one."""
    network, number = world.network, world.network.included[txid]
    network.fork(1)
    unfit, network.unfit = network.unfit, lambda _: "later"
    world.pass_time(1)
    network.unfit = unfit
    world.pass_time(LAG + 3)
    assert network.included[txid] == number + 1
    return number + 1


async def hinted(world: World, txid: str, block: SolidBlock, times: int = 1) -> None:
    """As an older build wrote it down when it looked at what one node showed."""
    now, shown = world.clock.now(), block.find(txid)
    assert shown is not None
    parts = kept(each._replace(amount_sun=times * each.amount_sun) for each in shown.internal)
    await InternalVerdict(
        id=txid,
        block_number=block.number,
        counted_in=block.number,
        proposal=a_name(),
        parts=parts,
        sides=1,
        seen_at=now,
        looked_at=now,
    ).insert()


async def test_what_may_go_away_is_shown_and_not_written_down(world: World) -> None:
    txid, block = at_the_head(world)
    watched = world.engine.watched
    shown = (await watched.perhaps(block)).find(txid)
    assert shown is not None and [each.amount_sun for each in shown.internal] == [SUN]
    for look in (watched.judge, watched.part):
        with pytest.raises(AssertionError, match="no evidence"):
            await look(block)
    assert await InternalVerdict.find_all().to_list() == []


async def test_no_block_is_written_down_but_the_one_behind_the_cursor(world: World) -> None:
    txid, block = at_the_head(world)
    with pytest.raises(LostRace):
        await world.engine.watched.judge(replace(block, is_evidence=True))
    assert await InternalVerdict.get(txid) is None


async def test_what_was_seen_on_a_fork_counts_where_it_stands(world: World) -> None:
    txid, block = at_the_head(world)
    await world.engine.watched.perhaps(block)
    number = forks(world, txid)
    await drain(world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None
    assert (verdict.block_number, verdict.counted_in, verdict.proposal) == (number, number, "")
    assert verdict.block_id == (await world.nodes[0].header(number)).block_id
    assert await booked_in(txid) == [f"block:{number}"]
    await assert_books(world.network, world.ledger, [world.key.address])


@pytest.mark.parametrize("tell_at_once", [True, False])
async def test_what_an_older_build_saw_on_a_fork_is_not_lost(
    world: World, tell_at_once: bool
) -> None:
    txid, block = at_the_head(world)
    await hinted(world, txid, block)
    number = forks(world, txid)
    if not tell_at_once:
        world.nodes[1].tells = silent
    await drain(world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and verdict.block_number == number
    assert verdict.counted_in == (number if tell_at_once else None)
    world.nodes[1].tells = lambda receipt: receipt
    world.pass_time(LAG + 1)
    await drain(world.process)
    await ask_again(world, world.process)
    assert len(await booked_in(txid)) == 1
    await assert_books(world.network, world.ledger, [world.key.address])


@pytest.mark.parametrize("has_proof", [False, True], ids=["older_build", "of_another_block"])
async def test_what_one_node_invented_does_not_count(world: World, has_proof: bool) -> None:
    """The solidified block has the transaction, and nobody tells the like of it any more."""
    txid, block = at_the_head(world)
    await hinted(world, txid, block, times=1_000)
    if has_proof:
        change = {"block_id": f"{block.number:016x}" + "ab" * 24}
        await InternalVerdict.get_pymongo_collection().update_one({"_id": txid}, {"$set": change})
    for node in world.nodes:
        node.tells = silent
    world.pass_time(LAG + 1)
    await drain(world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and (verdict.counted_in, verdict.proposal) == (None, "")
    assert await booked_in(txid) == []
    for node in world.nodes:
        node.tells = lambda receipt: receipt
    await ask_again(world, world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and verdict.counted_in is not None
    late = late_internal(txid, verdict.parts, verdict.counted_in, 0)
    assert [each.amount_sun for each in late.internal] == [SUN], "what both tell"
    assert await booked_in(txid) == [f"block:{verdict.counted_in}"]
    await assert_books(world.network, world.ledger, [world.key.address])


async def test_what_an_older_build_wrote_down_counts_when_the_block_tells_the_same(
    world: World,
) -> None:
    txid, block = at_the_head(world)
    await hinted(world, txid, block)
    world.pass_time(LAG + 1)
    await drain(world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and (verdict.counted_in, verdict.proposal) == (block.number, "")
    assert await booked_in(txid) == [f"block:{block.number}"]
    at = await MongoCursors().load()
    assert at is not None and at.number > block.number
    await assert_books(world.network, world.ledger, [world.key.address])
