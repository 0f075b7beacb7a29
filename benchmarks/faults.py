"""The engine at full speed, calm and under the simulation's faults.

Two processes of the real engine on one real mongod and a simulated network whose blocks come as
soon as both have nothing left to do. In the storm everything happens at once that the simulation
does one at a time: kills, lost answers, lying and flapping nodes, forks, halts, lost and reverted
transactions. Every order is then counted on the chain and in the books: the figure is only given
when each was paid exactly once or provably not at all.
"""

import asyncio
import contextlib
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest
import structlog
from pymongo.errors import AutoReconnect, PyMongoError
from tests.engine.network import ROUTER
from tests.engine.points import Points
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    FINAL,
    Process,
    World,
    assert_books,
    assert_nothing_reserved,
)
from tests.simulation.invariants import assert_journal, assert_orders_booked

from benchmarks.report import Row
from tron_payment.chain import NodeUnavailable
from tron_payment.core.errors import AppError
from tron_payment.db.connect import connect
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.engine import Order, OrderStatus

MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None
COUNT: Final = 1_000
UNITS: Final = 1_000
SEED: Final = 1
SOLID_LAG: Final = 6
LIFETIME_S: Final = 60
BLOCKS_MAX: Final = 2_000
MEASURE_S: Final = 300.0
KILLED_WITHIN_S: Final = 0.2
LIES: Final = (
    (True, "SUCCESS"),
    (False, "DUP_TRANSACTION_ERROR"),
    (False, "SERVER_BUSY"),
    (False, "CONTRACT_VALIDATE_ERROR"),
    (False, "NOT_ENOUGH_EFFECTIVE_CONNECTION"),
)


@dataclass
class Outcome:
    """One measured run."""

    seconds: float
    blocks: int
    attempts: int
    statuses: Counter[str]


@dataclass
class Storm:
    """The simulation's faults with its probabilities; `away` of them all is a calm day."""

    rng: Random
    world: World
    points: Points
    happened: Counter[str] = field(default_factory=Counter)
    verdicts: dict[tuple[str, str], bool] = field(default_factory=dict)

    def begin(self) -> None:
        net = self.world.network
        net.drop = lambda txid: self._once("lost", txid, 0.35)
        net.revert = lambda txid: self._once("reverted", txid, 0.1)
        net.unfit = lambda txid: self.rng.random() < 0.3
        for node in self.world.nodes:
            node.says = self._lie
        self.points.before, self.points.after = self._before, self._after

    def end(self) -> None:
        net = self.world.network
        net.drop = net.revert = net.unfit = lambda txid: False
        for node in self.world.nodes:
            node.away, node.lag, node.says = False, lambda: 0, lambda ok, code: (ok, code)
        self.points.reset()

    def between_blocks(self) -> None:
        """Something happens to the network or a node now and then."""
        rng, net = self.rng, self.world.network
        dice, node = rng.random(), rng.choice(self.world.nodes)
        if dice < 0.10:
            self.happened["forks"] += 1
            net.fork(rng.randint(1, 18), lambda txid: rng.random() < 0.6)
        elif dice < 0.13:
            self.happened["halts"] += 1
            gap_s = rng.choice([6, 30, 300])
            self.world.clock.advance(timedelta(seconds=gap_s))
            net.mine(1, gap_s * 1_000)
        elif dice < 0.25:
            self.happened["node changes"] += 1
            most = rng.randint(1, 10)
            node.lag = lambda: rng.choice([0, 0, most])
        elif dice < 0.35:
            self.happened["node changes"] += 1
            node.away = not node.away
        elif dice < 0.45:
            node.away, node.lag = False, lambda: 0

    async def _before(self, label: str) -> None:
        dice = self.rng.random()
        if dice < 0.01 and label.startswith("db:"):
            self.happened["lost writes"] += 1
            raise AutoReconnect("lost on the way")
        if dice < 0.03 and label.startswith("node:"):
            self.happened["lost calls"] += 1
            raise NodeUnavailable("sim", "lost on the way")

    async def _after(self, label: str) -> None:
        if self.rng.random() < 0.02 and label.startswith("db:"):
            self.happened["lost answers"] += 1
            raise AutoReconnect("the answer is lost")

    def _lie(self, accepted: bool, code: str) -> tuple[bool, str]:
        return self.rng.choice(LIES) if self.rng.random() < 0.3 else (accepted, code)

    def _once(self, what: str, txid: str, probability: float) -> bool:
        """The same answer for the same transaction, on every fork."""
        if (what, txid) not in self.verdicts:
            self.verdicts[(what, txid)] = self.rng.random() < probability
            self.happened[what] += self.verdicts[(what, txid)]
        return self.verdicts[(what, txid)]


