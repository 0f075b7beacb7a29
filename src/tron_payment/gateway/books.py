"""The ledger as of a solidified block, for comparison with the chain at that block.

Blocks are booked in order, one entry each; so the books as of block b are the books now less the
entries of later blocks. What is reserved counts as available: the chain knows no difference;
hold_documents.py looks at that.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import (
    Balance,
    Holder,
    Ledger,
    LedgerEntry,
    Pocket,
    account,
)

LOOKS_MAX: Final = 50
LOOK_AGAIN_S: Final = 0.02
HOLDERS_PER_PAGE: Final = 1_000

Held = dict[tuple[Address, Pocket, str], int]
"""Units by holder, pocket (never RESERVED) and asset."""


class BooksMoving(Unavailable, code="books_moving"):
    """The books of these addresses keep changing; look again."""


async def as_of(ledger: Ledger, blocks: Mapping[Address, int]) -> Held:
    """What each address had when its block had been booked.

    Args:
        blocks: For each address a block that has been applied already.

    Raises:
        BooksMoving: They were written to during every look.
    """
    names = {account(each, pocket): (each, pocket) for each in blocks for pocket in Pocket}
    for _ in range(LOOKS_MAX):
        seq = (await ledger.view()).seq
        found = await _balances(names)
        later = await _later(min(blocks.values()), seq, names)
        if not await touched_after(seq, names):
            return _rolled_back(found, later, names, blocks)
        await asyncio.sleep(LOOK_AGAIN_S)
    raise BooksMoving


async def holders_after(last: str) -> list[Address]:
    """The next page of addresses that we keep books for, in the order of their text."""
    with store_errors():
        rows = await (
            Holder.find({"_id": {"$gt": last}}).sort("+_id").limit(HOLDERS_PER_PAGE).to_list()
        )
    return [Address(row.id) for row in rows]


async def count_holders() -> int:
    """How many addresses we keep books for."""
    with store_errors():
        return await Holder.find_all().count()


async def holders_with_money() -> list[Address]:
    """Addresses that have something by our books, or owe something, in the order of their text."""
    pockets = tuple(f":{pocket.value}" for pocket in Pocket)
    found: set[str] = set()
    with store_errors():
        rows = Balance.get_pymongo_collection().find({"units": {"$ne": 0}}, {"account": 1})
        async for row in rows:
            if row["account"].endswith(pockets):
                found.add(row["account"].rpartition(":")[0])
    return [Address(each) for each in sorted(found)]


async def _balances(names: Collection[str]) -> list[tuple[str, str, int]]:
    with store_errors():
        rows = await Balance.find({"account": {"$in": list(names)}}).to_list()
    return [(row.account, row.asset, row.units) for row in rows]


async def _later(block_number: int, seq: int, names: Collection[str]) -> list[LedgerEntry]:
    """Entries of blocks after this one that are in the balances at `seq`."""
    with store_errors():
        return await LedgerEntry.find(
            {"block_number": {"$gt": block_number}, "_id": {"$lte": seq}, **_touching(names)}
        ).to_list()


async def touched_after(seq: int, names: Collection[str]) -> bool:
    """Whether an entry after `seq` touches these accounts: then the balances may be mixed."""
    with store_errors():
        return await LedgerEntry.find_one({"_id": {"$gt": seq}, **_touching(names)}) is not None


def _touching(names: Collection[str]) -> dict[str, object]:
    listed = list(names)
    return {
        "$or": [
            {"postings.source": {"$in": listed}},
            {"postings.destination": {"$in": listed}},
        ]
    }


def _rolled_back(
    found: Iterable[tuple[str, str, int]],
    later: Iterable[LedgerEntry],
    names: Mapping[str, tuple[Address, Pocket]],
    blocks: Mapping[Address, int],
) -> Held:
    held: dict[tuple[Address, Pocket, str], int] = defaultdict(int)

    def add(name: str, asset: str, units: int, block_number: int | None) -> None:
        if name in names:
            address, pocket = names[name]
            if block_number is None or block_number > blocks[address]:
                shown = Pocket.AVAILABLE if pocket is Pocket.RESERVED else pocket
                held[(address, shown, asset)] += units

    for name, asset, units in found:
        add(name, asset, units, None)
    for entry in later:
        for posting in entry.postings:
            add(posting.source, posting.asset, posting.units, entry.block_number)
            add(posting.destination, posting.asset, -posting.units, entry.block_number)
    return dict(held)
