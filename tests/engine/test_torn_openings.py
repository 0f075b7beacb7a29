"""The store is torn, and the journal lacks openings that the rest of it knows."""

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore import UNITS, back_up, restore
from tests.engine.test_restore_torn import DOCUMENTS, reread, try_on
from tests.engine.test_young_restore import make_world
from tests.engine.world import ALICE, BOB, World
from tron_payment.chain import Cursor, MongoCursors
from tron_payment.db.ledger import Draft, Holder, Opened, Pocket
from tron_payment.engine import OpeningRequest, OrderStatus
from tron_payment.engine.torn import TORN
from tron_payment.operator.report import Exit


@pytest.fixture
async def world(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> World:
    await mongo.connect((*DOCUMENTS, OpeningRequest))
    monkeypatch.setattr("tron_payment.engine.torn.TORN_LOOK_AGAIN_S", 0.0)
    return await make_world()


async def read_once_more(world: World) -> None:
    """From behind the journal's last block, as the manual says."""
    world.start()
    report = await reread(world).from_block(await world.ledger.last_block() + 1)
    assert report.exit is Exit.OK, report
    world.start()
    await world.tick(80)


async def test_blocks_up_to_a_lost_opening_are_booked_when_they_are_read_once_more(
    world: World,
) -> None:
    """A token's opening names the block up to which it counts, for its holder as a whole."""
    await world.engine.place(world.wish("first", UNITS))
    await world.run_until_final("first")
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    while (await world.order("a")).status is not OrderStatus.SIGNED:
        assert await world.engine.dispatcher.step()
    early = await back_up()
    await world.run_until_final("a")
    at = await MongoCursors().load()
    assert at is not None
    opens = (Opened(world.key.address, at.number),)

    async def opening(_: object) -> Draft:
        return Draft("open:a token", opens=opens)

    await world.ledger.append(opening)
    later = await back_up()
    await restore(early | {model: later[model] for model in (Cursor, Holder)})
    world.start()
    await try_on(world, 3)
    at = await MongoCursors().load()
    assert at is not None and at.halted == TORN
    await read_once_more(world)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()


async def test_an_address_whose_opening_is_lost_is_opened_anew(world: World) -> None:
    await world.engine.place(world.wish("first", UNITS))
    await world.run_until_final("first")
    early = await back_up()
    world.network.token[ALICE] += 1_234
    had = world.network.token[ALICE]
    await world.tick(10)
    await world.process.openings.request(ALICE)
    await world.tick(20)
    assert await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT") == had
    later = await back_up()
    await restore(early | {model: later[model] for model in (Cursor, Holder, OpeningRequest)})
    await read_once_more(world)
    assert not await world.process.openings.pending(ALICE)
    assert await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT") == had
    await world.assert_books_equal_chain()
