"""A store as the service would leave it after very many payouts.

A few payouts, a batch and an invoice go the real way to their end. Each of them with everything
that it left behind (order, request, events, movements, journal) is a family, which is then copied
under new ids and times: BSON keeps its length when an id is replaced by one as long.
"""

import random
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import DESCENDING

from benchmarks.payouts import recipient
from tron_payment.app import DOCUMENTS
from tron_payment.core.clock import SystemClock, to_ms
from tron_payment.db.connect import connect
from tron_payment.db.ledger import OPENING, WORLD, Draft, Ledger, Posting, View

DAYS: Final = 30
PEOPLE: Final = 5_000
ROWS_AT_ONCE: Final = 2_000
POSTINGS_PER_ENTRY: Final = 600
ENERGY_EACH, STAKE_GIVES = 31_000, 5_000_000
"""Of a payout, and of the stake in an hour."""

BLOCKS_FROM: Final = 10**9
"""No devnet comes so far: a block of ours is never booked twice."""

FAILED_SHARE, QUARANTINED = 0.02, 12
QUARANTINED_DAYS: Final = 3
"""So long two people leave them there at most."""

NAME: Final = re.compile(rb"(?:pay|ord|bat|req|evt|inv|dlv)_[a-z2-7]{24}|n_[a-z2-7]{24}")
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"
DATETIME: Final = struct.Struct("<q")

Store = Any
Rows = dict[str, list[bytes]]


@dataclass(slots=True)
class Family:
    """What one wish has left behind, and what of it is another's in every copy."""

    rows: Rows
    names: frozenset[bytes]
    times: frozenset[int]
    reserves: list[Posting] = field(default_factory=list)
    finals: list[Posting] = field(default_factory=list)


async def family(store: Store, payout_ids: list[str]) -> Family:
    """A settled payout, or all of a batch, with everything that belongs to it."""
    payouts = await store["payouts"].find({"_id": {"$in": payout_ids}}).to_list()
    orders = sorted({each["order_id"] for each in payouts})
    txids = sorted({each["txid"] for each in payouts})
    subjects = payout_ids + sorted({p["batch_id"] for p in payouts if p.get("batch_id")})
    found = {
        "payouts": payouts,
        "batches": await store["batches"].find({"_id": {"$in": subjects}}).to_list(),
        "orders": await store["orders"].find({"_id": {"$in": orders}}).to_list(),
        "requests": await store["requests"].find({"object_ids": {"$in": subjects}}).to_list(),
        "events": await store["events"]
        .find({"object_id": {"$in": subjects}})
        .sort("seq")
        .to_list(),
        "token_movements": await store["token_movements"].find({"txid": {"$in": txids}}).to_list(),
        "wallet_movements": await store["wallet_movements"]
        .find({"txid": {"$in": txids}})
        .to_list(),
    }
    made = _family(found, [*txids, *(row["_id"] for row in found["token_movements"])])
    async for entry in store["ledger_entries"].find({"postings.ref": {"$in": orders}}).sort("_id"):
        side = made.reserves if "reserves" in entry else made.finals
        side += [Posting(**each) for each in entry["postings"] if each["ref"] in orders]
    return made


async def invoice(store: Store, payment_id: str) -> Family:
    """A canceled invoice; its address is another one in every copy."""
    rows = await store["payments"].find({"_id": payment_id}).to_list()
    return _family({"payments": rows}, [rows[0]["address"]], [bytes(rows[0]["address_key"])])


def _family(
    found: dict[str, list[dict[str, Any]]], names: Iterable[str], raw: Iterable[bytes] = ()
) -> Family:
    rows = {kind: [bson.encode(each) for each in each_kind] for kind, each_kind in found.items()}
    ids = {n for each in rows.values() for row in each for n in NAME.findall(row)}
    times = {to_ms(t) for each in found.values() for row in each for t in _times(row)}
    return Family(rows, frozenset(ids) | {n.encode() for n in names} | {*raw}, frozenset(times))


def _times(value: Any) -> Iterator[datetime]:
    if isinstance(value, datetime):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _times(each)
    elif isinstance(value, list):
        for each in value:
            yield from _times(each)


