"""The process dies before and after every write while TRX that a contract sent is counted.

Two nodes have to agree. One of them may not tell at first, so that it counts late; and the books
of the address may be opened with what it has, before that or after.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import count

import msgspec
import pytest

from tests.conftest import Mongo
from tests.engine.points import Crash, Fuse, Points
from tests.engine.world import ALL_DOCUMENTS, Process, World, assert_books, reference
from tron_payment.chain import Receipt, SolidBlock
from tron_payment.core.address import Address, address_of
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.ledger import LedgerEntry, Pocket
from tron_payment.engine import InternalVerdict
from tron_payment.engine.internal import AHEAD_BLOCKS
from tron_payment.engine.openings import opened_with_balance

SUN = 3_000_000
STRANGER = address_of(b"\x41" + reference("stranger")[:20])
POINTS_MAX = 400
EVERY = 1 if os.environ.get("SOAK") else 5
"""Each of the points, or one of five."""

TICKS_MAX = 20


@dataclass
class Story:
    """What happens around one transfer. Told again from the beginning after a death."""

    name: str
    is_late: bool
    opens: str = ""
    """Whether the books of the address are opened ``before`` the others tell, or ``after`` it is
    certain where it counts; empty when they are not."""

    txids: dict[str, str] = field(default_factory=dict)
    shown: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    is_hidden: bool = False

    async def show(self, process: Process, block: SolidBlock) -> None:
        part = await process.engine.watched.part(block)
        for transaction in part.transactions:
            if transaction.internal:
                self.shown[transaction.txid].add(block.number)

    def tells(self, receipt: Receipt) -> Receipt:
        if not self.is_hidden:
            return receipt
        return msgspec.structs.replace(receipt, internal_transactions=[])

    async def run(self, world: World, name: str) -> None:
        address = holder(name)
        await world.process.openings.open_fresh([address])
        if name not in self.txids:
            self.is_hidden = self.is_late
            self.txids[name] = world.network.forward(STRANGER, address, SUN)
        txid = self.txids[name]
        for _ in range(TICKS_MAX):
            await world.tick()
            if await InternalVerdict.get(txid) is not None:
                break
        await world.tick()
        if self.opens == "before":
            await self._open(world, address)
        self.is_hidden = False
        for _ in range(TICKS_MAX):
            await world.tick()
            verdict = await InternalVerdict.get(txid)
            assert verdict is not None
            if self.opens == "before" or (verdict.counted_in and not verdict.proposal):
                break
        if self.opens == "after":
            await self._open(world, address)
        for _ in range(AHEAD_BLOCKS // 10 + 1 if self.is_late else 1):
            world.pass_time(10)
            await world.process.run_dry()

    async def _open(self, world: World, address: Address) -> None:
        openings = world.process.openings
        if not await opened_with_balance([address]):
            await openings.request(address)
        for _ in range(TICKS_MAX):
            if not await openings.pending(address):
                return
            await world.tick()
        raise AssertionError("its books are not opened")

    async def check(self, world: World, name: str) -> None:
        txid, address = self.txids[name], holder(name)
        await assert_books(world.network, world.ledger, [address])
        assert await world.ledger.balance(address, Pocket.AVAILABLE, "TRX") == SUN
        held = self.opens == "before"
        assert len(self.shown[txid]) == (0 if held else 1), self.shown[txid]
        entries = await LedgerEntry.find({"postings.ref": f"{txid}:int:0"}).count()
        assert entries == (0 if held else 1)
        verdict = await InternalVerdict.get(txid)
        assert verdict is not None and not verdict.proposal
        assert (verdict.counted_in is None) == held
        if self.is_late and not held:
            assert verdict.is_late


def holder(name: str) -> Address:
    return address_of(b"\x41" + reference(name)[:20])


class Writes(Fuse):
    """Dies only around writes: between two of them there is nothing to lose."""

    async def _pass(self, label: str) -> None:
        if self.burnt or label.partition(" ")[2].startswith("db:"):
            await super()._pass(label)


STORIES = (
    Story("at_once", is_late=False),
    Story("late", is_late=True),
    Story("opened_before", is_late=True, opens="before"),
    Story("opened_after", is_late=True, opens="after"),
)


@pytest.mark.parametrize("story", STORIES, ids=lambda each: each.name)
async def test_a_death_at_any_point_neither_loses_nor_doubles(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, story: Story
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    world = await World.create(points, nodes=2, solid_lag=1, agreement=2, also=story.show)
    world.nodes[1].tells = story.tells
    points.watch(monkeypatch)
    fuse = Writes(points)
    for point in count(1, EVERY):
        assert point < POINTS_MAX
        name = f"{story.name}{point}"
        fuse.labels.clear()
        fuse.remaining, fuse.burnt = point, ""
        try:
            await story.run(world, name)
        except (Crash, StoreUnavailable):  # the latter from a task of the dead process
            assert fuse.burnt
            fuse.remaining, fuse.burnt = -1, ""
            world.start()
            await story.run(world, name)
        unburnt, fuse.remaining = fuse.remaining > 0, -1
        await story.check(world, name)
        if unburnt:
            break
    await world.assert_books_equal_chain()
    labels = {each.partition(" ")[2] for each in fuse.labels}
    assert {"db:internal_verdicts", "db:cursors"} <= labels
    assert [event for event, _ in world.alarms] == []
