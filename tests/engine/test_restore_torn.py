"""A dump without its oplog copies each collection at another moment: nothing is paid twice, what is
older is noticed or brought forward, and a person has a way out."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.points import Crash
from tests.engine.test_restore import FEW_BLOCKS, UNITS, Backup, back_up, begun_why, restore
from tests.engine.test_young_restore import JOURNAL_DOCUMENTS, make_world
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, World, open_books
from tron_payment.chain import ChainContradiction, Cursor, MongoCursors
from tron_payment.core.address import address_of
from tron_payment.db import ledger as books
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.db.ledger import Balance, Holder, Ledger, LedgerEntry, LedgerHead, Pocket, View
from tron_payment.db.ledger_cache import BooksTorn
from tron_payment.engine import OrderStatus, SafeMode
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.torn import TORN
from tron_payment.operator.report import Exit
from tron_payment.operator.reread import Reread

DOCUMENTS = (*ALL_DOCUMENTS, *JOURNAL_DOCUMENTS, AuditEntry)


@pytest.fixture
async def world(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> World:
    await mongo.connect(DOCUMENTS)
    monkeypatch.setattr("tron_payment.engine.torn.TORN_LOOK_AGAIN_S", 0.0)
    return await make_world()


async def paid_between(world: World, until: OrderStatus, *late: type[Any]) -> Backup:
    """All but `late` from before an order was paid, `late` from after."""
    await world.engine.place(world.wish("first", UNITS))
    await world.run_until_final("first")
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    while (await world.order("a")).status is not until:
        assert await world.engine.dispatcher.step()
    early = await back_up()
    await world.run_until_final("a")
    assert world.network.token[BOB] == UNITS
    await world.tick(1)
    later = await back_up()
    return early | {model: later[model] for model in late}


async def try_on(world: World, blocks: int) -> None:
    for _ in range(blocks):
        world.pass_time()
        for step in (world.engine.dispatcher.step, world.follower.step):
            try:
                while await step():
                    pass
            except (ChainContradiction, BooksTorn):
                continue


def reread(world: World) -> Reread:
    process = world.process
    return Reread(
        process.nodes,
        process.ledger,
        process.openings,
        process.engine.safe_mode,
        Audit(world.clock),
    )


@pytest.mark.parametrize("old", [False, True], ids=["young", "old"])
@pytest.mark.parametrize("until", [OrderStatus.RESERVED, OrderStatus.SIGNED])
@pytest.mark.parametrize(
    "late", [(Cursor,), (Cursor, LedgerHead, Balance)], ids=["cursor", "cursor and head"]
)
async def test_a_journal_older_than_the_cursor_stops_until_the_chain_is_read_once_more(
    world: World, until: OrderStatus, old: bool, late: tuple[type[Any], ...]
) -> None:
    backup = await paid_between(world, until, *late)
    if old:
        world.pass_time(FEW_BLOCKS + 80)
        await world.process.run_dry()
    await restore(backup)
    world.start()
    await try_on(world, 20)
    at = await MongoCursors().load()
    assert at is not None and at.halted == TORN
    assert (await world.order("a")).status is until and world.network.token[BOB] == UNITS
    await MongoCursors().resume()
    world.start()
    await try_on(world, 5)
    at = await MongoCursors().load()
    assert at is not None and at.halted == TORN, "it does not just go on"

    world.start()
    report = await reread(world).from_block(at.number + 1)
    assert report.exit is Exit.USAGE, "the blocks between would never be read"
    report = await reread(world).from_block(await world.ledger.last_block() + 1)
    assert report.exit is Exit.OK, report
    assert await begun_why() == ["rewound"]
    world.start()
    await world.tick(60)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS
    await world.engine.place(world.wish("next", UNITS))
    await world.run_until_final("next", blocks=60)
    assert await SafeMode.count() == 0
    await world.assert_books_equal_chain()
    assert await AuditEntry.find({"action": "follower.rewound"}).count() == 1


async def place_and_step(world: World) -> None:
    """Three more orders, while nothing is followed."""
    for n in range(3):
        await world.engine.place(world.wish(f"n{n}", 1, to=BOB))
        with suppress(BooksTorn, ChainContradiction):
            await world.engine.dispatcher.step()


@pytest.mark.parametrize("until", [OrderStatus.RESERVED, OrderStatus.SIGNED])
@pytest.mark.parametrize("halted", [False, True], ids=["before the look", "after the halt"])
async def test_a_journal_older_than_the_cursor_does_not_grow_past_it(
    world: World, until: OrderStatus, halted: bool
) -> None:
    """Neither before somebody looks, nor while it is halted, nor when that is resumed."""
    await restore(await paid_between(world, until, Cursor))
    before = await LedgerEntry.count()
    world.start()
    if halted:
        await try_on(world, 3)
    await place_and_step(world)
    with pytest.raises(BooksTorn):
        await open_books(world.ledger, ALICE)
    assert await LedgerEntry.count() == before
    await MongoCursors().resume()
    world.start()
    await place_and_step(world)
    await try_on(world, 60)
    at = await MongoCursors().load()
    assert at is not None and at.halted == TORN
    assert await LedgerEntry.count() == before and world.network.token[BOB] == UNITS


async def test_a_journal_that_has_grown_past_the_cursor_lacks_its_entry_all_the_same(
    world: World,
) -> None:
    await restore(await paid_between(world, OrderStatus.RESERVED, Cursor))
    at = await MongoCursors().load()
    assert at is not None
    grown = Ledger(world.clock)
    for number in range(3):
        await open_books(grown, address_of(b"\x41" + bytes(19) + bytes([100 + number])))
    assert await LedgerEntry.count() > at.journal
    world.start()
    await try_on(world, 20)
    halted = await MongoCursors().load()
    assert halted is not None and halted.halted == TORN and world.network.token[BOB] == UNITS
    assert (await reread(world).from_block(at.number + 1)).exit is Exit.USAGE
    first = await world.ledger.last_block() + 1
    assert (await reread(world).from_block(first)).exit is Exit.OK
    again = await MongoCursors().load()
    assert again is not None
    assert (again.journal, again.journal_hash) == await world.ledger.last()
    world.start()
    await world.tick(60)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS


async def test_who_looks_anew_stops_nobody_who_appends(world: World) -> None:
    """It is not taken for torn while the look is going on."""

    async def nothing(_: View) -> None:
        return None

    for n in range(60):
        appending = asyncio.create_task(world.ledger.append(nothing))
        for _ in range(n % 5):
            await asyncio.sleep(0)
        await asyncio.gather(appending, world.ledger.newest(), world.ledger.append(nothing))


@pytest.mark.parametrize("dies", ["rebuild", "begin", "go_back"])
async def test_reading_once_more_is_safe_to_repeat(
    world: World, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies before each of its steps; what it has done by then is harmless."""
    await restore(await paid_between(world, OrderStatus.SIGNED, Cursor, LedgerHead))
    world.start()
    await try_on(world, 3)

    async def die(*_: object) -> None:
        raise ConnectionError(dies)

    owner = {"rebuild": books.Ledger, "begin": SafeModes, "go_back": MongoCursors}[dies]
    with monkeypatch.context() as patch:
        patch.setattr(owner, dies, die)
        with pytest.raises(ConnectionError):
            await reread(world).from_block(1)
    world.start()
    await try_on(world, 3)
    assert (await world.order("a")).status is OrderStatus.SIGNED
    assert (await reread(world).from_block(1)).exit is Exit.OK
    world.start()
    await world.tick(60)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()


