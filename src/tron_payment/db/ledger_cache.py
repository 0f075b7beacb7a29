"""Balances and holders against the journal that they are made of: after a restore either may be
older, for a dump without its oplog copies each collection at another moment.

What is older than the head is rolled forward once more, which is harmless where it is not. A
journal that is older than the head must not be written to: its next number has been used.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pymongo import DESCENDING, InsertOne, UpdateOne

from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import fetch, fetch_one
from tron_payment.db.ledger_documents import Balance, Holder, LedgerEntry, LedgerHead, deltas

PAGE: Final = 250
"""Entries compared at once."""

CLEAN_ENTRIES: Final = 1_000
"""So many in a row that the balances have, back from the head, and those before are taken to be in
them as well: a dump copies balances and head within seconds. `rebuild` takes nothing for granted.
"""

IDS_PER_QUERY: Final = 10_000

ASKED: Final = "watch:asked"
"""Begins the cause of an entry that watches addresses whose opening balances are still to come. New
keys have none: their entry is ``watch:`` and no more, as were all of an older build."""

OPENED: Final = "open:"
"""Begins the cause of an opening balance: of an address, or of a contract and an address."""

log = structlog.get_logger()


class BooksTorn(Unavailable, code="books_torn"):
    """The journal is older than the rest of the database: see Backups in docs/operations.md.

    So it is after a dump without its oplog was restored. Nothing is booked before that is mended.
    """

    retryable = False


async def newest() -> tuple[int, str]:
    """Number and hash of the last entry; (0, "") before the first."""
    with store_errors():
        found = LedgerEntry.get_pymongo_collection().find({}, {"hash": 1})
        rows = await found.sort("_id", DESCENDING).limit(1).to_list()
    return (rows[0]["_id"], rows[0]["hash"]) if rows else (0, "")


async def is_torn(head: LedgerHead) -> bool:
    """Whether the journal lacks the entry that the balances were rolled forward to."""
    return not await has(head.applied, head.hash)


async def has(number: int, digest: str) -> bool:
    """Whether this is one of the entries; by number alone where the hash is not known."""
    if not number:
        return True
    if not digest:
        return number <= (await newest())[0]
    query = {"_id": number, "hash": digest}
    with store_errors():
        return await LedgerEntry.get_pymongo_collection().find_one(query, {"_id": 1}) is not None


async def catch_up(head: LedgerHead, apply: Callable[[LedgerEntry], Awaitable[None]]) -> None:
    """Roll what is older than the head forward to it. To be done before anything is appended: a
    later entry would hide the gap."""
    first = await _first_missed(head.applied)
    if first is None:
        return
    log.error("ledger.cache_older_than_head", first=first, head=head.applied)
    for number in range(first, head.applied + 1):
        if (entry := await fetch_one(LedgerEntry, {"_id": number})) is not None:
            await apply(entry)


async def _first_missed(applied: int) -> int | None:
    """An entry up to which balances and holders have all; None when they are as new as the head."""
    missed, clean = None, 0
    while applied > 0 and clean < CLEAN_ENTRIES:
        query = {"_id": {"$lte": applied, "$gt": applied - PAGE}}
        entries = await fetch(LedgerEntry, query, sort="-_id")
        if await _has_all(entries):
            clean += PAGE
        else:
            missed, clean = max(1, applied - PAGE + 1), 0
        applied -= PAGE
    return missed


async def _has_all(entries: Iterable[LedgerEntry]) -> bool:
    seqs: dict[str, int] = {}
    opened: dict[str, int] = {}
    for entry in entries:
        for each in entry.opens or ():
            opened[each.address] = max(each.block_number, opened.get(each.address, 0))
        for name, asset in deltas(entry.postings):
            key = f"{name}|{asset}"
            seqs[key] = max(entry.id, seqs.get(key, 0))
    keys, addresses = sorted(seqs), sorted(opened)
    for some in (keys[i : i + IDS_PER_QUERY] for i in range(0, len(keys), IDS_PER_QUERY)):
        rows = await fetch(Balance, {"_id": {"$in": some}})
        if {row.id for row in rows if row.seq >= seqs[row.id]} != set(some):
            return False
    for some in (addresses[i : i + IDS_PER_QUERY] for i in range(0, len(addresses), IDS_PER_QUERY)):
        holders = await fetch(Holder, {"_id": {"$in": some}})
        if {row.id for row in holders if row.opened_block >= opened[row.id]} != set(some):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was not as the journal has it."""

    wrong: int
    """Accounts with another balance."""

    unopened: Mapping[Address, int]
    """Holders whose opening no entry has, and the block that they are then opened at: whoever reads
    the chain once more must have them opened anew, and after that `take_back` what they are."""


