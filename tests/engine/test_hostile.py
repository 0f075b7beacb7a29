"""What a hostile reader of the engine tried: each of these once went wrong, or was looked for."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.network import TOKEN, Network
from tests.engine.points import Points
from tests.engine.sim_node import SimNode
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    BOB,
    START_USDT,
    Process,
    World,
    assert_nothing_reserved,
)
from tron_payment.chain import MongoCursors, NodeRefused, NodeUnavailable, Position, Receipt
from tron_payment.chain.answers import ReceiptPart
from tron_payment.core.address import Address
from tron_payment.db.ledger import Pocket
from tron_payment.engine import OrderStatus
from tron_payment.engine import documents as store
from tron_payment.engine.booking import Claim, Spend, book
from tron_payment.engine.domain import settled_status
from tron_payment.engine.movements import Movement, MovementKind
from tron_payment.engine.settle import ATTEMPTS_MAX


@pytest.fixture
async def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    points = Points()
    points.watch(monkeypatch)
    return points


@pytest.fixture
async def world(mongo: Mongo, points: Points) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create(points)


async def test_a_late_block_that_nobody_had_booked_stays_unbooked(
    world: World, points: Points
) -> None:
    """A replica sleeps in a block that nobody's books wanted; one of its parties is opened then."""
    stranger, rich = BOB, ALICE
    give(world.network, rich, 50_000_000)
    world.network.foreign(rich, stranger, 5_000_000)
    world.pass_time(1)
    await catch_up(world, points, before_last=True)
    asleep = world.another()
    hold, reached = gate_at(points, "read:ledger_head", only=lambda: sleeping)
    sleeping = True
    points.reads = True
    late = asyncio.create_task(asleep.follower.step())
    await reached.wait()
    sleeping = points.reads = False
    await world.tick(2)
    await world.process.openings.request(stranger)
    while await world.process.openings.pending(stranger):
        await world.tick()
    hold.set()
    await late
    held = await world.ledger.holdings(stranger)
    assert held["USDT"][Pocket.AVAILABLE] == world.network.token[stranger] == 5_000_000


async def test_an_opening_is_exact_while_blocks_keep_coming(world: World) -> None:
    """A deposit in every block around the opening counts once."""
    give(world.network, ALICE, 500_000_000)
    await world.tick(2)
    await world.process.openings.request(BOB)
    for _ in range(12):
        world.network.foreign(ALICE, BOB, 1_000_000)
        world.pass_time()
        await world.process.openings.step()
        while await world.follower.step():
            await world.process.openings.step()
    while await world.process.openings.pending(BOB):
        await world.tick()
    await world.tick(world.network.solid_lag + 1)
    held = await world.ledger.holdings(BOB)
    assert held["USDT"][Pocket.AVAILABLE] == world.network.token[BOB] == 12_000_000


async def test_an_opening_is_exact_while_blocks_are_passed_over_that_were_judged_before_it(
    world: World,
) -> None:
    """It is asked for after the blocks were judged and before the cursor moves; the node that
    tells the balance is behind, in the middle of them."""
    give(world.network, ALICE, 500_000_000)
    for _ in range(30):
        world.network.foreign(ALICE, BOB, 1_000_000)
        world.network.mine()
    busy = Process(world.nodes, world.clock, world.key, read_ahead=16)
    late = SimNode(world.network, "late", lag=lambda: 0)
    other = Process([late], world.clock, world.key)
    cursors = busy.follower._cursor
    advance, moved = cursors.advance, list[int]()

    async def slowly(seen: Position, to: Position) -> None:
        if to.number > seen.number + 3 and not moved:
            moved.append(to.number)
            late.lag = lambda: world.network.solid_number - seen.number - 2
            await other.openings.request(BOB)
            for _ in range(4):
                await other.openings.step()
        await advance(seen, to)

    cursors.advance = slowly  # type: ignore[method-assign]
    while await busy.follower.step():
        for _ in range(100):
            await asyncio.sleep(0)
    assert moved
    late.lag = lambda: 0
    for _ in range(20):
        await world.tick()
        await other.openings.step()
    assert not await other.openings.pending(BOB)
    held = await world.ledger.holdings(BOB)
    assert held["USDT"][Pocket.AVAILABLE] == world.network.token[BOB] == 30_000_000


