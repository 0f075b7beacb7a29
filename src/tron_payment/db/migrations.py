"""How the store's shape changes between releases: numbered steps, each harmless when repeated.

A step runs at the start of the first process of the new release, before it makes its indexes and
before it serves, so it may make room for a unique index. While it is
`beside` compatible, processes of the release before may go on (rolling update, rollback without
a restore); a step that is not raises the floor, and older releases refuse the store from then on.
Those of them that run nevertheless lose their lease (leases.py) before the step begins.
docs/operations.md has a line for each step; a test compares.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import ASCENDING
from pymongo.asynchronous.database import AsyncDatabase

PAGE: Final = 1_000
"""Rows that one write of a step may touch: a server has to answer each within `ANSWER_MS`
(connect.py), however large a collection is."""

TOLD_PAGE: Final = 100
"""The same of objects whose events are written: each has several."""

Database = AsyncDatabase[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Migration:
    """One step; `to` is the schema version after it."""

    to: int
    title: str
    run: Callable[[Database], Awaitable[None]]
    beside: bool
    """Whether releases that know only the version before may still work on the store."""

    rollback: str
    """What to do to go back to the release before."""


def floor_of(steps: Sequence[Migration]) -> int:
    """The least version that a release must know after these steps."""
    return max((step.to for step in steps if not step.beside), default=FIRST_VERSION)


async def _leases_count_beats(database: Database) -> None:
    """Leases had an end by the wall clock; a row of that shape is nobody's."""
    await database["leases"].delete_many({"beat": {"$exists": False}})


async def _nothing(_: Database) -> None:
    """Only how the store is used has changed."""


async def _invoices_are_looked_at_again(database: Database) -> None:
    """Invoices whose address was forgotten while the treasury could not sign; one look each.

    Those that may still be topped up were never forgotten.
    """
    payments, last = database["payments"], ""
    forgotten = {
        "kind": "invoice",
        "status": {"$nin": ["awaiting_payment", "partially_paid"]},
        "booked_block": {"$gt": 0},
        "sweepable": {"$exists": False},
    }
    while True:
        found = payments.find({"_id": {"$gt": last}}, {"_id": 1}).sort("_id", ASCENDING)
        page = [row["_id"] async for row in found.limit(PAGE)]
        if not page:
            return
        await payments.update_many(
            {"_id": {"$gt": last, "$lte": page[-1]}, **forgotten}, {"$set": {"sweepable": True}}
        )
        last = page[-1]


async def _forgotten_addresses_leave_events(database: Database) -> None:
    """Of payments that have no return address, or none any more, their events have none either."""
    payments, last = database["payments"], ""
    told = {"data.return_url": {"$type": "string"}}
    while True:
        query = {"_id": {"$gt": last}, "return_url": None}
        found = payments.find(query, {"_id": 1}).sort("_id", ASCENDING)
        page = [row["_id"] async for row in found.limit(TOLD_PAGE)]
        if not page:
            return
        await database["events"].update_many(
            {"object_id": {"$in": page}, **told}, {"$set": {"data.return_url": None}}
        )
        last = page[-1]


FIRST_VERSION: Final = 1
MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(
        to=2,
        title="Leases count beats instead of ending by the wall clock",
        run=_leases_count_beats,
        beside=False,  # releases that know only 1 refuse every later number, floor or not
        rollback="Set `schema_version` of `installation` to 1; nothing else was changed.",
    ),
    Migration(
        to=3,
        title="Addresses open by the moves of the cursor, which may pass over many blocks at once",
        run=_nothing,
        beside=False,  # an older process would open an address too early
        rollback="Set `schema_version` of `installation` to 2; nothing else was changed.",
    ),
    Migration(
        to=4,
        title="TRX that contracts send is proposed before it counts",
        run=_nothing,
        beside=False,  # an older process takes a proposal for certain, and moves past notes
        rollback="Wait until no row of `internal_verdicts` has a `proposal`, then set "
        "`schema_version` and `schema_floor` of `installation` to 3; nothing else was changed.",
    ),
    Migration(
        to=5,
        title="Invoices that were ever paid are looked at for a sweep once more",
        run=_invoices_are_looked_at_again,
        beside=True,
        rollback="Nothing is to be done.",
    ),
    Migration(
        to=6,
        title="Return addresses of payments that were forgotten leave their events, too",
        run=_forgotten_addresses_leave_events,
        beside=True,
        rollback="Nothing is to be done.",
    ),
    Migration(
        to=7,
        title="Paid invoices are looked at again: registered tokens are swept, what is dear waits",
        run=_invoices_are_looked_at_again,
        beside=True,
        rollback="Nothing is to be done.",
    ),
)
SCHEMA_VERSION: Final = MIGRATIONS[-1].to
