"""Whose attempt a transaction becomes that the store has forgotten, and what is booked for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.network import Pooled
from tests.engine.points import Crash
from tests.engine.test_detached import Desk
from tests.engine.test_restore import UNITS, Backup, back_up, begun_why, restore
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, World, assert_nothing_reserved
from tron_payment import chain
from tron_payment.chain.wire import int_field
from tron_payment.engine import Order, OrderStatus, SafeMode, reserving, settle

WAITS_FOR_SOMEBODY = "unexplained_transaction"


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


def hold(world: World, *names: str) -> list[str]:
    """These orders are held back; take a name out of the answer to let it go."""
    held = list(names)

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "held" for order in orders if order.subject in held}

    world.engine.gate(gate)
    return held


# ---- equal orders whose key is elsewhere ---------------------------------------------------------


def seat(world: World) -> None:
    desk = Desk()
    world.engine.desk(desk, desk.follow)


async def place(world: World, *names: str) -> None:
    for name in names:
        await world.engine.place(replace(world.wish(name, UNITS), detached=True))
        await world.tick()


async def sign(world: World, name: str) -> None:
    order = await world.order(name)
    assert order.status is OrderStatus.AWAITING_SIGNATURE, (name, order.status, order.waiting_for)
    assert order.live is not None
    signature = await world.key.sign(order, order.live.raw)
    await world.engine.take_signatures(order.id, order.live.txid, (signature,))


async def restored(world: World, backup: Backup) -> None:
    await restore(backup)
    world.start()
    seat(world)


@pytest.mark.parametrize("apart", [2, 0])
async def test_what_was_forgotten_is_not_given_to_an_order_with_live_bytes(
    world: World, apart: int
) -> None:
    """They come later, or in the same block. Of two equal orders the second was signed first."""
    seat(world)
    held = hold(world, "b")
    await place(world, "a", "b")
    backup = await back_up()
    assert (await world.order("a")).status is OrderStatus.AWAITING_SIGNATURE
    held.clear()
    await world.tick(3)
    await sign(world, "b")
    await world.tick(apart)
    await sign(world, "a")
    await world.tick(6)
    assert world.network.token[ALICE] == 2 * UNITS

    await restored(world, backup)
    await world.tick(40)
    assert await world.engine.stats() == {"settled": 2}
    assert world.network.token[ALICE] == 2 * UNITS
    assert not any(event == "order.contradiction" for event, _ in world.alarms)
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


async def test_what_a_backup_never_knew_is_not_given_to_an_equal_order_with_live_bytes(
    world: World,
) -> None:
    seat(world)
    await place(world, "a")
    backup = await back_up()
    await place(world, "b")
    await sign(world, "b")
    await world.tick(2)
    await sign(world, "a")
    await world.tick(6)
    assert world.network.token[ALICE] == 2 * UNITS

    await restored(world, backup)
    await world.tick(4)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    await place(world, "b")
    await world.tick(40)
    assert (await world.order("b")).waiting_for == WAITS_FOR_SOMEBODY
    assert len(await world.engine.safe_mode.unexplained()) == 1
    assert world.network.token[ALICE] == 2 * UNITS


async def test_an_orders_own_later_attempt_is_found_behind_the_death_of_the_one_before(
    world: World,
) -> None:
    """The backup has bytes that nobody signed; the next ones were signed, and are forgotten."""
    seat(world)
    await world.engine.place(replace(world.wish("a", UNITS), detached=True, lifetime_s=60))
    await world.tick(2)
    backup = await back_up()
    first = (await world.order("a")).live_txid
    while (await world.order("a")).live_txid in (first, None):
        await world.tick()
    await sign(world, "a")
    await world.tick(6)
    assert world.network.token[ALICE] == UNITS

    await restored(world, backup)
    await world.tick(40)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == UNITS
    await world.assert_books_equal_chain()


# ---- a process that sleeps in a block ------------------------------------------------------------


async def slept_over(world: World) -> tuple[Any, chain.SolidBlock]:
    """A process that has slept before a block which another one has passed, and that block: it has
    a payment that nothing explained when it was read, and that was asked for again since."""
    await world.tick(2)
    backup = await back_up()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.run_until_final("late")
    outcome = (await world.order("late")).outcome
    assert outcome is not None
    await world.tick(5)
    await restore(backup)
    world.start()
    await world.tick(2)
    sleeper = world.another()
    block = await sleeper.nodes.solid_block(outcome.block_number)
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.tick()
    return sleeper, block


async def test_who_wakes_in_a_block_that_others_have_passed_gives_it_to_nobody(
    world: World,
) -> None:
    sleeper, block = await slept_over(world)
    await sleeper.engine.on_block(block)
    assert (await world.order("late")).attempts == []
    await world.tick(40)
    assert (await world.order("late")).waiting_for == WAITS_FOR_SOMEBODY
    assert world.network.token[BOB] == UNITS


@pytest.mark.parametrize("label", ["settle:booked", ""])
async def test_what_stands_in_a_block_that_others_have_passed_is_never_proved_dead(
    world: World, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    """It looked just before the others passed the block, and died after it had said whose it is, or
    did not."""
    sleeper, block = await slept_over(world)

    settler = sleeper.engine.settler
    really, looked = settler._is_behind_us, []

    async def not_at_first(block: chain.SolidBlock) -> bool:
        looked.append(block.number)
        return len(looked) > 1 and await really(block)

    monkeypatch.setattr(settler, "_is_behind_us", not_at_first)

    def die(at: str) -> None:
        if at == label:
            raise Crash(at)

    with monkeypatch.context() as patch:
        patch.setattr(settle, "failpoint", die)
        if label:
            with pytest.raises(Crash):
                await sleeper.engine.on_block(block)
        else:
            await sleeper.engine.on_block(block)
    (unexplained,) = await world.engine.safe_mode.unexplained()
    await world.engine.safe_mode.acknowledge(unexplained.id, "olga")
    await world.tick(60)
    order = await world.order("late")
    if label:
        assert order.status is OrderStatus.QUARANTINED and order.live is not None
        assert "order.contradiction" in {event for event, _ in world.alarms}
        quarantine = world.engine.quarantine
        assert (await quarantine.look(order)).proves is OrderStatus.SETTLED
        await quarantine.resolve(order, OrderStatus.SETTLED, "olga has looked")
    await world.engine.place(world.wish("next"))
    await world.run_until_final("late", "next")
    assert (await world.order("late")).status is OrderStatus.SETTLED
    assert await SafeMode.count() == 0
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


# ---- what was set aside, and what is not ours to the bit -----------------------------------------


async def test_what_the_journal_had_set_aside_for_an_order_that_did_not_know_is_spent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.tick(2)
    await world.engine.place(world.wish("a", UNITS))

    def die(label: str) -> None:
        if label == "reserve:journaled":
            raise Crash(label)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(reserving, "failpoint", die)
        await world.process.run_dry()
    world.start()
    backup = await back_up()
    assert (await world.order("a")).status is OrderStatus.QUEUED
    await world.run_until_final("a")
    await world.tick(2)
    signed = len(world.key.signed)
    await restore(backup)
    world.start()
    hold(world, "a")
    await world.tick(40)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert len(world.key.signed) == signed
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


async def test_what_somebody_pays_by_hand_in_another_programs_bytes_stops_nothing(
    world: World,
) -> None:
    """It says what an unsigned order wants, and has a field that we never write."""
    hold(world, "a")
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    await world.tick(2)
    contract, network = (await world.order("a")).wanted_contract, world.network
    expiration_ms = network.tip.timestamp_ms + 60_000
    said = chain.RawData(
        contract=contract,
        ref_block_bytes=bytes(2),
        ref_block_hash=bytes(8),
        expiration_ms=expiration_ms,
        timestamp_ms=network.tip.timestamp_ms,
        fee_limit_sun=100_000_000,
    )
    raw = chain.encode(said) + int_field(3, 7)  # ref_block_num
    txid = chain.txid(raw)
    network.pool[txid] = Pooled(txid, raw, world.key.address, contract, expiration_ms)
    await world.tick(10)
    at = await chain.MongoCursors().load()
    assert at is not None and at.number == network.solid_number
    assert [each.id for each in await world.engine.safe_mode.unexplained()] == [txid]
    assert "transaction.unmatched" in {event for event, _ in world.alarms}
    assert await begun_why() == []
    order = await world.order("a")
    assert (order.status, order.attempts) == (OrderStatus.QUEUED, [])
    await world.assert_books_equal_chain()
