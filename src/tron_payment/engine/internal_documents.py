"""What was decided of TRX that contracts have sent to us: one document a transaction."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import uuid4

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import insert_many_once
from tron_payment.db.faults import store_errors

COUNTED_MAX: Final = 10_000
"""More than a block holds."""

KEPT_MAX: Final = 1_000
"""Transactions that wait to be proved, told by the same nodes. Whoever invents them in every block
so takes the room of nobody who tells the truth without him."""

MADE_ROOM_MAX: Final = 100
"""Of these, so many may go at once for others that are worth more."""

TELLERS_MAX: Final = 100
ASK_PAUSE: Final = timedelta(seconds=15)
"""After the first time that it was asked for; doubled after each further one."""

ASK_PAUSE_MAX: Final = timedelta(hours=1)
DOUBLINGS_MAX: Final = (ASK_PAUSE_MAX // ASK_PAUSE).bit_length()


class InternalVerdict(Document):
    """Of one transaction: whether and where what it sent to us by contracts counts."""

    id: str  # type: ignore[assignment]  # the txid
    block_number: int
    """Where it stands."""

    block_id: str = ""
    """Of that block, as it was solidified and as many nodes as have to agree showed it to who wrote
    this down. Empty of an older build, which may have had it from one node, of a block that went
    away: that is no proof."""

    counted_in: int | None = None
    """The block in which it counts; None as long as too few nodes tell it."""

    proposal: str = ""
    """While it is not certain that it counts there: a name for this try. Empty when it is certain:
    then `counted_in` is never changed again."""

    parts: list[dict[str, Any]] = []
    """The receipt's internal transactions as enough nodes told them."""

    sides: int = 0
    """Of what counts or is proposed: pairs of who pays and who gets, one of them ours."""

    opened: list[str] = []
    """Of its parties those whose books had begun with what they had on the chain before its block:
    that balance cannot hold it."""

    told: list[str] = []
    """What was told at first, for people."""

    told_by: str = ""
    """Aliases of the nodes that told it; empty of an older build."""

    amount_sun: int = 0
    """What was told to have come to us in all: the larger one is asked for first."""

    seen_at: datetime
    looked_at: datetime
    asked: int = 0
    """How often the nodes were asked for it again."""

    due_at: datetime | None = None
    """Not asked for before this; None of an older build: at once."""

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


_NOT_ACCEPTED: Final = {"accepted_by": {"$in": ["", None]}}  # an older build's has none
_UNDECIDED: Final = {"$or": [{"counted_in": None}, {"proposal": {"$gt": ""}}]}


def a_name() -> str:
    """Of a proposal."""
    return uuid4().hex


async def write_down(found: list[InternalVerdict]) -> set[str]:
    """Those that nobody has written down before; their ids."""
    return await insert_many_once(found)


async def elsewhere(txids: list[str], number: int) -> list[InternalVerdict]:
    """Those of these transactions that were written down as standing in another block than this,
    and count nowhere for certain."""
    found: list[InternalVerdict] = []
    for start in range(0, len(txids), KEPT_MAX):
        some = {"_id": {"$in": txids[start : start + KEPT_MAX]}, "block_number": {"$ne": number}}
        with store_errors():
            found += await InternalVerdict.find(some | _UNDECIDED).to_list()
    return found


async def counted_elsewhere(txids: list[str], number: int) -> set[str]:
    """Those of these transactions of a block that count for certain in another one."""
    where = {"_id": {"$in": txids}, "counted_in": {"$nin": [None, number]}, "proposal": ""}
    with store_errors():
        rows = InternalVerdict.get_pymongo_collection().find(where, {"_id": 1})
        return {row["_id"] async for row in rows}


async def replace(old: InternalVerdict, new: InternalVerdict) -> bool:
    """What is written down of a transaction that counts nowhere; False when it is another by now,
    or counts."""
    where = {"_id": old.id, "block_number": old.block_number, "counted_in": None}
    change = new.model_dump(exclude={"id", "seen_at"})
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            where | _NOT_ACCEPTED, {"$set": change}
        )
    return bool(result.matched_count)


async def with_room(
    found: list[InternalVerdict], seen_after: datetime
) -> tuple[list[InternalVerdict], int]:
    """Those that nobody has written down and there is room for, and how many more there are: of
    what the same nodes told, the larger amounts. Smaller ones that wait have to go for them.

    Nothing depends on it that something is written down which counts nowhere: who meets the same
    block and knows no better writes it down anew, as it is told then.
    """
    known = await _written_down(found)
    told: dict[str, list[InternalVerdict]] = defaultdict(list)
    for each in sorted(found, key=lambda one: -one.amount_sun):
        if each.id not in known:
            told[each.told_by].append(each)
    kept: list[InternalVerdict] = []
    left = 0
    for told_by, new in told.items():
        alike = _waits(seen_after) | _told_by(told_by)
        with store_errors():
            waiting = await InternalVerdict.get_pymongo_collection().count_documents(
                alike, limit=KEPT_MAX
            )
        room = KEPT_MAX - waiting
        room += await _make_room(alike, new[room : room + MADE_ROOM_MAX])
        kept += new[:room]
        left += len(new) - len(new[:room])
    return kept, left


