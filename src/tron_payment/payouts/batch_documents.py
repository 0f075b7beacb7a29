"""Batches as stored. A batch is one document: its rows as accepted, before they are payouts.

That one insert is the acceptance; payouts and orders follow from it, and are made again from it
after any crash.
"""

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

import bson
import msgspec
from bson.codec_options import CodecOptions
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.db.audit import Act
from tron_payment.db.cas import compare_and_set
from tron_payment.db.lean import LeanDocument, Raw, written
from tron_payment.payouts.documents import Payout

WORK_MAX: Final = 20
"""Batches looked at by one step."""

COMPRESSION: Final = 1
_AWARE: Final[CodecOptions[Raw]] = CodecOptions(tz_aware=True)


class BatchStatus(StrEnum):
    """As stored and shown."""

    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    CANCELED = "canceled"


S = BatchStatus
ENDS: Final = frozenset({S.COMPLETED, S.COMPLETED_WITH_ERRORS, S.CANCELED})
LIFECYCLE: Final = Lifecycle(
    {
        S.AWAITING_APPROVAL: {S.QUEUED, S.CANCELED},
        S.QUEUED: {S.QUEUED, S.PROCESSING, *ENDS},
        S.PROCESSING: {S.PROCESSING, S.QUEUED, *ENDS},
        S.COMPLETED: set(),
        S.COMPLETED_WITH_ERRORS: {S.QUEUED, S.PROCESSING, S.COMPLETED, S.CANCELED},
        S.CANCELED: set(),
    }
)


class Stage(StrEnum):
    """How far a batch has been carried out."""

    ACCEPTED = "accepted"
    """Its rows are in the batch only."""
    STORED = "stored"
    """Every row is a payout."""
    PLACED = "placed"
    """Every row is in an order, or has ended."""


class Calling(StrEnum):
    """Whether a batch is called back."""

    NO = "no"
    ASKED = "asked"
    DONE = "done"


class Batch(LeanDocument):
    """Many payouts, accepted as one."""

    id: str  # type: ignore[assignment]  # bat_...
    principal: str
    status: BatchStatus
    stage: Stage = Stage.ACCEPTED
    calling: Calling = Calling.NO
    working: bool = True
    """Something is left to be done by the batch loop."""

    dirty: bool = False
    """Rows have changed since `counts` was taken."""

    version: int = 0
    op_id: str = ""
    rows: bytes
    """The accepted payouts, compressed."""

    refused: bytes
    """The refused rows as they were told, compressed."""

    accepted: int = Field(gt=0)
    refused_count: int = Field(ge=0)
    totals: dict[str, int]
    """Units by currency."""

    counts: dict[str, int] = Field(default_factory=dict)
    intent_hash: str
    policy_version: int
    approvals_needed: int = 0
    approvers: list[str] = Field(default_factory=list)
    approvals: list[dict[str, Any]] = Field(default_factory=list)
    approval_until: datetime | None = None
    ending: str | None = None
    """The status of its rows when it was rejected or called back before it was approved."""

    ending_reason: str | None = None
    schedule_id: str | None = None
    nameless: bool = False
    """What its rows said is gone from it (keeping.py)."""

    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    def act(self, action: str, actor: str, role: str) -> Act:
        """What somebody has done with it, for the audit log."""
        return Act(
            actor=actor,
            role=role,
            action=action,
            object_id=self.id,
            after={"accepted": self.accepted, "order_hash": self.intent_hash},
            policy_version=str(self.policy_version),
        )

    class Settings:
        name = "batches"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("working", ASCENDING), ("created_at", ASCENDING)], name="work"),
            IndexModel([("dirty", ASCENDING)], name="dirty"),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_history",
            ),
            IndexModel([("status", ASCENDING), ("approval_until", ASCENDING)], name="approval"),
            IndexModel([("nameless", ASCENDING), ("_id", ASCENDING)], name="named"),
            IndexModel(
                [("nameless", ASCENDING), ("status", ASCENDING), ("updated_at", ASCENDING)],
                name="named_since",
            ),
        ]


