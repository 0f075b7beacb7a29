"""Leases: who does a job for now, so that replicas do not all do it. Efficiency only.

A paused holder may wake after its lease is gone and still act. Nothing about money may rely on
a lease; compare-and-set and the chain's expiration decide there. No wall clock takes part: a
holder counts a number up, and whoever has not seen it move for long enough takes the job.

A release that works no more beside an older one writes into the leases what one must know to take
them (migrations.py): the older processes that still run lose their turn at the next beat.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from beanie import Document
from pymongo import ReturnDocument

from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors
from tron_payment.db.migrations import MIGRATIONS, SCHEMA_VERSION, floor_of
from tron_payment.loops import Loop

TTL_S: Final = 6.0
"""A job is free when its holder has not been heard of for so long."""

BEAT_S: Final = 2.0
"""Between two renewals, and between two looks of those who wait."""

VITAL_FAILURES_MAX: Final = 5
"""Failures in a row after which another process may try: its way to the nodes may be better."""

VITAL_STEP_MAX_S: Final = 120.0
"""A step that takes longer hangs, as far as the others are concerned."""

STAND_BACK_S: Final = 2 * BEAT_S
"""Long enough for another process to notice; short, because we may be alone."""

NOBODY: Final = ""

log = structlog.get_logger()


class Lease(Document):
    """A job's name and who has it."""

    id: str  # type: ignore[assignment]  # the job
    owner: str  # empty: given back
    epoch: int  # grows by one with every new holder
    beat: int  # grows by one with every change
    floor: int | None = None  # the least schema version that its holder must know

    class Settings:
        name = "leases"