class Copies:
    """Makes and stores copies of families."""

    def __init__(
        self,
        store: Store,
        person: str,
        payee: str,
        seed: int = 1,
        quarantined: int = QUARANTINED,
    ) -> None:
        """`person` and `payee` are the user and the address of the families' payouts."""
        self._store, self._random = store, random.Random(seed)
        width = len(person)
        assert width >= len("person-00000"), person
        self._swaps = [
            (
                (person.encode(), f"person-{n:0{width - 7}}".encode()),
                (payee.encode(), recipient("console", n).encode()),
            )
            for n in range(PEOPLE)
        ]
        self._blocks = BLOCKS_FROM
        self._waiting: dict[str, list[Any]] = {}
        self._seq = 0
        self._left: dict[str, int] = {"quarantined": quarantined}
        self.drafts: list[tuple[Posting, ...]] = []
        self.finals: list[tuple[Posting, ...]] = []

    async def prepare(self) -> None:
        """Events are numbered after the last one there is."""
        last = await self._store["events"].find_one(sort=[("seq", DESCENDING)])
        self._seq = last["seq"] if last else 0

    async def add(self, of: Family, count: int) -> None:
        """So many copies, over the last `DAYS`."""
        for _ in range(count):
            swaps = [(name, self._another(name)) for name in of.names]
            swaps += self._random.choice(self._swaps)
            end = self._end() if len(of.rows.get("payouts", [])) == 1 else ""
            days = QUARANTINED_DAYS if end == "quarantined" else DAYS
            back = int(self._random.random() * timedelta(days=days).total_seconds()) * 1000
            moved = [(DATETIME.pack(t), DATETIME.pack(t - back)) for t in of.times]
            for kind, rows in of.rows.items():
                for row in rows:
                    for old, new in (*swaps, *moved):
                        row = row.replace(old, new)
                    await self._keep(kind, row, end)
            renamed = {old.decode(): new.decode() for old, new in swaps if old.startswith(b"ord_")}
            self.drafts.append(tuple(_renamed(p, renamed) for p in of.reserves))
            self.finals.append(tuple(_renamed(p, renamed) for p in of.finals))

    async def flush(self) -> None:
        """Store what waits."""
        for kind in list(self._waiting):
            await self._write(kind)

    def _end(self) -> str:
        if self._left["quarantined"]:
            self._left["quarantined"] -= 1
            return "quarantined"
        return "failed" if self._random.random() < FAILED_SHARE else ""

    async def _keep(self, kind: str, row: bytes, end: str) -> None:
        waiting = self._waiting.setdefault(kind, [])
        if kind == "events":
            self._seq += 1
            waiting.append({**bson.decode(row), "seq": self._seq})
        elif end and kind in ("payouts", "orders"):
            changed = {**bson.decode(row), "status": end, "reason": "OUT_OF_ENERGY"}
            if kind == "payouts":
                changed.pop("settled_at", None)
            waiting.append(changed)
        else:
            waiting.append(RawBSONDocument(row))
        if len(waiting) >= ROWS_AT_ONCE:
            await self._write(kind)

    async def _write(self, kind: str) -> None:
        if rows := self._waiting.pop(kind, []):
            await self._store[kind].insert_many(rows, ordered=False)

    def _another(self, name: bytes) -> bytes:
        if len(name) == 20:
            return self._random.randbytes(20)
        text = name.decode()
        if re.fullmatch(r"[0-9]{12}\.[0-9]{6}\.[0-9]{6}", text):
            self._blocks += 1
            return f"{self._blocks:012}{text[12:]}".encode()
        if len(text) == 64:
            return self._random.randbytes(32).hex().encode()
        if text.startswith("T"):
            return recipient("invoice", self._random.getrandbits(60)).encode()
        head, _, rest = text.partition("_")
        return f"{head}_{''.join(self._random.choices(LETTERS, k=len(rest)))}".encode()


def _renamed(posting: Posting, names: dict[str, str]) -> Posting:
    return Posting(
        posting.source,
        posting.destination,
        posting.asset,
        posting.units,
        names.get(posting.ref, posting.ref),
    )