async def by_id(batch_id: str, owner: dict[str, str]) -> Batch | None:
    return await Batch.find_one({"_id": batch_id, **owner})


async def change(
    batch: Batch,
    now: datetime,
    *,
    push: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
    **changes: Any,
) -> Batch:
    """One compare-and-set on the version.

    Raises:
        LostRace: Somebody else has changed it.
    """
    target = changes.get("status")
    if target is not None:
        LIFECYCLE.require(batch.status, target)
    return await compare_and_set(
        Batch,
        batch.id,
        version=batch.version,
        where=where,
        set={"updated_at": now, **changes},
        push=push,
    )


async def at_work(skip: int) -> list[Batch]:
    """Some batches with something left to do, oldest first, after so many others."""
    found = Batch.find({"working": True}).sort("+created_at").skip(skip).limit(WORK_MAX)
    return await found.to_list()


async def changed() -> list[Batch]:
    """Batches whose rows have moved."""
    return await Batch.find({"dirty": True}).limit(WORK_MAX).to_list()


async def touch(batch_ids: Iterable[str], now: datetime) -> None:
    """Their rows have moved: the batch loop counts again."""
    ids = list(batch_ids)
    if ids:
        await Batch.get_pymongo_collection().update_many(
            {"_id": {"$in": ids}}, {"$set": {"dirty": True, "updated_at": now}}
        )


async def settle_touch(batch_ids: Iterable[str]) -> None:
    """We count these now; whatever changes from here on touches them again."""
    if ids := list(batch_ids):
        await Batch.get_pymongo_collection().update_many(
            {"_id": {"$in": ids}}, {"$set": {"dirty": False}}
        )


async def overdue(now: datetime) -> list[Batch]:
    """Batches that nobody approved in time."""
    return (
        await Batch.find(
            {"status": BatchStatus.AWAITING_APPROVAL.value, "approval_until": {"$lte": now}}
        )
        .limit(WORK_MAX)
        .to_list()
    )


async def is_unexpanded_left() -> bool:
    """True while rows of some batch are not payouts yet."""
    return await Batch.find_one({"stage": Stage.ACCEPTED.value, "working": True}) is not None


def pack_payouts(payouts: Sequence[Payout]) -> bytes:
    """The rows as one compressed text, a payout a line."""
    lines = "\n".join(payout.model_dump_json(exclude_none=True) for payout in payouts)
    return zlib.compress(lines.encode(), COMPRESSION)


def unpack_payouts(rows: bytes) -> list[str]:
    """A batch's rows as JSON, one a payout."""
    return zlib.decompress(rows).decode().split("\n")


def pack_batch(batch: Batch) -> bytes:
    """The whole batch, as it would be stored."""
    return bson.encode(written(batch))


def unpack_batch(packed: bytes) -> Batch:
    """A batch that was packed and not stored."""
    batch: Batch = Batch.model_validate(bson.decode(packed, _AWARE))
    return batch


def pack_refused(refused: Sequence[dict[str, Any]]) -> bytes:
    return zlib.compress(msgspec.json.encode(refused), COMPRESSION)


def unpack_refused(batch: Batch) -> list[dict[str, Any]]:
    """The refused rows: row, code, param, detail; `said` has the row's own fields."""
    found: list[dict[str, Any]] = msgspec.json.decode(zlib.decompress(batch.refused))
    return found


__all__ = [
    "ENDS",
    "LIFECYCLE",
    "Batch",
    "BatchStatus",
    "Calling",
    "Stage",
    "at_work",
    "by_id",
    "change",
    "changed",
    "is_unexpanded_left",
    "overdue",
    "pack_batch",
    "pack_payouts",
    "pack_refused",
    "settle_touch",
    "touch",
    "unpack_batch",
    "unpack_payouts",
    "unpack_refused",
]
