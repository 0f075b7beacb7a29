"""What people say about things in quarantine, and every query on it."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from beanie import Document
from pydantic import Field

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.db.cas import compare_and_set, insert_once
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus

LISTED_MAX: Final = 200


class CaseStatus(StrEnum):
    PROPOSED = "proposed"
    REJECTED = "rejected"
    RESOLVED = "resolved"


LIFECYCLE: Final = Lifecycle(
    {
        CaseStatus.PROPOSED: {CaseStatus.PROPOSED, CaseStatus.REJECTED, CaseStatus.RESOLVED},
        CaseStatus.REJECTED: {CaseStatus.PROPOSED},
        CaseStatus.RESOLVED: {CaseStatus.PROPOSED},
    }
)


class Case(Document):
    """A proposal to end one order or payout, with what the chain showed when it was made."""

    id: str  # type: ignore[assignment]  # ord_... or pay_...
    outcome: str
    note: str
    evidence: list[dict[str, Any]] = Field(default_factory=list)
    proposed_by: str
    proposed_at: datetime
    status: CaseStatus = CaseStatus.PROPOSED
    decided_by: str | None = None
    decided_at: datetime | None = None
    version: int = 0
    op_id: str = ""

    class Settings:
        name = "quarantine_cases"
        keep_nulls = False


async def by_id(object_id: str) -> Case | None:
    return await Case.find_one({"_id": object_id})


async def by_ids(object_ids: Sequence[str]) -> dict[str, Case]:
    found = Case.find({"_id": {"$in": list(object_ids)}})
    return {each.id: each async for each in found}


async def propose(case: Case) -> Case:
    """Store a proposal; it takes the place of an earlier one.

    Raises:
        LostRace: Somebody else proposes or decides in this moment.
    """
    if await insert_once(case):
        return case
    found = await by_id(case.id)
    assert found is not None, case.id
    LIFECYCLE.require(found.status, CaseStatus.PROPOSED)
    return await compare_and_set(
        Case,
        case.id,
        version=found.version,
        set={
            "outcome": case.outcome,
            "note": case.note,
            "evidence": case.evidence,
            "proposed_by": case.proposed_by,
            "proposed_at": case.proposed_at,
            "status": CaseStatus.PROPOSED.value,
        },
        unset=("decided_by", "decided_at"),
    )


async def decide(case: Case, status: CaseStatus, by: str, now: datetime) -> Case:
    """
    Raises:
        LostRace: It is another proposal by now, or decided.
    """
    LIFECYCLE.require(case.status, status)
    return await compare_and_set(
        Case,
        case.id,
        version=case.version,
        where={"status": CaseStatus.PROPOSED.value},
        set={"status": status.value, "decided_by": by, "decided_at": now},
    )


async def payouts() -> list[Payout]:
    """Payouts in quarantine, oldest first."""
    found = Payout.find({"status": PayoutStatus.QUARANTINED.value}).sort("+updated_at")
    return await found.limit(LISTED_MAX).to_list()
