"""Addresses of HD wallets: prepared in batches with their books open, issued one by one, once.

Index 0 is the wallet's own address. A row is never removed and never free again, so no address is
given out twice; one that was issued and not used is a gap, which costs nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.db.cas import insert_many_once
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument
from tron_payment.engine import Openings, addresses_in
from tron_payment.wallets import hd
from tron_payment.wallets.documents import Wallet, active_hd, by_id, watched_only
from tron_payment.wallets.domain import (
    WalletArchived,
    WalletFrozen,
    WalletNotFound,
    WalletScanning,
    WalletStatus,
)

BATCH: Final = 100
"""Addresses prepared at once: one entry in the journal."""

PER_ENTRY_MAX: Final = 1_000
"""The same where more than `BATCH` are asked for."""

READ_BATCH: Final = 500
FREE_MIN: Final = 30
"""Fewer free ones, and the loop prepares the next batch."""

FILL_ATTEMPTS_MAX: Final = 5
TAKE_ATTEMPTS_MAX: Final = 200
SCAN_RETRY_S: Final = 10
RESTORE_GAP: Final = 1_000
"""After a restore this many indices are left out: they may have been issued since the backup."""


class NotDerived(Conflict, code="wallet_not_hd"):
    """Only an HD wallet issues addresses."""


@dataclass(frozen=True, slots=True)
class IssuedAddress:
    """An address that nobody was given before."""

    address: Address
    index: int


class HdAddress(LeanDocument):
    """An address of an HD wallet."""

    id: str  # type: ignore[assignment]  # the address
    wallet_id: str
    index: int
    free: bool
    """Prepared and not yet issued."""

    subject: str | None = None
    """What it was issued for; asking again for the same gives the same address."""

    issued_at: datetime | None = None

    class Settings:
        name = "hd_addresses"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("wallet_id", ASCENDING), ("index", DESCENDING)], name="index", unique=True
            ),
            IndexModel(
                [("wallet_id", ASCENDING), ("free", ASCENDING), ("index", ASCENDING)], name="pool"
            ),
            IndexModel(
                [("wallet_id", ASCENDING), ("subject", ASCENDING)],
                name="subject",
                unique=True,
                partialFilterExpression={"subject": {"$type": "string"}},
            ),
        ]


class HdAddresses:
    """Prepares and issues."""

    def __init__(self, clock: Clock, openings: Openings) -> None:
        self._clock = clock
        self._openings = openings
        self._filling = asyncio.Lock()
        self._prepared: dict[str, deque[str]] = {}
        """By wallet, addresses that were free a moment ago, by index: hints, so that callers at
        once take different rows. Which row is whose, the store decides."""

        self._taking: set[str] = set()
        """Addresses that a caller is just taking; no hint for the others."""

        self.low = asyncio.Event()
        """Set when a wallet may need its next batch."""

    async def issue(self, wallet_id: str, subject: str | None = None) -> IssuedAddress:
        """The next address; its books are open already.

        Args:
            subject: What it is for, such as an invoice's id: the same answer for the same.

        Raises:
            WalletNotFound, WalletFrozen, WalletArchived, WalletScanning, NotDerived
        """
        if subject is not None and (row := await _of_subject(wallet_id, subject)) is not None:
            return _issued(row)
        for _ in range(FILL_ATTEMPTS_MAX):
            if (row := await self._take(wallet_id, subject)) is not None:
                if row.index % BATCH >= BATCH - FREE_MIN:
                    self.low.set()
                return _issued(row)
            async with self._filling:
                if await _count_free(wallet_id, without=self._taking) == 0:
                    await self.fill(await _issuing(wallet_id))
        raise AssertionError("freshly prepared addresses keep vanishing")

    async def step(self) -> bool:
        """For the loop: prepare the next batch where few are left; True when one was."""
        filled = False
        for wallet in await active_hd():
            if await _count_free(wallet.id) < FREE_MIN:
                async with self._filling:
                    await self.fill(wallet)
                filled = True
        return filled

    async def fill(self, wallet: Wallet, count: int = BATCH) -> None:
        """Prepare the next addresses: first their books, then their rows. Safe to repeat.

        Very many are stored entry by entry while a thread derives those of the next one; killed
        in between, what is stored is whole, and the next call goes on behind it.
        """
        assert wallet.xpub is not None, wallet.id
        first = max(await top_index(wallet.id), wallet.index_floor) + 1
        entries = [
            range(start, min(start + PER_ENTRY_MAX, first + count))
            for start in range(first, first + count, PER_ENTRY_MAX)
        ]
        deriving = asyncio.create_task(asyncio.to_thread(_derive, wallet.xpub, entries[0]))
        try:
            for following in (*entries[1:], None):
                fresh = await deriving
                if following is not None:
                    deriving = asyncio.create_task(
                        asyncio.to_thread(_derive, wallet.xpub, following)
                    )
                await self._prepare(wallet, fresh)
        finally:
            deriving.cancel()

    async def _prepare(self, wallet: Wallet, fresh: Sequence[tuple[Address, int]]) -> None:
        if wallet.keys_made_here:
            await self._openings.open_fresh([address for address, _ in fresh])
        else:
            await self._openings.request(*(address for address, _ in fresh))
        await insert_many_once(
            [
                HdAddress(id=address, wallet_id=wallet.id, index=index, free=True)
                for address, index in fresh
            ]
        )

    async def rebuild(self, wallet: Wallet, top: int, *, first: int = 1) -> None:
        """Watch every address from `first` on that was, or may have been, issued before.

        None of them is issued again, not even one that is prepared here; what they hold is booked
        from the chain. Safe to repeat.

        Args:
            top: The highest index that may have been issued.
        """
        assert wallet.xpub is not None, wallet.id
        with store_errors():
            await HdAddress.get_pymongo_collection().update_many(
                {"wallet_id": wallet.id, "free": True, "index": {"$lte": top}},
                {"$set": {"free": False}},
            )
        for start in range(first, top + 1, READ_BATCH):
            stop = min(start + READ_BATCH, top + 1)
            known = await asyncio.to_thread(_derive, wallet.xpub, range(start, stop))
            await self._openings.request(*(address for address, _ in known))
            await insert_many_once(
                [
                    HdAddress(id=address, wallet_id=wallet.id, index=index, free=False)
                    for address, index in known
                ]
            )

    async def _take(self, wallet_id: str, subject: str | None) -> HdAddress | None:
        """A row that is now the caller's; None when no free one was found."""
        wallet = await _issuing(wallet_id)
        change = {"free": False, "issued_at": self._clock.now()}
        if subject is not None:
            change["subject"] = subject
        for _ in range(TAKE_ATTEMPTS_MAX):
            if (address := await self._hint(wallet.id)) is None:
                return None
            self._taking.add(address)
            try:
                with store_errors():
                    raw = await HdAddress.get_pymongo_collection().find_one_and_update(
                        {"_id": address, "wallet_id": wallet.id, "free": True},
                        {"$set": change},
                        return_document=ReturnDocument.AFTER,
                    )
            except DuplicateKeyError:  # somebody else was faster with this very subject
                assert subject is not None
                return await _of_subject(wallet.id, subject)
            finally:
                self._taking.discard(address)
            if raw is not None:
                taken: HdAddress = HdAddress.model_validate(raw)
                return taken
        return None

    async def _hint(self, wallet_id: str) -> str | None:
        """A free address that nobody here is taking, the lowest index first."""
        prepared = self._prepared.setdefault(wallet_id, deque())
        if not prepared:
            with store_errors():
                rows = HdAddress.get_pymongo_collection().find(
                    {"wallet_id": wallet_id, "free": True, "_id": {"$nin": sorted(self._taking)}},
                    {"_id": 1},
                )
                found = [row["_id"] async for row in rows.sort("index", ASCENDING).limit(BATCH)]
            if not prepared:  # another caller may have looked, too
                prepared.extend(each for each in found if each not in self._taking)
        return prepared.popleft() if prepared else None


