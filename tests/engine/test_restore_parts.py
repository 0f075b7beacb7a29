"""Parts of a store that were restored at two moments: what the journal has ended is not signed, and
what a block has ended has no other end; who reads that block once more finds it.

A dump without its oplog copies the orders some seconds before the journal and the cursors.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.test_detached import Desk, signature_of
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_restore_torn import DOCUMENTS, reread
from tests.engine.test_young_restore import make_world
from tests.engine.world import BOB, World
from tron_payment import chain
from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine import Order, OrderShown, OrderStatus, PerhapsPaid, SafeMode
from tron_payment.engine.waiting import JOURNAL_CLOSED
from tron_payment.operator.report import Exit

SAID = r"block \d+ has ended it.*resume --from-block \d+"


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(DOCUMENTS)
    return await World.create()


async def taken_to(world: World, name: str, status: OrderStatus) -> None:
    await world.engine.place(world.wish(name, UNITS, to=BOB))
    while (await world.order(name)).status is not status:
        assert await world.engine.dispatcher.step()


async def orders_from(rows: Sequence[Any], world: World) -> None:
    """The orders alone are put back."""
    orders = Order.get_pymongo_collection()
    await orders.delete_many({})
    if rows:
        await orders.insert_many(rows)
    world.start()


async def kept(*names: str) -> list[Any]:
    ids = [f"ord_{name}" for name in names]
    return await Order.get_pymongo_collection().find({"_id": {"$in": ids}}).to_list()


async def orders_from_before(world: World) -> None:
    """An order is paid; then the orders alone are put back to where it was to be signed."""
    await world.tick(2)
    await taken_to(world, "a", OrderStatus.RESERVED)
    rows = await kept("a")
    await world.run_until_final("a")
    await world.tick(3)
    await orders_from(rows, world)


async def block_of(name: str) -> int:
    entry = await LedgerEntry.find_one({"finals": f"ord_{name}"})
    assert entry is not None and entry.block_number is not None
    return entry.block_number


async def read_once_more(world: World, number: int) -> None:
    world.start()
    report = await reread(world).from_block(number)
    assert report.exit is Exit.OK, report
    world.start()
    await world.tick(60)


async def end(world: World, how: str) -> None:
    if how == "cancel":
        await world.engine.cancel("ord_a")
    else:
        await world.engine.refuse("ord_a", "recipient_blacklisted")


@pytest.mark.parametrize("remembers", [False, True])
async def test_what_the_journal_has_ended_is_not_signed_again(
    mongo: Mongo, remembers: bool
) -> None:
    """Also when the signer, which has a journal of its own, would."""
    await mongo.connect(DOCUMENTS)
    world = await make_world() if remembers else await World.create()
    await orders_from_before(world)
    await world.engine.place(world.wish("b", UNITS))
    await world.run_until_final("b")
    await world.tick(40)
    assert await begun_why() == [], "nothing else tells"
    order = await world.order("a")
    assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, JOURNAL_CLOSED)
    assert world.network.token[BOB] == UNITS
    await read_once_more(world, await block_of("a"))
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("how", ["cancel", "refuse"])
async def test_what_a_block_has_paid_does_not_end_as_unpaid(world: World, how: str) -> None:
    """Whoever is told that it was canceled pays it some other way."""
    await orders_from_before(world)
    for _ in range(3):
        with pytest.raises(PerhapsPaid, match=SAID):
            await end(world, how)
        await world.tick(3)
    await read_once_more(world, await block_of("a") - 1)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    await world.assert_books_equal_chain()


async def test_what_a_block_has_failed_ends_as_failed(world: World) -> None:
    """It is in the journal for its fee; nobody but the chain knows that it was not paid."""
    await world.tick(2)
    await taken_to(world, "a", OrderStatus.RESERVED)
    rows = await kept("a")
    world.network.token[world.key.address] = 0
    await world.run_until_final("a")
    failed = await world.order("a")
    assert failed.status is OrderStatus.FAILED
    await orders_from(rows, world)
    with pytest.raises(PerhapsPaid, match=SAID):
        await world.engine.cancel("ord_a")
    await read_once_more(world, await block_of("a"))
    order = await world.order("a")
    assert (order.status, order.reason) == (OrderStatus.FAILED, failed.reason)
    assert world.network.token[BOB] == 0


async def test_what_was_released_and_not_paid_may_end(world: World) -> None:
    """No block has ended it: it was canceled before."""
    await world.tick(2)
    await taken_to(world, "a", OrderStatus.RESERVED)
    rows = await kept("a")
    await world.engine.cancel("ord_a")
    await world.tick(2)
    await orders_from(rows, world)
    await world.tick(3)
    assert (await world.order("a")).waiting_for == JOURNAL_CLOSED
    await world.engine.cancel("ord_a")
    await world.tick(2)
    assert (await world.order("a")).status is OrderStatus.CANCELED
    await world.assert_books_equal_chain()


async def test_an_order_that_is_not_there_any_more_is_not_forgone(world: World) -> None:
    """The orders are older than the order itself; beside it is one that never was."""
    await world.tick(2)
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    await orders_from([], world)
    with pytest.raises(PerhapsPaid, match=SAID):
        await world.engine.forgo([world.wish("a", UNITS, to=BOB), world.wish("b", UNITS)])
    assert await world.engine.find("ord_a") is None
    assert (await world.order("b")).status is OrderStatus.CANCELED
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.tick(3)
    await read_once_more(world, await block_of("a"))
    assert (await world.order("a")).status is OrderStatus.SETTLED
    await world.engine.forgo([world.wish("a", UNITS, to=BOB)])  # it is there, and stays as it is
    assert world.network.token[BOB] == UNITS


async def test_each_of_several_equal_orders_gets_the_block_that_is_booked_as_its_own(
    world: World,
) -> None:
    """The first in rank was not paid, and is paid after the others are found."""
    await world.tick(2)
    names = ["first", "second", "third"]
    await world.engine.place_many(
        [replace(world.wish(name, UNITS, to=BOB), subject="equal") for name in names]
    )
    while any(row["status"] != "reserved" for row in await kept(*names)):
        assert await world.engine.dispatcher.step()
    rows = await kept(*names)

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "held" for order in orders if order.id == "ord_first"}

    world.engine.gate(gate)
    await world.run_until_final("third")
    await world.run_until_final("second")
    await orders_from(rows, world)
    await read_once_more(world, min([await block_of("second"), await block_of("third")]))
    await world.run_until_final("first", blocks=60)
    assert {row["status"] for row in await kept(*names)} == {"settled"}
    assert world.network.token[BOB] == 3 * UNITS
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("died_before", [False, True], ids=["its bytes die", "they are dead"])
async def test_what_was_called_back_and_paid_by_then_is_not_canceled(
    world: World, died_before: bool
) -> None:
    """It was shown, called back and sent by who had signed it; the orders do not know the last."""
    desk = Desk()
    world.engine.desk(desk, desk.follow)
    await world.tick(2)
    wish = replace(world.wish("a", UNITS, to=BOB), detached=True, lifetime_s=60)
    await world.engine.place(wish)
    await world.tick(2)
    with pytest.raises(OrderShown):
        await world.engine.cancel("ord_a")
    rows = await kept("a")
    raw, signature = await signature_of(world, desk, rows[0]["live_txid"])
    world.network.submit(chain.signed(raw, (signature,)))
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED
    if died_before:
        await world.tick(40)
    await orders_from(rows, world)
    world.engine.desk(Desk(), desk.follow)
    await world.tick(40)
    order = await world.order("a")
    assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, JOURNAL_CLOSED)
    await read_once_more(world, await block_of("a"))
    assert (await world.order("a")).status in {OrderStatus.SETTLED, OrderStatus.QUARANTINED}
    assert world.network.token[BOB] == UNITS


async def test_what_was_called_back_and_released_by_then_is_canceled(world: World) -> None:
    """No block has ended it, so that nothing speaks against the end that was wished for."""
    await world.tick(2)
    await taken_to(world, "a", OrderStatus.RESERVED)
    rows = [row | {"cancel_requested": True} for row in await kept("a")]
    await world.engine.cancel("ord_a")
    await world.tick(2)
    await orders_from(rows, world)
    await world.tick(3)
    assert (await world.order("a")).status is OrderStatus.CANCELED


async def test_an_equal_order_does_not_get_the_failure_of_one_that_is_not_there(
    world: World,
) -> None:
    """The block of the failed one is read as well, and its own order is not in the older copy."""
    await world.tick(2)
    await taken_to(world, "paid", OrderStatus.RESERVED)
    rows = await kept("paid")
    held = {"ord_paid"}

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "held" for order in orders if order.id in held}

    world.engine.gate(gate)
    await world.engine.place(replace(world.wish("failed", UNITS, to=BOB), subject="paid"))
    had, world.network.token[world.key.address] = world.network.token[world.key.address], 0
    await world.run_until_final("failed")
    assert (await world.order("failed")).status is OrderStatus.FAILED
    world.network.token[world.key.address] = had
    held.clear()
    await world.run_until_final("paid", blocks=60)
    await world.tick(3)
    await orders_from(rows, world)
    await read_once_more(world, await block_of("failed"))
    assert (await world.order("paid")).status is OrderStatus.SETTLED
    assert world.network.token[BOB] == UNITS


async def test_modules_hear_again_of_what_was_settled_since(world: World) -> None:
    """Their own documents may be older than the orders, which nobody has to tell of any more."""
    await world.tick(2)
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    await world.tick(3)
    assert not any(row["news"] for row in await kept("a"))
    world.start()
    assert (await reread(world).from_block(await block_of("a"))).exit is Exit.OK
    world.start()
    heard: list[str] = []

    async def hear(orders: Sequence[Order]) -> None:
        heard.extend(order.id for order in orders)

    world.engine._handlers["test"] = hear
    await world.tick(3)
    assert "ord_a" in heard


async def test_what_was_never_placed_is_given_up_only_where_nothing_knows_it(world: World) -> None:
    await world.tick(2)
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.run_until_final("a")
    await world.engine.forgo([world.wish("forgone", UNITS)])
    await world.engine.see_unpaid(["ord_forgone", "ord_never"])
    with pytest.raises(PerhapsPaid, match=SAID):
        await world.engine.see_unpaid(["ord_never", "ord_a"])
    await world.engine.place(world.wish("late", UNITS))
    with pytest.raises(PerhapsPaid, match="its order was placed"):
        await world.engine.see_unpaid(["ord_never", "ord_late"])
    await taken_to(world, "parted", OrderStatus.RESERVED)
    await world.engine.cancel("ord_parted")  # its rows may have been paid by another order since
    await world.tick(2)
    with pytest.raises(PerhapsPaid, match="its order was placed"):
        await world.engine.see_unpaid(["ord_parted"])
    mode = SafeMode(since=world.clock.now(), lag_ms=0, until_ms=0)
    await mode.insert()
    with pytest.raises(PerhapsPaid, match="safe mode"):
        await world.engine.see_unpaid(["ord_never"])
    await mode.delete()
    await world.engine.see_unpaid(["ord_never"])


async def test_an_equal_order_does_not_get_the_payment_of_one_that_is_not_there(
    world: World,
) -> None:
    """What is booked was booked as its own order's, though that one is lost; the other is paid."""
    await world.tick(2)
    await taken_to(world, "later", OrderStatus.RESERVED)
    rows = await kept("later")

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "held" for order in orders if order.id == "ord_later"}

    world.engine.gate(gate)
    await world.engine.place(replace(world.wish("lost", UNITS, to=BOB), subject="later"))
    await world.run_until_final("lost")
    paid_in = await block_of("lost")
    await orders_from(rows, world)
    await read_once_more(world, paid_in)
    (strange,) = await world.engine.safe_mode.unexplained()
    assert strange.block_number == paid_in, "a person looks at it, for its order is not there"
    await world.engine.safe_mode.acknowledge(strange.id, "tom")
    await world.run_until_final("later", blocks=60)
    assert await block_of("later") > paid_in
    assert world.network.token[BOB] == 2 * UNITS
    await world.assert_books_equal_chain()