async def rebuild() -> Rebuilt:
    """Make balances, holders and head what the journal alone says, whatever they are. Safe to
    repeat after dying anywhere. Keeps every account in memory meanwhile.

    A holder that knows of an opening which no entry has stays as it is, for that tells of it.

    Raises:
        LostRace: The journal was written to meanwhile: stop the service first.
    """
    number, digest = await newest()
    units: dict[tuple[str, str], int] = defaultdict(int)
    seqs: dict[tuple[str, str], int] = {}
    holders: dict[str, tuple[int, int]] = {}
    asked: set[str] = set()
    opened: set[str] = set()
    async for entry in LedgerEntry.find({"_id": {"$lte": number}}, sort="+_id"):
        for key, delta in deltas(entry.postings).items():
            units[key] += delta
            seqs[key] = entry.id
        for each in entry.opens or ():
            block, seq = holders.get(each.address, (0, entry.id))
            holders[each.address] = (max(block, each.block_number), seq)
            if entry.cause.startswith(f"{ASKED}:"):
                asked.add(each.address)
        if entry.cause.startswith(OPENED):
            opened.add(entry.cause.removeprefix(OPENED))
    wrong: list[UpdateOne] = []
    right: set[tuple[str, str]] = set()
    rows = Balance.get_pymongo_collection()
    async for row in rows.find({}):
        key = (row["account"], row["asset"])
        right.add(key)
        if (row["units"], row["seq"]) != (units.get(key, 0), seqs.get(key, 0)):
            fields = {"units": units.get(key, 0), "seq": seqs.get(key, 0)}
            seen = {"_id": row["_id"], "units": row["units"], "seq": row["seq"]}
            wrong.append(UpdateOne(seen, {"$set": fields}))
    absent = [
        {"_id": f"{name}|{asset}", "account": name, "asset": asset}
        | {"units": units[(name, asset)], "seq": seq}
        for (name, asset), seq in seqs.items()
        if (name, asset) not in right
    ]
    kept = Holder.get_pymongo_collection()
    lost = {
        row["_id"]
        async for row in kept.find({}, {"opened_block": 1})
        if row["_id"] not in opened
        and (row["_id"] not in holders or row["opened_block"] > holders[row["_id"]][0])
    }
    known = [
        UpdateOne(
            {"_id": address},
            {"$set": {"opened_block": block}, "$setOnInsert": {"opened_seq": seq}},
            upsert=True,
        )
        for address, (block, seq) in holders.items()
        if address not in lost
    ]
    if await newest() != (number, digest):
        raise LostRace("the journal is being written to: stop the service first")
    writes: list[Any] = [*wrong, *map(InsertOne, absent)]
    if writes:
        await rows.bulk_write(writes, ordered=False)
    if known:
        await kept.bulk_write(known, ordered=False)
    await LedgerHead.get_pymongo_collection().update_one(
        {"_id": "head"}, {"$set": {"applied": number, "hash": digest}}, upsert=True
    )
    unopened = sorted(lost | (asked - opened))
    return Rebuilt(len(writes), {Address(each): holders.get(each, (0, 0))[0] for each in unopened})


async def take_back(unopened: Mapping[Address, int]) -> None:
    """Make holders what the journal says, with their openings asked for: their movements are booked
    from there on."""
    writes = [
        UpdateOne({"_id": address}, {"$set": {"opened_block": block}})
        for address, block in unopened.items()
    ]
    if writes:
        await Holder.get_pymongo_collection().bulk_write(writes, ordered=False)