async def test_a_payment_proved_dead_that_turns_up_is_never_followed_by_a_second(
    world: World,
) -> None:
    """Whatever fooled us (restored store, lying node): stop, do not sign again."""
    world.network.drop = lambda txid: True
    await world.engine.place(world.wish("a"))
    while not (await world.order("a")).tried:
        await world.tick()
    first = (await world.order("a")).live
    assert first is not None
    hold_back = [True]

    async def gate(orders: object) -> dict[str, str]:
        return {"ord_a": "test"} if hold_back[0] else {}

    world.engine.gate(gate)
    while (await world.order("a")).status is not OrderStatus.RESERVED:
        await world.tick()
    world.network.revive(first.raw, world.key.address)
    await world.tick(world.network.solid_lag + 1)
    hold_back[0] = False
    world.network.drop = lambda txid: False
    await world.tick(40)
    assert (await world.order("a")).status is OrderStatus.QUARANTINED
    assert "order.contradiction" in {event for event, _ in world.alarms}
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


async def test_nothing_is_signed_while_the_chain_contradicts_itself(world: World) -> None:
    await MongoCursors().halt("two blocks at one height")
    await world.engine.place(world.wish("a"))
    world.pass_time()
    while await world.engine.dispatcher.step():
        pass
    order = await world.order("a")
    assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, "chain_contradiction")
    assert world.key.signed == []
    await MongoCursors().resume()
    await world.run_until_final("a")


async def test_nothing_is_signed_for_a_head_that_is_older_than_our_solid_block(
    world: World,
) -> None:
    await world.tick(20)
    world.nodes[0].lag = lambda: 10
    await world.engine.place(world.wish("a"))
    world.clock.advance(timedelta(seconds=3))
    while await world.engine.dispatcher.step():
        pass
    assert (await world.order("a")).waiting_for == "node_behind"
    assert world.key.signed == []
    world.nodes[0].lag = lambda: 0
    await world.run_until_final("a")


async def test_a_clock_that_jumps_back_does_not_keep_an_old_head(world: World) -> None:
    await world.engine.place(world.wish("a"))
    await world.run_until_final("a")
    world.clock.advance(timedelta(hours=-1))
    await world.engine.place(world.wish("b"))
    await world.tick(60)
    order = await world.order("b")
    assert order.status is OrderStatus.SETTLED
    assert len(order.attempts) == 1
    await world.assert_books_equal_chain()


async def test_a_process_with_a_fast_clock_that_dies_leaves_no_order_waiting(
    world: World,
) -> None:
    await world.engine.place(world.wish("a"))
    fast = world.another(timedelta(minutes=15))
    await fast.engine.dispatcher.step()
    assert (await world.order("a")).status is OrderStatus.RESERVED
    await world.run_until_final("a", blocks=12)