async def book(uri: str, database: str, copies: Copies) -> int:
    """Write the copies' journal by the ledger's own hand; how many entries that were.

    What left comes in before, so that the books stay equal to the chain.
    """
    opened = await connect(uri, database, DOCUMENTS)
    try:
        ledger, count = Ledger(SystemClock()), 0
        needed: dict[tuple[str, str], int] = {}
        for postings in [*copies.drafts, *copies.finals]:
            for each in postings:
                for name, units in ((each.source, each.units), (each.destination, -each.units)):
                    if name.endswith((":available", ":reserved")):
                        key = (name.partition(":")[0], each.asset)
                        needed[key] = needed.get(key, 0) + units
        funds = tuple(
            Posting(WORLD, f"{holder}:available", asset, units, OPENING)
            for (holder, asset), units in needed.items()
            if units > 0
        )
        for kind, all_of in (("reserves", copies.drafts), ("finals", copies.finals)):
            for postings in _entries(all_of):
                refs = tuple(dict.fromkeys(p.ref for p in postings))
                count += 1
                await _append(
                    ledger,
                    Draft(
                        cause=f"benchmark:{count}",
                        postings=(funds if count == 1 else ()) + postings,
                        reserves=refs if kind == "reserves" else (),
                        finals=refs if kind == "finals" else (),
                    ),
                )
        return count
    finally:
        await opened.close()


def _entries(all_of: list[tuple[Posting, ...]]) -> Iterator[tuple[Posting, ...]]:
    """Postings of whole orders, some hundreds together, as the engine books them."""
    some: list[Posting] = []
    for each in all_of:
        if some and len(some) + len(each) > POSTINGS_PER_ENTRY:
            yield tuple(some)
            some = []
        some += each
    if some:
        yield tuple(some)


async def _append(ledger: Ledger, draft: Draft) -> None:
    async def build(_: View) -> Draft:
        return draft

    await ledger.append(build)


async def energy(store: Store, now: datetime, seed: int = 1) -> None:
    """What the blocks of all those hours would have counted: a stake that is now and then short."""
    dice = random.Random(seed)
    hours = []
    for back in range(1, DAYS * 24):
        count = dice.randrange(20, 260)
        used = count * ENERGY_EACH
        staked = min(used, STAKE_GIVES)
        hours.append(
            {
                "_id": (now - timedelta(hours=back)).strftime("%Y-%m-%dT%H"),
                "to_block": 0,
                "transactions": count,
                "energy": used,
                "staked": staked,
                "creator": 0,
                "burned_sun": (used - staked) * 100,
                "staked_seconds": staked * 1_800,
            }
        )
    await store["energy_hours"].delete_many({"_id": {"$in": [each["_id"] for each in hours]}})
    await store["energy_hours"].insert_many(hours)


async def deliveries(store: Store, endpoint_id: str, most: int) -> None:
    """Every settled event as delivered to one endpoint."""
    waiting: list[dict[str, Any]] = []
    cursor = store["events"].find({"type": "payout.settled"}).sort("seq", DESCENDING).limit(most)
    async for event in cursor:
        at = event["at"]
        body = bson.json_util.dumps({"id": event["_id"], "data": event["data"]}).encode()
        waiting.append(
            {
                "_id": "dlv_" + event["_id"][4:],
                "endpoint_id": endpoint_id,
                "event_id": event["_id"],
                "event_seq": event["seq"],
                "type": event["type"],
                "object_id": event["object_id"],
                "object_seq": event["object_seq"],
                "body": body,
                "status": "delivered",
                "attempts": 1,
                "log": [{"at": at, "status_code": 200, "error": "", "took_ms": 31}],
                "next_at": at,
                "since": at,
                "delivered_at": at,
                "created_at": at,
            }
        )
        if len(waiting) >= ROWS_AT_ONCE:
            await store["webhook_deliveries"].insert_many(waiting, ordered=False)
            waiting = []
    if waiting:
        await store["webhook_deliveries"].insert_many(waiting, ordered=False)
