"""Batches of payouts between two processes that die: cancel, approval and bisection race.

The whole service twice on one store and one devnet. Both are asked and both work at the same time,
who comes next is mixed at every access to the store, and one of them dies at a seeded one. In the
end each row was paid exactly once or has ended unpaid, whatever was asked in between.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pymongo.errors import PyMongoError

from tests.conftest import Mongo
from tests.engine.points import Crash, Points
from tests.gateway.world import QUIET, World, again
from tests.payouts.test_batches import poison
from tests.payouts.test_policy import enforce
from tests.payouts.world import Pay, person, wish, world
from tests.simulation.invariants import assert_journal, assert_orders_booked
from tron_payment.core.errors import AppError
from tron_payment.db.events import Event
from tron_payment.engine import Order
from tron_payment.payouts.documents import Payout

SEEDS = int(os.environ.get("BATCH_RACE_SEEDS", "3"))
UNITS = 12_500_000
ORDER_ROWS = 3
"""`PAYOUT_BATCH_SIZE`: a batch has one to three router orders."""

APPROVED_ABOVE = "60"
"""USDT; batches of five rows and more wait for an approver."""

ROUNDS = 8
HEAL_ROUNDS_MAX = 15
DIES_WITHIN = 90
"""Accesses to the store; many a process survives its round."""

ENDED = {"settled", "failed", "canceled", "rejected"}
YIELDS = (0, 0, 0, 1, 3, 12)


@dataclass(eq=False)
class Process:
    """One running service; dead after so many accesses."""

    pay: Pay
    left: int = 0
    dead: bool = False


ACTING: ContextVar[Process | None] = ContextVar("acting", default=None)


@dataclass
class Race:
    """One batch, and everything that happens to it."""

    pay: Pay
    mongo: Mongo
    rng: Random
    stack: AsyncExitStack
    points: Points
    processes: list[Process] = field(default_factory=list)
    deaths: int = 0
    asked: list[str] = field(default_factory=list)
    """What was asked and answered, for the one who reads a failure."""

    async def start(self) -> Process:
        """A fresh process on the store; it may be the one that dies next."""
        made: World = await self.stack.enter_async_context(again(self.mongo, self.pay.world))
        deployment = made.house.deployment
        deployment.router_v0, deployment.router_kyc = self.pay.v0, self.pay.kyc
        made.house.engine.dispatcher.gates[:] = []  # only the contract knows of the poison
        process = Process(Pay(made, self.pay.v0, self.pay.kyc))
        if self.rng.random() < 0.6:
            process.left = self.rng.randint(1, DIES_WITHIN)
        self.processes.append(process)
        return process

    async def before(self, label: str) -> None:
        process = ACTING.get()
        if process is None:
            return
        process.left -= 1
        if process.left == 0:
            process.dead = True
        if process.dead:
            raise Crash(label)
        for _ in range(self.rng.choice(YIELDS)):
            await asyncio.sleep(0)

    async def round(self, *more: Any) -> None:
        """A block, one pass of both processes through all that is due, and what is asked."""
        await self.pay.world.devnet.mine()
        results = await asyncio.gather(
            *(self._pass(each) for each in self.processes), *more, return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Crash):
                raise result
        for process in [each for each in self.processes if each.dead]:
            self.deaths += 1
            self.processes.remove(process)
            await self.start()

    async def _pass(self, process: Process) -> None:
        ACTING.set(process)
        for loop in process.pay.world.assembly.loops.all:
            if loop.name in QUIET:
                continue
            try:
                await loop.step()
            except (AppError, PyMongoError) as error:
                self.asked.append(f"{loop.name}: {error!r}"[:120])

    async def ask(self, what: str, path: str, body: Any = None, **who: Any) -> None:
        """Somebody asks one of the processes, which may die over it."""
        process = self.rng.choice(self.processes)
        ACTING.set(process)
        try:
            answer = await process.pay.post(path, body, **who)
        except (Crash, httpx.HTTPError) as error:
            self.asked.append(f"{what}: {error!r}")
            return
        self.asked.append(f"{what}: {answer.status_code} {answer.text[:80]}")
        assert answer.status_code < 500 or answer.status_code == 503, (what, answer.text)


@pytest.fixture(scope="module")
async def mongo_here(mongo_uri: str, mongo_sweeper: Any) -> AsyncIterator[Mongo]:
    fresh = Mongo(mongo_uri, f"test_races_{uuid4().hex[:12]}")
    yield fresh
    for store in fresh.stores:
        await store.close()
    await mongo_sweeper.drop_database(fresh.name)


@pytest.fixture(scope="module")
async def pay(mongo_here: Mongo) -> AsyncIterator[Pay]:
    async with world(mongo_here, payout_batch_size=ORDER_ROWS) as made:
        await enforce(made, approval_bands=[{"above": APPROVED_ABOVE, "approvals": 1}])
        yield made


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_every_row_of_a_batch_ends_once_whoever_dies_or_calls_it_back(
    pay: Pay, mongo_here: Mongo, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    points = Points()
    points.watch(monkeypatch)
    async with AsyncExitStack() as stack:
        race = Race(pay, mongo_here, Random(seed), stack, points)
        try:
            await run(race)
        except Exception as error:
            told = "\n".join(race.asked)
            raise AssertionError(f"seed {seed}, {race.deaths} deaths\n{told}") from error
        finally:
            points.reset()


async def run(race: Race) -> None:
    pay, rng, points = race.pay, race.rng, race.points
    for _ in range(2):
        await race.start()
    wanted = [
        wish(user_id=f"node-{i}", recipient_address=person()) for i in range(rng.randint(2, 8))
    ]
    body, key = {"payouts": wanted}, f"race-{uuid4().hex}"
    batch_id = (await pay.post("/payouts/batch", body, key=key)).json()["batch_id"]
    poisoned = await poison_some(race, batch_id)
    points.before = points.after = race.before
    points.reads = True
    for _ in range(ROUNDS):
        await race.round(*asks(race, batch_id, body, key))
    points.reset()
    await heal(race, batch_id)
    await judge(race, batch_id, poisoned)


def asks(race: Race, batch_id: str, body: Any, key: str) -> list[Any]:
    """What people ask in this round; each may come at any time, and again."""
    rng, path = race.rng, f"/payouts/batch/{batch_id}"
    found: list[Any] = []
    if rng.random() < 0.3:
        found.append(race.ask("repeat", "/payouts/batch", body, key=key))
    if rng.random() < 0.3:
        found.append(race.ask("approve", f"{path}/approve", role="approver", sub="ap-1"))
    if rng.random() < 0.12:
        found.append(race.ask("cancel", f"{path}/cancel"))
    if rng.random() < 0.08:
        why = {"reason": "who?"}
        found.append(race.ask("reject", f"{path}/reject", why, role="approver", sub="ap-2"))
    if rng.random() < 0.4:
        found.append(leave(race, batch_id))
    return found


async def leave(race: Race, batch_id: str) -> None:
    """One row is called back alone."""
    payouts = await Payout.find({"batch_id": batch_id}).to_list()
    if payouts:
        payout = race.rng.choice(payouts)
        await race.ask(f"row {payout.row} leaves", f"/payouts/{payout.id}/cancel")


async def poison_some(race: Race, batch_id: str) -> set[str]:
    """Payouts that only the contract knows to be wrong, in orders that are there already."""
    poisoned: set[str] = set()
    if race.rng.random() < 0.5:
        return poisoned
    for order in await Order.find({"subject": batch_id, "status": "queued"}).to_list():
        refs = [each["ref"] for each in order.expects]
        if len(refs) < 2 or race.rng.random() < 0.4:
            continue
        place = race.rng.randrange(len(refs))
        poisoned.add(refs[place])
        await poison(order, race.pay.v0, {place})
    await Payout.get_pymongo_collection().update_many(
        {"_id": {"$in": sorted(poisoned)}}, {"$set": {"recipient_address": race.pay.v0}}
    )
    return poisoned


async def heal(race: Race, batch_id: str) -> None:
    """Nobody dies any more; what waits for an approver is approved."""
    last = await race.start()
    last.left = 0
    path = f"/payouts/batch/{batch_id}/approve"
    await last.pay.post(path, role="approver", sub="ap-1")
    for _ in range(HEAL_ROUNDS_MAX):
        await last.pay.settle()
        payouts = await Payout.find({"batch_id": batch_id}).to_list()
        if payouts and all(payout.status.value in ENDED for payout in payouts):
            break
    else:
        raise AssertionError([(p.row, p.status.value, p.waiting_for) for p in payouts])
    await last.pay.settle()


async def judge(race: Race, batch_id: str, poisoned: set[str]) -> None:
    pay = race.pay
    for payout in await Payout.find({"batch_id": batch_id}).to_list():
        assert await ends_told(payout) == [payout.status.value], payout.row
        if payout.id in poisoned:
            assert payout.status.value != "settled", payout.row
            continue
        paid = UNITS if payout.status.value == "settled" else 0
        assert await pay.held(payout.recipient_address) == paid, (payout.row, payout.status)
        assert payout.status.value != "failed", (payout.row, payout.reason)
    orders = await Order.find({"subject": batch_id}).to_list()
    await assert_orders_booked(orders)
    await assert_journal(pay.house.ledger)
    await pay.assert_books_equal_chain()


async def ends_told(payout: Payout) -> list[str]:
    """How it has ended, by what listeners were told: once, and as it did."""
    events = await Event.find({"object_id": payout.id}).sort("+seq").to_list()
    return [name for e in events if (name := e.type.removeprefix("payout.")) in ENDED]


async def test_a_row_that_left_before_the_approval_is_never_called_paid(pay: Pay) -> None:
    """Its batch is approved, and its mates are paid by an order that was made without it."""
    wanted = [wish(user_id=f"node-{i}", recipient_address=person()) for i in range(5)]
    made = await pay.batch(wanted)
    assert made["status"] == "awaiting_approval"
    rows = await Payout.find({"batch_id": made["batch_id"]}).sort("+row").to_list()
    assert (await pay.post(f"/payouts/{rows[1].id}/cancel")).json()["status"] == "canceled"
    path = f"/payouts/batch/{made['batch_id']}/approve"
    assert (await pay.post(path, role="approver", sub="ap-1")).status_code == 200
    await pay.settle(2)
    ended = [(await pay.payout(row.id))["status"] for row in rows]
    assert ended == ["settled", "canceled", "settled", "settled", "settled"]
    for row, status in zip(rows, ended, strict=True):
        assert await pay.held(row.recipient_address) == (UNITS if status == "settled" else 0)
    await pay.assert_books_equal_chain()
