"""Opening the books of an address, exactly, while blocks keep coming.

A key that we have just made opens at zero. An address that may hold money opens in two steps:

1. `watch`: a journal entry from which on its movements are booked. Blocks that were being applied
   at this very moment may still have been applied without it: those of one move of the cursor.
2. `open`: once the cursor has moved since, its balances at a solidified block not before the one
   that the cursor shows now, as NODE_AGREEMENT nodes tell them alike, less what has been booked
   up to that block, are booked as the opening balance. Whoever moves the cursor on from there has
   read the journal after step 1.

So every movement counts once, whether it came before, during or after (docs/decisions/0001).
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment import chain
from tron_payment.chain import NodeClient, NodeRefused, Nodes, NodesUnavailable
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import TRX
from tron_payment.db.cas import insert_many_once
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import (
    BALANCE_MAX,
    OPENING,
    Draft,
    Ledger,
    LedgerEntry,
    Opened,
    Pocket,
    Posting,
    View,
    account,
)
from tron_payment.db.ledger_cache import ASKED
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine import left_out
from tron_payment.engine.ports import Alarm, Tokens

OPENINGS_PER_STEP: Final = 20
READ_TRIES_MAX: Final = 5
"""In one step, until no block comes in between."""

FRESH_PER_ENTRY_MAX: Final = 1_000
ADDRESSES_AT_ONCE: Final = 1_000
BALANCE_OF: Final = bytes.fromhex("70a08231")

log = structlog.get_logger()

Balances = Mapping[tuple[Pocket, str], int]
"""What is told, which for a token's contract may be any number: of more than `BALANCE_MAX` the
books keep nothing (`beyond_books`)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a node says that an address has, at the end of a solidified block."""

    node: str
    block_number: int
    block_id: str
    balances: Balances

    def says_as(self, other: "Reading") -> bool:
        """Whether both say the same of the same block."""
        return self.block_id == other.block_id and self.balances == other.balances


class OpeningRequest(Document):
    """An address whose books are being opened."""

    id: str  # type: ignore[assignment]  # the address
    requested_at: datetime
    watched_at_block: int | None = None
    """The last block applied when step 1 was seen to be done; blocks up to the next place where the
    cursor is seen may have been judged without it."""

    read_at_block: int | None = None
    units: dict[str, int] = {}
    """Balances at `read_at_block` by ``<pocket>|<asset>``."""

    beyond: list[str] = []
    """Of which more is told there than the books have room for, in the same words."""

    class Settings:
        name = "opening_requests"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("requested_at", ASCENDING)], name="requested_at")
        ]


class HeadMoved(Exception):
    """A new block was solidified while we were reading, or the node or our follower is behind."""


class Openings:
    """Opens books."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        nodes: Nodes,
        cursors: chain.Cursors,
        tokens: Tokens,
        alarm: Alarm,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._nodes = nodes
        self._cursors = cursors
        self._tokens = tokens
        self._alarm = alarm

    async def open_fresh(self, addresses: Sequence[Address]) -> None:
        """Open the books of keys that nobody has seen yet: zero, from now on."""
        assert len(addresses) <= FRESH_PER_ENTRY_MAX
        await self._watch(addresses)

    async def request(self, *addresses: Address) -> None:
        """Open the books of addresses that may hold money already.

        They are watched when this returns, before anybody is given one; the next steps book what
        they hold.
        """
        assert len(addresses) <= FRESH_PER_ENTRY_MAX
        await self.open_anew(addresses)
        await self._watch(addresses, ASKED)

    async def open_anew(self, addresses: Sequence[Address]) -> None:
        """Ask for openings; whoever serves takes them from here. Writes nothing twice."""
        now = self._clock.now()
        for some in _batches(addresses):
            await insert_many_once([OpeningRequest(id=each, requested_at=now) for each in some])

    async def pending(self, address: Address) -> bool:
        """True while the opening balance of an address is not yet booked."""
        return await OpeningRequest.find_one({"_id": address}) is not None

    async def all_pending(self, most: int) -> list[Address]:
        """Addresses whose opening balances are not booked yet, at most so many, longest first."""
        found = await OpeningRequest.find_all().sort("+requested_at").limit(most).to_list()
        return [Address(each.id) for each in found]

    async def step(self) -> bool:
        """Take each requested opening one step further; True when one was finished."""
        longest = OpeningRequest.find_all().sort("+requested_at").limit(OPENINGS_PER_STEP)
        finished = False
        for request in await longest.to_list():
            try:
                finished |= await self._advance(request)
            except HeadMoved:
                continue
        return finished

    async def _advance(self, request: OpeningRequest) -> bool:
        address = Address(request.id)
        cursor = await self._cursors.load()
        if cursor is None:
            raise HeadMoved
        row = OpeningRequest.find_one({"_id": address})
        if request.watched_at_block is None:
            await self._watch([address], ASKED)
            cursor = await self._cursors.load()
            assert cursor is not None
            await row.update({"$set": {"watched_at_block": cursor.number}})
            return False
        if request.read_at_block is None:
            if cursor.number <= request.watched_at_block:
                raise HeadMoved
            number, units = await self._settled_balances(address, cursor.number)
            told = {f"{pocket}|{asset}": n for (pocket, asset), n in units.items()}
            stored = {key: n for key, n in told.items() if not beyond_books(n)}
            beyond = sorted(told.keys() - stored.keys())
            read = {"read_at_block": number, "units": stored, "beyond": beyond}
            await row.update({"$set": read})
            return False
        if cursor.number < request.read_at_block:
            raise HeadMoved
        entry = await self._ledger.append(lambda view: self._opening(view, request))
        await self.tell(entry)
        await row.delete()
        log.info("ledger.opened", address=address, block=request.read_at_block)
        return True

    async def tell(self, entry: LedgerEntry | None) -> None:
        """Page somebody when an opening has left something out; rather twice than never."""
        if entry is not None:
            await left_out.tell(self._alarm, entry)

    async def _settled_balances(self, address: Address, not_before: int) -> tuple[int, Balances]:
        """As `balances`, tried some times: blocks come while it reads."""
        for _ in range(READ_TRIES_MAX - 1):
            with suppress(HeadMoved):
                return await self.balances(address, not_before=not_before)
        return await self.balances(address, not_before=not_before)

    async def _watch(self, addresses: Sequence[Address], cause: str = "watch") -> None:
        async def build(view: View) -> Draft | None:
            known = await view.holders(addresses)
            missing = [address for address in addresses if address not in known]
            if not missing:
                return None
            digest = hashlib.sha256("".join(missing).encode()).hexdigest()
            return Draft(f"{cause}:{digest}", opens=tuple(Opened(each, 0) for each in missing))

        await self._ledger.append(build)

    async def _opening(self, view: View, request: OpeningRequest) -> Draft:
        """The opening balance: what the chain says at the block, less what is booked up to it."""
        assert request.read_at_block is not None
        address = Address(request.id)
        booked = await _booked(address, request.read_at_block)
        postings = []
        for key, units in request.units.items():
            pocket, _, asset = key.partition("|")
            name = account(address, Pocket(pocket))
            rest = units - booked[(name, asset)]
            sides = (OPENING, name) if rest > 0 else (name, OPENING)
            if rest:
                postings.append(Posting(*sides, asset, abs(rest), f"open:{address}"))
        opens = (Opened(address, request.read_at_block),)
        fitting = await view.fitting(postings)
        left = [f"{each.ref}:{each.asset}" for each in postings if each not in fitting]
        left += [f"open:{address}:{key.partition('|')[2]}" for key in request.beyond]
        return Draft(f"open:{address}", tuple(fitting), opens=opens, left_out=tuple(left))

    async def balances(self, address: Address, *, not_before: int) -> tuple[int, Balances]:
        """What an address has at one solidified block, and that block's number: as many nodes as
        have to agree say the same of the same block.

        The preferred ones are asked first, and all when these do not: one may stand still, or be
        several back ends of which one tells the block and another the balance.

        Raises:
            HeadMoved: A head moved meanwhile, nodes are at different blocks or behind
                `not_before`, or one of them errs.
            Unavailable, NodeRefused: Too few tell anything.
        """
        agreement = self._nodes.agreement
        for count in dict.fromkeys((agreement, len(self._nodes.members))):
            nodes = await self._nodes.picks(count)
            said, problems = await self._readings(nodes, address, not_before)
            for reading in said:
                if sum(reading.says_as(other) for other in said) >= agreement:
                    return reading.block_number, reading.balances
        if len(nodes) < agreement:
            raise NodesUnavailable(f"{len(nodes)} of {agreement} nodes tell a balance")
        if len(nodes) - len(problems) < agreement:
            raise problems[0]
        told = {each.block_id: each for each in said}
        if not all(each.says_as(told[each.block_id]) for each in said):
            shown = {each.node: each.block_number for each in said}
            log.warning("ledger.opening_disputed", address=address, nodes=shown)
        raise HeadMoved

    async def _readings(
        self, nodes: Sequence[NodeClient], address: Address, not_before: int
    ) -> tuple[list[Reading], list[Unavailable | NodeRefused]]:
        """What those say whose heads stood still, all asked at once, and why others say nothing."""
        asked = (self.reading(node, address, not_before=not_before) for node in nodes)
        said: list[Reading] = []
        problems: list[Unavailable | NodeRefused] = []
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, Reading):
                said.append(answer)
            elif isinstance(answer, Unavailable | NodeRefused):
                problems.append(answer)
            elif not isinstance(answer, HeadMoved):
                raise answer
        return said, problems

    async def reading(self, node: NodeClient, address: Address, *, not_before: int) -> Reading:
        """What one node says that an address has, at one solidified block.

        The balances are read between two looks at the node's solidified head; when both show the
        same block they are exactly those at that block.

        Raises:
            HeadMoved: The looks differ, or the node is behind `not_before`.
        """
        before = await node.solid_head()
        if before.number < not_before:
            raise HeadMoved
        found = await self._read(node, address)
        after = await node.solid_head()
        if after.block_id != before.block_id:
            raise HeadMoved
        return Reading(node.alias, before.number, before.block_id, found)

    async def _read(self, node: NodeClient, address: Address) -> Balances:
        """Asked all at once: one way through Tor may take a third of the time between blocks."""
        units: dict[tuple[Pocket, str], int] = {}
        data, tokens = balance_of(address), dict(self._tokens.by_contract)
        asked = asyncio.create_task(node.account(address, solid=True))
        calls = [
            asyncio.create_task(node.constant_call(address, token, data, solid=True))
            for token in tokens
        ]
        await asyncio.gather(asked, *calls, return_exceptions=True)  # no call outlives this one
        on_chain, answers = asked.result(), [each.result() for each in calls]
        if on_chain is not None:
            units[(Pocket.AVAILABLE, TRX.code)] = on_chain.balance_sun
            units[(Pocket.STAKED, TRX.code)] = on_chain.staked_sun
            units[(Pocket.UNFREEZING, TRX.code)] = on_chain.unfreezing_sun
        for asset, answer in zip(tokens.values(), answers, strict=True):
            if not answer.reverted and len(answer.output) >= 32:
                units[(Pocket.AVAILABLE, asset)] = int.from_bytes(answer.output[:32], "big")
        return units


