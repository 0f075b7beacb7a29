"""One order that its module cannot take keeps no other from being told of."""

from collections.abc import Sequence

import pytest

from tests.conftest import Mongo
from tests.engine.points import Crash
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError, Refused
from tron_payment.engine import Order
from tron_payment.engine import documents as store
from tron_payment.engine.service import TELL_ROUNDS_MAX


class RouteGone(Refused, code="route_gone"):
    """Nobody can take this one."""


class Module:
    """Takes all orders but some, together or not at all."""

    def __init__(self, *bad: str) -> None:
        self.bad = {f"ord_{name}" for name in bad}
        self.heard: list[str] = []
        self.problem: BaseException = RouteGone()

    async def hear(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.id in self.bad:
                raise self.problem
        self.heard += [order.id for order in orders]


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


async def placed(world: World, module: Module, names: str) -> None:
    world.engine._handlers["test"] = module.hear
    await world.engine.place_many([world.wish(name) for name in names])
    every = {"$set": {"news": True}}
    await Order.get_pymongo_collection().update_many({}, every)


async def untold() -> set[str]:
    return {order.id for order in await store.with_news("test", without=())}


async def test_all_others_are_told_and_the_refused_one_again(world: World) -> None:
    module = Module("b")
    await placed(world, module, "abc")
    for _ in range(3):
        with pytest.raises(RouteGone):  # the loop shows it
            await world.engine.tell()
        assert sorted(module.heard) == ["ord_a", "ord_c"]
        assert await untold() == {"ord_b"}
    module.bad.clear()
    assert await world.engine.tell()
    assert await untold() == set()
    assert not await world.engine.tell()


async def test_refused_ones_do_not_fill_the_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = store.with_news

    async def two(module: str, *, without: set[str]) -> list[Order]:
        return await fetch(module, without=without, limit=2)

    monkeypatch.setattr(store, "with_news", two)
    module = Module("a", "b", "c", "d")
    await placed(world, module, "abcdefg")
    for _ in range(TELL_ROUNDS_MAX):
        with pytest.raises(RouteGone):
            await world.engine.tell()
    assert sorted(module.heard) == ["ord_e", "ord_f", "ord_g"]


async def test_an_outage_is_not_one_orders_fault(world: World) -> None:
    module = Module("b")
    module.problem = NodesUnavailable("all away")
    await placed(world, module, "abc")
    with pytest.raises(AppError):
        await world.engine.tell()
    assert module.heard == [] and await untold() == {"ord_a", "ord_b", "ord_c"}


async def test_who_dies_telling_one_alone_tells_all_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise Crash

    module = Module("b")
    await placed(world, module, "abc")
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(store, "hush", die)
        await world.engine.tell()
    assert await untold() == {"ord_a", "ord_b", "ord_c"}
