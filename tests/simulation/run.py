"""One seeded run: some orders, some replicas, everything that can go wrong, and then the count.

The real engine, ledger, follower and node quorum on a real mongod; only the chain and its nodes
are simulated. The books are checked again and again while it goes on (L1 to L4), and the invariants
I1 to I5, L5 and L6 when all faults have ended and everything is final (invariants.py).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from random import Random

import structlog
from pymongo.errors import AutoReconnect, PyMongoError

from tests.engine.network import BLOCK_MS, ROUTER
from tests.engine.points import Points
from tests.engine.world import (
    ALICE,
    ALL_DOCUMENTS,
    BOB,
    FINAL,
    Process,
    SkewedClock,
    World,
    assert_books,
    assert_nothing_reserved,
)
from tests.simulation.invariants import assert_journal, assert_orders_booked
from tests.simulation.scheduler import IDLE, Actor, Killed, Parked, Scheduler
from tests.simulation.sent import Sent
from tron_payment.chain import ChainContradiction, NodeUnavailable
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.engine import Order, OrderStatus, Wish

REPLICAS = (1, 2, 2, 3)
HEAL_ROUNDS_MAX = 400
HEAL_STRIDE = 3
"""Blocks between two looks when nothing goes wrong any more."""

CALM_STEPS = 100
"""In which those who slept may still write what they believed."""

STEPS = 500
DEEP_STEPS = 900
"""When solidification takes as long as on the main net."""

BOOKS_EVERY_STEPS = 40
CANCEL_SHARE = 0.4
"""Of the moments in which somebody could think of canceling an order."""

CONTRACTS_SEND = (2, 5)
"""Of seven seeds those in which contracts send us TRX."""

ASK_AGAIN_EVERY = 4
"""Rounds of a process's work."""

LIFETIMES_S = (9, 24, 60)
READ_AHEAD = 4
"""Blocks under way at once with an even seed, so that those that concern nobody are passed over
together. When they have arrived is not the seed's to say: only odd seeds reproduce their run."""


class Violation(AssertionError):
    """A promise is broken; the message has the schedule."""


@dataclass
class Report:
    """What a run was made of."""

    seed: int
    steps: int
    kills: int
    forks: int
    attempts: int
    statuses: Counter[str]
    final_under_fire: int
    """Orders that were final before the faults ended."""

    trace: list[str] = field(repr=False)
    sent: Counter[str] = field(default_factory=Counter)
    """What contracts have sent, in runs in which they do (sent.py)."""


@dataclass
class Replica:
    """A machine: its clock is wrong, its process comes and goes."""

    name: str
    clock: SkewedClock
    process: Process | None = None
    actor: Actor | None = None
    callers: int = 0

    @property
    def is_up(self) -> bool:
        return self.actor is not None and not self.actor.dead and not self.actor.is_done


