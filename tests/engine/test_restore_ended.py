"""While a restored store has still to read what it forgot, no order ends as unpaid."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.test_detached import Desk
from tests.engine.test_restore import (
    FEW_BLOCKS,
    UNITS,
    back_up,
    begun_why,
    held_until_backed_up,
    restore,
    time_passes,
)
from tests.engine.world import ALICE, ALL_DOCUMENTS, World, assert_nothing_reserved
from tron_payment.chain import NodesUnavailable
from tron_payment.core.address import Address
from tron_payment.engine import Order, OrderSigned, OrderStatus, PerhapsPaid, SafeMode
from tron_payment.engine import documents as store
from tron_payment.http.twins import is_final


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


async def end(world: World, how: str) -> None:
    if how == "cancel":
        await world.engine.cancel("ord_a")
    else:
        await world.engine.refuse("ord_a", "recipient_blacklisted")


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize("how", ["cancel", "refuse"])
async def test_what_may_have_been_paid_does_not_end_as_unpaid(
    world: World, how: str, looked: bool
) -> None:
    """Also when somebody wishes it before anything else has looked at the restored store."""
    backup, held = await held_until_backed_up(world, "a")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.run_until_final("a")
    await time_passes(world)
    await restore(backup)
    world.start()
    while looked and await world.engine.dispatcher.step():
        pass
    with pytest.raises(PerhapsPaid) as refused:
        await end(world, how)
    assert not is_final(refused.value)
    assert await begun_why() == ["behind"]
    await world.tick(60)
    assert (await world.order("a")).status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == UNITS


async def test_nothing_ends_before_the_nodes_have_told_how_far_the_chain_is(world: World) -> None:
    await world.engine.place(world.wish("a", UNITS))
    world.start()
    world.nodes[0].away = True
    with pytest.raises(NodesUnavailable):
        await world.engine.cancel("ord_a")
    world.nodes[0].away = False
    await world.engine.cancel("ord_a")
    assert (await world.order("a")).status is OrderStatus.CANCELED


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_refused_wish_is_heard_again_when_safe_mode_has_ended(
    world: World, by_hand: bool
) -> None:
    """A module that would end what waits for this hears of it once more, and may."""

    async def gate(orders: Any) -> dict[str, str]:
        return {o.id: "poisoned" for o in orders if o.subject == "a"}

    async def hear(orders: Any) -> None:
        for order in orders:
            if order.waiting_for == "poisoned" and order.status in store.UNSIGNED:
                try:
                    await world.engine.refuse(order.id, "poisoned")
                except PerhapsPaid:
                    refused.append(order.id)

    refused: list[str] = []
    await world.engine.place_many([world.wish(name, UNITS) for name in ("a", "b")])
    world.pass_time(FEW_BLOCKS)
    world.start()
    world.engine.gate(gate)
    world.engine._handlers["test"] = hear
    await world.tick(2)
    assert (await world.order("a")).status is OrderStatus.QUEUED and refused
    if by_hand:
        assert await world.engine.safe_mode.end("tom")
    await world.run_until_final("a", blocks=60)
    order = await world.order("a")
    assert (order.status, order.reason) == (OrderStatus.FAILED, "poisoned")


async def test_what_was_called_back_ends_only_when_the_store_knows_all(
    world: World, mongo: Mongo
) -> None:
    """Its shown bytes die while safe mode is on; later ones may have been paid since the backup."""
    desk = Desk()
    world.engine.desk(desk, desk.follow)
    await world.engine.place(replace(world.wish("a"), detached=True, lifetime_s=60))
    await world.tick(2)
    with pytest.raises(OrderSigned):
        await world.engine.cancel("ord_a")
    backup = await back_up()
    world.pass_time(FEW_BLOCKS)
    await restore(backup)
    world.start()
    world.engine.desk(desk, desk.follow)
    seen = []
    for _ in range(60):
        await world.tick()
        seen.append(((await world.order("a")).status, await SafeMode.count()))
    assert (OrderStatus.RESERVED, 1) in seen
    assert not any(status is OrderStatus.CANCELED for status, on in seen if on)
    order = await world.order("a")
    assert (order.status, order.reason, len(order.attempts)) == (
        OrderStatus.CANCELED,
        "canceled",
        1,
    )
    await world.assert_books_equal_chain()


@pytest.mark.parametrize("kept_by", ["gate", "fees"])
async def test_what_was_called_back_ends_whatever_else_keeps_it(world: World, kept_by: str) -> None:
    """A gate that lets nothing through, or a fee that cannot be told, keeps no hold."""
    await world.engine.place(world.wish("a"))
    while (await world.order("a")).status is not OrderStatus.RESERVED:
        assert await world.engine.dispatcher.step()
    await Order.get_pymongo_collection().update_one(
        {"_id": "ord_a"}, {"$set": {"cancel_requested": True}}
    )

    async def closed(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "closed" for order in orders}

    async def untold(orders: Sequence[Order], desk: object) -> list[Order]:
        return []

    if kept_by == "gate":
        world.engine.gate(closed)
    else:
        world.engine.dispatcher._reserving.look_again = untold  # type: ignore[method-assign]
    await world.tick(2)
    order = await world.order("a")
    assert (order.status, order.attempts) == (OrderStatus.CANCELED, [])
    while await world.engine.dispatcher.close_books():
        pass
    await assert_nothing_reserved(world.ledger, [Address(order.signer)])