def _derive(xpub: str, indices: range) -> list[tuple[Address, int]]:
    """Addresses of an account, in a thread: libsecp256k1 lets the event loop go on meanwhile."""
    return hd.parse_xpub(xpub).child(0).addresses(indices)


async def row_of(address: str) -> HdAddress | None:
    """The row of an address, issued or prepared."""
    with store_errors():
        return await HdAddress.find_one({"_id": address})


async def strangers(addresses: Collection[Address]) -> set[Address]:
    """Of these those that are only watched, and that no account here has derived."""
    found = await watched_only(addresses)
    if found:
        with store_errors():
            rows = HdAddress.get_pymongo_collection().find({"_id": {"$in": sorted(found)}})
            found -= {Address(row["_id"]) async for row in rows}
    return found


async def top_index(wallet_id: str) -> int:
    """The highest index that has a row; 0, the wallet's own, when none has."""
    with store_errors():
        rows = await HdAddress.find({"wallet_id": wallet_id}).sort("-index").limit(1).to_list()
    return rows[0].index if rows else 0


async def top_issued(wallet_id: str) -> int:
    """The highest index that was issued."""
    with store_errors():
        rows = (
            await HdAddress.find({"wallet_id": wallet_id, "free": False})
            .sort("-index")
            .limit(1)
            .to_list()
        )
    return rows[0].index if rows else 0


