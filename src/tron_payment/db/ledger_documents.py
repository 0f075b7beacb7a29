"""The books as stored: numbered entries of postings, and the balances that they add up to.

Every rule that must hold whatever process wakes late is a unique index of `LedgerEntry`; what
writes entries and rolls balances forward is in ledger.py.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec
from pymongo import ASCENDING, IndexModel

from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument

WORLD: Final = "world"
NETWORK_FEES: Final = "fees:network"
OPENING: Final = "opening"
SUM: Final = "sum"
"""In the reference of a posting that stands for several transactions."""


class Pocket(StrEnum):
    """What a holder's money is doing. An account is ``<address>:<pocket>``."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    STAKED = "staked"
    UNFREEZING = "unfreezing"


def account(holder: Address, pocket: Pocket) -> str:
    return f"{holder}:{pocket.value}"


@dataclass(frozen=True, slots=True)
class Posting:
    """Units of one asset leave `source` and arrive at `destination`; never zero or negative."""

    source: str
    destination: str
    asset: str
    units: int
    ref: str
    """The order, or the txid and index, that this is about; of several transactions in a sum the
    first one's txid, `SUM` and how many they are: the others' are not kept."""

    def __post_init__(self) -> None:
        assert self.units > 0, self
        assert self.source != self.destination, self

    @property
    def transactions(self) -> int:
        """How many it stands for."""
        _, _, rest = self.ref.partition(f":{SUM}:")
        return int(rest) if rest else 1


@dataclass(frozen=True, slots=True)
class Opened:
    """An address whose movements are booked from the first block after `block_number`."""

    address: Address
    block_number: int


class LedgerEntry(LeanDocument):
    """A numbered entry. Written once; nothing ever updates it."""

    id: int  # type: ignore[assignment]
    cause: str
    at: datetime
    postings: list[Posting]
    reserves: list[str] | None = None
    finals: list[str] | None = None
    opens: list[Opened] | None = None
    left_out: list[str] | None = None
    """References of what the books have no room for (ledger_room.py): ``<txid>:<index>``, or the
    txid alone where there are too many."""

    block_number: int | None = None
    previous_hash: str
    hash: str

    class Settings:
        name = "ledger_entries"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {
            Posting: msgspec.to_builtins,
            Opened: msgspec.to_builtins,
        }
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("cause", ASCENDING)], name="cause", unique=True),
            IndexModel([("reserves", ASCENDING)], name="reserves", unique=True, sparse=True),
            IndexModel([("finals", ASCENDING)], name="finals", unique=True, sparse=True),
            IndexModel([("block_number", ASCENDING)], name="block_number", sparse=True),
            IndexModel([("postings.ref", ASCENDING)], name="ref"),
        ]


class Balance(LeanDocument):
    """A cache: the sum of an account's postings up to entry `seq`."""

    id: str  # type: ignore[assignment]  # "<account>|<asset>"
    account: str
    asset: str
    units: int
    seq: int

    class Settings:
        name = "ledger_balances"
        indexes: ClassVar[list[IndexModel]] = [IndexModel([("account", ASCENDING)], name="account")]


class Holder(LeanDocument):
    """An address whose movements we book."""

    id: str  # type: ignore[assignment]  # the address
    opened_block: int
    opened_seq: int

    class Settings:
        name = "ledger_holders"


class LedgerHead(LeanDocument):
    """How far the balances have been rolled forward. One document."""

    id: str = "head"  # type: ignore[assignment]
    applied: int = 0
    hash: str = ""

    class Settings:
        name = "ledger_head"


DOCUMENTS: Final = (LedgerEntry, Balance, Holder, LedgerHead)


async def listed(field: str, order_ids: Sequence[str]) -> set[str]:
    """Of these orders the ones that some entry names in `field`: ``reserves`` or ``finals``."""
    if not order_ids:
        return set()
    wanted = set(order_ids)
    cursor = LedgerEntry.get_pymongo_collection().find({field: {"$in": list(wanted)}}, {field: 1})
    return {each async for row in cursor for each in row[field] if each in wanted}


async def ended_in(order_ids: Sequence[str]) -> dict[str, int]:
    """Of these orders those that a block's entry has ended, and the block."""
    if not order_ids:
        return {}
    wanted = set(order_ids)
    query = {"finals": {"$in": list(wanted)}, "block_number": {"$gt": 0}}
    found: dict[str, int] = {}
    with store_errors():
        rows = LedgerEntry.get_pymongo_collection().find(query, {"finals": 1, "block_number": 1})
        async for row in rows:
            found |= dict.fromkeys(wanted.intersection(row["finals"]), row["block_number"])
    return found


async def named_by(block_number: int, field: str) -> frozenset[str]:
    """What a block's entry has in `field`: ``finals`` or ``left_out``."""
    query = {"cause": f"block:{block_number}"}
    with store_errors():
        row = await LedgerEntry.get_pymongo_collection().find_one(query, {field: 1})
    return frozenset((row or {}).get(field) or ())


async def newest_block() -> int:
    """The newest block of which there is an entry; 0 before the first."""
    query = {"block_number": {"$gt": 0}}
    with store_errors():
        rows = LedgerEntry.get_pymongo_collection().find(query, {"block_number": 1})
        found = await rows.sort("block_number", -1).limit(1).to_list()
    return int(found[0]["block_number"]) if found else 0


def deltas(postings: Iterable[Posting]) -> dict[tuple[str, str], int]:
    """What postings together change, in units by (account, asset)."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for posting in postings:
        totals[(posting.source, posting.asset)] -= posting.units
        totals[(posting.destination, posting.asset)] += posting.units
    return totals


def digest(previous_hash: str, entry: LedgerEntry) -> str:
    """The entry's hash, which fixes its content and every entry before it."""
    content: list[Any] = [
        previous_hash,
        entry.id,
        entry.cause,
        to_ms(entry.at),
        [[p.source, p.destination, p.asset, p.units, p.ref] for p in entry.postings],
        entry.reserves,
        entry.finals,
        [[o.address, o.block_number] for o in entry.opens or ()],
        entry.block_number,
    ]
    if entry.left_out:
        content.append(entry.left_out)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
