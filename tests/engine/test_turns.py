"""Orders that wait keep nobody behind them from being looked at, however slow a look is."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.test_detached import Desk
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, World
from tron_payment.chain import NodesUnavailable
from tron_payment.engine import Order, OrderStatus, adopting, dispatch, settle, turns
from tron_payment.engine import documents as store
from tron_payment.engine.dispatch import ASK_AGAIN_S, ASKS_AT_ONCE
from tron_payment.engine.idle import any_due
from tron_payment.engine.waiting import WAIT_S

TOO_MUCH = 900_000_000_000


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


class SlowDesk(Desk):
    """Each order that is shown takes a second, as through Tor."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.asking = self.at_once = 0
        self.fails = False

    async def ask(self, order: Order) -> None:
        if self.fails:
            raise NodesUnavailable("none answers")
        self.asking += 1
        self.at_once = max(self.at_once, self.asking)
        await asyncio.sleep(0)
        self.world.clock.advance(timedelta(seconds=1))
        await super().ask(order)
        self.asking -= 1


async def shown(world: World, number: int) -> SlowDesk:
    desk = SlowDesk(world)
    world.engine.desk(desk, desk.follow)
    await world.tick(2)
    wishes = [replace(world.wish(f"d{i}", 1_000), detached=True) for i in range(number)]
    await world.engine.place_many(wishes)
    while (await world.engine.stats()).get("awaiting_signature", 0) < number:
        assert await world.engine.dispatcher.step()
    return desk


async def test_orders_that_are_shown_keep_no_others_back(world: World) -> None:
    """They are due again before all have been asked for."""
    number = ASK_AGAIN_S + 10
    desk = await shown(world, number)
    await world.engine.place(world.wish("hot", to=BOB))
    for _ in range(8):
        assert await world.engine.dispatcher.step()
    assert (await world.order("hot")).status is OrderStatus.SIGNED
    assert 1 < desk.at_once <= ASKS_AT_ONCE
    for _ in range(2 * number // ASKS_AT_ONCE + 2):
        await world.engine.dispatcher.step()
    assert len(desk.asked) == number, "and each was shown"


async def test_a_kind_whose_step_fails_keeps_no_others_back(world: World) -> None:
    desk = await shown(world, 2)
    desk.fails = True
    await world.engine.place(world.wish("hot", to=BOB))
    failed = 0
    for _ in range(8):
        try:
            await world.engine.dispatcher.step()
        except NodesUnavailable:
            failed += 1
    assert failed > 1
    assert (await world.order("hot")).status is OrderStatus.SIGNED


async def test_orders_without_money_keep_no_others_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first are due again before the last have been looked at."""
    monkeypatch.setattr(dispatch, "BATCH_MAX", 4)
    number = 4 * WAIT_S * 2
    await world.tick(2)
    await world.engine.place_many([world.wish(f"p{i}", TOO_MUCH) for i in range(number)])
    world.clock.advance(timedelta(seconds=1))
    await world.engine.place(world.wish("other", to=BOB))
    for _ in range(number):
        assert await world.engine.dispatcher.step()
        world.clock.advance(timedelta(seconds=1))
    assert (await world.order("other")).status is OrderStatus.SIGNED
    for i in range(number):
        assert (await world.order(f"p{i}")).waiting_for == "funds", i


async def test_an_order_with_many_payments_keeps_no_others_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many orders as one step takes payments of are looked at together."""
    monkeypatch.setattr(turns, "ITEMS_MAX", 6)
    await world.tick(2)
    for i in range(20):
        rows = [(f"r{i}_{j}", ALICE, TOO_MUCH) for j in range(3)]
        await world.engine.place(world.batch_wish(f"b{i}", rows))
    world.clock.advance(timedelta(seconds=1))
    await world.engine.place(world.wish("other", to=BOB))
    for _ in range(30):
        assert await world.engine.dispatcher.step()
        world.clock.advance(timedelta(seconds=1))
    assert (await world.order("other")).status is OrderStatus.SIGNED


async def test_when_money_comes_the_first_in_rank_is_paid_first(world: World) -> None:
    await world.tick(2)
    units = 2 * world.network.token[world.key.address]
    names = ["low", "normal", "high"]
    for name in names:
        await world.engine.place(replace(world.wish(name, units), priority=name))
    await world.tick()
    assert {(await world.order(name)).waiting_for for name in names} == {"funds"}
    world.network.token[BOB] = units
    world.network.foreign(BOB, world.key.address, units)
    await world.tick(12)
    assert (await world.order("high")).status is OrderStatus.SETTLED
    assert [(await world.order(name)).status for name in names[:2]] == [OrderStatus.QUEUED] * 2


async def put_off(world: World, names: str, wrong: timedelta) -> None:
    """A process whose clock is wrong looks at orders that have to wait, and puts them off."""

    async def gate(orders: Any) -> dict[str, str]:
        return {order.id: "kill_switch" for order in orders}

    wrongly = world.another(wrong)
    wrongly.engine.gate(gate)
    await world.engine.place_many([world.wish(name) for name in names])
    while await wrongly.engine.dispatcher.step():
        pass


@pytest.mark.parametrize("wrong", [timedelta(hours=8), timedelta(days=400)])
async def test_a_clock_that_was_fast_lets_nobody_wait(world: World, wrong: timedelta) -> None:
    await world.tick(2)
    await put_off(world, "ab", wrong)
    assert (await world.order("a")).waiting_for == "kill_switch"
    await world.run_until_final("a", "b")
    assert world.network.token[ALICE] == 2 * 5_000_000


async def test_bytes_are_sent_again_after_a_clock_was_fast(world: World) -> None:
    await world.engine.place(world.wish("a"))
    await world.tick(1)
    order = await world.order("a")
    assert order.status is OrderStatus.SIGNED
    now = world.clock.now()
    await store.postpone([order], now + timedelta(hours=8))
    assert [each.id for each in await turns.due(order.status, now, limit=2)] == [order.id]


async def test_an_adopted_order_rests(world: World) -> None:
    """It stands in a block: there is nothing to send."""
    await world.engine.place(world.wish("a"))
    await world.tick(1)
    order, now = await world.order("a"), world.clock.now()
    assert order.status is OrderStatus.SIGNED
    unsigned = {"attempts.0.signatures": [], "due_at": now + adopting.ADOPTED_REST}
    await Order.get_pymongo_collection().update_one({"_id": order.id}, {"$set": unsigned})
    assert await turns.due(order.status, now, limit=2) == []
    assert not await any_due(now)


async def test_who_is_put_off_by_our_own_clock_waits(world: World) -> None:
    """However long: no wait of the engine's looks like one by a clock that was fast."""
    longest_s = max(WAIT_S, ASK_AGAIN_S, dispatch.REBROADCAST_S, settle.REBUILD_PAUSE_MAX_S)
    await world.engine.place(world.wish("a"))
    order, now = await world.order("a"), world.clock.now()
    await store.postpone([order], now + timedelta(seconds=longest_s))
    assert await turns.due(order.status, now, limit=2) == []
    assert not await any_due(now)
    assert timedelta(seconds=longest_s) < turns.WAIT_MAX < adopting.ADOPTED_REST
