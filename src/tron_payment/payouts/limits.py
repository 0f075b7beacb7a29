"""Rolling limits: what was promised in the last hour, day and thirty days, counted exactly.

One numbered journal, append only, as the ledger is: entry n+1 is written by whoever decided on the
entries up to n; whoever loses that race decides anew. So a hundred requests against one limit,
in as many processes, never exceed it. Sums are kept in memory, rolled forward from the journal.

A hold counts from acceptance and is released when its payout fails or is canceled. A window is
counted in buckets and frees a bucket when all of it is outside: never too early, at most
`Window.bucket_s` late.

Nothing is written while the policy has no limits; the first one with limits begins by counting
the payouts of the last thirty days.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, ClassVar, Final

from beanie import Document
from pymongo import ASCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import Unavailable
from tron_payment.core.ids import new_id
from tron_payment.http.twins import UNDER_WAY_MAX

APPEND_ATTEMPTS_MAX: Final = 200
PAUSE_S: Final = 0.002
PAUSE_STEPS_MAX: Final = 10
HOLDS_PER_ENTRY_MAX: Final = 10_000
ABANDONED_AFTER: Final = timedelta(minutes=15)
"""A hold this old without its payout was left by a process that died in between."""

CLOCK_STEP_MAX_S: Final = 86_400
RECONCILED_AT_ONCE: Final = 100
_DUPLICATE_KEY: Final = 11_000


class Window(Enum):
    """Seconds counted, and the size of a bucket."""

    HOUR = (3_600, 60)
    DAY = (86_400, 300)
    MONTH = (30 * 86_400, 3_600)

    @property
    def length_s(self) -> int:
        return self.value[0]

    @property
    def bucket_s(self) -> int:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Hold:
    """What one payout counts against the limits of its scopes, in the currency's units."""

    hold_id: str
    payout_id: str
    currency: str
    units: int
    at_ms: int
    scopes: tuple[str, ...]
    """``recipient:T...``, ``principal:...``, ``wallet:wal_...``, ``all``."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """At most `units` of a currency within a window, for each scope of a kind."""

    kind: str
    window: Window
    currency: str
    units: int


@dataclass(frozen=True, slots=True)
class Breach:
    """The ceiling that a hold would break, and what of it is still free."""

    ceiling: Ceiling
    free_units: int


class LimitEntry(Document):
    """A numbered entry. Written once; nothing ever updates it."""

    id: int  # type: ignore[assignment]
    at: datetime
    holds: list[Hold] | None = None
    releases: list[Hold] | None = None

    class Settings:
        name = "limit_entries"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {Hold: asdict}
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("at", ASCENDING)], name="at"),
            IndexModel([("holds.hold_id", ASCENDING)], name="holds", unique=True, sparse=True),
            IndexModel(
                [("releases.hold_id", ASCENDING)], name="releases", unique=True, sparse=True
            ),
            IndexModel([("holds.payout_id", ASCENDING)], name="payouts", sparse=True),
        ]


class LimitsBusy(Unavailable, code="limits_busy"):
    """Too many requests against the limits at once; nothing was counted."""


class Sums:
    """Units by window, scope and currency, in buckets of time. Pure."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[Window, str, str], dict[int, int]] = defaultdict(dict)

    def add(self, hold: Hold, sign: int) -> None:
        """Count a hold, or count it no more."""
        for window in Window:
            bucket = hold.at_ms // 1000 // window.bucket_s
            for scope in hold.scopes:
                buckets = self._buckets[(window, scope, hold.currency)]
                units = buckets.get(bucket, 0) + sign * hold.units
                if units:
                    buckets[bucket] = units
                else:
                    buckets.pop(bucket, None)

    def used(self, window: Window, scope: str, currency: str, now_ms: int) -> int:
        """Units inside the window, its oldest bucket counted whole."""
        buckets = self._buckets.get((window, scope, currency))
        if not buckets:
            return 0
        begin_s = now_ms // 1000 - window.length_s
        self._prune(buckets, window, begin_s - CLOCK_STEP_MAX_S)
        return sum(u for b, u in buckets.items() if (b + 1) * window.bucket_s > begin_s)

    def _prune(self, buckets: dict[int, int], window: Window, begin_s: int) -> None:
        """Forget what no window reaches any more, even if our clock is set back."""
        for bucket in [b for b in buckets if (b + 1) * window.bucket_s <= begin_s]:
            del buckets[bucket]

    def breach(self, hold: Hold, ceilings: Iterable[Ceiling], now_ms: int) -> Breach | None:
        """The ceiling that this hold would break; None when it fits under all."""
        for ceiling in ceilings:
            if ceiling.currency != hold.currency:
                continue
            for scope in hold.scopes:
                if scope.partition(":")[0] != ceiling.kind:
                    continue
                free = ceiling.units - self.used(ceiling.window, scope, ceiling.currency, now_ms)
                if hold.units > free:
                    return Breach(ceiling, max(0, free))
        return None


