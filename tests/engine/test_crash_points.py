"""The process dies before and after every database write, node call and signature of an order.

Each scenario runs once for every point; the process is killed there and started again, the
caller repeats what it had asked for, and in the end everything has happened exactly once.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import pytest

from tests.conftest import Mongo
from tests.engine import crash_table
from tests.engine.network import ROUTER
from tests.engine.points import Crash, Fuse, Points
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    FINAL,
    World,
    assert_books,
    assert_nothing_reserved,
    reference,
)
from tron_payment.core.address import Address, address_of
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import OrderStatus

UNITS = 5_000_000
POINTS_MAX = 400
BLOCKS_MAX = 80


@dataclass(frozen=True)
class Scenario:
    """What a caller asks for (safe to ask again), and what must be true in the end."""

    name: str
    ask: Callable[[World, str], Awaitable[None]]
    is_done: Callable[[World, str], Awaitable[bool]]
    check: Callable[[World, str, int], Awaitable[None]]
    prepare: Callable[[World, str], None] = lambda world, name: None


async def is_final(world: World, name: str) -> bool:
    order = await world.engine.find(f"ord_{name}")
    return order is not None and order.status in FINAL and not order.books_open and not order.news


async def has_paid(world: World, name: str, before: int) -> None:
    order = await world.order(name)
    assert order.status is OrderStatus.SETTLED
    assert world.network.token[ALICE] - before == UNITS
    assert [a.death is None for a in order.tried].count(True) == 1


async def has_not_paid(world: World, name: str, before: int) -> None:
    assert world.network.token[ALICE] == before
    assert (await world.order(name)).status in (OrderStatus.FAILED, OrderStatus.CANCELED)


# ---- scenarios -----------------------------------------------------------------------------------


async def ask_transfer(world: World, name: str) -> None:
    await world.engine.place(world.wish(name, UNITS))


def lose_the_first(world: World, name: str) -> None:
    lost: list[str] = []

    def drop(txid: str) -> bool:
        if not lost:
            lost.append(txid)
        return txid in lost

    world.network.drop = drop


def revert_all(world: World, name: str) -> None:
    world.network.revert = lambda txid: True


async def ask_and_cancel(world: World, name: str) -> None:
    await world.engine.place(world.wish(name, UNITS))
    if (await world.order(name)).status is OrderStatus.QUEUED:
        await world.engine.dispatcher.step()
    await world.engine.cancel(f"ord_{name}")


def items(name: str) -> list[tuple[str, Address, int]]:
    rows = ((1, UNITS - 1_000_000), (2, 7_000_000), (3, 1_000_000))
    return [(f"{name}.{number}", ALICE, units) for number, units in rows]


def take_the_second(world: World, name: str) -> None:
    world.network.now.taken.add(reference(f"{name}.2"))


async def ask_batch(world: World, name: str) -> None:
    await world.engine.place(world.batch_wish(name, items(name)))


async def has_paid_batch(world: World, name: str, before: int) -> None:
    await has_paid(world, name, before)
    outcome = (await world.order(name)).outcome
    assert outcome is not None
    assert outcome.proofs == {f"{name}.1": "met", f"{name}.2": "skipped", f"{name}.3": "met"}


def stranger(name: str) -> Address:
    return address_of(b"\x41" + reference(name)[:20])


def give_to_stranger(world: World, name: str) -> None:
    world.network.token[stranger(name)] += 3_000_000
    world.network.foreign(ROUTER_FRIEND, stranger(name), 1)


ROUTER_FRIEND = address_of(b"\x41" + bytes(19) + b"\x0f")


async def ask_opening(world: World, name: str) -> None:
    if name not in {row for row, _ in world.heard}:
        await world.process.openings.request(stranger(name))
    world.network.foreign(ROUTER_FRIEND, stranger(name), 1)


async def is_open(world: World, name: str) -> bool:
    world.network.foreign(ROUTER_FRIEND, stranger(name), 1)
    return not await world.process.openings.pending(stranger(name))


async def has_opened(world: World, name: str, before: int) -> None:
    world.network.pool.clear()
    await world.tick(world.network.solid_lag + 2)
    await assert_books(world.network, world.ledger, [stranger(name)])


SCENARIOS = (
    Scenario("transfer", ask_transfer, is_final, has_paid),
    Scenario("reverted", ask_transfer, is_final, has_not_paid, revert_all),
    Scenario("lost_and_rebuilt", ask_transfer, is_final, has_paid, lose_the_first),
    Scenario("canceled", ask_and_cancel, is_final, has_not_paid),
    Scenario("router_batch", ask_batch, is_final, has_paid_batch, take_the_second),
    Scenario("opening", ask_opening, is_open, has_opened, give_to_stranger),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
async def test_a_crash_at_any_point_changes_nothing(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    world = await World.create(points, solid_lag=1, lifetime_s=9)
    world.network.token[ROUTER_FRIEND] = 1_000_000
    points.watch(monkeypatch)
    fuse = Fuse(points)
    crash_table.forget(scenario.name)
    for point in count(1):
        assert point < POINTS_MAX
        name = f"{scenario.name}{point}"
        world.network.drop = world.network.revert = lambda txid: False
        scenario.prepare(world, name)
        before = world.network.token[ALICE]
        fuse.labels.clear()
        fuse.remaining, fuse.burnt = point, ""
        try:
            await run(world, scenario, name)
        except (Crash, StoreUnavailable):  # the latter from a task of the dead process
            assert fuse.burnt
            crash_table.SEEN.add((scenario.name, fuse.burnt))
            fuse.remaining, fuse.burnt = -1, ""
            world.start()
            await run(world, scenario, name)
        unburnt, fuse.remaining = fuse.remaining > 0, -1
        await scenario.check(world, name, before)
        if unburnt:
            break
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])
    assert [event for event, _ in world.alarms] == []
    if not is_writing():
        crash_table.assert_on_page(scenario.name)


async def run(world: World, scenario: Scenario, name: str) -> None:
    """The caller asks, and asks again after a crash; then time passes."""
    await scenario.ask(world, name)
    for _ in range(BLOCKS_MAX):
        if await scenario.is_done(world, name):
            return
        await world.tick()
    raise AssertionError(f"{name} is not done after {BLOCKS_MAX} blocks")


def test_the_page_lists_the_crash_points_of_every_scenario() -> None:
    """Each scenario compares its own part; `CRASH_TABLE=write` writes all of it after a sweep."""
    if is_writing():
        assert {name for name, _ in crash_table.SEEN} == {each.name for each in SCENARIOS}
        crash_table.write()
    rows = crash_table.rows()
    assert {name for row in rows for name in row.scenarios} == {each.name for each in SCENARIOS}
    for row in rows:
        assert row.meaning == crash_table.MEANINGS[row.label]
        assert "before" in row.died, row


def is_writing() -> bool:
    return os.environ.get("CRASH_TABLE") == "write"
