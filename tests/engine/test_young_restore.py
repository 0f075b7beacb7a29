"""Seconds-old backups against the signer's own journal, which is not restored with the orders.

What was signed after the backup stands in no block when the process starts, so that neither the
store nor the chain knows of it; only the journal does.
"""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.points import Points
from tests.engine.test_restore import UNITS, back_up, begun_why, held_until_backed_up, restore
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, Key, World
from tron_payment import chain
from tron_payment.chain import MongoCursors
from tron_payment.core.clock import Clock
from tron_payment.engine import CannotSign, Order, OrderStatus
from tron_payment.wallets import JOURNAL_DOCUMENTS, journal
from tron_payment.wallets.signer import STILL_OPEN

STILL = f"signer: {STILL_OPEN}"


async def applied_ms() -> int:
    at = await MongoCursors().load()
    assert at is not None
    return at.timestamp_ms


class JournaledKey(Key):
    """The engine tests' key with the journal of the real signer."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(7, Points())
        self.clock = clock

    async def sign_many(self, requests: Sequence[tuple[Order, bytes]]) -> list[bytes | CannotSign]:
        lines = [
            journal.Line(order, chain.txid(raw), order.wallet_id, chain.decode(raw).expiration_ms)
            for order, raw in requests
        ]
        written = await journal.write(lines, self.clock.now(), solid=applied_ms)
        return [
            await self.sign(order, raw) if may_sign else CannotSign(STILL_OPEN)
            for may_sign, (order, raw) in zip(written, requests, strict=True)
        ]


async def make_world() -> World:
    world = await World.create()
    key = JournaledKey(world.clock)
    assert key.address == world.key.address
    world.key = key
    world.start()
    return world


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect([*ALL_DOCUMENTS, *JOURNAL_DOCUMENTS])
    return await make_world()


async def test_what_was_in_no_block_at_the_start_is_paid_once(world: World) -> None:
    backup, held = await held_until_backed_up(world, "a", "b")
    held[0] = False
    world.network.unfit = lambda txid: True
    world.clock.advance(timedelta(seconds=6))
    await world.process.run_dry()
    assert len(world.network.pool) == 2 and len(world.key.signed) == 2
    await restore(backup)
    world.start()
    await world.tick(3)
    assert await begun_why() == [], "nobody could know"
    assert (await world.order("a")).waiting_for == STILL
    world.network.unfit = lambda txid: False
    for _ in range(40):
        await world.tick()
    assert await begun_why() == ["adopted"]
    assert await world.engine.stats() == {"settled": 2}
    assert len(world.key.signed) == 2
    assert world.network.token[ALICE] == 2 * UNITS
    await world.engine.place(world.wish("next", UNITS))
    await world.run_until_final("next", blocks=60)
    await world.assert_books_equal_chain()


async def test_a_repeat_of_what_was_in_no_block_is_never_signed_again(world: World) -> None:
    """The caller repeats it when the block was read long ago: a human says that it was paid."""
    await world.tick(2)
    backup = await back_up()
    world.network.unfit = lambda txid: True
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.process.run_dry()
    assert len(world.key.signed) == 1
    await restore(backup)
    world.start()
    await world.tick(2)
    world.network.unfit = lambda txid: False
    await world.tick(10)
    assert world.network.token[BOB] == UNITS
    (waiting,) = await world.engine.safe_mode.unexplained()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.tick(60)
    order = await world.order("late")
    assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, STILL)
    assert await world.engine.safe_mode.acknowledge(waiting.id, "olga")
    await world.tick(10)
    assert (await world.order("late")).waiting_for == STILL, "seen is seen"
    await world.engine.cancel(order.id)
    await world.engine.place(world.wish("next", UNITS))
    await world.run_until_final("late", "next")
    assert len(world.key.signed) == 2
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_process_that_goes_on_over_a_restore_trusts_no_memory_of_its_own(
    world: World, taken: bool
) -> None:
    """The store is a few blocks younger than it was, too few to be noticed; the bytes are out.

    Whether the chain takes them or not, nothing else is signed before they are paid or dead.
    """
    backup, held = await held_until_backed_up(world, "a", "b")
    held[0] = False
    world.network.unfit = lambda txid: True
    world.clock.advance(timedelta(seconds=6))
    await world.tick(2)
    first = list(world.key.signed)
    assert len(first) == 2 and len(world.network.pool) == 2
    await restore(backup)
    await world.tick(4)
    assert await begun_why() == [], "nobody could know"
    assert world.key.signed == first
    assert (await world.order("a")).waiting_for == STILL
    if taken:
        world.network.unfit = lambda txid: False
    else:
        world.network.unfit = lambda txid: txid in {each for _, each in first}
    for _ in range(80):
        await world.tick()
    assert await world.engine.stats() == {"settled": 2}
    assert len(world.key.signed) == (2 if taken else 4)
    assert world.network.token[ALICE] == 2 * UNITS
    await world.assert_books_equal_chain()


async def test_a_payment_that_an_equal_order_was_given_is_not_repeated(world: World) -> None:
    """Two equal orders are paid; the backup has one of them, and the other is asked for again.

    The one of the backup is given the first payment that fits, which was the other's; the second
    is nobody's. A human who has seen it does not thereby allow a third.
    """
    backup, held = await held_until_backed_up(world, "old")
    switch = {"ord_old"}

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {each.id: "held" for each in orders if each.id in switch}

    world.engine.gate(gate)
    held[0] = False
    await world.engine.place(world.wish("late", UNITS))
    await world.run_until_final("late")
    switch.clear()
    await world.run_until_final("old")
    assert world.network.token[ALICE] == 2 * UNITS
    await restore(backup)
    world.start()
    await world.tick(3)
    (waiting,) = await world.engine.safe_mode.unexplained()
    assert await world.engine.safe_mode.acknowledge(waiting.id, "olga")
    await world.engine.place(world.wish("late", UNITS))
    await world.tick(60)
    late = await world.order("late")
    assert (late.status, late.waiting_for) == (OrderStatus.RESERVED, STILL)
    assert world.network.token[ALICE] == 2 * UNITS


async def test_a_payment_that_an_equal_order_was_given_instead_is_made_again(world: World) -> None:
    """The order that was given it had never been signed itself, so that one payment is missing."""
    backup, held = await held_until_backed_up(world, "old")
    switch = {"ord_old"}

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {each.id: "held" for each in orders if each.id in switch}

    world.engine.gate(gate)
    held[0] = False
    await world.engine.place(world.wish("late", UNITS))
    await world.run_until_final("late")
    await restore(backup)
    world.start()
    await world.tick(3)
    await world.engine.place(world.wish("late", UNITS))
    await world.tick(60)
    assert await world.engine.stats() == {"settled": 2}
    assert world.network.token[ALICE] == 2 * UNITS
    await world.assert_books_equal_chain()
