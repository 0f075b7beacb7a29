"""The books: one numbered journal of double-entry postings, append only.

Entry n+1 is written by inserting its number; whoever loses that race looks again and decides
anew, so every decision (is there enough?) was made on exactly the entries before it. Unique
indexes carry the money rules: an order is reserved at most once, posted or released at most
once, a block is booked once, for ever, whatever process wakes late. Balances are a cache that
anybody may roll forward and that can be recomputed from the journal.

What is stored is in ledger_documents.py; docs/decisions/0001-one-journal.md says why, and what was
measured.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from beanie import Document
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, Unavailable
from tron_payment.core.failpoints import failpoint
from tron_payment.db import ledger_cache
from tron_payment.db.faults import duplicates_of
from tron_payment.db.lean import fetch, fetch_one
from tron_payment.db.ledger_cache import BooksTorn
from tron_payment.db.ledger_documents import (
    DOCUMENTS,
    NETWORK_FEES,
    OPENING,
    SUM,
    WORLD,
    Balance,
    Holder,
    LedgerEntry,
    LedgerHead,
    Opened,
    Pocket,
    Posting,
    account,
    deltas,
    digest,
    ended_in,
    listed,
    named_by,
    newest_block,
)
from tron_payment.db.ledger_room import BALANCE_MAX, Room, sides

__all__ = [
    "BALANCE_MAX",
    "DOCUMENTS",
    "NETWORK_FEES",
    "OPENING",
    "POSTINGS_MAX",
    "SUM",
    "WORLD",
    "AlreadyReserved",
    "Balance",
    "Draft",
    "Holder",
    "Ledger",
    "LedgerBusy",
    "LedgerEntry",
    "LedgerHead",
    "Opened",
    "Pocket",
    "Posting",
    "Room",
    "View",
    "account",
    "sides",
]

POSTINGS_MAX: Final = 20_000
"""Per entry; at about 200 bytes each this stays far below MongoDB's 16 MiB per document."""

IDS_PER_QUERY: Final = 10_000
"""A query has up to 16 MiB, and an address or a balance less than 100 bytes."""

APPEND_ATTEMPTS_MAX: Final = 60
"""Lost races before giving up for now; with a handful of writers two or three are usual."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a number.

    `cause` is unique in the journal for ever. `reserves` are orders whose funds are set aside
    here, `finals` orders whose funds are spent or released here.
    """

    cause: str
    postings: tuple[Posting, ...] = ()
    reserves: tuple[str, ...] = ()
    finals: tuple[str, ...] = ()
    opens: tuple[Opened, ...] = ()
    left_out: tuple[str, ...] = ()
    """What the books have no room for; it is written down here and booked nowhere."""

    block_number: int | None = None


class AlreadyReserved(Conflict, code="already_reserved"):
    """Another process has reserved or finished some of these orders."""

    def __init__(self, order_ids: Iterable[str]) -> None:
        super().__init__("reserved or finished already")
        self.order_ids = frozenset(order_ids)


class LedgerBusy(Unavailable, code="ledger_busy"):
    """The journal could not be written now; nothing was booked."""


