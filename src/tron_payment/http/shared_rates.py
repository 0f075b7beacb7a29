"""Rate limit buckets in MongoDB, for processes that share the load of one installation.

A bucket is one document, and taking from it is one update that the server computes with its own
clock: the same generic cell rate algorithm as in rate_limits.py, so that two processes never count
the same request twice and never let one through that is too much. A process takes a few requests
at once (`LOTS_PER_S`) and spends them for `HELD_S` at most; what it does not spend is lost, so a
caller may get a little less than the rate, never more. An empty bucket is not asked again before
it can hold a request, so a flood costs the store no more than what is let through.

A store that is away limits nobody out: for `AWAY_S` each process counts for itself.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from weakref import WeakValueDictionary

import pymongo
import structlog
from beanie import Document
from pymongo import ASCENDING, IndexModel, ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError

from tron_payment.db.faults import StoreUnavailable, store_errors
from tron_payment.http.rate_limits import (
    BUCKETS_MAX,
    NS_PER_S,
    Allowance,
    MemoryBuckets,
    Rate,
    allowance_of,
)

LOTS_PER_S: Final = 10
"""A process takes a tenth of a second's requests at once."""

HELD_S: Final = 1
AWAY_S: Final = 5
TAKE_S: Final = 2.0
"""The longest that a request waits for its bucket."""

LOOKS_MAX: Final = 3
NS_PER_MS: Final = 1_000_000

SERVER_NOW_NS: Final[dict[str, Any]] = {"$multiply": [{"$toLong": "$$NOW"}, NS_PER_MS]}
"""The server's clock as MongoDB writes it, in nanoseconds: replicas need not agree on the time."""

log = structlog.get_logger()


class RateBucket(Document):
    """How full one caller's bucket of one class is; the server drops it once it is full again."""

    id: str  # type: ignore[assignment]  # class and caller
    full_at_ns: int
    now_ns: int
    granted: int
    """How many requests the last update let through."""

    expires_at: datetime

    class Settings:
        name = "rate_buckets"
        indexes = [IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0)]


@dataclass(slots=True)
class _Held:
    """What is known of a bucket until `until_ns`: requests not yet spent, or that it is empty."""

    left: int
    until_ns: int
    last: Allowance

    def spend(self, now_ns: int) -> Allowance | None:
        """The answer for one request more; None when the store must be asked."""
        if now_ns >= self.until_ns or (self.last.allowed and not self.left):
            return None
        self.left -= self.last.allowed
        return self.last


class MongoBuckets:
    """Buckets that all processes of an installation share.

    Args:
        server_now_ns: An expression of MongoDB's for the time; a number in tests.
        now_ns: This process's own clock, for what it holds.
    """

    def __init__(
        self,
        *,
        server_now_ns: Any = SERVER_NOW_NS,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._server_now_ns = server_now_ns
        self._now_ns = now_ns
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._alone = MemoryBuckets(now_ns)
        self._alone_until_ns = 0

    async def take(self, key: str, rate: Rate) -> Allowance:
        """Take one request out of a bucket, if it holds one."""
        if (known := self._known(key)) is not None:
            return known
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # those who waited find what the first one took
            if (known := self._known(key)) is not None:
                return known
            now = self._now_ns()
            if now < self._alone_until_ns:
                return await self._alone.take(key, rate)
            try:
                return await self._ask(key, rate, now)
            except StoreUnavailable:
                self._alone_until_ns = self._now_ns() + AWAY_S * NS_PER_S
                log.warning("rate_limits.alone", for_s=AWAY_S)
                return await self._alone.take(key, rate)

    def _known(self, key: str) -> Allowance | None:
        held = self._held.get(key)
        return None if held is None else held.spend(self._now_ns())

    async def _ask(self, key: str, rate: Rate, now: int) -> Allowance:
        raw = await self._take(key, rate, max(1, rate.per_second // LOTS_PER_S))
        granted, seen, full_at = (int(raw[name]) for name in ("granted", "now_ns", "full_at_ns"))
        allowance = allowance_of(rate, seen, full_at, allowed=granted > 0)
        step = NS_PER_S // rate.per_second
        empty_ns = full_at - seen - step * (rate.burst - 1)
        until = now + (HELD_S * NS_PER_S if granted else min(empty_ns, HELD_S * NS_PER_S))
        self._held[key] = _Held(max(0, granted - 1), until, allowance)
        self._held.move_to_end(key)
        if len(self._held) > BUCKETS_MAX:
            self._held.popitem(last=False)
        return allowance

    async def _take(self, key: str, rate: Rate, wanted: int) -> dict[str, Any]:
        """Take up to `wanted` requests at once; the bucket after it."""
        step = NS_PER_S // rate.per_second
        buckets = RateBucket.get_pymongo_collection().with_options(write_concern=WriteConcern(w=1))
        for _ in range(LOOKS_MAX):
            try:
                with store_errors(), pymongo.timeout(TAKE_S):
                    taken = await buckets.find_one_and_update(
                        {"_id": key},
                        taking(self._server_now_ns, step, step * rate.burst, wanted),
                        upsert=True,
                        return_document=ReturnDocument.AFTER,
                    )
                return dict(taken or {})
            except DuplicateKeyError:  # another process made the bucket in this moment
                continue
        raise StoreUnavailable


def taking(now_ns: Any, step_ns: int, depth_ns: int, wanted: int) -> list[dict[str, Any]]:
    """The update, as a pipeline: time, room, what is granted, and the bucket after it.

    Args:
        now_ns: The time, an expression.
        step_ns: What one request costs.
        depth_ns: The whole bucket: step times burst.
        wanted: Requests to take, fewer if fewer fit.
    """
    room = {"$subtract": [{"$add": ["$now_ns", depth_ns]}, "$full_at_ns"]}
    fit = {"$toLong": {"$floor": {"$divide": [room, step_ns]}}}
    return [
        {"$set": {"now_ns": now_ns}},
        {"$set": {"full_at_ns": {"$max": ["$full_at_ns", "$now_ns"]}}},
        {"$set": {"granted": {"$max": [0, {"$min": [wanted, fit]}]}}},
        {
            "$set": {
                "full_at_ns": {"$add": ["$full_at_ns", {"$multiply": ["$granted", step_ns]}]},
                "expires_at": {"$add": ["$$NOW", depth_ns // NS_PER_MS + 1]},
            }
        },
    ]
