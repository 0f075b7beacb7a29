"""What is only proposed is decided once, by what the books have, whoever looks at it and when.

Each story is one moment in which two processes, or two looks of one, could disagree.
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.conftest import Mongo
from tests.engine.network import sent_by_contract
from tests.engine.points import Crash, Points
from tests.engine.world import ALICE, ALL_DOCUMENTS, Process, World, assert_books, reference
from tron_payment.chain import MongoCursors, Position, Receipt, SolidBlock
from tron_payment.chain.documents import SOLID, Cursor
from tron_payment.core.address import address_of
from tron_payment.db.cas import LostRace
from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine import InternalVerdict
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine.internal import AHEAD_BLOCKS, InternalVerdicts

SUN = 3_000_000
STRANGER = address_of(b"\x41" + reference("stranger")[:20])
OTHER = address_of(b"\x41" + reference("other")[:20])
GATE_S = 20
LOOKS_MAX = 50


class Shown:
    """The blocks in which whoever comes after the engine has seen a transaction."""

    def __init__(self) -> None:
        self.blocks: dict[str, set[int]] = defaultdict(set)

    async def __call__(self, process: Process, block: SolidBlock) -> None:
        for transaction in (await process.engine.watched.part(block)).transactions:
            if transaction.internal:
                self.blocks[transaction.txid].add(block.number)


class Gate:
    """Stops a task, by name, before its n-th write to a collection."""

    def __init__(self, points: Points) -> None:
        self._stops: dict[str, tuple[str, int]] = {}
        self._reached: dict[str, asyncio.Event] = {}
        self._go: dict[str, asyncio.Event] = {}
        points.before = self._before

    def stop(self, task: str, label: str, nth: int = 1) -> None:
        self._stops[task] = label, nth
        self._reached[task], self._go[task] = asyncio.Event(), asyncio.Event()

    async def reached(self, task: str) -> None:
        await asyncio.wait_for(self._reached[task].wait(), GATE_S)

    def go(self, task: str, label: str = "") -> None:
        """On to the next write of that kind, or to the end."""
        go = self._go[task]
        if label:
            self.stop(task, label)
        go.set()

    async def _before(self, label: str) -> None:
        task = asyncio.current_task()
        name = task.get_name() if task is not None else ""
        wanted, left = self._stops.get(name, ("", 0))
        if not wanted or not label.startswith(wanted):
            return
        self._stops[name] = wanted, left - 1
        if left == 1:
            del self._stops[name]
            go = self._go[name]
            self._reached[name].set()
            await asyncio.wait_for(go.wait(), GATE_S)


async def drain(process: Process) -> None:
    for _ in range(LOOKS_MAX):
        if not await process.follower.step():
            return
    raise AssertionError("it never comes to an end")


async def ask_again(world: World, process: Process) -> None:
    for _ in range(4):
        await process.openings.step()
        await process.engine.internal.step()
        world.pass_time(AHEAD_BLOCKS + 1)
        await drain(process)


async def booked_in(txid: str) -> list[str]:
    found = LedgerEntry.find({"postings.ref": {"$regex": f"^{txid}:int"}})
    return [each.cause async for each in found]


def silent(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, internal_transactions=[])


async def die(points: Points, process: Process, after: str) -> None:
    async def dies(label: str) -> None:
        if label.startswith(after):
            raise Crash(label)

    points.after = dies
    with suppress(Crash):
        await drain(process)
    points.reset()


async def test_who_took_it_for_tentative_is_told_when_somebody_else_has_withdrawn_it(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C books the block without it, and is to look again because of A's note; A withdraws it."""
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points, shown = Points(), Shown()
    world = await World.create(points, nodes=2, solid_lag=1, also=shown)
    keeps, hears_less = world.nodes
    hears_less.tells = silent
    points.watch(monkeypatch)
    knows = Process([keeps], world.clock, world.key, also=shown)
    other = Process([hears_less], world.clock, world.key, also=shown)
    world.pass_time(2)
    await drain(knows)
    await drain(other)
    world.network.token[ALICE] += 5
    world.network.foreign(ALICE, world.key.address, 5)  # the block has an entry of its own
    txid = world.network.forward(STRANGER, world.key.address, SUN)
    world.pass_time(2)
    number = world.network.included[txid]
    gate = Gate(points)
    gate.stop("C", "db:cursors")
    slow = asyncio.create_task(drain(other), name="C")
    await gate.reached("C")
    while await LedgerEntry.find_one({"cause": f"block:{number}"}) is None:
        gate.go("C", "db:cursors")
        await gate.reached("C")
    gate.stop("A", "db:internal_verdicts", 2)  # proposed and noted, not yet withdrawn
    quick = asyncio.create_task(drain(knows), name="A")
    await gate.reached("A")
    gate.go("C", "db:ledger_entries")  # it loses the cursor and looks again
    await gate.reached("C")
    gate.go("A")
    await quick
    gate.go("C")
    await slow
    await ask_again(world, knows)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and verdict.is_late and not verdict.proposal
    assert shown.blocks[txid] == {verdict.counted_in}
    assert await booked_in(txid) == [f"block:{verdict.counted_in}"]
    await assert_books(world.network, knows.ledger, [world.key.address])