async def _written_down(found: list[InternalVerdict]) -> set[str]:
    collection, known = InternalVerdict.get_pymongo_collection(), set[str]()
    for start in range(0, len(found), KEPT_MAX):
        some = {"_id": {"$in": [each.id for each in found[start : start + KEPT_MAX]]}}
        with store_errors():
            known.update([row["_id"] async for row in collection.find(some, {"_id": 1})])
    return known


async def _make_room(alike: dict[str, Any], larger: list[InternalVerdict]) -> int:
    """Let the smallest of these go, each for a larger one; how many have gone."""
    gone = 0
    collection = InternalVerdict.get_pymongo_collection()
    with store_errors():
        rows = collection.find(alike, {"amount_sun": 1}).sort("amount_sun", ASCENDING)
        smallest = await rows.limit(len(larger)).to_list() if larger else []
        for row, new in zip(smallest, larger, strict=False):
            if row.get("amount_sun", 0) >= new.amount_sun:
                break
            result = await collection.delete_one(alike | {"_id": row["_id"]})
            gone += result.deleted_count
    return gone


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
        **_NOT_ACCEPTED,
    }


async def waiting(seen_after: datetime, most: int) -> list[InternalVerdict]:
    """What counts nowhere yet, the one that was looked at longest ago first."""
    with store_errors():
        rows = InternalVerdict.find(_waits(seen_after)).sort("+looked_at")
        return await rows.limit(most).to_list()


async def tellers(seen_after: datetime, now: datetime) -> list[str]:
    """Who has told something that is to be asked for now, in the order of the alphabet."""
    pipeline: list[dict[str, Any]] = [
        {"$match": _is_due(seen_after, now)},
        {"$group": {"_id": {"$ifNull": ["$told_by", ""]}}},
        {"$sort": {"_id": ASCENDING}},
        {"$limit": TELLERS_MAX},
    ]
    with store_errors():
        found = await InternalVerdict.get_pymongo_collection().aggregate(pipeline)
        return [row["_id"] async for row in found]


async def due(
    told_by: str, seen_after: datetime, now: datetime, most: int
) -> list[InternalVerdict]:
    """What is to be asked for now: the most valuable that these nodes told, and with it others of
    its block, which cost no further question."""
    condition = _is_due(seen_after, now) | _told_by(told_by)
    with store_errors():
        first = await InternalVerdict.find(condition).sort("-amount_sun", "+_id").first_or_none()
        if first is None:
            return []
        others = _waits(seen_after) | {"block_number": first.block_number}
        rows = InternalVerdict.find(others | {"_id": {"$ne": first.id}}).sort("-amount_sun", "+_id")
        return [first, *await rows.limit(most - 1).to_list()]


def _is_due(seen_after: datetime, now: datetime) -> dict[str, Any]:
    return _waits(seen_after) | {"due_at": {"$not": {"$gt": now}}}


def _told_by(told_by: str) -> dict[str, Any]:
    return {"told_by": told_by if told_by else {"$in": ["", None]}}  # an older build's has none


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


async def asked(verdict: InternalVerdict, now: datetime) -> None:
    """Others have their turn, and this one after a longer pause than the last one."""
    doubled = ASK_PAUSE * 2 ** min(verdict.asked, DOUBLINGS_MAX)
    change = {
        "looked_at": now,
        "asked": verdict.asked + 1,
        "due_at": now + min(doubled, ASK_PAUSE_MAX),
    }
    with store_errors():
        await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id}, {"$set": change}
        )


async def accept(txid: str, by: str, reason: str) -> bool:
    """Nobody waits for it any more; False when it counts, or somebody has accepted it before."""
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": txid, "counted_in": None} | _NOT_ACCEPTED,
            {"$set": {"accepted_by": by, "reason": reason}},
        )
    return bool(result.matched_count)


async def propose(
    verdict: InternalVerdict, number: int, parts: list[dict[str, Any]], sides: int
) -> InternalVerdict | None:
    """Let it count in a block, if it becomes certain; None when it counts somewhere already."""
    proposed = {"counted_in": number, "parts": parts, "sides": sides, "proposal": a_name()}
    with store_errors():
        result = await InternalVerdict.get_pymongo_collection().update_one(
            {"_id": verdict.id, "counted_in": None} | _NOT_ACCEPTED,
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
