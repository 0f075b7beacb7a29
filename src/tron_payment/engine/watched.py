"""Which transactions of a block can concern us, told from memory: most blocks need no query.

Every address is in the journal before anybody is given it, and the journal is numbered without a
gap. So whoever reads the journal on after a block was read knows every address that the block can
have paid, whichever process issued it and however far behind the follower is. What is found here
is a suspicion; the store says what it is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import structlog
from beanie import Document
from pymongo import ASCENDING, DESCENDING

from tron_payment.chain import SolidBlock
from tron_payment.core.address import Address, bare_bytes
from tron_payment.core.address_set import AddressSet
from tron_payment.db.faults import StoreUnavailable, store_errors
from tron_payment.db.ledger import Holder, LedgerEntry, LedgerHead
from tron_payment.engine.internal import InternalVerdicts
from tron_payment.engine.movements import Movement
from tron_payment.engine.openings import OpeningRequest

READ_BATCH: Final = 2_000
"""Addresses taken in before others get their turn."""

ENTRIES_AT_ONCE: Final = 1_000
FILLS_MAX: Final = 3

SHOWN_MAX: Final = 100
"""Transfers by contracts that one transaction shows before it is solidified."""

log = structlog.get_logger()

Source = Callable[[], AsyncIterator[list[str]]]
"""Addresses that others keep, in batches."""

Strangers = Callable[[Collection[Address]], Awaitable[set[Address]]]
"""Of these those that are only watched: books are kept of them, and nothing here can sign."""


async def nobody(_: Collection[Address]) -> set[Address]:
    """Every address that is watched is our own."""
    return set()


class Watched:
    """The addresses whose movements are booked, as of a journal entry, in this process."""

    def __init__(self, internal: InternalVerdicts | None = None) -> None:
        """
        Args:
            internal: Who knows what of the TRX that contracts have moved counts, and where; None
                where only one process ever looks at a block, and once.
        """
        self._internal = internal
        self.sources: list[Source] = []
        """Read besides the books when the set is filled, so that a store whose parts were not
        restored at one moment is watched whole."""

        self.strangers: Strangers = nobody
        """What leaves these, leaves without an order of ours, and nobody is paged for it."""

        self._addresses = AddressSet()
        self._filled = False
        self._number = 0
        self._hash = ""
        """The last journal entry that was taken in; a restored store has another one there."""

        self._following = asyncio.Lock()
        self._known: tuple[SolidBlock, SolidBlock] | None = None

    def __len__(self) -> int:
        """How many addresses are watched."""
        return len(self._addresses)

    async def from_ours(self, moves: Sequence[Movement]) -> list[Movement]:
        """Of movements out of watched addresses those out of our own."""
        senders = {move.sender for move in moves if move.sender is not None}
        strangers = await self.strangers(senders) if senders else set()
        return [move for move in moves if move.sender not in strangers]

    async def judge(self, block: SolidBlock) -> SolidBlock:
        """The block with only those of its transactions in which an address of ours may be a party.

        Knows every address that was in the journal when it was called. `perhaps` is for blocks
        that are no evidence: of those, nothing may be written down.
        """
        async with self._following:
            await self._follow()
            ours = self.ours(block)
            part = _part(block, ours)
            if self._internal is not None:
                part = await self._internal.judged(block, part, ours)
            self._known = block, part
        return part

    async def booked(self, part: SolidBlock) -> SolidBlock:
        """What `judge` gave, when the books have it, with what counts of it for certain; others
        are given that from now on."""
        if self._internal is None:
            return part
        certain = await self._internal.booked(part)
        if self._known is not None and self._known[1] is part:
            self._known = self._known[0], certain
        return certain

    async def quiet(self, blocks: Sequence[SolidBlock]) -> int:
        """How many of the blocks, from the first on, have none of our addresses as a party.

        Knows every address that was in the journal when it was called.
        """
        async with self._following:
            await self._follow()
            end = len(blocks)
            if self._internal is not None and blocks:
                first = blocks[0].number
                loud = await self._internal.first_within(first, blocks[-1].number)
                end = end if loud is None else loud - first
            for count, block in enumerate(blocks[:end]):
                if _part(block, self.ours(block)).transactions:
                    return count
                await asyncio.sleep(0)  # others get their turn
        return end

    async def part(self, block: SolidBlock) -> SolidBlock:
        """The same for those who come after the one that judged this very block."""
        known = self._known
        return known[1] if known is not None and known[0] is block else await self.judge(block)

    async def perhaps(self, block: SolidBlock) -> SolidBlock:
        """The part of a block that may go away, as one node shows it, with what that says of
        contracts as if it were true: for screens. Nothing is written, and nothing decided."""
        async with self._following:
            await self._follow()
            ours = self.ours(block)
        part = _part(block, ours)
        return part.only(each.as_if_proved(ours, SHOWN_MAX) for each in part.transactions)

    def ours(self, block: SolidBlock) -> set[bytes]:
        """The last 20 bytes of each address of ours that may be a party of one of the block's
        transactions; as of the last look at a block."""
        return set(self._addresses.perhaps(block.parties()))

    async def _follow(self) -> None:
        """Take in what the journal says since; all again when it is not the one that we know.

        Raises:
            StoreUnavailable: It keeps becoming another one.
        """
        fills = 0
        while True:
            if not self._filled:
                if fills == FILLS_MAX:
                    raise StoreUnavailable
                await self._fill()
                fills += 1
            if await self._read_on(far_is_anew=not fills):
                return

    async def _read_on(self, *, far_is_anew: bool) -> bool:
        """Take in the next entries; True when these were the last ones.

        Args:
            far_is_anew: Who has not looked for long reads the addresses again, not the journal.
        """
        entries = await _entries(self._number)
        if self._number:
            known = entries[0] if entries else {}
            if (known.get("_id"), known.get("hash")) != (self._number, self._hash):
                log.warning("watched.journal_changed", number=self._number)
                self._filled = False
                return False
        if far_is_anew and len(entries) == ENTRIES_AT_ONCE:
            self._filled = False
            return False
        for entry in entries:
            opened = entry.get("opens") or ()
            self._addresses.update(bare_bytes(each["address"]) for each in opened)
            self._number, self._hash = entry["_id"], entry["hash"]
        return len(entries) < ENTRIES_AT_ONCE

    async def _fill(self) -> None:
        """Read everything there is. The place in the journal comes first: what was opened up to it
        stands among the holders, what is opened after it is read on from there."""
        number, digest = await _place()
        for batches in (
            addresses_in(Holder),
            addresses_in(OpeningRequest),
            *(each() for each in self.sources),
        ):
            async for batch in batches:
                self._addresses.update(map(bare_bytes, batch))
        self._number, self._hash, self._filled = number, digest, True
        log.info("watched.filled", addresses=len(self._addresses), journal=number)


def _part(block: SolidBlock, ours: AbstractSet[bytes]) -> SolidBlock:
    return block.only(block.touching(ours) if ours else [])


async def _place() -> tuple[int, str]:
    """Number and hash of the last entry whose openings the holders show for certain."""
    with store_errors():
        head = await LedgerHead.find_one({"_id": "head"})
        found = LedgerEntry.get_pymongo_collection().find(
            {"_id": {"$lte": head.applied if head else 0}}, {"hash": 1}
        )
        rows = await found.sort("_id", DESCENDING).limit(1).to_list()
    return (rows[0]["_id"], rows[0]["hash"]) if rows else (0, "")


async def _entries(first: int) -> list[dict[str, Any]]:
    """The journal from this entry on: numbers, hashes, and what was opened."""
    with store_errors():
        rows = LedgerEntry.get_pymongo_collection().find(
            {"_id": {"$gte": first}}, {"hash": 1, "opens.address": 1}
        )
        return await rows.sort("_id", ASCENDING).limit(ENTRIES_AT_ONCE).to_list()


async def addresses_in(model: type[Document], field: str = "_id") -> AsyncIterator[list[str]]:
    """Every address in this field of a collection, in batches."""
    with store_errors():
        rows = model.get_pymongo_collection().find({}, {field: 1}, batch_size=READ_BATCH)
        while batch := await rows.to_list(READ_BATCH):
            yield [row[field] for row in batch]