class OldVerdicts(InternalVerdicts):
    """A build that knows of no proposals: what has a block counts there."""

    async def booked(self, part: SolidBlock) -> SolidBlock:
        return part

    async def _counted_in(self, block: SolidBlock) -> list[InternalVerdict]:
        return await verdicts.counted_in(block.number)


class OldCursors(MongoCursors):
    """A build that knows of no notes."""

    async def advance(self, seen: Position, to: Position) -> None:
        where = {"_id": SOLID, "number": seen.number, "block_id": seen.block_id, "halted": ""}
        change = {"number": to.number, "block_id": to.block_id, "timestamp_ms": to.timestamp_ms}
        result = await Cursor.get_pymongo_collection().update_one(where, {"$set": change})
        if not result.matched_count:
            raise LostRace("left")


async def test_what_an_older_build_has_counted_is_not_left_behind(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours dies after the proposal; the older one takes it for certain and passes the block."""
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points, shown = Points(), Shown()
    world = await World.create(points, nodes=1, solid_lag=1, also=shown)
    points.watch(monkeypatch)
    old, cursors = world.another(), OldCursors()
    old.follower._cursor = cursors
    old.engine.watched._internal = OldVerdicts(nodes=old.nodes, cursors=cursors, clock=world.clock)
    txid = world.network.forward(STRANGER, world.key.address, SUN)
    world.pass_time(2)
    number = world.network.included[txid]
    await die(points, world.another(), "db:internal_verdicts")
    await drain(old)
    new = world.another()
    await ask_again(world, new)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and (verdict.counted_in, verdict.proposal) == (number, "")
    assert shown.blocks[txid] == {number}
    assert await booked_in(txid) == [f"block:{number}"]
    await assert_books(world.network, new.ledger, [world.key.address])


async def test_what_only_a_fork_had_holds_nobody_in_the_block(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node is believed; it shows another block after our death."""
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    world = await World.create(points, nodes=1, solid_lag=1)
    await drain(world.process)
    points.watch(monkeypatch)
    node = world.nodes[0]
    txid = world.network.forward(STRANGER, world.key.address, SUN)
    world.pass_time(2)
    number = world.network.included[txid]
    await die(points, world.process, "db:internal_verdicts")
    real_block, real_receipts = node.block, node.receipts

    async def block(at: int, *how: Any, **named: Any) -> Any:
        found = await real_block(at, *how, **named)
        return replace(found, transactions=()) if at == number else found

    async def receipts(at: int, *how: Any, **named: Any) -> Any:
        return () if at == number else await real_receipts(at, *how, **named)

    node.block, node.receipts = block, receipts  # type: ignore[method-assign, assignment]
    world.start()
    await drain(world.process)
    world.pass_time(3)
    await drain(world.process)
    await world.engine.internal.step()
    at, verdict = await MongoCursors().load(), await InternalVerdict.get(txid)
    assert at is not None and at.number > number
    assert verdict is not None and verdict.counted_in is None and not verdict.proposal


@pytest.mark.parametrize("is_new", [False, True], ids=["has_money", "is_new"])
async def test_books_that_are_opened_since_hide_nothing_of_what_is_booked(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """The block is booked; before that is known, the other party becomes ours."""
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points, shown = Points(), Shown()
    world = await World.create(points, nodes=1, solid_lag=1, also=shown)
    points.watch(monkeypatch)
    txid = world.network.forward(STRANGER, world.key.address, SUN)
    world.network.trx[OTHER] += 7
    first = sent_by_contract(OTHER, 7)
    world.nodes[0].tells = lambda receipt: (
        receipt
        if receipt.id != txid
        else msgspec.structs.replace(
            receipt, internal_transactions=[first, *receipt.internal_transactions]
        )
    )
    world.pass_time(2)
    number = world.network.included[txid]
    await die(points, world.process, "db:ledger_entries+block")
    world.start()
    if is_new:
        await world.process.openings.open_fresh([OTHER])
    else:
        await world.process.openings.request(OTHER)
    await drain(world.process)
    await ask_again(world, world.process)
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and (verdict.counted_in, verdict.proposal) == (number, "")
    assert shown.blocks[txid] == {number}
    assert await booked_in(txid) == [f"block:{number}"]
