"""Parameter changes and certificates as stored, and every query on them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.db.cas import compare_and_set, insert_many_once, insert_once
from tron_payment.db.ledger import LedgerEntry

CURRENT: Final = "current"
CHANGES_MAX: Final = 200


class KnownParameters(Document):
    """The chain's parameters as last seen. One document."""

    id: str = CURRENT  # type: ignore[assignment]
    parameters: dict[str, int]
    seen_at: datetime
    version: int = 0
    op_id: str = ""

    class Settings:
        name = "chain_parameters"
        indexes: ClassVar[list[IndexModel]] = []


class ParameterChange(Document):
    """A parameter that was another one before. Its id follows from what was known."""

    id: str  # type: ignore[assignment]  # version of what was known, and the name
    name: str
    before: int | None = None
    """None for one that is new."""

    after: int | None = None
    """None for one that is gone."""

    noticed_at: datetime
    head_block: int
    audited: bool = False

    class Settings:
        name = "chain_parameter_changes"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("noticed_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel([("audited", ASCENDING)], name="audited"),
        ]


class Certificate(Document):
    """Blocks `from_block` to `to_block` were all read; the hash says which they were.

    hash = sha256 over, from `previous_hash`: each block's id (32 bytes) and number of
    transactions (4 bytes, big endian), one hash after the other.
    """

    id: str  # type: ignore[assignment]  # from_block, twelve digits: sorts as text
    from_block: int
    to_block: int = Field(ge=0)
    transactions: int
    ours: int
    """Transactions that the journal has booked."""

    ours_exact: bool = True
    """False where a block was booked in sums: then they are at least so many."""

    reread_blocks: int
    """Read a second time for this certificate, after a new start in between."""

    previous_hash: str
    hash: str
    made_at: datetime

    class Settings:
        name = "certificates"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("made_at", DESCENDING), ("_id", DESCENDING)], name="history")
        ]


async def known_parameters() -> KnownParameters | None:
    return await KnownParameters.find_one({"_id": CURRENT})


async def first_parameters(known: KnownParameters) -> None:
    """Store them unless there are some."""
    await insert_once(known)


async def renew_parameters(
    known: KnownParameters, parameters: Mapping[str, int], now: datetime
) -> None:
    """Raises LostRace when another process was faster."""
    await compare_and_set(
        KnownParameters,
        CURRENT,
        version=known.version,
        set={"parameters": dict(parameters), "seen_at": now},
    )


async def remember_changes(changes: Sequence[ParameterChange]) -> None:
    """Store them; those that are stored already stay as they are."""
    await insert_many_once(changes)


async def unaudited() -> list[ParameterChange]:
    return await ParameterChange.find({"audited": False}).limit(CHANGES_MAX).to_list()


async def mark_audited(change_id: str) -> None:
    await ParameterChange.get_pymongo_collection().update_one(
        {"_id": change_id}, {"$set": {"audited": True}}
    )


async def last_certificate() -> Certificate | None:
    return await Certificate.find_all().sort("-_id").first_or_none()


def certificate_id(from_block: int) -> str:
    return f"{from_block:012d}"


async def certificate(from_block: int) -> Certificate | None:
    return await Certificate.find_one({"_id": certificate_id(from_block)})


async def remember_certificate(made: Certificate) -> bool:
    """False when there is one for these blocks."""
    return await insert_once(made)


async def booked_transactions(from_block: int, to_block: int) -> tuple[int, bool]:
    """How many transactions of these blocks the journal has booked, and whether that is exact.

    Of a sum the journal keeps how many are in it, but not which: some may be in another, too.
    """
    refs: set[str] = set()
    unnamed, exact = 0, True
    query = {"block_number": {"$gte": from_block, "$lte": to_block}}
    async for entry in LedgerEntry.find(query):
        named = {posting.ref.partition(":")[0] for posting in entry.postings}
        largest = max((posting.transactions for posting in entry.postings), default=1)
        unnamed += max(0, largest - len(named))
        exact = exact and largest == 1
        refs |= named
    return len(refs) + unnamed, exact
