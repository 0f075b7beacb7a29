"""Opening the books of a newly registered token for the holders that we have already.

A holder may have held the token before anybody here knew it. Its movements are booked from some
block after the registration on; so once that has certainly begun everywhere, the balance at a
solidified block, less what is in the journal up to that block, is booked as opening balance. (The
same idea as the engine's `Openings`, which opens new holders with all tokens at once.)
"""

from collections.abc import Sequence
from typing import Final

import structlog

from tron_payment.chain import Cursors
from tron_payment.core.address import Address
from tron_payment.db.ledger import (
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
from tron_payment.engine import HeadMoved, Openings
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import TokenOpening

BLOCKS_PAST_REGISTRATION: Final = 20
"""A minute of main net: by then every replica has loaded the token and books it."""


log = structlog.get_logger()


class TokenOpenings:
    """Opens books of registered tokens."""

    def __init__(self, *, ledger: Ledger, openings: Openings, cursors: Cursors) -> None:
        self._ledger = ledger
        self._openings = openings
        self._cursors = cursors

    async def resume(self) -> None:
        """Ask for every holder's books of each token that was not asked for yet.

        Called after a registration and at every start, so that dying in between loses nothing.
        """
        position = await self._cursors.load()
        number = 0 if position is None else position.number
        for token in await store.unopened_tokens():
            await store.request_openings(token.id, token.symbol, number)
            await store.openings_requested(token.id)

    async def step(self) -> bool:
        """Take each requested opening one step further; True when one was finished."""
        finished = False
        for row in await store.pending_openings():
            try:
                finished |= await self._advance(row)
            except HeadMoved:
                continue
        return finished

    async def _advance(self, row: TokenOpening) -> bool:
        address = Address(row.address)
        position = await self._cursors.load()
        if position is None or await self._openings.pending(address):
            return False
        if row.read_at_block is None:
            number, units = await self._openings.balances(
                address, not_before=row.registered_at_block + BLOCKS_PAST_REGISTRATION
            )
            await store.opening_read(row.id, number, units.get((Pocket.AVAILABLE, row.asset), 0))
            return False
        if position.number < row.read_at_block:
            return False
        entry = await self._ledger.append(lambda view: self._draft(view, row))
        await self._openings.tell(entry)
        await store.opening_done(row.id)
        log.info("ledger.token_opened", address=address, asset=row.asset)
        return True

    async def _draft(self, view: View, row: TokenOpening) -> Draft:
        """The opening balance, and up to which block it counts, also where it is zero: whoever
        reads the chain once more must not book those blocks' movements beside it."""
        assert row.read_at_block is not None and row.units is not None
        rest = int(row.units) - await _booked(Address(row.address), row.asset, row.read_at_block)
        name = account(Address(row.address), Pocket.AVAILABLE)
        sides = (OPENING, name) if rest > 0 else (name, OPENING)
        cause = f"open:{row.id}"
        opens = (Opened(Address(row.address), row.read_at_block),)
        if rest == 0:
            return Draft(cause, opens=opens)
        posting = Posting(*sides, row.asset, abs(rest), cause)
        if not await view.fitting([posting]):
            return Draft(cause, opens=opens, left_out=(cause,))
        return Draft(cause, (posting,), opens=opens)


async def _booked(address: Address, asset: str, block_number: int) -> int:
    """What blocks up to this one, and earlier openings, have booked for a holder.

    What is reserved counts as available: on the chain there is no difference.
    """
    names: Sequence[str] = [
        account(address, pocket) for pocket in (Pocket.AVAILABLE, Pocket.RESERVED)
    ]
    query = {
        "$and": [
            {
                "$or": [
                    {"block_number": {"$lte": block_number}},
                    {"postings.source": OPENING},
                    {"postings.destination": OPENING},
                ]
            },
            {
                "$or": [
                    {"postings.source": {"$in": names}},
                    {"postings.destination": {"$in": names}},
                ]
            },
        ]
    }
    total = 0
    async for entry in LedgerEntry.find(query):
        for posting in entry.postings:
            if posting.asset == asset:
                total += posting.units * (
                    (posting.destination in names) - (posting.source in names)
                )
    return total