async def test_an_order_that_no_node_will_simulate_does_not_stop_those_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    real = node.constant_call

    async def call(owner: Address, contract: Address, data: bytes, *more: object) -> object:
        if contract != TOKEN:
            raise NodeRefused("CONTRACT_VALIDATE_ERROR", "Smart contract is not exist.")
        return await real(owner, contract, data, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(node, "constant_call", call)
    await world.engine.place(world.batch_wish("poison", [("x", ALICE, 1)]))
    await world.engine.place(world.wish("good"))
    await world.run_until_final("good", blocks=12)
    assert (await world.order("poison")).waiting_for.startswith("node_refused")


async def test_an_order_whose_simulation_gets_no_answer_does_not_stop_those_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = world.nodes[0]
    real, away = node.constant_call, True

    async def call(owner: Address, contract: Address, data: bytes, *more: object) -> object:
        if contract != TOKEN and away:
            raise NodeUnavailable(node.alias, "no answer within 15 s")
        return await real(owner, contract, data, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(node, "constant_call", call)
    await world.engine.place(world.batch_wish("poison", [("x", ALICE, 1)]))
    await world.engine.place(world.wish("good"))
    await world.run_until_final("good", blocks=12)
    poison = await world.order("poison")
    assert poison.waiting_for == "node: node n0: no answer within 15 s"
    away = False
    await world.run_until_final("poison", blocks=12)
    assert (await world.order("poison")).status is OrderStatus.SETTLED
    await world.assert_books_equal_chain()


async def test_orders_wait_and_say_so_while_no_node_tells_the_prices(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.engine.place(world.wish("a"))
    monkeypatch.setattr(world.nodes[0], "away", True)
    assert await world.engine.dispatcher.step()
    assert not await world.engine.dispatcher.step(), "they are looked at again a little later"
    assert (await world.order("a")).waiting_for.startswith("node: ")
    monkeypatch.setattr(world.nodes[0], "away", False)
    await world.run_until_final("a", blocks=12)


async def test_an_order_for_a_key_elsewhere_does_not_stop_those_behind_it(world: World) -> None:
    await world.engine.place(replace(world.wish("device"), detached=True))
    await world.engine.place(world.wish("good"))
    async with asyncio.timeout(10):
        await world.run_until_final("good", blocks=12)
    assert (await world.order("device")).status is not OrderStatus.SETTLED


async def test_an_order_that_never_comes_through_ends_with_its_funds_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tron_payment.engine.settle.ATTEMPTS_MAX", 3)
    assert ATTEMPTS_MAX > 3
    world.network.drop = lambda txid: True
    await world.engine.place(world.wish("a"))
    await world.run_until_final("a", blocks=150)
    order = await world.order("a")
    assert (order.status, order.reason) == (OrderStatus.FAILED, "attempts_exhausted")
    assert [attempt.death is not None for attempt in order.tried] == [True] * 3
    available = await world.ledger.balance(world.key.address, Pocket.AVAILABLE, "USDT")
    assert available == START_USDT
    await world.assert_books_equal_chain()


async def test_a_hint_that_comes_while_its_module_listens_is_told_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the order waits for is written between the module's hearing and our noting it."""
    await world.engine.place(world.wish("a"))
    world.pass_time()
    while not (await world.order("a")).news:
        await world.engine.dispatcher.step()
    heard = world.process._hear

    async def slow(orders: object) -> None:
        await heard(orders)  # type: ignore[arg-type]
        order = await world.order("a")
        await store.postpone([order], order.due_at + timedelta(seconds=1), waiting_for="a hint")

    monkeypatch.setitem(world.engine._handlers, "test", slow)
    await world.engine.tell()
    assert ("ord_a", "signed") in world.heard
    assert (await world.order("a")).news


def test_a_receipt_without_a_result_proves_nothing() -> None:
    assert settled_status("DEFAULT", []) is OrderStatus.QUARANTINED
    assert settled_status("REVERT", []) is OrderStatus.FAILED
    assert settled_status("SUCCESS", ["met"]) is OrderStatus.SETTLED
    assert settled_status("SUCCESS", ["met", "missing"]) is OrderStatus.QUARANTINED
    assert Receipt(id="", receipt=ReceiptPart()).receipt.result == ""


def test_two_transactions_of_one_order_in_a_block_release_its_funds_once() -> None:
    claim = Claim("ord_a", (Spend(ALICE, "USDT", 10),), True)
    moves = [
        Movement(MovementKind.TRANSFER, txid, "log:0", "USDT", 10, ALICE, BOB) for txid in "xy"
    ]
    booking = book(moves, {ALICE: 0}, {"x": claim, "y": claim}, 5, ["x", "y"])
    assert booking.finals == ["ord_a"]
    reserved = f"{ALICE}:reserved"
    left = 10
    for posting in booking.postings:
        left += posting.units * ((posting.destination == reserved) - (posting.source == reserved))
    assert left == 0


# ---- helpers -------------------------------------------------------------------------------------


def gate_at(
    points: Points, label: str, only: Callable[[], bool]
) -> tuple[asyncio.Event, asyncio.Event]:
    """Whoever comes to this point sleeps until the first event; the second says that one did."""
    hold, reached = asyncio.Event(), asyncio.Event()

    async def before(seen: str) -> None:
        if seen == label and only():
            reached.set()
            await hold.wait()

    points.before = before
    return hold, reached


async def position(world: World) -> int:
    found = await MongoCursors().load()
    assert found is not None
    return found.number


async def catch_up(world: World, points: Points, *, before_last: bool) -> None:
    """Apply every solid block but the newest, which holds what was just mined."""
    target = world.network.tip.number
    world.pass_time(world.network.solid_lag - before_last)
    while await position(world) < target - before_last:
        await world.follower.step()
    world.pass_time(int(before_last))


def give(network: Network, to: Address, units: int) -> None:
    """Tokens from nowhere, in the state itself."""
    network.token[to] += units


async def test_a_success_without_its_event_is_looked_at_by_a_human(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt says SUCCESS, and somebody else was paid."""
    await world.engine.place(replace(world.wish("a"), expects=world.wish("b", to=BOB).expects))
    for _ in range(10):
        await world.tick()
    assert (await world.order("a")).status is OrderStatus.QUARANTINED
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])