class RollingLimits:
    """The journal's writing end. One per process and event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._sums = Sums()
        self._seq: int | None = None
        self._reconciled = 0

    async def hold(self, holds: Sequence[Hold], ceilings: Sequence[Ceiling]) -> dict[str, Breach]:
        """Count what fits, in this order; the breaches of the others by hold id.

        Raises:
            LimitsBusy: Too many lost races; nothing was counted.
        """
        assert len(holds) <= HOLDS_PER_ENTRY_MAX, len(holds)
        if not ceilings or not holds:
            return {}
        async with self._lock:
            for attempt in range(APPEND_ATTEMPTS_MAX):
                await self._roll_forward()
                chosen, breaches = self._decide(holds, ceilings)
                if not chosen or await self._append(holds=chosen):
                    return breaches
                await asyncio.sleep(PAUSE_S * min(attempt, PAUSE_STEPS_MAX))
        raise LimitsBusy(retry_after_s=1)

    async def release(self, hold_ids: Sequence[str]) -> None:
        """Count these no more; unknown and released ones are left alone."""
        left = await self._unreleased(hold_ids)
        while left:
            async with self._lock:
                for attempt in range(APPEND_ATTEMPTS_MAX):
                    await self._roll_forward()
                    left = await self._unreleased([hold.hold_id for hold in left])
                    piece = left[:HOLDS_PER_ENTRY_MAX]
                    if not piece or await self._append(releases=piece):
                        left = left[len(piece) :]
                        break
                    await asyncio.sleep(PAUSE_S * min(attempt, PAUSE_STEPS_MAX))
                else:
                    raise LimitsBusy(retry_after_s=1)

    async def counted_by_twins(self, object_ids: Collection[str]) -> bool:
        """Whether any of these counts already, since a moment: a twin of the request is at it."""
        since = to_ms(self._clock.now() - UNDER_WAY_MAX)
        return any(hold.at_ms >= since for hold in await self._counting_of(object_ids))

    async def left_behind(self, object_ids: Collection[str]) -> list[Hold]:
        """What counts of these since so long that whoever counted it is not at it any more."""
        since = to_ms(self._clock.now() - UNDER_WAY_MAX)
        return [hold for hold in await self._counting_of(object_ids) if hold.at_ms < since]

    async def counted_before(self, object_ids: Collection[str], ours: Collection[str]) -> bool:
        """Whether any of these was counted by other holds than ours; they may count no more."""
        wanted, mine = frozenset(object_ids), frozenset(ours)
        async for entry in LimitEntry.find({"holds.payout_id": {"$in": list(wanted)}}):
            for hold in entry.holds or ():
                if hold.payout_id in wanted and hold.hold_id not in mine:
                    return True
        return False

    async def counts_otherwise(self, ours: Hold) -> bool:
        """Whether an earlier hold of the same object counts, too."""
        others = await self._counting_of({ours.payout_id})
        return any((h.at_ms, h.hold_id) < (ours.at_ms, ours.hold_id) for h in others)

    async def _counting_of(self, object_ids: Collection[str]) -> list[Hold]:
        wanted = frozenset(object_ids)
        found = [
            hold.hold_id
            async for entry in LimitEntry.find({"holds.payout_id": {"$in": list(wanted)}})
            for hold in entry.holds or ()
            if hold.payout_id in wanted
        ]
        return await self._unreleased(found)

    async def counting(self, hold_ids: Sequence[str]) -> set[str]:
        """Those of these that count, and are not about to be taken for abandoned."""
        since = to_ms(self._clock.now() - ABANDONED_AFTER + UNDER_WAY_MAX)
        return {hold.hold_id for hold in await self._unreleased(hold_ids) if hold.at_ms >= since}

    async def used(self, window: Window, scope: str, currency: str) -> int:
        """Units that count within the window now."""
        async with self._lock:
            await self._roll_forward()
            return self._sums.used(window, scope, currency, to_ms(self._clock.now()))

    async def open(self, holds: Sequence[Hold]) -> None:
        """Count payouts that were accepted before there were limits; each once."""
        known = await self._known([hold.hold_id for hold in holds])
        fresh = [hold for hold in holds if hold.hold_id not in known]
        for start in range(0, len(fresh), HOLDS_PER_ENTRY_MAX):
            async with self._lock:
                piece = fresh[start : start + HOLDS_PER_ENTRY_MAX]
                for attempt in range(APPEND_ATTEMPTS_MAX):
                    await self._roll_forward()
                    if await self._append(holds=piece):
                        break
                    await asyncio.sleep(PAUSE_S * min(attempt, PAUSE_STEPS_MAX))

    async def abandoned(self) -> list[Hold]:
        """Holds old enough that their payouts must exist, each shown once by this process."""
        cutoff = self._clock.now() - ABANDONED_AFTER
        entries = (
            await LimitEntry.find({"_id": {"$gt": self._reconciled}, "at": {"$lt": cutoff}})
            .sort("+_id")
            .limit(RECONCILED_AT_ONCE)
            .to_list()
        )
        if entries:
            self._reconciled = entries[-1].id
        return [hold for entry in entries for hold in entry.holds or ()]

    def _decide(
        self, holds: Sequence[Hold], ceilings: Sequence[Ceiling]
    ) -> tuple[list[Hold], dict[str, Breach]]:
        now_ms = to_ms(self._clock.now())
        chosen: list[Hold] = []
        breaches: dict[str, Breach] = {}
        for hold in holds:
            breach = self._sums.breach(hold, ceilings, now_ms)
            if breach is None:
                self._sums.add(hold, 1)
                chosen.append(hold)
            else:
                breaches[hold.hold_id] = breach
        for hold in chosen:
            self._sums.add(hold, -1)
        return chosen, breaches

    async def _append(self, *, holds: list[Hold] | None = None, releases: Any = None) -> bool:
        """Write the next entry; False when somebody else has."""
        assert self._seq is not None
        entry = LimitEntry(
            id=self._seq + 1, at=self._clock.now(), holds=holds or None, releases=releases
        )
        try:
            await entry.insert()
        except DuplicateKeyError:
            return False
        self._apply(entry)
        return True

    async def _roll_forward(self) -> None:
        if self._seq is None:
            horizon = self._clock.now() - timedelta(seconds=Window.MONTH.length_s)
            horizon -= timedelta(seconds=Window.MONTH.bucket_s)
            # The newest is looked up first: one that is written between the two looks must be read.
            newest = await LimitEntry.find({}).sort("-_id").limit(1).to_list()
            oldest = (
                await LimitEntry.find({"at": {"$gte": horizon}}).sort("+_id").limit(1).to_list()
            )
            self._seq = oldest[0].id - 1 if oldest else newest[0].id if newest else 0
        async for entry in LimitEntry.find({"_id": {"$gt": self._seq}}).sort("+_id"):
            if entry.id != self._seq + 1:
                return  # an entry between is not visible yet
            self._apply(entry)

    def _apply(self, entry: LimitEntry) -> None:
        assert self._seq is not None and entry.id == self._seq + 1
        for hold in entry.holds or ():
            self._sums.add(hold, 1)
        for hold in entry.releases or ():
            self._sums.add(hold, -1)
        self._seq = entry.id

    async def _unreleased(self, hold_ids: Sequence[str]) -> list[Hold]:
        if not hold_ids:
            return []
        wanted = set(hold_ids)
        found = {
            hold.hold_id: hold
            async for entry in LimitEntry.find({"holds.hold_id": {"$in": list(wanted)}})
            for hold in entry.holds or ()
            if hold.hold_id in wanted
        }
        released = {
            hold.hold_id
            async for entry in LimitEntry.find({"releases.hold_id": {"$in": list(found)}})
            for hold in entry.releases or ()
        }
        return [hold for hold_id, hold in found.items() if hold_id not in released]

    async def _known(self, hold_ids: Sequence[str]) -> set[str]:
        rows = LimitEntry.find({"holds.hold_id": {"$in": list(hold_ids)}})
        return {hold.hold_id async for entry in rows for hold in entry.holds or ()}


def scopes_of(principal: str, recipient: str, wallet_id: str) -> tuple[str, ...]:
    """The scopes that a payout counts against."""
    return (f"recipient:{recipient}", f"principal:{principal}", f"wallet:{wallet_id}", "all")


def fresh_hold(
    payout_id: str, currency: str, units: int, now: datetime, scopes: tuple[str, ...]
) -> Hold:
    """A hold with an id of its own, so that a second try never takes a released one for held."""
    return Hold(new_id("hld"), payout_id, currency, units, to_ms(now), scopes)
