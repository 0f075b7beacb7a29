"""Leases: who does a job for now, so that replicas do not all do it. Efficiency only.

A paused holder may wake after its lease is gone and still act. Nothing about money may rely on
a lease; compare-and-set and the chain's expiration decide there.
"""

from datetime import datetime, timedelta

from beanie import Document
from pymongo import ReturnDocument

from tron_payment.core.clock import Clock
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import store_errors


class Lease(Document):
    """A job's name and who has it."""

    id: str  # type: ignore[assignment]  # the job
    owner: str
    until: datetime  # by the holders' clocks
    epoch: int  # grows by one with every new holder

    class Settings:
        name = "leases"


class Leases:
    """One process's view: it acts as `owner`."""

    def __init__(self, owner: str, clock: Clock) -> None:
        self.owner = owner
        self._clock = clock

    async def acquire(self, name: str, ttl: timedelta) -> Lease | None:
        """Take a lease that is free or over, or prolong our own; None when another has it."""
        now = self._clock.now()
        until = now + ttl
        with store_errors():
            held = await self._change({"_id": name, "owner": self.owner}, {"until": until})
            if held is not None:
                return held
            seen = await Lease.get(name)
            if seen is None:
                fresh = Lease(id=name, owner=self.owner, until=until, epoch=1)
                return fresh if await insert_once(fresh) else None
            if seen.until > now:
                return None
            return await self._change(
                {"_id": name, "epoch": seen.epoch, "until": {"$lte": now}},
                {"owner": self.owner, "until": until, "epoch": seen.epoch + 1},
            )

    async def renew(self, lease: Lease, ttl: timedelta) -> Lease | None:
        """Prolong a lease that is still ours; None when another took it since."""
        with store_errors():
            return await self._change(
                {"_id": lease.id, "owner": self.owner, "epoch": lease.epoch},
                {"until": self._clock.now() + ttl},
            )

    async def release(self, lease: Lease) -> None:
        """Give it back early; nothing happens when it is not ours any more."""
        with store_errors():
            await self._change(
                {"_id": lease.id, "owner": self.owner, "epoch": lease.epoch},
                {"until": self._clock.now()},
            )

    async def _change(self, condition: dict[str, object], to: dict[str, object]) -> Lease | None:
        raw = await Lease.get_pymongo_collection().find_one_and_update(
            condition, {"$set": to}, return_document=ReturnDocument.AFTER
        )
        return None if raw is None else Lease.model_validate(raw)
