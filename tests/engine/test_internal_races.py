"""Another process, whose nodes tell nothing of contracts, applies the block at any moment.

It passes the block, or books it, between any two writes of the one that knows. Whoever comes
after the engine sees in one block, and once, what the books have.
"""

from collections import defaultdict
from contextlib import suppress
from itertools import count

import msgspec
import pytest

from tests.conftest import Mongo
from tests.engine.network import ROUTER
from tests.engine.points import Crash, Points
from tests.engine.world import ALICE, ALL_DOCUMENTS, Process, World, assert_books, reference
from tron_payment.chain import MongoCursors, Receipt, SolidBlock
from tron_payment.core.address import address_of
from tron_payment.engine import InternalVerdict
from tron_payment.engine.internal import AHEAD_BLOCKS

SUN = 3_000_000
POINTS_MAX = 200
WRITES_MIN = 10
STRANGER = address_of(b"\x41" + reference("stranger")[:20])


def _nothing_of_contracts(receipt: Receipt) -> Receipt:
    return msgspec.structs.replace(receipt, internal_transactions=[])


class Two:
    """One node keeps what contracts sent, the other tells nothing of it; a process for each."""

    def __init__(self) -> None:
        self.points = Points()
        self.world: World
        self.shown: dict[str, set[int]] = defaultdict(set)
        """By txid, the blocks in which modules were shown what contracts sent."""

    @classmethod
    async def create(cls, mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> "Two":
        await mongo.connect(ALL_DOCUMENTS)
        mongo.hands_on = False
        two = cls()
        two.world = await World.create(two.points, nodes=2, solid_lag=1, also=two._show)
        two.world.nodes[1].tells = _nothing_of_contracts
        two.points.watch(monkeypatch)
        return two

    def knows(self) -> Process:
        return self._process(0)

    def silent(self) -> Process:
        return self._process(1)

    def _process(self, node: int) -> Process:
        world = self.world
        return Process([world.nodes[node]], world.clock, world.key, also=self._show)

    async def _show(self, process: Process, block: SolidBlock) -> None:
        for transaction in (await process.engine.watched.part(block)).transactions:
            if transaction.internal:
                self.shown[transaction.txid].add(block.number)


class Between:
    """At the n-th write of one process another one follows as far as it can."""

    def __init__(self, points: Points) -> None:
        self.remaining = -1
        self.is_told = False
        """Before that, what passes is what no node has told."""

        self.other: Process | None = None
        points.before = points.after = self._pass

    async def _pass(self, label: str) -> None:
        self.is_told |= label.startswith("db:internal_verdicts")
        if not label.startswith("db:") or self.other is None or not self.is_told:
            return
        self.remaining -= 1
        if self.remaining == 0:
            other, self.other = self.other, None
            while await other.follower.step():
                pass


@pytest.mark.parametrize("paid_too", [False, True], ids=["alone", "with_a_booking"])
async def test_who_hears_less_passes_the_block_at_any_moment(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, paid_too: bool
) -> None:
    """`paid_too`: the other one has a booking of its own in the block."""
    two = await Two.create(mongo, monkeypatch)
    points, world = two.points, two.world
    between = Between(points)
    mine, network = world.key.address, world.network
    for point in count(1):
        assert point < POINTS_MAX
        knows, other = two.knows(), two.silent()
        if paid_too:
            network.token[ALICE] += 5
            network.foreign(ALICE, mine, 5)
        txid = network.forward(STRANGER, mine, SUN)
        world.pass_time(2)
        between.remaining, between.other, between.is_told = point, other, False
        while await knows.follower.step():
            pass
        unburnt, between.other = between.other is not None, None
        for _ in range(3):
            await knows.engine.internal.step()
            world.pass_time(AHEAD_BLOCKS + 1)
            while await knows.follower.step():
                pass
        verdict = await InternalVerdict.get(txid)
        assert verdict is not None and verdict.counted_in and not verdict.proposal, point
        assert two.shown[txid] == {verdict.counted_in}, point
        await assert_books(network, knows.ledger, [mine, ROUTER])
        if unburnt:
            assert not verdict.is_late
            break
    late = await InternalVerdict.find({"$expr": {"$ne": ["$counted_in", "$block_number"]}}).count()
    assert late, "at some point the other one was first"


async def test_who_hears_less_is_in_the_middle_when_the_other_one_dies(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked at the block before anything was written down, and cannot leave it so."""
    two = await Two.create(mongo, monkeypatch)
    points, world = two.points, two.world
    for lives in count(1):
        assert lives < POINTS_MAX
        knows, other = two.knows(), two.silent()
        txid = world.network.forward(STRANGER, world.key.address, SUN)
        world.pass_time(2)
        dies = Dies(points, knows, world.network.included[txid], lives)
        while await other.follower.step():
            pass
        points.before = points.after = Points().before
        for _ in range(3):
            await knows.engine.internal.step()
            world.pass_time(AHEAD_BLOCKS + 1)
            while await knows.follower.step():
                pass
        verdict = await InternalVerdict.get(txid)
        counted = {verdict.counted_in} if verdict is not None and verdict.counted_in else set()
        assert two.shown[txid] == counted, lives
        if verdict is None:  # it died before it wrote anything down: nobody has told
            world.network.trx[world.key.address] -= SUN
        await assert_books(world.network, knows.ledger, [world.key.address])
        if not dies.is_dead:
            assert lives > WRITES_MIN, "it has lived too easily"
            break


class Dies:
    """Before the other one leaves a block, a process applies it, and dies at its n-th write."""

    def __init__(self, points: Points, process: Process, block_number: int, lives: int) -> None:
        self.is_dead = False
        self._process, self._number, self._lives = process, block_number, lives
        self._runs: bool | None = None
        points.before, points.after = self._before, self._count

    async def _count(self, label: str) -> None:
        if self._runs and label.startswith("db:"):
            self._lives -= 1
            if self._lives == 0:
                self.is_dead = True
                raise Crash(label)

    async def _before(self, label: str) -> None:
        await self._count(label)
        at = await MongoCursors().load()
        if self._runs is None and label == "db:cursors" and at and at.number == self._number - 1:
            self._runs = True
            with suppress(Crash):
                while await self._process.follower.step():
                    pass
            self._runs = False