async def test_nothing_is_appended_to_a_journal_that_lacks_its_head(world: World) -> None:
    """Its next number was used, and would leave a gap."""
    await restore(await paid_between(world, OrderStatus.RESERVED, LedgerHead))
    world.start()
    before = await LedgerEntry.count()
    with pytest.raises(BooksTorn):
        await open_books(world.ledger, BOB)
    assert await LedgerEntry.count() == before


@pytest.mark.parametrize("before", [False, True])
async def test_a_block_is_not_left_before_the_cursor_knows_its_entry(
    world: World, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Dying between the entry and the cursor's note of it repeats both."""
    booked = MongoCursors.booked

    async def die(self: MongoCursors, entry: int, digest: str) -> None:
        if not before:
            await booked(self, entry, digest)
        raise Crash

    await world.engine.place(world.wish("a", UNITS, to=BOB))
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(MongoCursors, "booked", die)
        await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SIGNED
    world.start()
    await world.run_until_final("a")
    await world.tick(1)
    at, entry = await MongoCursors().load(), await LedgerEntry.find_one({"finals": "ord_a"})
    assert at is not None and entry is not None and at.journal >= entry.id
    await world.assert_books_equal_chain()


@pytest.mark.parametrize(
    "older",
    [
        {"$unset": {"journal": "", "journal_entry": ""}},
        {"$unset": {"journal_entry": ""}},
        {"$set": {"journal": 2, "journal_entry": "1:of another"}},
    ],
    ids=["nothing", "a number", "a number moved by an older build"],
)
async def test_a_cursor_of_an_older_build_stops_nothing(
    world: World, older: dict[str, Any]
) -> None:
    await world.engine.place(world.wish("first", UNITS))
    await world.run_until_final("first")
    await Cursor.get_pymongo_collection().update_one({}, older)
    world.start()
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    await world.tick(1)
    at = await MongoCursors().load()
    assert at is not None and at.journal > 2 and at.journal_hash and not at.halted


@pytest.mark.parametrize("early", [Balance, Holder])
async def test_balances_and_holders_older_than_the_head_are_brought_forward(
    world: World, early: type[Any]
) -> None:
    await world.tick(2)
    old = await back_up()
    await open_books(world.ledger, BOB)
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    backup = await back_up()
    await restore(backup | {early: old[early]})
    world.start()
    await world.engine.place(world.wish("b", UNITS, to=BOB))
    await world.run_until_final("b")
    assert await world.ledger.balance(BOB, Pocket.AVAILABLE, "USDT") == 2 * UNITS
    await world.assert_books_equal_chain()


async def test_balances_are_counted_anew_whatever_they_are(world: World) -> None:
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    right = await world.ledger.recompute()
    rows = Balance.get_pymongo_collection()
    await rows.update_one({"asset": "USDT", "units": {"$gt": 0}}, {"$inc": {"units": 7}})
    await rows.delete_one({"asset": "TRX", "units": {"$gt": 0}})
    await Holder.get_pymongo_collection().delete_many({})
    assert (await world.ledger.rebuild()).wrong == 2
    assert (await world.ledger.rebuild()).wrong == 0
    found = {(row.account, row.asset): row.units async for row in Balance.find({})}
    assert {key: units for key, units in found.items() if units} == right
    await world.assert_books_equal_chain()
    assert await Holder.count() == 2
