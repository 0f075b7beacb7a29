"""The chain is read once more over the blocks that an opening balance has counted."""

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore_torn import DOCUMENTS, reread
from tests.engine.test_young_restore import make_world
from tests.engine.world import ALICE, BOB, World
from tron_payment.chain import MongoCursors
from tron_payment.db.ledger import Holder, Pocket
from tron_payment.engine import OpeningRequest, Openings
from tron_payment.operator.report import Exit


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect((*DOCUMENTS, OpeningRequest))
    return await make_world()


async def silent(*_: object) -> None:
    return None


async def opened_after_a_deposit(world: World) -> int:
    """BOB has got something, and is then opened with it; the block before."""
    await world.tick(3)
    start = await MongoCursors().load()
    assert start is not None
    world.network.token[ALICE] = 5_000
    world.network.foreign(ALICE, BOB, 1_234)
    await world.tick(25)
    process = world.process
    openings = Openings(
        clock=world.clock,
        ledger=world.ledger,
        nodes=process.nodes,
        cursors=MongoCursors(),
        tokens=process.engine.settler._tokens,
        alarm=silent,
    )
    await openings.request(BOB)
    for _ in range(20):
        await openings.step()
        await world.tick()
    assert not await openings.pending(BOB)
    return start.number


@pytest.mark.parametrize("stored", ["as now", "by an older build"])
async def test_what_an_opening_has_counted_is_not_booked_once_more(
    world: World, stored: str
) -> None:
    start = await opened_after_a_deposit(world)
    held = await world.ledger.balance(BOB, Pocket.AVAILABLE, "USDT")
    assert held == world.network.token[BOB] == 1_234
    if stored != "as now":
        await Holder.get_pymongo_collection().update_one(
            {"_id": BOB}, {"$set": {"opened_block": 0}}
        )
    report = await reread(world).from_block(start + 1)
    assert report.exit is Exit.OK, report
    world.start()
    await world.tick(60)
    assert await world.ledger.balance(BOB, Pocket.AVAILABLE, "USDT") == held
    await world.assert_books_equal_chain()


async def test_a_holder_older_than_its_opening_is_brought_forward(world: World) -> None:
    await opened_after_a_deposit(world)
    rows = Holder.get_pymongo_collection()
    right = await rows.find_one({"_id": BOB})
    assert right is not None and right["opened_block"] > 0
    await rows.update_one({"_id": BOB}, {"$set": {"opened_block": 0}})
    world.start()
    await world.ledger.view()
    assert await rows.find_one({"_id": BOB}) == right
