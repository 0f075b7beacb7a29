"""Two processes on one store, with clocks half an hour apart; one sleeps wherever it may hurt.

The sleeper stops before or after any database access, node call or signature, the other one
finishes everything, and then the sleeper wakes with all that it believed.
"""

import asyncio
import os
from contextvars import ContextVar
from datetime import timedelta
from itertools import count

import pytest

from tests.conftest import Mongo
from tests.engine.network import ROUTER
from tests.engine.points import Points
from tests.engine.test_crash_points import BLOCKS_MAX, ROUTER_FRIEND, SCENARIOS, Scenario
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    FINAL,
    Process,
    World,
    assert_nothing_reserved,
)
from tron_payment.chain import ChainContradiction, MongoCursors
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.ledger import Draft, Pocket, Posting, account
from tron_payment.engine import OrderFinished, OrderSigned
from tron_payment.loops import end

SKEW = timedelta(minutes=15)
POINTS_MAX = 400
STRIDE = 1 if os.environ.get("SOAK") else 7
"""Every seventh point in the normal run: befores and afters take turns."""

IS_SLEEPER: ContextVar[bool] = ContextVar("is_sleeper", default=False)


class Sleep:
    """Puts the sleeper to sleep at its n-th passage."""

    def __init__(self, points: Points, remaining: int) -> None:
        self.remaining = remaining
        self.label = ""
        self.asleep, self.wake = asyncio.Event(), asyncio.Event()
        points.before = lambda label: self._pass(f"before {label}")
        points.after = lambda label: self._pass(f"after {label}")

    async def _pass(self, label: str) -> None:
        if not IS_SLEEPER.get():
            return
        self.remaining -= 1
        if self.remaining == 0:
            self.label = label
            self.asleep.set()
            await self.wake.wait()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
async def test_a_stale_writer_changes_nothing(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    world = await World.create(points, solid_lag=1, lifetime_s=9)
    world.network.token[ROUTER_FRIEND] = 1_000_000
    await top_up(world)
    points.watch(monkeypatch)
    points.reads = True
    for point in count(1, STRIDE):
        assert point < POINTS_MAX
        name = f"{scenario.name}{point}"
        world.network.drop = world.network.revert = lambda txid: False
        scenario.prepare(world, name)
        before = world.network.token[ALICE]
        sleep = Sleep(points, point)
        world.process = world.another(SKEW)
        sleeper = asyncio.create_task(live(world, scenario, name))
        asleep = asyncio.create_task(sleep.asleep.wait())
        await asyncio.wait([sleeper, asleep], return_when=asyncio.FIRST_COMPLETED)
        finished = sleeper.done()
        asleep.cancel()
        if not finished:
            world.process = world.another(-SKEW)
            await ask(world, scenario, name)
            await until_done(world, scenario, name)
            await world.tick(2)
            sleep.wake.set()
        await sleeper
        await until_done(world, scenario, name)
        await scenario.check(world, name, before)
        if finished:
            break
    world.process = world.another()
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])
    assert [event for event, _ in world.alarms] == []


async def live(world: World, scenario: Scenario, name: str) -> None:
    """The sleeper's life: it asks, and works until it is done."""
    IS_SLEEPER.set(True)
    mine = world.process
    await ask(world, scenario, name)
    for _ in range(BLOCKS_MAX):
        if await scenario.is_done(world, name):
            return
        world.pass_time()
        await mine.run_dry()


async def ask(world: World, scenario: Scenario, name: str) -> None:
    """Two processes may be asked the same thing at once; the slower one is told so."""
    try:
        await scenario.ask(world, name)
    except (OrderSigned, OrderFinished, StoreUnavailable):
        assert scenario.name == "canceled"


async def until_done(world: World, scenario: Scenario, name: str) -> None:
    for _ in range(BLOCKS_MAX):
        if await scenario.is_done(world, name):
            return
        await world.tick()
    raise AssertionError(f"{name} is not done after {BLOCKS_MAX} blocks")


async def test_two_processes_share_a_thousand_orders_while_one_is_killed_again_and_again(
    mongo: Mongo,
) -> None:
    """Both run freely, as tasks; one is killed every few blocks and started again."""
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    world = await World.create(nodes=2)
    names = [f"n{i}" for i in range(1_000)]
    await top_up(world)
    await world.engine.place_many([world.wish(name) for name in names])
    steady = world.another()
    victim = asyncio.create_task(run_for_ever(world.another()))
    for block in range(BLOCKS_MAX):
        world.pass_time()
        await asyncio.gather(steady.run_dry(), asyncio.sleep(0.02))
        if block % 3 == 2:
            await end(victim)
            victim = asyncio.create_task(run_for_ever(world.another()))
        counts = await world.engine.stats()
        if counts == {"settled": 1_000}:
            break
    await end(victim)
    assert await world.engine.stats() == {"settled": 1_000}
    assert world.network.token[ALICE] == 1_000 * 5_000_000
    assert {(await world.order(name)).status for name in names[:20]} <= FINAL
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


async def run_for_ever(process: Process) -> None:
    while True:
        await process.run_dry()
        await asyncio.sleep(0.001)


async def top_up(world: World) -> None:
    """Enough for a thousand orders; the books learn of what is given by hand."""
    world.network.trx[world.key.address] += 1_000 * 10**9
    world.network.token[world.key.address] += 1_000 * 5_000_000
    available = account(world.key.address, Pocket.AVAILABLE)

    async def build(_: object) -> Draft:
        return Draft(
            "top_up",
            (
                Posting("opening", available, "TRX", 1_000 * 10**9, "o"),
                Posting("opening", available, "USDT", 1_000 * 5_000_000, "o"),
            ),
        )

    await world.ledger.append(build)


async def test_no_block_is_applied_after_another_process_has_stopped_the_following(
    mongo: Mongo,
) -> None:
    """Ours knows from memory where it is; whether it may go on, the store says."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    await world.process.run_dry()
    world.network.mine(1)
    assert await world.follower.step()
    before = await MongoCursors().load()
    assert before is not None
    await MongoCursors().halt("two blocks at one height")
    world.network.mine(1)
    with pytest.raises(ChainContradiction):
        await world.follower.step()
    after = await MongoCursors().load()
    assert after is not None
    assert after.number == before.number
    await world.follower.resume()
    assert await world.follower.step()