async def run(profile: Path | None) -> list[Row]:
    """One row; asserts that nothing was paid twice, lost or miscounted in either run."""
    logging = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=MEMORY) as folder:
            server = EmbeddedMongod(Path(folder))
            uri = await server.start()
            try:
                calm, _ = await _measured(uri, "calm", stormy=False)
                storm, faults = await _measured(uri, "storm", stormy=True)
            finally:
                await server.stop()
    finally:
        structlog.configure(**logging)
    happened = ", ".join(f"{count} {what}" for what, count in sorted(faults.items()))
    ours, theirs = COUNT / storm.seconds, COUNT / calm.seconds
    return [
        Row(
            what=f"{COUNT} orders ended by two engines in the simulation's faults",
            figure=f"{ours:.0f}/s",
            beside=f"{theirs:.0f}/s",
            ratio=ours / theirs,
            notes=f"beside: without faults; {dict(storm.statuses)}, {storm.attempts} attempts in "
            f"{storm.blocks} blocks; {happened}; each paid once or not at all, books equal chain",
        )
    ]


async def _measured(uri: str, name: str, *, stormy: bool) -> tuple[Outcome, Counter[str]]:
    store = await connect(uri, f"benchmark_{name}", ALL_DOCUMENTS)
    points = Points()
    try:
        with pytest.MonkeyPatch.context() as patch:
            points.watch(patch)
            world = await World.create(points, nodes=3, solid_lag=SOLID_LAG, lifetime_s=LIFETIME_S)
            storm = Storm(Random(SEED), world, points)
            began = time.perf_counter()
            await world.engine.place_many([world.wish(f"n{n}", UNITS) for n in range(COUNT)])
            if stormy:
                storm.begin()
            async with asyncio.timeout(MEASURE_S):
                blocks = await _until_final(world, storm, stormy)
            seconds = time.perf_counter() - began
            storm.end()
            return await _judged(world, seconds, blocks), storm.happened
    finally:
        await store.close()


async def _until_final(world: World, storm: Storm, stormy: bool) -> int:
    """Blocks until every order is final; two processes work on each, one is killed in between."""
    steady, victim = world.another(), world.another()
    for block in range(BLOCKS_MAX):
        world.pass_time()
        if stormy:
            storm.between_blocks()
        tasks = [asyncio.create_task(_work(each)) for each in (steady, victim)]
        if stormy and block % 3 == 2:
            await asyncio.wait([tasks[1]], timeout=storm.rng.uniform(0, KILLED_WITHIN_S))
            tasks[1].cancel()
            storm.happened["kills"] += 1
            victim = world.another(timedelta(seconds=storm.rng.choice([0, -900, 900])))
        await asyncio.gather(*tasks, return_exceptions=True)
        counts = await world.engine.stats()
        if sum(counts.get(status.value, 0) for status in FINAL) == COUNT:
            return block + 1
    raise AssertionError(f"not done after {BLOCKS_MAX} blocks: {counts}")


async def _work(process: Process) -> None:
    """Everything that is due now; what fails is tried again at the next block."""
    for step in (
        process.engine.dispatcher.step,
        process.follower.step,
        process.engine.dispatcher.close_books,
        process.engine.tell,
    ):
        with contextlib.suppress(AppError, PyMongoError):
            while await step():
                pass


async def _judged(world: World, seconds: float, blocks: int) -> Outcome:
    """The faults have ended: what stands on the chain is what the orders and the books say."""
    world.start()
    await world.tick(2 * SOLID_LAG)
    orders = await Order.find_all().to_list()
    network, owner = world.network, {txid: order_id for order_id, txid in world.key.signed}
    paid = Counter(
        owner[pooled.txid]
        for made in network.solid()
        for pooled, receipt in zip(made.transactions, made.receipts, strict=True)
        if receipt.receipt.result in ("", "SUCCESS")
    )
    assert len(orders) == COUNT and set(paid.values()) <= {1}
    assert all((order.status is OrderStatus.SETTLED) == (paid[order.id] == 1) for order in orders)
    assert network.token[ALICE] == len(paid) * UNITS
    await assert_journal(world.ledger)
    await assert_orders_booked(orders)
    await assert_books(network, world.ledger, [world.key.address, ROUTER])
    await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])
    statuses = Counter(order.status.value for order in orders)
    return Outcome(seconds, blocks, sum(len(order.attempts) for order in orders), statuses)
