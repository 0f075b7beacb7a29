"""TRX that contracts send to us, told by nodes that do not all keep it, and by one that lies.

With it go two more holders: one whose books begin at zero, and one whose books are opened in mid
run with what it has. In the end:

    T1  each transfer of a solidified block is in the journal at most once, and no other is
    T2  it is in the journal unless no node told of it while its block was applied (only in dark
        runs, where more nodes than the installation may have keep nothing), or an opening balance
        holds it; books equal chain then, to the sun
    T3  whoever comes after the engine is shown what the journal has, each of it in one block
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from random import Random

import msgspec

from tests.engine.network import sent_by_contract
from tests.engine.sim_node import SimNode
from tests.engine.world import Process, World, assert_books, open_books
from tron_payment.chain import NodeUnavailable, Receipt, SolidBlock
from tron_payment.core.address import Address, address_of
from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine import InternalVerdict, OpeningRequest
from tron_payment.engine.internal import AHEAD_BLOCKS

STRANGER, WATCHED, IMPORTED = (
    address_of(b"\x41" + hashlib.sha256(name).digest()[:20])
    for name in (b"stranger", b"watched", b"imported")
)
IMPORTED_SUN = 7_000_000
SUN = (1_000_000, 2_000_000, 3_500_000)
DARK_SHARE = 0.25
SENT_MAX = 12
SHAKES = 0.7
HEAL_ROUNDS_MAX = 12


class Sent:
    """What contracts send in one run, who tells of it, and the count."""

    def __init__(self, world: World, rng: Random, agreement: int) -> None:
        self._world = world
        self._rng = rng
        self.is_dark = rng.random() < DARK_SHARE
        """More nodes may keep nothing than is allowed: some is never told."""

        self._quiet_max = 3 if self.is_dark else agreement - 1
        self._may_lie = agreement > 1
        self._keeps_none: set[str] = set()
        self._liar = ""
        self._shaky = ""
        """Its receipts are lost now and then, so that it does not tell what it keeps."""

        self.sent: dict[str, tuple[Address, int]] = {}
        self.shown: dict[str, set[int]] = defaultdict(set)
        self.is_imported = False
        self.resumed = 0
        self.under_fire = 0
        """Transactions that were judged before the faults ended."""

    async def set_up(self) -> None:
        for made in self._world.network.blocks:
            made.after.trx[IMPORTED] = IMPORTED_SUN
        await open_books(self._world.ledger, WATCHED)
        for node in self._rng.sample(self._world.nodes, self._rng.randint(0, self._quiet_max)):
            self._keeps_none.add(node.alias)
        self._shake()
        for node in self._world.nodes:
            node.tells = lambda receipt, node=node: self._told(node, receipt)

    # ---- what happens ----------------------------------------------------------------------------
    def send(self) -> str:
        if len(self.sent) >= SENT_MAX:
            return "enough was sent by contracts"
        to = self._rng.choice([self._world.key.address, WATCHED, IMPORTED])
        sun = self._rng.choice(SUN)
        txid = self._world.network.forward(STRANGER, to, sun)
        self.sent[txid] = (to, sun)
        return f"a contract sends {sun} sun to {to} with {txid[:6]}"

    def change(self) -> str:
        node = self._rng.choice(self._world.nodes).alias
        dice = self._rng.random()
        if dice < 0.3:
            if node in self._keeps_none:
                self._keeps_none.remove(node)
            elif len(self._keeps_none) < self._quiet_max:
                self._keeps_none.add(node)
            return f"{sorted(self._keeps_none)} keep nothing of contracts"
        if dice < 0.7:
            self._shake()
            return f"{self._shaky or 'nobody'} loses receipts"
        if self._may_lie:
            self._liar = "" if self._liar else node
            return f"{self._liar or 'nobody'} lies about contracts"
        return "all stay as they are"

    def _shake(self) -> None:
        keepers = [e.alias for e in self._world.nodes if e.alias not in self._keeps_none]
        self._shaky = "" if self._shaky or not keepers else self._rng.choice(keepers)

    async def cease_fire(self) -> None:
        """Nobody lies and nothing is lost; who keeps nothing still keeps nothing."""
        self.under_fire = await InternalVerdict.find_all().count()
        self._liar = self._shaky = ""

    def tell_all(self) -> None:
        self._keeps_none.clear()

    def _told(self, node: SimNode, receipt: Receipt) -> Receipt:
        parts = receipt.internal_transactions
        if node.alias == self._shaky and parts and self._rng.random() < SHAKES:
            raise NodeUnavailable(node.alias, "lost")
        if node.alias == self._liar:
            parts = [sent_by_contract(WATCHED, 9_000_001)]
        elif node.alias in self._keeps_none:
            parts = []
        return msgspec.structs.replace(receipt, internal_transactions=parts)

    async def operator(self, process: Process) -> None:
        """The nodes contradict each other: the liar is taken out, and following goes on."""
        assert self._may_lie, "nobody lied"
        self._liar = ""
        self.resumed += 1
        await process.follower.resume()

    async def ask_import(self, process: Process) -> None:
        await process.openings.request(IMPORTED)
        self.is_imported = True

    async def show(self, process: Process, block: SolidBlock) -> None:
        """As a handler that comes after the engine, and asks for addresses of ours."""
        part = await process.engine.watched.part(block)
        for transaction in part.transactions:
            for each in transaction.internal:
                if await process.ledger.is_holder(each.to):
                    self.shown[transaction.txid].add(block.number)

    # ---- the end ---------------------------------------------------------------------------------
    async def heal(self, pass_blocks: Callable[[int], Awaitable[None]]) -> None:
        """Until nothing is proposed any more and no book is being opened."""
        for _ in range(HEAL_ROUNDS_MAX):
            proposed = False
            waiting = await InternalVerdict.find({"counted_in": None}).count()
            await InternalVerdict.get_pymongo_collection().update_many(
                {}, {"$set": {"due_at": None}}
            )
            for _ in range(waiting + 1):
                proposed |= await self._world.engine.internal.step()
            await pass_blocks(AHEAD_BLOCKS + 2)
            at = self._world.follower.status().number
            coming = await InternalVerdict.find({"counted_in": {"$gt": at}}).count()
            if not (proposed or coming or await OpeningRequest.find_all().count()):
                return
        raise AssertionError("what contracts have sent never comes to rest")

    def on_chain(self) -> dict[str, tuple[Address, int]]:
        solid = {each.txid for made in self._world.network.solid() for each in made.transactions}
        return {txid: sent for txid, sent in self.sent.items() if txid in solid}

    async def judge(self) -> Counter[str]:
        """T1 to T3; what the run was made of."""
        network, on_chain, booked = self._world.network, self.on_chain(), await _booked()
        assert all(times == 1 for times in booked.values()), f"T1: booked twice: {booked}"
        assert booked.keys() <= on_chain.keys(), "T1: booked, and not on the chain"
        written = {each.id: each for each in await InternalVerdict.find_all().to_list()}
        missing = {txid: on_chain[txid] for txid in on_chain.keys() - booked.keys()}
        lost = {txid: each for txid, each in missing.items() if each[0] != IMPORTED}
        untold = {txid: each for txid, each in lost.items() if txid not in written}
        assert lost == untold, f"T2: {[written[txid] for txid in lost.keys() - untold.keys()]}"
        assert self.is_dark or not untold, f"T2: {untold}"
        for to, sun in untold.values():
            network.trx[to] -= sun  # whoever counts afterwards counts without it
        ours = [WATCHED, *([IMPORTED] if self.is_imported and not self.is_dark else [])]
        await assert_books(network, self._world.ledger, ours)
        shown = {txid: blocks for txid, blocks in self.shown.items() if txid in on_chain}
        assert shown.keys() == booked.keys(), f"T3: {shown.keys() ^ booked.keys()}"
        assert self.shown.keys() == shown.keys(), "T3: an invention was shown"
        assert all(len(blocks) == 1 for blocks in shown.values()), f"T3: {shown}"
        late = sum(each.counted_in not in (None, each.block_number) for each in written.values())
        return Counter(
            sent=len(on_chain),
            booked=len(booked),
            late=late,
            under_fire=self.under_fire,
            untold=len(untold),
            unproved=sum(each.counted_in is None for each in written.values()),
            imports=int(self.is_imported),
            dark=int(self.is_dark),
            resumed=self.resumed,
        )


async def _booked() -> Counter[str]:
    """How often each transaction's internal transfer is in the journal."""
    found: Counter[str] = Counter()
    async for entry in LedgerEntry.find_all():
        found.update(
            posting.ref.partition(":int:")[0]
            for posting in entry.postings
            if ":int:" in posting.ref
        )
    return found
