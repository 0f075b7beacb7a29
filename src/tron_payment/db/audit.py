"""The audit log: who did what to which object, in a chain of hashes that shows any tampering.

    hash(n) = sha256(hash(n-1) || canonical JSON of entry n without seq, prev_hash and hash)

The chain alone cannot show that its newest entries were cut off or that all of it was computed
anew; for that, keep heads outside this database (audit_heads.py signs and exports them) and give
them to `verify`.
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.ids import new_id
from tron_payment.db.acts import Doing, doing
from tron_payment.db.faults import store_errors
from tron_payment.db.numbered import Appender, NumberedDocument

FIRST_HASH: Final = "0" * 64
"""What stands before the first entry."""

PAGE_MS: Final = 5_000
_READ_BATCH: Final = 1_000
_TURN: Final = 100
"""Entries whose hashes are computed before others get their turn: some 4 ms."""

_INT64_MAX: Final = 2**63 - 1


class AuditEntry(NumberedDocument):
    """One act. Inserted, never changed: the service's database role needs no more than that."""

    at: datetime
    actor: str  # principal id, or "service"
    role: str
    action: str  # such as "payout.approve"
    object_id: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    request_id: str = ""
    route: str = ""
    """Method and path's template; empty for what no request did."""

    api_key: str = ""
    """The id of the key that called under the actor's name; empty for a person's token."""

    policy_version: str = ""
    prev_hash: str = ""
    hash: str = ""

    class Settings:
        name = "audit"
        indexes = [
            IndexModel([("seq", ASCENDING)], name="seq", unique=True),
            IndexModel([("object_id", ASCENDING), ("seq", ASCENDING)], name="object"),
            IndexModel([("actor", ASCENDING), ("seq", ASCENDING)], name="actor"),
            IndexModel([("action", ASCENDING), ("seq", ASCENDING)], name="action"),
            IndexModel([("at", ASCENDING), ("seq", ASCENDING)], name="at"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What is to be written down; numbers in `before` and `after` are integers or strings."""

    actor: str
    role: str
    action: str
    object_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    request_id: str = ""
    route: str = ""
    api_key: str = ""
    policy_version: str = ""
    entry_id: str = ""
    """Written twice under the same id, it is there once; empty for a new id."""

    at: datetime | None = None
    """When it was done, if not now."""


class Fault(StrEnum):
    """What is wrong with an entry."""

    CHANGED = "changed"  # its content is not what its hash says
    REMOVED = "removed"  # its number is missing
    REORDERED = "reordered"  # sound in itself, but its predecessor is not the entry before it
    CUT_OFF = "cut_off"  # the log ends before the head that is known from elsewhere
    REWRITTEN = "rewritten"  # the chain is sound, but not the one whose head is known


@dataclass(frozen=True, slots=True)
class Head:
    """Worth keeping outside: everything up to `seq` is fixed by `hash`."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class BadEntry:
    """The first entry that does not fit."""

    seq: int
    fault: Fault


class Audit:
    """Append and verify. One per process and event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._appender: Appender[AuditEntry] = Appender(AuditEntry, linked)

    async def append(self, act: Act) -> AuditEntry:
        """Write one act down; returns when it is on the majority's disks.

        Raises:
            StoreUnavailable: The outcome is unknown.
        """
        (entry,) = await self.append_many([act])
        return entry

    async def append_many(self, acts: Sequence[Act]) -> list[AuditEntry]:
        """Write acts down in this order, perhaps with others between them.

        Those of the request that is being answered take over what is known about it (acts.py).
        """
        at, now = self._clock.now(), doing()
        if now is None:
            return await self._appender.append([_entry(act, at) for act in acts])
        theirs = [_of_request(act, now) for act in acts]
        own = None
        if not now.written:
            own = next((i for i, a in enumerate(theirs) if now.actor in ("", a.actor)), None)
        if own is not None:
            theirs[own] = replace(theirs[own], entry_id=theirs[own].entry_id or now.entry_id)
        entries = await self._appender.append([_entry(act, at) for act in theirs])
        now.written = now.written or own is not None
        return entries

    async def head(self) -> Head | None:
        """The newest entry's number and hash."""
        with store_errors():  # as it stands there, whatever somebody has made of it
            raw = await AuditEntry.get_pymongo_collection().find_one(
                {"seq": {"$gte": 1}}, {"seq": 1, "hash": 1}, sort=[("seq", DESCENDING)]
            )
        return Head(raw["seq"], str(raw.get("hash"))) if raw else None

    async def page(
        self, where: Mapping[str, Any], before: int | None, limit: int
    ) -> list[AuditEntry]:
        """Entries, newest first.

        Args:
            where: On actor, action, object_id or at, each of which has its index.
            before: Only entries with a lower number.
            limit: How many at most.
        """
        condition = dict(where) | ({} if before is None else {"seq": {"$lt": before}})
        entries = AuditEntry.get_pymongo_collection().find(condition)
        with store_errors():
            found = entries.sort("seq", DESCENDING).limit(limit).max_time_ms(PAGE_MS)
            return [AuditEntry.model_validate(raw) async for raw in found]

    async def verify(
        self,
        from_seq: int = 1,
        known: Head | Sequence[Head] | None = None,
        to_seq: int | None = None,
    ) -> BadEntry | None:
        """Read the log and compute its hashes anew; the first bad entry, or None.

        Args:
            from_seq: Entries before it are trusted.
            known: Heads kept elsewhere; they show a cut-off or rewritten log.
            to_seq: Read no further; where the log ends before that, only `known` tells.
        """
        heads = [known] if isinstance(known, Head) else known or ()
        kept = {head.seq: head.hash for head in heads}
        expected, seq = FIRST_HASH, max(from_seq, 1)
        with store_errors():
            if seq > 1:
                before = await AuditEntry.get_pymongo_collection().find_one({"seq": seq - 1})
                if before is None:
                    return BadEntry(seq - 1, Fault.REMOVED)
                expected = str(before.get("hash"))
            wanted = {"$gte": seq} | ({} if to_seq is None else {"$lte": to_seq})
            cursor = AuditEntry.get_pymongo_collection().find({"seq": wanted})
            async for raw in cursor.sort("seq", ASCENDING).batch_size(_READ_BATCH):
                fault = _fault(raw, seq, expected)
                if fault is None and kept.get(seq, raw["hash"]) != raw["hash"]:
                    fault = Fault.REWRITTEN
                if fault is not None:
                    return BadEntry(seq, fault)
                expected, seq = raw["hash"], seq + 1
                if seq % _TURN == 0:
                    await asyncio.sleep(0)
        if seq <= max(kept, default=0):
            return BadEntry(seq, Fault.CUT_OFF)
        return None


def linked(entry: AuditEntry, before: AuditEntry | None) -> AuditEntry:
    """The entry with its place in the chain."""
    prev_hash = before.hash if before else FIRST_HASH
    content = entry.model_dump(exclude={"id", "revision_id"})
    own_hash = _hash(prev_hash, {"_id": entry.id, **content})
    placed: AuditEntry = entry.model_copy(update={"prev_hash": prev_hash, "hash": own_hash})
    return placed


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; the same value is the same text.

    Raises:
        TypeError, ValueError: A float, an integer beyond int64, or something without a text.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _plain(value: Any) -> Any:
    """The value in JSON's types, as it also comes back from the store."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) > _INT64_MAX:
            raise ValueError("the audit log takes integers of 64 bits; write it as a string")
        return int(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(each) for each in value]
        return sorted(items, key=canonical) if isinstance(value, set | frozenset) else items
    raise TypeError(f"the audit log takes no {type(value).__name__}")


def plain_act(act: Act) -> dict[str, Any]:
    """The act as a document keeps it until it is in the log; `Act(**kept)` reads it again."""
    facts = {name: getattr(act, name) for name in Act.__slots__ if getattr(act, name)}
    for name in ("before", "after"):
        if name in facts:
            facts[name] = _plain(facts[name])
    return facts


def _of_request(act: Act, now: Doing) -> Act:
    request_id = act.request_id or now.request_id
    return replace(act, request_id=request_id, route=now.route, api_key=now.api_key)


def _entry(act: Act, at: datetime) -> AuditEntry:
    at = act.at or at
    return AuditEntry(
        id=act.entry_id or new_id("aud"),
        at=at.replace(microsecond=at.microsecond // 1000 * 1000),  # as the store keeps it
        actor=act.actor,
        role=act.role,
        action=act.action,
        object_id=act.object_id,
        before=None if act.before is None else _plain(act.before),
        after=None if act.after is None else _plain(act.after),
        request_id=act.request_id,
        route=act.route,
        api_key=act.api_key,
        policy_version=act.policy_version,
    )


def _fault(raw: Mapping[str, Any], seq: int, expected: str) -> Fault | None:
    if raw["seq"] != seq:
        return Fault.REMOVED
    try:
        sound = raw["hash"] == _hash(str(raw["prev_hash"]), raw)
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        return Fault.CHANGED
    return None if raw["prev_hash"] == expected else Fault.REORDERED


def _hash(prev_hash: str, content: Mapping[str, Any]) -> str:
    record = {
        key: value
        for key, value in content.items()
        if key not in ("seq", "prev_hash", "hash", "revision_id")
    }
    return hashlib.sha256((prev_hash + canonical(record)).encode()).hexdigest()