@dataclass(frozen=True, slots=True)
class View:
    """The books as of entry `seq`, for the one who wants to write entry `seq + 1`."""

    seq: int

    async def balances(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Units by (account, asset); absent means zero."""
        wanted = {f"{name}|{asset}": (name, asset) for name, asset in keys}
        found = dict.fromkeys(wanted.values(), 0)
        for some in _slices(wanted):
            for row in await fetch(Balance, {"_id": {"$in": some}}):
                found[(row.account, row.asset)] = row.units
        return found

    async def fitting(self, postings: Sequence[Posting]) -> list[Posting]:
        """Of these the ones that the books have room for."""
        room = Room(await self.balances(sides(postings)))
        return [posting for posting in postings if room.take(posting)]

    async def holders(self, addresses: Iterable[Address]) -> dict[Address, int]:
        """Of these addresses the ones we keep books for, with the block they opened at."""
        found: dict[Address, int] = {}
        for some in _slices(addresses):
            rows = await fetch(Holder, {"_id": {"$in": some}})
            found.update((Address(row.id), row.opened_block) for row in rows)
        return found

    async def finished(self, order_ids: Sequence[str]) -> set[str]:
        """Of these orders the ones whose funds were spent or released already."""
        return await listed("finals", order_ids)

    async def ended_in(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Of these orders the ones that a block has ended, paid or failed, with its number."""
        return await ended_in(order_ids)

    async def ended_by(self, number: int) -> frozenset[str]:
        """The orders that a block has ended."""
        return await named_by(number, "finals")

    async def reserved(self, order_ids: Sequence[str]) -> set[str]:
        """Of these orders the ones whose funds have ever been set aside."""
        return await listed("reserves", order_ids)

    async def reservation(self, order_id: str) -> tuple[Posting, ...]:
        """The postings that set an order's funds aside; empty when none did."""
        entry = await LedgerEntry.find_one({"reserves": order_id})
        if entry is None:
            return ()
        return tuple(posting for posting in entry.postings if posting.ref == order_id)


class Ledger:
    """Appends to the journal and keeps the balances rolled forward."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._writing = asyncio.Lock()
        self._compared = False
        """Whether the balances are as new as the head, and the journal is no older than that or
        than what `must_have` names."""

        self._must_have: Callable[[], Awaitable[tuple[int, str]]] | None = None

    def must_have(self, entry: Callable[[], Awaitable[tuple[int, str]]]) -> None:
        """Before the first entry is appended, the journal has to have the one that this names, by
        number and hash: another part of the store knows it. A later entry would hide the gap."""
        self._must_have = entry

    async def append(self, build: Callable[[View], Awaitable[Draft | None]]) -> LedgerEntry | None:
        """Write the entry that `build` decides on; None when it decides on nothing.

        `build` may be called several times, each time with newer books. An entry with the same
        cause is returned as it stands: booking a thing twice is not possible.

        Raises:
            AlreadyReserved: An order of the draft was reserved or finished before.
            LedgerBusy: Too many lost races.
            BooksTorn: The store was restored from parts of two moments.
            Unavailable: It cannot be told whether it was.
        """
        async with self._writing:
            for attempt in range(APPEND_ATTEMPTS_MAX):
                head = await self._roll_forward()
                if not self._compared:
                    raise BooksTorn
                draft = await build(View(head.applied))
                if draft is None:
                    return None
                entry = self._entry(head, draft)
                try:
                    await entry.insert()
                except DuplicateKeyError as error:
                    if (earlier := await self._resolve(error, draft)) is not None:
                        return earlier
                    await asyncio.sleep(0.002 * min(attempt, 10))
                    continue
                failpoint("ledger:inserted")
                await self._apply(entry)
                failpoint("ledger:applied")
                await self._advance(head, entry)
                return entry
        raise LedgerBusy

    async def view(self) -> View:
        """The newest books."""
        return View((await self._roll_forward()).applied)

    async def newest(self) -> int | None:
        """The journal's last number; None where it is older than the balances, or than what it
        must have. Looks anew."""
        async with self._writing:  # who appends meanwhile would find it not compared
            self._compared = False
            await self._roll_forward()
            return (await ledger_cache.newest())[0] if self._compared else None

    async def last(self) -> tuple[int, str]:
        """Number and hash of the journal's last entry, whatever the balances say; (0, "") before
        the first."""
        return await ledger_cache.newest()

    async def has(self, number: int, digest: str) -> bool:
        """Whether this is an entry of the journal's. Without a hash only the number is compared
        with the last one."""
        return await ledger_cache.has(number, digest)

    async def last_block(self) -> int:
        """The newest block of which the journal has an entry; 0 before the first."""
        return await newest_block()

    async def rebuild(self) -> ledger_cache.Rebuilt:
        """See `ledger_cache.rebuild`.

        Raises:
            LostRace
        """
        return await ledger_cache.rebuild()

    async def left_out(self, block_number: int) -> frozenset[str]:
        """References of what a block's entry has left out (`LedgerEntry.left_out`)."""
        return await named_by(block_number, "left_out")

    async def is_holder(self, address: Address) -> bool:
        """True for an address whose movements we book."""
        return await Holder.find_one({"_id": address}) is not None

    async def balance(self, holder: Address, pocket: Pocket, asset: str) -> int:
        key = (account(holder, pocket), asset)
        return (await (await self.view()).balances([key]))[key]

    async def holdings(self, holder: Address) -> dict[str, dict[Pocket, int]]:
        """Units by asset and pocket of everything a holder has."""
        await self._roll_forward()
        found: dict[str, dict[Pocket, int]] = defaultdict(dict)
        names = [account(holder, pocket) for pocket in Pocket]
        async for row in Balance.find({"account": {"$in": names}}):
            found[row.asset][Pocket(row.account.rpartition(":")[2])] = row.units
        return dict(found)

    async def recompute(self) -> dict[tuple[str, str], int]:
        """Every balance again, from the journal alone."""
        totals: dict[tuple[str, str], int] = defaultdict(int)
        async for entry in LedgerEntry.find({}, sort="+_id"):
            for key, delta in deltas(entry.postings).items():
                totals[key] += delta
        return {key: units for key, units in totals.items() if units}

    async def verify(self) -> int | None:
        """Check numbers and hashes from the first entry; the first bad number, or None."""
        previous, expected = "", 1
        async for entry in LedgerEntry.find({}, sort="+_id"):
            right = digest(previous, entry)
            if entry.id != expected or entry.previous_hash != previous or entry.hash != right:
                return expected
            previous, expected = entry.hash, expected + 1
        return None

    def _entry(self, head: LedgerHead, draft: Draft) -> LedgerEntry:
        assert len(draft.postings) <= POSTINGS_MAX, draft.cause
        entry = LedgerEntry(
            id=head.applied + 1,
            cause=draft.cause,
            at=self._clock.now(),
            postings=list(draft.postings),
            reserves=list(draft.reserves) or None,
            finals=list(draft.finals) or None,
            opens=list(draft.opens) or None,
            left_out=list(draft.left_out) or None,
            block_number=draft.block_number,
            previous_hash=head.hash,
            hash="",
        )
        entry.hash = digest(head.hash, entry)
        return entry

    async def _resolve(self, error: DuplicateKeyError, draft: Draft) -> LedgerEntry | None:
        """An entry with our cause; None to try again; raises when an order is taken."""
        if (earlier := await LedgerEntry.find_one({"cause": draft.cause})) is not None:
            await self._roll_forward()
            return earlier
        pattern: Mapping[str, Any] = (error.details or {}).get("keyPattern", {})
        if "_id" in pattern or "cause" in pattern:
            return None
        taken = await listed("reserves", draft.reserves) | await listed("finals", draft.finals)
        raise AlreadyReserved(taken)

    async def _roll_forward(self) -> LedgerHead:
        head = await fetch_one(LedgerHead, {"_id": "head"}) or LedgerHead()
        if not self._compared:
            if await ledger_cache.is_torn(head) or await self._lacks():
                return head
            await ledger_cache.catch_up(head, self._apply)
            self._compared = True
        while (entry := await fetch_one(LedgerEntry, {"_id": head.applied + 1})) is not None:
            await self._apply(entry)
            await self._advance(head, entry)
            head = LedgerHead(applied=entry.id, hash=entry.hash)
        return head

    async def _lacks(self) -> bool:
        return self._must_have is not None and not await self.has(*await self._must_have())

    async def _apply(self, entry: LedgerEntry) -> None:
        """Add an entry to the balances; harmless when somebody already has."""
        writes = [
            UpdateOne(
                {"_id": f"{name}|{asset}", "seq": {"$lt": entry.id}},
                {
                    "$inc": {"units": delta},
                    "$set": {"seq": entry.id, "account": name, "asset": asset},
                },
                upsert=True,
            )
            for (name, asset), delta in deltas(entry.postings).items()
        ]
        await _write_tolerating_duplicates(Balance, writes)
        holders = [
            UpdateOne(
                {"_id": opened.address},
                {
                    "$max": {"opened_block": opened.block_number},
                    "$setOnInsert": {"opened_seq": entry.id},
                },
                upsert=True,
            )
            for opened in entry.opens or ()
        ]
        await _write_tolerating_duplicates(Holder, holders)

    async def _advance(self, head: LedgerHead, entry: LedgerEntry) -> None:
        try:
            await LedgerHead.get_pymongo_collection().update_one(
                {"_id": "head", "applied": head.applied},
                {"$set": {"applied": entry.id, "hash": entry.hash}},
                upsert=head.applied == 0,
            )
        except DuplicateKeyError:
            return  # somebody else has rolled it forward


def _slices(ids: Iterable[str]) -> Iterator[list[str]]:
    every = list(ids)
    for start in range(0, len(every), IDS_PER_QUERY):
        yield every[start : start + IDS_PER_QUERY]


async def _write_tolerating_duplicates(model: type[Document], writes: Sequence[UpdateOne]) -> None:
    """A duplicate key here means that the document is already at or past this entry.

    Raises:
        StoreUnavailable: The writes are not known to be kept: the balances must not count as
            rolled forward.
    """
    if not writes:
        return
    try:
        await model.get_pymongo_collection().bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        duplicates_of(error)
