"""Reconciliations as stored, and every query on them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.db.audit import AuditEntry
from tron_payment.db.cas import compare_and_set
from tron_payment.db.faults import store_errors
from tron_payment.engine import Unexplained

FINISHED_ACTION: Final = "reconciliation.finished"
UNMATCHED_ACTION: Final = "transaction.unmatched"
UNMATCHED_MAX: Final = 1_000
"""Kept in a report; a house with more has other troubles."""


class ReconciliationStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Row:
    """One holder, pocket and asset: what the ledger and the chain say at the same block."""

    address: str
    name: str
    asset: str
    pocket: str
    ledger_units: int
    chain_units: int
    block_number: int
    beyond_books: bool = False
    """The chain shows more than an account of the books can have (`chain_units` at least), as a
    contract may claim: the two are not compared."""

    @property
    def difference(self) -> int:
        """What the chain has more than the books."""
        return 0 if self.beyond_books else self.chain_units - self.ledger_units


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Money that left one of our addresses by a transaction that nobody here ordered."""

    txid: str
    block_number: int
    address: str
    asset: str
    units: int


@dataclass(frozen=True, slots=True)
class Dissent:
    """Two nodes that show different things for one address at the same solidified block."""

    address: str
    asset: str
    pocket: str
    node: str
    units: int
    other_node: str
    other_units: int
    block_number: int
    about: str
    """``units``, or ``block_id`` when they do not even show the same block."""


class Reconciliation(Document):
    """One comparison of all books with the chain. `content` is what was signed."""

    id: str  # type: ignore[assignment]  # rec_...
    status: ReconciliationStatus = ReconciliationStatus.RUNNING
    requested_by: str
    version: int = 0
    op_id: str = ""
    addresses: int = 0
    """How many were compared so far."""

    holders: int | None = None
    """How many addresses there are books for; None of an older build."""

    round_seconds: int | None = None
    """In this time each of them is compared once: those with money in every run, the empty ones by
    turns."""

    solid_block: int | None = None
    """The newest block that was compared; each row names its own."""

    difference: dict[str, int] = Field(default_factory=dict)
    """By asset the sum of all differences without their signs, so that none hides another. What is
    beyond the books is none."""

    rows: list[Row] = Field(default_factory=list)
    """Those that are not zero on both sides; differences first."""

    confirmed: int = 0
    """Addresses that a second node showed alike at the same block; 0 with one node."""

    dissent: list[Dissent] = Field(default_factory=list)
    """Where two nodes contradict each other: then one of them lies, and a person looks."""

    waiting: list[str] = Field(default_factory=list)
    """Addresses whose books are still being opened."""

    unmatched: list[Unmatched] = Field(default_factory=list)
    idle_cursor: str = ""
    """Addresses without money take turns; the last one that was compared."""

    audit_seq: int = 0
    """The audit log was read for unmatched transactions up to here."""

    content: bytes = b""
    sha256: str = ""
    signature: str = ""
    public_key: str = ""
    created_at: datetime
    finished_at: datetime | None = None

    class Settings:
        name = "reconciliations"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {
            Row: asdict,
            Unmatched: asdict,
            Dissent: asdict,
        }
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("created_at", DESCENDING)], name="last"),
        ]


async def answered_for(txids: Iterable[str]) -> dict[str, str]:
    """Who has acknowledged which of these transactions."""
    query = {"_id": {"$in": sorted(set(txids))}, "acknowledged_by": {"$ne": ""}}
    with store_errors():
        found = await Unexplained.find(query).to_list()
    return {each.id: each.acknowledged_by for each in found}


async def last(status: ReconciliationStatus) -> Reconciliation | None:
    with store_errors():
        found = (
            await Reconciliation.find({"status": status.value})
            .sort("-created_at")
            .limit(1)
            .to_list()
        )
    return found[0] if found else None


async def by_id(reconciliation_id: str) -> Reconciliation | None:
    with store_errors():
        return await Reconciliation.find_one({"_id": reconciliation_id})


async def change(report: Reconciliation, **fields: Any) -> Reconciliation:
    """
    Raises:
        LostRace: Another process works on it.
    """
    return await compare_and_set(
        Reconciliation,
        report.id,
        version=report.version,
        where={"status": ReconciliationStatus.RUNNING.value},
        set=fields,
    )


async def is_noted(report_id: str) -> bool:
    """Whether the audit log has the finished report, under whichever id: older releases gave its
    entry a random one."""
    query = {"object_id": report_id, "action": FINISHED_ACTION, "actor": "service"}
    with store_errors():
        return await AuditEntry.find_one(query) is not None


async def alarms_after(seq: int, up_to: int) -> list[Unmatched]:
    """Unmatched transactions that the engine has put into the audit log between two numbers."""
    query = {
        "actor": "service",
        "action": UNMATCHED_ACTION,
        "seq": {"$gt": seq, "$lte": up_to},
    }
    with store_errors():
        entries = await AuditEntry.find(query).sort("+seq").limit(UNMATCHED_MAX).to_list()
    return [
        Unmatched(
            txid=facts["txid"],
            block_number=facts["block"],
            address=facts["address"],
            asset=facts["asset"],
            units=facts["units"],
        )
        for facts in (entry.after or {} for entry in entries)
    ]