class Leases:
    """One process's view: it acts as `owner`, a name that it has again after a restart."""

    def __init__(
        self,
        owner: str,
        ttl_s: float = TTL_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert owner != NOBODY
        self.owner = owner
        self.ttl_s = ttl_s
        self._monotonic = monotonic
        self._noted: dict[str, tuple[int, float]] = {}
        """The beat last seen of somebody else's lease, and when it was first seen."""

        self._held: dict[str, Lease] = {}
        """As we wrote them last."""

        self._told: set[str] = set()
        """Of which the log has been told that we know too little to have them."""

    async def acquire(self, name: str) -> Lease | None:
        """Take a lease that is free or silent, or renew our own; None when another has it."""
        with store_errors():
            if (held := self._held.pop(name, None)) is not None:
                lease = await self._change(held, self.owner, held.epoch)
                if lease is not None:  # nobody has changed it since
                    self._held[name] = lease
                    return lease
            lease = await self._found(name)
            if lease is not None:
                self._held[name] = lease
            return lease

    async def _found(self, name: str) -> Lease | None:
        seen = await Lease.get(name)
        if seen is None:
            least = floor_of(MIGRATIONS)
            fresh = Lease(id=name, owner=self.owner, epoch=1, beat=1, floor=least)
            return fresh if await insert_once(fresh) else None
        if seen.floor is not None and seen.floor > SCHEMA_VERSION:
            self._tell(seen)
            return None
        if seen.owner == self.owner:
            return await self._change(seen, self.owner, seen.epoch)
        if seen.owner != NOBODY and not self._silent(seen):
            return None
        return await self._change(seen, self.owner, seen.epoch + 1)

    async def release(self, lease: Lease) -> None:
        """Give it back; nothing happens when it is not ours any more."""
        self._held.pop(lease.id, None)
        with store_errors():
            seen = await Lease.get(lease.id)
            if seen is not None and (seen.owner, seen.epoch) == (self.owner, lease.epoch):
                await self._change(seen, NOBODY, seen.epoch)

    def _tell(self, seen: Lease) -> None:
        if seen.id not in self._told:
            self._told.add(seen.id)
            log.error(
                "lease.refused",
                lease=seen.id,
                owner=self.owner,
                detail=f"a newer release has made the store need one that knows schema "
                f"{seen.floor}; this process knows {SCHEMA_VERSION} and does no more work: stop "
                "it, see Upgrade and rollback in the manual",
            )

    def _silent(self, seen: Lease) -> bool:
        now = self._monotonic()
        beat, since = self._noted.get(seen.id, (0, now))
        if beat != seen.beat:
            beat, since = seen.beat, now
        self._noted[seen.id] = beat, since
        return now - since >= self.ttl_s

    async def _change(self, seen: Lease, owner: str, epoch: int) -> Lease | None:
        raw = await Lease.get_pymongo_collection().find_one_and_update(
            {"_id": seen.id, "beat": seen.beat, "floor": {"$not": {"$gt": SCHEMA_VERSION}}},
            {"$set": {"owner": owner, "epoch": epoch}, "$inc": {"beat": 1}},
            return_document=ReturnDocument.AFTER,
        )
        return None if raw is None else Lease.model_validate(raw)


class Turn:
    """Holds one lease while this process does the work well; gives it up when it cannot.

    Args:
        vital: Loops without which holding the lease is no use.
        changed: Called after the lease was won, so that waiting loops begin at once.
        anew: Called before that, and before a renewal counts, when another process may have done
            the work since we last did, also one whose trace a restored store does not show.
    """

    def __init__(
        self,
        leases: Leases,
        name: str,
        vital: Sequence[Loop],
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
        anew: Callable[[], None] = lambda: None,
    ) -> None:
        self._leases = leases
        self._name = name
        self._vital = tuple(vital)
        self._changed = changed
        self._anew = anew
        self._monotonic = monotonic
        self._lease: Lease | None = None
        self._last: tuple[Lease, float] | None = None
        """As it was written last, and when we heard so."""

        self._back_until = 0.0
        self._closed = False

    @property
    def mine(self) -> bool:
        """Whether this process does the work, as far as it knows.

        Not after a pause that was long enough for another to take it: the next renewal tells.
        """
        if self._lease is None or self._last is None:
            return False
        return self._monotonic() - self._last[1] <= self._leases.ttl_s

    async def step(self) -> bool:
        """For a loop: renew, take or give up the lease."""
        if self._lease is not None and self._poorly():
            log.warning("lease.given_up", lease=self._name, owner=self._leases.owner)
            await self._give_up()
            self._back_until = self._monotonic() + STAND_BACK_S
        if self._closed or self._monotonic() < self._back_until:
            return False
        had, began = self._lease, self._monotonic()
        self._lease = await self._leases.acquire(self._name)
        if self._lease is not None:
            ended = self._monotonic()
            if ended - began > self._leases.ttl_s or not self._alone_since(self._lease, began):
                self._anew()
            self._last = self._lease, ended
        if self._lease is not None and (had is None or had.epoch != self._lease.epoch):
            log.info("lease.taken", lease=self._name, epoch=self._lease.epoch)
            for loop in self._vital:
                loop.failures_in_a_row = 0
            self._changed()
        return False

    async def close(self) -> None:
        """Let another process begin at once; we end."""
        self._closed = True
        await self._give_up()

    async def _give_up(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            await self._leases.release(lease)

    def _alone_since(self, lease: Lease, began: float) -> bool:
        """Whether nobody else can have had it since we had it last, until we asked for it again.

        It was renewed, or given back and taken again: each is one beat, and only the taking another
        epoch. And no time was in between in which a store could have been put back to that: what an
        answer takes is at most `ttl_s` (`step`; one that takes longer is a pause like any other),
        so it is counted from there.
        """
        if self._last is None:
            return False
        last, at = self._last
        taken = lease.epoch - last.epoch
        longest_s = self._leases.ttl_s + (STAND_BACK_S if taken else 0)
        beats = lease.beat - last.beat
        return taken in (0, 1) and beats == 1 + taken and began - at <= longest_s

    def _poorly(self) -> bool:
        now = self._monotonic()
        return any(
            loop.failures_in_a_row >= VITAL_FAILURES_MAX
            or (loop.began_at is not None and now - loop.began_at > VITAL_STEP_MAX_S)
            for loop in self._vital
        )
