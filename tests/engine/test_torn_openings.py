"""The store is torn, and the journal lacks openings that the rest of it knows."""

from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.network import TOKEN
from tests.engine.test_restore import UNITS, back_up, restore
from tests.engine.test_restore_torn import DOCUMENTS, reread, try_on
from tests.engine.test_young_restore import make_world
from tests.engine.world import ALICE, BOB, World
from tron_payment.chain import Cursor, MongoCursors
from tron_payment.db.ledger import Draft, Holder, LedgerEntry, Opened, Pocket
from tron_payment.engine import OpeningRequest, Openings, OrderStatus
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.torn import TORN
from tron_payment.operator.report import Exit
from tron_payment.usdt import Token, TokenOpening, TokenOpenings


@pytest.fixture
async def world(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> World:
    await mongo.connect((*DOCUMENTS, OpeningRequest, Token, TokenOpening))
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


async def opened_while_paid(world: World, *late: type[Any]) -> None:
    """The journal still knows ALICE as watched, and lacks her opening, before and after which she
    is paid; of `late` the store has what came later."""
    world.network.token[BOB] = UNITS
    world.network.token[ALICE] += 1_234
    await world.tick(10)
    await world.process.openings.request(ALICE)
    early = await back_up()
    world.network.foreign(BOB, ALICE, 100)
    await world.tick(20)
    assert not await world.process.openings.pending(ALICE)
    world.network.foreign(BOB, ALICE, 20)
    await world.tick(10)
    assert await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT") == 1_354
    later = await back_up()
    await restore(early | {model: later[model] for model in (Cursor, OpeningRequest, *late)})


async def assert_opened(world: World) -> None:
    assert not await world.process.openings.pending(ALICE)
    held = await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT")
    assert held == world.network.token[ALICE]
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("late", [(Holder,), ()], ids=["holders newer", "holders as old"])
async def test_a_watched_address_whose_opening_is_lost_is_opened_anew(
    world: World, late: tuple[type[Any], ...]
) -> None:
    await opened_while_paid(world, *late)
    await read_once_more(world)
    await assert_opened(world)


@pytest.mark.parametrize("dies", [(Openings, "open_anew"), (SafeModes, "begin")])
async def test_a_lost_opening_is_found_again_by_who_died_over_it(
    world: World, dies: tuple[type[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened_while_paid(world, Holder)

    async def die(*_: object) -> None:
        raise ConnectionError

    world.start()
    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(*dies, die)
        await reread(world).from_block(await world.ledger.last_block() + 1)
    await read_once_more(world)
    await assert_opened(world)


async def test_new_keys_are_watched_and_need_no_opening(world: World) -> None:
    await world.process.openings.open_fresh([ALICE])
    await world.tick(3)
    world.start()
    report = await reread(world).from_block(await world.ledger.last_block() + 1)
    assert report.exit is Exit.OK and report.data["opened_anew"] == 0
    assert await OpeningRequest.count() == 0


# ---- of a token ----------------------------------------------------------------------------------


def token_openings(world: World) -> TokenOpenings:
    process = world.process
    return TokenOpenings(ledger=process.ledger, openings=process.openings, cursors=MongoCursors())


async def open_token(world: World) -> None:
    """As a service that starts, until every holder's books of it have begun."""
    openings = token_openings(world)
    await openings.resume()
    for _ in range(80):
        await openings.step()
        await world.tick()
    assert await TokenOpening.count() == 0


async def register(world: World) -> None:
    """The token of which a new key's address has got some before it was registered."""
    await world.process.openings.open_fresh([ALICE])
    await world.tick(5)
    world.network.token[ALICE] += 1_234
    now = world.clock.now()
    token = Token(
        id=TOKEN,
        symbol="USDT",
        name="Tether USD",
        decimals=6,
        code_hash="",
        registered_by="operator",
        registered_at=now,
    )
    await token.insert()


@pytest.mark.parametrize("late", [(Holder,), ()], ids=["holders newer", "holders as old"])
async def test_a_lost_opening_of_a_token_is_asked_for_anew(
    world: World, late: tuple[type[Any], ...]
) -> None:
    await register(world)
    early = await back_up()
    await open_token(world)
    assert await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT") == 1_234
    world.network.token[BOB] = UNITS
    world.network.foreign(BOB, ALICE, 100)
    await world.tick(10)
    later = await back_up()
    await restore(early | {model: later[model] for model in (Cursor, *late)})
    world.start()
    report = await reread(world).from_block(await world.ledger.last_block() + 1)
    assert report.exit is Exit.OK, report
    world.start()
    await open_token(world)
    await assert_opened(world)


async def test_openings_of_a_token_that_the_journal_has_are_not_asked_for_again(
    world: World,
) -> None:
    """Nor those of holders that were opened when everybody knew the token."""
    await register(world)
    await open_token(world)
    held = await world.ledger.balance(ALICE, Pocket.AVAILABLE, "USDT")
    world.pass_time(2_400)
    await world.process.run_dry()
    await world.process.openings.open_fresh([BOB])
    world.start()
    report = await reread(world).from_block(await world.ledger.last_block() + 1)
    assert report.exit is Exit.OK, report
    world.start()
    await token_openings(world).resume()
    assert await TokenOpening.count() == 0
    await open_token(world)
    assert held == 1_234
    await assert_opened(world)


async def test_what_a_tokens_opening_has_counted_is_not_counted_by_an_addresss(
    world: World,
) -> None:
    """A new key's address is opened with its balances after all."""
    await register(world)
    await open_token(world)
    await world.process.openings.request(ALICE)
    await world.tick(20)
    assert await LedgerEntry.find_one({"cause": f"open:{ALICE}"}) is not None
    await assert_opened(world)
