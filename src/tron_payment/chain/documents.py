"""The follower's place in the chain, durable."""

from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from tron_payment.chain.follower import Position
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import store_errors

SOLID: Final = "solid"


class Cursor(Document):
    """The last solidified block that every handler has applied. One document, moved by
    compare-and-set on number and block id."""

    id: str = SOLID  # type: ignore[assignment]
    number: int = Field(ge=0)
    block_id: str
    timestamp_ms: int
    started_at_number: int
    halted: str = ""
    notes: int = 0
    journal: int = 0
    """See `Position.journal`; 0 as well where only older builds have been."""

    journal_entry: str = ""
    """``<number>:<hash>`` of that entry. An older build moves `journal` alone: it is about another
    number then, and says nothing."""

    class Settings:
        name = "cursors"
        indexes: ClassVar[list[IndexModel]] = []

    @classmethod
    async def advance(cls, seen: Position, to: Position) -> None:
        """Move on from what was seen.

        Raises:
            LostRace: It stands somewhere else, was halted, or something was noted since.
        """
        where = {
            "_id": SOLID,
            "number": seen.number,
            "block_id": seen.block_id,
            "halted": "",
            "notes": seen.notes or {"$in": [0, None]},  # an older build's has none
        }
        change = {"number": to.number, "block_id": to.block_id, "timestamp_ms": to.timestamp_ms}
        with store_errors():
            result = await cls.get_pymongo_collection().update_one(where, {"$set": change})
        if result.matched_count == 0:
            raise LostRace(f"the cursor has left block {seen.number}")


class MongoCursors:
    """`follower.Cursors` in the database."""

    async def load(self) -> Position | None:
        with store_errors():
            found = await Cursor.get_pymongo_collection().find_one({"_id": SOLID})
        if found is None:
            return None
        journal = found.get("journal") or 0
        number, _, digest = (found.get("journal_entry") or "").partition(":")
        return Position(
            found["number"],
            found["block_id"],
            found["timestamp_ms"],
            found["started_at_number"],
            found["halted"],
            found.get("notes", 0),
            journal,
            digest if number == str(journal) else "",
        )

    async def start(self, position: Position) -> None:
        first = Cursor(
            id=SOLID,
            number=position.number,
            block_id=position.block_id,
            timestamp_ms=position.timestamp_ms,
            started_at_number=position.started_at_number,
        )
        try:
            with store_errors():
                await first.insert()
        except DuplicateKeyError:
            return  # another replica was first

    async def advance(self, seen: Position, to: Position) -> None:
        await Cursor.advance(seen, to)

    async def note(self, number: int) -> bool:
        with store_errors():
            result = await Cursor.get_pymongo_collection().update_one(
                {"_id": SOLID, "number": {"$lt": number}}, {"$inc": {"notes": 1}}
            )
        return result.matched_count == 1

    async def booked(self, entry: int, digest: str) -> None:
        older = {"_id": SOLID, "$or": [{"journal": {"$lt": entry}}, {"journal": None}]}
        with store_errors():
            await Cursor.get_pymongo_collection().update_one(
                older, {"$set": _in_journal(entry, digest)}
            )

    async def go_back(self, seen: Position, to: Position) -> None:
        """Let the blocks after `to` be applied once more, by what the journal has now; also where
        following has halted.

        Raises:
            LostRace: It stands somewhere else by now.
        """
        assert to.number <= seen.number, (seen, to)
        where = {
            "_id": SOLID,
            "number": seen.number,
            "block_id": seen.block_id,
            "halted": seen.halted,
        }
        there: dict[str, Any] = {
            "number": to.number,
            "block_id": to.block_id,
            "timestamp_ms": to.timestamp_ms,
        }
        there |= _in_journal(to.journal, to.journal_hash)
        change = {"$set": {**there, "halted": ""}, "$inc": {"notes": 1}}
        with store_errors():
            result = await Cursor.get_pymongo_collection().update_one(where, change)
        if result.matched_count == 0:
            raise LostRace(f"the cursor has left block {seen.number}: stop the service first")

    async def halt(self, reason: str) -> None:
        await self._mark(reason)

    async def resume(self, seen: str | None = None) -> None:
        """Go on; with `seen` only if that is still why it has halted.

        Raises:
            LostRace: It has gone on, or halted again for another reason.
        """
        if seen is None:
            await self._mark("")
            return
        where = {"_id": SOLID, "halted": seen}
        with store_errors():
            result = await Cursor.get_pymongo_collection().update_one(
                where, {"$set": {"halted": ""}}
            )
        if result.matched_count == 0:
            raise LostRace("following has halted for another reason by now, or goes on")

    async def _mark(self, reason: str) -> None:
        with store_errors():
            await Cursor.get_pymongo_collection().update_one(
                {"_id": SOLID}, {"$set": {"halted": reason}}
            )


def _in_journal(entry: int, digest: str) -> dict[str, Any]:
    return {"journal": entry, "journal_entry": f"{entry}:{digest}" if digest else ""}
