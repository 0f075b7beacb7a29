"""Only solidified blocks are evidence: answers, clocks, heads and absence are rumours."""

import asyncio
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.points import Points
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    START_USDT,
    World,
    assert_nothing_reserved,
)
from tron_payment.chain import NodeUnavailable
from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine import OrderStatus

UNITS = 5_000_000
LIES = (
    (True, "SUCCESS"),
    (False, "DUP_TRANSACTION_ERROR"),
    (False, "CONTRACT_VALIDATE_ERROR"),
    (False, "SERVER_BUSY"),
    (False, "NOT_ENOUGH_EFFECTIVE_CONNECTION"),
)


@pytest.fixture
async def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    points = Points()
    points.watch(monkeypatch)
    return points


@pytest.fixture
async def world(mongo: Mongo, points: Points) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create(points, lifetime_s=30)


async def is_paid_once(world: World, name: str, attempts: int) -> None:
    await world.run_until_final(name, blocks=60)
    await world.tick(15)
    order = await world.order(name)
    assert order.status is OrderStatus.SETTLED
    assert world.network.token[ALICE] == UNITS
    assert len(order.tried) == attempts
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


@pytest.mark.parametrize("is_lost", [False, True], ids=["arrived", "lost"])
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie[1])
async def test_what_a_node_says_to_a_broadcast_changes_nothing(
    world: World, lie: tuple[bool, str], is_lost: bool
) -> None:
    """It says the same whether the transaction has arrived or not, and it is paid once."""
    world.nodes[0].says = lambda ok, code: lie
    first: list[str] = []

    def drop(txid: str) -> bool:
        if not first:
            first.append(txid)
        return is_lost and txid in first

    world.network.drop = drop
    await world.engine.place(world.wish("a"))
    await is_paid_once(world, "a", attempts=2 if is_lost else 1)


async def test_a_broadcast_that_times_out_changes_nothing(world: World) -> None:
    """The node has it all the same."""

    async def cut(alias: str, call: str) -> None:
        if call == "broadcast":
            raise NodeUnavailable(alias, "timeout")

    world.nodes[0].after = cut
    await world.engine.place(world.wish("a"))
    await is_paid_once(world, "a", attempts=1)


async def test_while_the_chain_stands_still_nothing_expires(world: World) -> None:
    """Two hours by every clock of ours; the transaction comes in as soon as blocks do."""
    world.network.unfit = lambda txid: True
    await world.engine.place(world.wish("a"))
    while (await world.order("a")).status is not OrderStatus.SIGNED:
        await world.tick()
    world.clock.advance(timedelta(hours=2))
    await world.tick(3)
    world.network.unfit = lambda txid: False
    await is_paid_once(world, "a", attempts=1)


async def test_an_expiration_that_only_the_head_has_passed_proves_nothing(world: World) -> None:
    """The transaction stands in the last block that may take it, which is not solid yet."""
    world.network.unfit = lambda txid: True
    await world.engine.place(world.wish("a"))
    while (await world.order("a")).status is not OrderStatus.SIGNED:
        await world.tick()
    live = (await world.order("a")).live
    assert live is not None
    while world.network.tip.timestamp_ms + 3_000 < live.expiration_ms:
        await world.tick()
    world.network.unfit = lambda txid: False
    await world.tick()
    assert live.txid in world.network.included
    await is_paid_once(world, "a", attempts=1)


async def test_a_block_whose_time_jumps_past_the_expiration_may_still_hold_it(
    world: World,
) -> None:
    """TRON compares with the block before: inclusion and expiry in the same block."""
    world.network.unfit = lambda txid: True
    await world.engine.place(world.wish("a"))
    while (await world.order("a")).status is not OrderStatus.SIGNED:
        await world.tick()
    world.network.unfit = lambda txid: False
    world.network.mine(1, gap_ms=7_200_000)
    live = (await world.order("a")).live
    assert live is not None and live.txid in world.network.included
    await is_paid_once(world, "a", attempts=1)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_fork_above_the_solid_block_is_waited_out(
    mongo: Mongo, points: Points, comes_back: bool
) -> None:
    """Eighteen blocks are taken back with the payment in them."""
    await mongo.connect(ALL_DOCUMENTS)
    # Time goes on while the fork is built, so only bytes that live long can come back.
    lifetime_s = 600 if comes_back else 30
    world = await World.create(points, solid_lag=19, lifetime_s=lifetime_s)
    await world.engine.place(world.wish("a"))
    while not world.network.included:
        await world.tick()
    await world.tick(17)
    (first,) = world.network.included
    assert world.network.fork(18, lambda txid: False) == 18
    assert world.network.token[ALICE] == 0
    world.network.drop = lambda txid: txid == first and not comes_back
    await world.tick(18)
    await is_paid_once(world, "a", attempts=1 if comes_back and first else 2)


async def test_back_ends_that_disagree_about_how_far_they_are_prove_nothing(
    world: World,
) -> None:
    """One endpoint, two machines behind it, fifteen blocks apart; calls go to either."""
    calls = 0

    def lag() -> int:
        nonlocal calls
        calls += 1
        return 15 if calls % 2 else 0

    await world.tick(20)
    world.nodes[0].lag = lag
    await world.engine.place(world.wish("a"))
    for _ in range(60):
        world.pass_time()
        for step in (world.engine.dispatcher.step, world.follower.step):
            for _ in range(8):
                try:
                    await step()
                except NodeUnavailable:
                    continue
                except Exception as error:
                    assert "no solid block" in str(error) or "rest" in str(error), error
    world.nodes[0].lag = lambda: 0
    order = await world.order("a")  # it may be between two attempts now
    await is_paid_once(world, "a", attempts=len(order.tried) + (order.live_txid is None))


async def test_funds_are_set_aside_once_whatever_batch_a_late_replica_had_in_mind(
    world: World, points: Points
) -> None:
    """It had chosen one order when it fell asleep; the others have since reserved it with a
    second one, paid and closed both."""
    hold, reached, sleeping = asyncio.Event(), asyncio.Event(), [True]

    async def before(label: str) -> None:
        if label == "db:ledger_entries+reserve" and sleeping[0]:
            sleeping[0] = False
            reached.set()
            await hold.wait()

    await world.engine.place(world.wish("a"))
    late = world.another()
    points.before = before
    task = asyncio.create_task(late.engine.dispatcher.step())
    await reached.wait()
    await world.engine.place(world.wish("b"))
    await world.run_until_final("a", "b")
    hold.set()
    await task
    await world.run_until_final("a", "b")
    entries = await LedgerEntry.find({"reserves": "ord_a"}).to_list()
    assert len(entries) == 1
    assert world.network.token[world.key.address] == START_USDT - 2 * UNITS
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])