def beyond_books(units: int) -> bool:
    """Whether this is more of an asset than an account of ours can have: nothing of it is booked,
    and the two sides are not compared."""
    return units > BALANCE_MAX


def balance_of(address: Address) -> bytes:
    """Call data of a TRC-20 `balanceOf(address)`."""
    return BALANCE_OF + address_bytes(address)[1:].rjust(32, b"\0")


async def _booked(address: Address, block_number: int) -> dict[tuple[str, str], int]:
    """What of blocks up to this one is booked for an address or will be, by account and asset; and
    what openings of tokens have booked, which tell no block and are as true at any.

    What is reserved counts as available: on the chain there is no difference.
    """
    names = {account(address, pocket): account(address, pocket) for pocket in Pocket}
    names[account(address, Pocket.RESERVED)] = account(address, Pocket.AVAILABLE)
    totals: dict[tuple[str, str], int] = defaultdict(int)
    counted = [{"block_number": {"$lte": block_number}}, {"cause": {"$regex": "^open:"}}]
    ours = [{f"postings.{side}": {"$in": list(names)}} for side in ("source", "destination")]
    async for entry in LedgerEntry.find({"$and": [{"$or": counted}, {"$or": ours}]}):
        for posting in entry.postings:
            if posting.source in names:
                totals[(names[posting.source], posting.asset)] -= posting.units
            if posting.destination in names:
                totals[(names[posting.destination], posting.asset)] += posting.units
    available = account(address, Pocket.AVAILABLE)
    for verdict in await verdicts.late_after(block_number):  # booked with a later block
        late = chain.late_internal(verdict.id, verdict.parts, block_number, 0)
        if verdict.proposal and any(address in (each.to, each.caller) for each in late.internal):
            raise HeadMoved  # whoever proposes it looks at openings, too: one of us two waits
        for each in late.internal:
            if not each.rejected:
                into, out_of = each.to == address, each.caller == address
                totals[(available, TRX.code)] += each.amount_sun * (into - out_of)
    return totals


async def opened_with_balance(addresses: Collection[str]) -> dict[str, int | None]:
    """Those whose books have begun with what they had on the chain, and at which block; None for
    those of an older build, which has not kept it."""
    entries: list[dict[str, Any]] = []
    for some in _batches(addresses):
        causes = {"cause": {"$in": [f"open:{each}" for each in some]}}
        with store_errors():
            rows = LedgerEntry.get_pymongo_collection().find(causes, {"cause": 1, "opens": 1})
            entries += await rows.to_list()
    return {
        each["cause"].removeprefix("open:"): next(
            (opened["block_number"] for opened in each.get("opens") or ()), None
        )
        for each in entries
    }


async def being_opened(addresses: Collection[str]) -> bool:
    """Whether the books of one of them are being opened now."""
    for some in _batches(addresses):
        with store_errors():
            if await OpeningRequest.find_one({"_id": {"$in": some}}) is not None:
                return True
    return False


def _batches(addresses: Collection[str]) -> Iterator[list[str]]:
    """A transaction may name tens of thousands, and one query of so many is none at all."""
    some = sorted(addresses)
    for start in range(0, len(some), ADDRESSES_AT_ONCE):
        yield some[start : start + ADDRESSES_AT_ONCE]