class Simulation:
    """A world whose every step the seed decides, but for when blocks read ahead have arrived."""

    def __init__(self, seed: int, points: Points, contracts_send: bool = False) -> None:
        self.seed = seed
        self.contracts_send = contracts_send or seed % 7 in CONTRACTS_SEND
        self.sent: Sent | None = None
        self.block_from = 0.98 if self.contracts_send else 0.88
        """Of the dice: who reads blocks keeps up with them where these are what matters."""

        self.rng = Random(seed)
        self.points = points
        self.scheduler = Scheduler(self.rng)
        self.wishes: list[Wish] = []
        self.placed: set[str] = set()
        self.canceling: set[str] = set()
        self.flapping: set[str] = set()
        self.kills = 0
        self.is_deep = seed % 5 == 0
        self.verdicts: dict[tuple[str, str], bool] = {}

    # ---- life of a run -------------------------------------------------------------------------
    async def run(self, steps: int) -> Report:
        """
        Raises:
            Violation: With the whole schedule.
        """
        try:
            await self._set_up()
            for step in range(steps or (DEEP_STEPS if self.is_deep or self.sent else STEPS)):
                await self._step()
                if step % BOOKS_EVERY_STEPS == 0:
                    await assert_journal(self.world.ledger)
            await self._heal()
            return await self._judge()
        except Exception as error:
            for actor in self.scheduler.actors:
                actor.dead = True
            await self.scheduler.bury()
            told = "\n".join(self.scheduler.trace[-400:])
            raise Violation(f"seed {self.seed}: {error!r}\n{told}") from error

    async def _set_up(self) -> None:
        rng = self.rng
        solid_lag = 19 if self.is_deep else rng.randint(1, 6)
        agreement = rng.choice([1, 2, 2, 2] if self.contracts_send else [1, 1, 2])
        self.lifetime_s = rng.choice(LIFETIMES_S)
        self.world = await World.create(
            self.points, nodes=3, solid_lag=solid_lag, lifetime_s=self.lifetime_s
        )
        self.agreement = agreement
        self.scheduler.note(f"solid lag {solid_lag}, {agreement} nodes must agree")
        self.points.before, self.points.after = self.scheduler.before, self.scheduler.after
        self.points.asked, self.points.left = self.scheduler.asked, self.scheduler.left
        self.points.reads = True
        net = self.world.network
        self.start_units = net.token[self.world.key.address], net.token[ROUTER]
        net.drop = lambda txid: self._once("drop", txid, 0.35)
        net.unfit = lambda txid: rng.random() < 0.3
        net.revert = lambda txid: self._once("revert", txid, 0.1)
        for node in self.world.nodes:
            node.says = self._lie
        if self.contracts_send:
            self.sent = Sent(self.world, rng, agreement)
            await self.sent.set_up()
            for _ in range(rng.randint(1, 4)):
                await self._send()
        for number in range(rng.randint(2, 4) - self.contracts_send):
            self.wishes.append(self._wish(f"o{number}"))
        self.replicas = [
            Replica(f"r{i}", SkewedClock(self.world.clock, self._skew()))
            for i in range(rng.choice(REPLICAS[: 3 if self.contracts_send else 4]))
        ]
        for replica in self.replicas:
            await self._start(replica)

    def _wish(self, name: str) -> Wish:
        match self.rng.randrange(4):
            case 0:
                return self.world.trx_wish(name)
            case 1:
                items = [(f"{name}.{i}", self.rng.choice([ALICE, BOB]), 3 + i) for i in range(3)]
                return self.world.batch_wish(name, items)
            case _:
                return self.world.wish(name)

    def _skew(self) -> timedelta:
        return timedelta(seconds=self.rng.choice([0, 0, -900, 900, -30, 30]))

    def _once(self, what: str, txid: str, probability: float) -> bool:
        """The same answer for the same transaction, on every fork."""
        if (what, txid) not in self.verdicts:
            self.verdicts[(what, txid)] = self.rng.random() < probability
        return self.verdicts[(what, txid)]

    def _lie(self, accepted: bool, code: str) -> tuple[bool, str]:
        """A broadcast's answer is worth nothing."""
        if self.rng.random() < 0.3:
            return self.rng.choice(
                [
                    (True, "SUCCESS"),
                    (False, "DUP_TRANSACTION_ERROR"),
                    (False, "SERVER_BUSY"),
                    (False, "CONTRACT_VALIDATE_ERROR"),
                    (False, "NOT_ENOUGH_EFFECTIVE_CONNECTION"),
                ]
            )
        return accepted, code

    # ---- one step ------------------------------------------------------------------------------
    async def _step(self) -> None:
        rng, scheduler = self.rng, self.scheduler
        await scheduler.bury()
        for replica in self.replicas:
            if not replica.is_up and rng.random() < 0.08:
                scheduler.note(f"{replica.name} starts")
                await self._start(replica)
        dice = rng.random()
        waiting = scheduler.waiting(with_idle=False)
        if dice < 0.07:
            await rng.choice(self._troubles())()
        elif waiting and dice < self.block_from:
            await self._let_go(rng.choice(waiting))
        else:
            await self._block()

    def _troubles(self) -> list[Callable[[], Awaitable[None]]]:
        """What else may happen; those named twice happen twice as often."""
        return [
            *(self._ask, self._ask, self._ask, self._cancel),
            *(self._kill, self._pause, self._pause, self._pause, self._pause),
            *(self._fork, self._fork, self._nodes_change, self._nodes_change),
            *(self._halt, self._skew_one),
            *(
                [self._send, self._send, self._send, self._retell, self._import]
                if self.sent
                else []
            ),
        ]

    async def _let_go(self, parked: Parked) -> None:
        rng, actor, label = self.rng, parked.actor, parked.label
        dice = rng.random()
        fate = ""
        error: BaseException | None = None
        if dice < 0.005:
            actor.kill_after, fate = True, " and dies after it"
            self.kills += 1
        elif dice < 0.01:
            error, fate = Killed(label), " and dies before it"
            actor.dead = True
            self.kills += 1
        elif dice < 0.03 and label.startswith("db:"):
            actor.lose_answer, fate = True, ", done, but the answer is lost"
        elif dice < 0.04 and label.startswith(("db:", "read:")):
            error, fate = AutoReconnect("lost"), ", lost on the way"
        elif dice < 0.07 and label.startswith("node:"):
            error, fate = NodeUnavailable("sim", "lost"), ", lost on the way"
        self.scheduler.note(f"{actor.name} {label}{fate}")
        if error is not None:
            await self.scheduler.refuse(parked, error)
        else:
            await self.scheduler.let_go(parked)
        await self.scheduler.bury()

    async def _block(self, gap_ms: int = 0) -> None:
        net = self.world.network
        net.mine(1, gap_ms)
        self.world.clock.advance(timedelta(milliseconds=BLOCK_MS))
        made = net.blocks[-1]
        held = ", ".join(
            f"{p.txid[:6]} {r.receipt.result or 'SUCCESS'}"
            for p, r in zip(made.transactions, made.receipts, strict=True)
        )
        self.scheduler.note(f"block {net.tip.number} [{held}], solid {net.solid_number}")
        for parked in self.scheduler.waiting(with_idle=True):
            if parked.label == IDLE:
                await self.scheduler.let_go(parked)

    async def _halt(self) -> None:
        """No blocks for up to two hours, while all clocks go on."""
        gap = self.rng.choice([6, 30, 300, 7_200])
        self.world.clock.advance(timedelta(seconds=gap))
        self.scheduler.note(f"the chain stands still for {gap} s")
        await self._block(gap * 1_000)

    async def _fork(self) -> None:
        net = self.world.network
        depth = net.fork(self.rng.randint(1, 18), lambda txid: self.rng.random() < 0.6)
        self.scheduler.note(f"fork: {depth} blocks are taken back")
        if self.rng.random() < 0.5:
            for _ in range(depth):
                await self._block()

    async def _nodes_change(self) -> None:
        node = self.rng.choice(self.world.nodes)
        # an opening balance is the word of so many nodes: fewer are several that are apart then
        may_flap = self.sent is None or len(self.flapping - {node.alias}) < self.agreement - 1
        match self.rng.choice([0, 1, 2, 3] if may_flap else [0, 2, 3]):
            case 0:
                node.away = not node.away
                self.scheduler.note(f"node {node.alias} is {'away' if node.away else 'back'}")
            case 1:
                most = self.rng.randint(1, 10)
                node.lag = lambda: self.rng.choice([0, 0, most])
                self.flapping.add(node.alias)
                self.scheduler.note(f"node {node.alias} flaps between back ends, {most} apart")
            case 2:
                fixed = self.rng.randint(1, 30)
                node.lag = lambda: fixed
                self.flapping.discard(node.alias)
                self.scheduler.note(f"node {node.alias} is stuck {fixed} blocks behind")
            case _:
                node.lag = lambda: 0
                node.away = False
                self.flapping.discard(node.alias)
                self.scheduler.note(f"node {node.alias} is well")

    async def _skew_one(self) -> None:
        replica = self.rng.choice(self.replicas)
        replica.clock.by = self._skew()
        self.scheduler.note(f"the clock of {replica.name} jumps to {replica.clock.by} off")

    async def _send(self) -> None:
        assert self.sent is not None
        self.scheduler.note(self.sent.send())

    async def _retell(self) -> None:
        assert self.sent is not None
        self.scheduler.note(self.sent.change())

    async def _import(self) -> None:
        up = [replica for replica in self.replicas if replica.is_up]
        if self.sent is not None and up and not self.sent.is_imported:
            await self._call(self.rng.choice(up), "import", self.sent.ask_import)

    # ---- processes and callers -----------------------------------------------------------------
    async def _start(self, replica: Replica) -> None:
        process = self._process(replica.clock)
        replica.process = process

        async def work() -> None:
            steps = [
                process.engine.dispatcher.step,
                process.follower.step,
                process.engine.dispatcher.close_books,
                process.engine.tell,
            ]
            seldom: list[Callable[[], Awaitable[bool]]] = []
            if self.sent:  # here blocks are what matters
                seldom = [*steps, process.openings.step, process.engine.internal.step]
                steps = [process.follower.step]
            for turn in count():
                busy = False
                for step in [*steps, *(seldom if turn % ASK_AGAIN_EVERY == 0 else [])]:
                    try:
                        busy |= await step()
                    except ChainContradiction as contradiction:
                        if self.sent is None:
                            raise
                        self.scheduler.note(f"{replica.name}: {contradiction!r}"[:160])
                        await self._resume(process)
                    except (AppError, PyMongoError) as error:
                        self.scheduler.note(f"{replica.name} failed: {error!r}"[:160])
                if not busy:
                    await self.scheduler.idle()

        replica.actor = await self.scheduler.start(replica.name, work)

    def _process(self, clock: Clock) -> Process:
        return Process(
            self.world.nodes,
            clock,
            self.world.key,
            agreement=self.agreement,
            lifetime_s=self.lifetime_s,
            read_ahead=1 if self.seed % 2 else READ_AHEAD,
            also=self.sent.show if self.sent else None,
        )

    async def _resume(self, process: Process) -> None:
        assert self.sent is not None
        with suppress(AppError, PyMongoError):
            await self.sent.operator(process)

    async def _kill(self) -> None:
        replica = self.rng.choice(self.replicas)
        if replica.is_up and replica.actor is not None:
            at = [parked.label for parked in replica.actor.parked]
            self.scheduler.note(f"{replica.name} is killed at {at}")
            self.kills += 1
            await self.scheduler.kill(replica.actor)

    async def _pause(self) -> None:
        """Freeze somebody wherever he is, or let him wake with all that he believes."""
        actor = self.rng.choice(self.scheduler.actors) if self.scheduler.actors else None
        if actor is not None:
            actor.paused = not actor.paused
            self.scheduler.note(f"{actor.name} {'sleeps' if actor.paused else 'wakes'}")

    async def _ask(self) -> None:
        waiting = [wish for wish in self.wishes if wish.order_id not in self.placed]
        up = [replica for replica in self.replicas if replica.is_up]
        if waiting and up:
            wish, replica = self.rng.choice(waiting), self.rng.choice(up)
            await self._call(replica, f"place {wish.order_id}", lambda p: self._place(p, wish))

    async def _place(self, process: Process, wish: Wish) -> None:
        await process.engine.place(wish)
        self.placed.add(wish.order_id)

    async def _cancel(self) -> None:
        up = [replica for replica in self.replicas if replica.is_up]
        if self.placed and up and self.rng.random() < CANCEL_SHARE:
            order_id = self.rng.choice(sorted(self.placed))
            replica = self.rng.choice(up)
            await self._call(
                replica, f"cancel {order_id}", lambda process: process.engine.cancel(order_id)
            )

    async def _call(
        self, replica: Replica, what: str, act: Callable[[Process], Awaitable[None]]
    ) -> None:
        process = replica.process
        assert process is not None
        replica.callers += 1
        name = f"{replica.name}.{replica.callers} {what}"

        async def call() -> None:
            try:
                await act(process)
                self.scheduler.note(f"{name}: yes")
            except (AppError, PyMongoError) as error:
                self.scheduler.note(f"{name}: {error!r}"[:160])

        await self.scheduler.start(name, call)

    # ---- the end -------------------------------------------------------------------------------
    async def _heal(self) -> None:
        """All faults end, sleepers wake, and everything runs until it is final."""
        self.scheduler.note("all faults end")
        self.final_under_fire = sum(o.status in FINAL for o in await self._orders())
        net = self.world.network
        net.drop = net.unfit = net.revert = lambda txid: False
        for node in self.world.nodes:
            node.away, node.lag, node.says = False, lambda: 0, lambda ok, code: (ok, code)
        for actor in self.scheduler.actors:
            actor.paused = False
        for _ in range(CALM_STEPS):
            await self.scheduler.bury()
            if waiting := self.scheduler.waiting(with_idle=False):
                parked = self.rng.choice(waiting)
                self.scheduler.note(f"{parked.actor.name} {parked.label}")
                await self.scheduler.let_go(parked)
        for actor in self.scheduler.actors:
            actor.dead = True
        await self.scheduler.bury()
        self.world.clock.advance(timedelta(minutes=20))  # past every wrong clock's due times
        self.world.start()
        if self.sent is not None:
            await self.sent.cease_fire()
            self.world.process = self._process(self.world.clock)
            await self.world.follower.resume()
        process = self.world.process
        for wish in self.wishes:
            await process.engine.place(wish)
        for _ in range(HEAL_ROUNDS_MAX):
            orders = await self._orders()
            if all(order.status in FINAL and not order.books_open for order in orders):
                break
            if any(order.status is OrderStatus.QUARANTINED for order in orders):
                raise AssertionError("quarantined")
            await self._calm_blocks(HEAL_STRIDE)
        else:
            raise AssertionError([(o.id, o.status, o.waiting_for) for o in orders])
        await self._calm_blocks(net.solid_lag + 1)
        if self.sent is not None:
            self.sent.tell_all()
            await self.sent.heal(self._calm_blocks)

    async def _calm_blocks(self, count: int) -> None:
        """Some blocks pass, and then everything that is due is done."""
        self.world.pass_time(count)
        await self.world.process.run_dry()

    async def _orders(self) -> list[Order]:
        return await Order.find_all().to_list()

    async def _judge(self) -> Report:
        """I1 to I5, on the solid chain."""
        orders = await self._orders()
        net, world = self.world.network, self.world
        on_chain = {
            pooled.txid: receipt.receipt.result in ("", "SUCCESS")
            for made in net.solid()
            for pooled, receipt in zip(made.transactions, made.receipts, strict=True)
            if self.sent is None or pooled.txid not in self.sent.sent
        }
        owner = {txid: order_id for order_id, txid in world.key.signed}
        stored = {attempt.txid for order in orders for attempt in order.tried}
        assert set(net.submitted) <= stored, "bytes left the process before they were stored"
        assert set(on_chain) <= stored, "I5: a transaction on the chain is no attempt's"
        paid = Counter(owner[txid] for txid, ok in on_chain.items() if ok)
        assert all(times == 1 for times in paid.values()), f"I1: paid twice: {paid}"
        for order in orders:
            settled = order.status is OrderStatus.SETTLED
            assert settled == (paid[order.id] == 1), f"I2, I3: {order.id} {order.status} {paid}"
        assert {order.id for order in orders} == {wish.order_id for wish in self.wishes}
        await assert_journal(world.ledger)
        await assert_orders_booked(orders)
        sent = await self.sent.judge() if self.sent is not None else Counter[str]()
        await assert_books(net, world.ledger, [world.key.address, ROUTER])
        await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])
        alarms = {event for event, _ in world.alarms}
        assert alarms <= {"safe_mode.begun", "safe_mode.ended"}, world.alarms
        return Report(
            self.seed,
            self.scheduler.steps,
            self.kills,
            net.forks,
            len(stored),
            Counter(str(order.status) for order in orders),
            self.final_under_fire,
            self.scheduler.trace,
            sent,
        )


async def clear() -> None:
    """An empty store, with its indexes."""
    await asyncio.gather(
        *(model.get_pymongo_collection().delete_many({}) for model in ALL_DOCUMENTS)
    )


async def simulate(
    seed: int, points: Points, steps: int = 0, *, contracts_send: bool = False
) -> Report:
    """Run one seed on the connected store.

    Args:
        steps: 0 means as many as are usual.
        contracts_send: Also where the seed has no contracts that send us TRX.

    Raises:
        Violation: The seed, what is wrong, and the schedule that led there.
    """
    points.reset()
    await clear()
    logging = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        return await Simulation(seed, points, contracts_send).run(steps)
    finally:
        points.reset()
        structlog.configure(**logging)
