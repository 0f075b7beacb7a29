"""Orders whose key is elsewhere: shown, signed there, sent here; shown bytes count as live."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.conftest import Mongo
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment import chain
from tron_payment.db.acts import Doing, under_way
from tron_payment.db.cas import LostRace
from tron_payment.engine import CannotSign, Order, OrderFinished, OrderSigned, OrderStatus
from tron_payment.engine import documents as store


class Desk:
    """Keeps what it was asked to sign, as a person with a device would see it."""

    def __init__(self) -> None:
        self.asked: dict[str, Order] = {}
        self.followed: list[OrderStatus] = []
        self.called_back: list[str] = []
        self.refuses = False
        self.signatures = 1
        self.permission_id = 0

    async def ask(self, order: Order) -> None:
        if self.refuses:
            raise CannotSign("no key may sign")
        assert order.live_txid is not None
        self.asked[order.live_txid] = order

    async def permission(self, wallet_id: str, contract: chain.Contract) -> int:
        return self.permission_id

    async def signatures_max(self, order: Order) -> int:
        return self.signatures

    async def follow(self, orders: Sequence[Order]) -> None:
        self.followed += [order.status for order in orders]
        self.called_back += [order.id for order in orders if order.cancel_requested]


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


@pytest.fixture
def desk(world: World) -> Desk:
    desk = Desk()
    world.engine.desk(desk, desk.follow)
    return desk


async def place(world: World) -> None:
    await world.engine.place(replace(world.wish("a"), detached=True, lifetime_s=60))


async def signature_of(world: World, desk: Desk, txid: str) -> tuple[bytes, bytes]:
    order = desk.asked[txid]
    assert order.live is not None
    return order.live.raw, await world.key.sign(order, order.live.raw)


async def sign(world: World, desk: Desk, txid: str) -> None:
    _, signature = await signature_of(world, desk, txid)
    await world.engine.take_signatures("ord_a", txid, (signature,))


async def sent_by_hand(world: World, desk: Desk) -> tuple[str, bytes]:
    """An order whose bytes were shown, signed elsewhere and sent past us: txid and signature."""
    await place(world)
    await world.tick(2)
    (txid,) = desk.asked
    raw, signature = await signature_of(world, desk, txid)
    world.network.submit(chain.signed(raw, (signature,)))
    return txid, signature


async def test_bytes_are_stored_shown_signed_elsewhere_and_paid(world: World, desk: Desk) -> None:
    await place(world)
    await world.tick(2)
    order = await world.order("a")
    assert order.status is OrderStatus.AWAITING_SIGNATURE
    (txid,) = desk.asked
    assert not world.network.pool
    await sign(world, desk, txid)
    await sign(world, desk, txid)
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_unsigned_bytes_are_shown_anew_only_after_their_proof_of_death(
    world: World, desk: Desk
) -> None:
    await place(world)
    await world.tick(40)
    order = await world.order("a")
    assert len(order.attempts) >= 2
    assert all(attempt.death is not None for attempt in order.tried[:-1])
    newest = order.live_txid
    assert newest is not None
    first = order.tried[0].txid
    await sign(world, desk, first)
    assert (await world.order("a")).live_txid == newest, "signatures for dead bytes change nothing"
    await sign(world, desk, newest)
    await world.run_until_final("a")
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_bytes_that_somebody_sends_himself_settle_the_order(world: World, desk: Desk) -> None:
    await sent_by_hand(world, desk)
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_signatures_that_come_while_the_block_is_applied_leave_nothing_behind(
    world: World, desk: Desk
) -> None:
    """The bytes were sent by hand, and the same signatures reach us between look and move."""
    txid, signature = await sent_by_hand(world, desk)
    world.network.mine(5)
    settler, book = world.engine.settler, world.engine.settler._book

    async def book_and_race(*arguments: object) -> bool:
        booked = await book(*arguments)  # type: ignore[arg-type]
        await world.engine.take_signatures("ord_a", txid, (signature,))
        return booked

    settler._book = book_and_race  # type: ignore[method-assign, assignment]
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_a_cancel_of_shown_bytes_waits_for_their_death(world: World, desk: Desk) -> None:
    await place(world)
    await world.tick(2)
    act = Doing(entry_id="aud_a", actor="ann", role="operator", action="", route="", request_id="")
    with pytest.raises(OrderSigned), under_way(act):
        await world.engine.cancel("ord_a")
    assert act.stays  # refused for now, and in the audit log all the same
    assert (await world.order("a")).status is OrderStatus.AWAITING_SIGNATURE
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.CANCELED
    assert OrderStatus.CANCELED in desk.followed
    assert world.network.token[ALICE] == 0
    await world.assert_books_equal_chain()


async def test_what_was_called_back_takes_no_signature(world: World, desk: Desk) -> None:
    await place(world)
    await world.tick(2)
    (txid,) = desk.asked
    with pytest.raises(OrderSigned):
        await world.engine.cancel("ord_a")
    assert desk.called_back == ["ord_a"], "the desk heard of it before the caller was answered"
    version = (await world.order("a")).version
    with pytest.raises(OrderSigned):
        await world.engine.cancel("ord_a")
    assert (await world.order("a")).version == version, "once is enough"
    await sign(world, desk, txid)
    await world.tick(2)
    order = await world.order("a")
    assert (order.status, order.live_txid) == (OrderStatus.AWAITING_SIGNATURE, txid)
    assert order.waiting_for == "called_back"
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.CANCELED
    assert world.network.token[ALICE] == 0
    await world.assert_books_equal_chain()


async def test_who_read_it_before_it_was_called_back_changes_nothing(
    world: World, desk: Desk
) -> None:
    """A signature that is just being stored, and a word that its module has heard."""
    await place(world)
    await world.tick(2)
    (txid,) = desk.asked
    before = await world.order("a")
    await store.request_cancel(before)  # and dies before the desk hears of it
    for old in (before, await world.order("a")):
        with pytest.raises(LostRace):
            await world.engine.dispatcher.take(old, txid, (bytes(65),))
    await store.hush([before])
    assert (await world.order("a")).news
    assert not desk.called_back
    await world.tick(2)
    assert "ord_a" in desk.called_back
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.CANCELED
    await world.assert_books_equal_chain()


async def test_no_signature_is_stored_on_what_an_older_build_called_back(
    world: World, desk: Desk
) -> None:
    """It left the version as it was."""
    await place(world)
    await world.tick(2)
    (txid,) = desk.asked
    before = await world.order("a")
    orders = Order.get_pymongo_collection()
    await orders.update_one({"_id": before.id}, {"$set": {"cancel_requested": True}})
    with pytest.raises(LostRace):
        await world.engine.dispatcher.take(before, txid, (bytes(65),))


async def test_what_was_called_back_and_is_sent_by_its_signer_settles(
    world: World, desk: Desk
) -> None:
    """Until its bytes are proved dead nothing is called canceled: whoever signed them may send."""
    await place(world)
    await world.tick(2)
    (txid,) = desk.asked
    order = desk.asked[txid]
    assert order.live is not None
    with pytest.raises(OrderSigned):
        await world.engine.cancel("ord_a")
    signature = await world.key.sign(order, order.live.raw)
    world.network.submit(chain.signed(order.live.raw, (signature,)))
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_a_cancel_while_the_death_is_written_is_not_passed_over(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place(world)
    await world.tick(2)
    expired = store.expired

    async def expired_and_race(timestamp_ms: int, *, limit: int) -> list[Order]:
        found = await expired(timestamp_ms, limit=limit)
        if found:
            with suppress(OrderSigned, OrderFinished):
                await world.engine.cancel("ord_a")
        return found

    monkeypatch.setattr(store, "expired", expired_and_race)
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.CANCELED
    assert len(desk.asked) == 1, "it was shown once, and never again"
    await world.assert_books_equal_chain()


async def test_an_order_that_nobody_can_sign_says_so(world: World, desk: Desk) -> None:
    desk.refuses = True
    await place(world)
    await world.tick(2)
    assert (await world.order("a")).waiting_for == "signature: no key may sign"


async def test_several_signatures_are_paid_for_before_they_are_given(
    world: World, desk: Desk
) -> None:
    """One fee for all together, and the bandwidth of each."""
    wish = world.trx_wish("a")
    prices = await world.engine.fees.parameters()
    one = await world.engine.fees.bound(wish.contract)
    three = await world.engine.fees.bound(wish.contract, signatures=3)
    more = prices["getMultiSignFee"] + 2 * 67 * prices["getTransactionFee"]
    assert three.hold_sun == one.hold_sun + more and prices["getMultiSignFee"] == 1_000_000
    desk.signatures = 3
    await world.engine.place(
        replace(wish, detached=True, lifetime_s=60, max_fee_sun=three.hold_sun - 1)
    )
    await world.tick(2)
    assert (await world.order("a")).waiting_for.startswith("fee_above_maximum: ")


async def test_the_wallets_permission_is_written_into_the_order_and_its_bytes(
    world: World, desk: Desk
) -> None:
    desk.permission_id = 3
    await place(world)
    await place(world)
    await world.tick(2)
    (order,) = desk.asked.values()
    assert order.permission_id == 3 and order.live is not None
    assert chain.decode(order.live.raw).permission_id == 3


async def test_bytes_that_are_made_anew_name_the_permission_of_now(
    world: World, desk: Desk
) -> None:
    """The account has lost the one that was named: the same bytes again would never be taken."""
    desk.permission_id = 3
    await place(world)
    await world.tick(2)
    while not [each for each in (await world.order("a")).tried if each.death is not None]:
        desk.permission_id = 4
        await world.tick()
    await world.tick(12)
    order = await world.order("a")
    said = [chain.decode(each.raw).permission_id for each in order.tried]
    assert (order.permission_id, said[:2]) == (4, [3, 4])


async def test_what_more_signatures_cost_is_not_signed_with_less_set_aside(
    world: World, desk: Desk
) -> None:
    """The permission has got more keys since its money was set aside."""

    async def hold(orders: Sequence[Order]) -> dict[str, str]:
        return {each.id: "test" for each in orders if each.status is OrderStatus.RESERVED}

    world.engine.gate(hold)
    await place(world)
    await world.tick(2)
    assert (await world.order("a")).status is OrderStatus.RESERVED
    world.engine.dispatcher.gates.clear()
    desk.signatures = 5
    await world.tick(4)
    assert (await world.order("a")).waiting_for == "fee_limit_outdated"
    desk.signatures = 1
    await world.tick(4)
    assert (await world.order("a")).status is OrderStatus.AWAITING_SIGNATURE