async def addresses_of(wallet_id: str) -> AsyncIterator[list[Address]]:
    """Issued addresses in batches, by index; index 0 is the wallet's own and not among them."""
    last = 0
    while True:
        with store_errors():
            rows = (
                await HdAddress.find(
                    {"wallet_id": wallet_id, "free": False, "index": {"$gt": last}}
                )
                .sort("+index")
                .limit(READ_BATCH)
                .to_list()
            )
        if not rows:
            return
        yield [Address(row.id) for row in rows]
        last = rows[-1].index


def every_address() -> AsyncIterator[list[str]]:
    """Every address that has a row, issued or prepared, in batches."""
    return addresses_in(HdAddress)


def every_wallet() -> AsyncIterator[list[str]]:
    """The wallets' own addresses, in batches."""
    return addresses_in(Wallet, "address")


async def count_issued(wallet_id: str) -> int:
    with store_errors():
        return await HdAddress.find({"wallet_id": wallet_id, "free": False}).count()


async def _count_free(wallet_id: str, without: Iterable[str] = ()) -> int:
    query = {"wallet_id": wallet_id, "free": True, "_id": {"$nin": sorted(without)}}
    with store_errors():
        return await HdAddress.find(query).limit(BATCH).count()


async def _of_subject(wallet_id: str, subject: str) -> HdAddress | None:
    """By the partial index, which the server takes only when its own condition is asked for."""
    query = {"wallet_id": wallet_id, "subject": {"$eq": subject, "$type": "string"}}
    with store_errors():
        return await HdAddress.find_one(query)


async def _issuing(wallet_id: str) -> Wallet:
    wallet = await by_id(wallet_id)
    if wallet is None:
        raise WalletNotFound(param="wallet_id")
    if wallet.xpub is None:
        raise NotDerived(param="wallet_id")
    if wallet.status is WalletStatus.FROZEN:
        raise WalletFrozen(param="wallet_id")
    if wallet.status is WalletStatus.ARCHIVED:
        raise WalletArchived(param="wallet_id")
    if wallet.scan_from is not None:
        raise WalletScanning(param="wallet_id", retry_after_s=SCAN_RETRY_S)
    return wallet


def _issued(row: HdAddress) -> IssuedAddress:
    return IssuedAddress(Address(row.id), row.index)


async def still_free(addresses: Sequence[Address]) -> set[Address]:
    """Of these the prepared ones that nobody was given: nothing can have come to them."""
    with store_errors():
        rows = await HdAddress.find({"_id": {"$in": list(addresses)}, "free": True}).to_list()
    return {Address(row.id) for row in rows}
