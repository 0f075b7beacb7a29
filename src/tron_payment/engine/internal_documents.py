"""What was decided of TRX that contracts have sent to us: one document a transaction."""

from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import uuid4

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import insert_many_once
from tron_payment.db.faults import store_errors

COUNTED_MAX: Final = 10_000
"""More than a block holds."""


class InternalVerdict(Document):
    """Of one transaction: whether and where what it sent to us by contracts counts."""

    id: str  # type: ignore[assignment]  # the txid
    block_number: int
    """Where it stands."""

    counted_in: int | None = None
    """The block in which it counts; None as long as too few nodes tell it."""

    proposal: str = ""
    """While it is not certain that it counts there: a name for this try. Empty when it is certain:
    then `counted_in` is never changed again."""

    parts: list[dict[str, Any]] = []
    """The receipt's internal transactions as enough nodes told them."""

    opened: list[str] = []
    """Of its parties those whose books had begun with what they had on the chain before its block:
    that balance cannot hold it."""

    told: list[str] = []
    """What was told at first, for people."""

    seen_at: datetime
    looked_at: datetime

    accepted_by: str = ""
    """Who has said that it will not be proved, and need not be."""

    reason: str = ""

    class Settings:
        name = "internal_verdicts"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("counted_in", ASCENDING), ("looked_at", ASCENDING)], name="counted_in_looked_at"
            ),
            IndexModel([("proposal", ASCENDING)], name="proposal"),
        ]

    @property
    def is_late(self) -> bool:
        """Whether it counts in another block than its own."""
        return self.counted_in != self.block_number


def a_name() -> str:
    """Of a proposal."""
    return uuid4().hex


async def write_down(found: list[InternalVerdict]) -> set[str]:
    """Those that nobody has written down before; their ids."""
    return await insert_many_once(found)


async def counted_in(number: int) -> list[InternalVerdict]:
    """What counts in a block, or is proposed to, always in the same order."""
    with store_errors():
        rows = InternalVerdict.find({"counted_in": number}).sort("+_id")
        return await rows.limit(COUNTED_MAX).to_list()


async def first_within(first: int, last: int) -> int | None:
    """The first of these blocks in which something counts, or is proposed to."""
    with store_errors():
        found = await InternalVerdict.get_pymongo_collection().find_one(
            {"counted_in": {"$gte": first, "$lte": last}},
            {"counted_in": 1},
            sort=[("counted_in", ASCENDING)],
        )
    return None if found is None else int(found["counted_in"])


def _waits(seen_after: datetime) -> dict[str, Any]:
    """What counts nowhere, and nobody has said that it need not."""
    return {
        "counted_in": None,
        "seen_at": {"$gt": seen_after},
        "accepted_by": {"$in": ["", None]},  # an older build's has none
    }


async def waiting(seen_after: datetime, most: int) -> list[InternalVerdict]:
    """What counts nowhere yet, the one that was looked at longest ago first."""
    with store_errors():
        rows = InternalVerdict.find(_waits(seen_after)).sort("+looked_at")
        return await rows.limit(most).to_list()


async def waiting_count(seen_after: datetime) -> int:
    """How many there are of them, at most `COUNTED_MAX`."""
    with store_errors():
        return await InternalVerdict.get_pymongo_collection().count_documents(
            _waits(seen_after), limit=COUNTED_MAX
        )


async def left_behind(number: int, most: int) -> list[InternalVerdict]:
    """What was proposed to count in blocks up to this one, and never became certain."""
    with store_errors():
        found = InternalVerdict.find({"proposal": {"$gt": ""}, "counted_in": {"$lte": number}})
        return await found.limit(most).to_list()


async def looked(verdict: InternalVerdict, now: datetime) -> None:
    """Others have their turn before it."""
    with store_errors():
        await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id}, {"$set": {"looked_at": now}}
        )


async def accept(txid: str, by: str, reason: str) -> bool:
    """Nobody waits for it any more; False when it counts, or somebody has accepted it before."""
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": txid, "counted_in": None, "accepted_by": {"$in": ["", None]}},
            {"$set": {"accepted_by": by, "reason": reason}},
        )
    return bool(result.matched_count)


async def propose(
    verdict: InternalVerdict, number: int, parts: list[dict[str, Any]]
) -> InternalVerdict | None:
    """Let it count in a block, if it becomes certain; None when it counts somewhere already."""
    proposed = {"counted_in": number, "parts": parts, "proposal": a_name()}
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id, "counted_in": None, "accepted_by": {"$in": ["", None]}},
            {"$set": proposed},
        )
    return verdict.model_copy(update=proposed) if result.matched_count else None


async def confirm(verdict: InternalVerdict) -> bool:
    """It is certain; False when somebody has withdrawn this proposal."""
    return await _decide(verdict, {"proposal": ""})


async def withdraw(verdict: InternalVerdict) -> bool:
    """It counts nowhere for now; False when this proposal is decided already."""
    return await _decide(verdict, {"proposal": "", "counted_in": None, "parts": []})


async def _decide(verdict: InternalVerdict, change: dict[str, Any]) -> bool:
    assert verdict.proposal
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id, "proposal": verdict.proposal}, {"$set": change}
        )
    return bool(result.matched_count)


async def late_after(number: int) -> list[InternalVerdict]:
    """What stands in blocks up to this one and counts after it, or is proposed to."""
    with store_errors():
        return await InternalVerdict.find(
            {"counted_in": {"$gt": number}, "block_number": {"$lte": number}}
        ).to_list(COUNTED_MAX)
