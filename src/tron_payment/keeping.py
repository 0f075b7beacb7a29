"""What is forgotten, and when: personal data goes, money's books stay.

With RETENTION_DAYS the names of people and the merchant's notes leave what ended so long ago, and
delivered webhooks go; `tron-payment erase USER_ID` does it for one person now. Amounts, addresses,
txids, references, journal and audit log stay: they are on the chain anyway, or are the proof that
nothing was paid twice. Every step is harmless when it is done again or by two processes at once.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from beanie import Document
from pymongo import ASCENDING

from tron_payment.core.clock import Clock
from tron_payment.db.events import Event
from tron_payment.db.faults import store_errors
from tron_payment.gateway import Delivery, Payment
from tron_payment.http.forgetting import forget_old
from tron_payment.loops import Loop
from tron_payment.payouts import (
    LIFECYCLE,
    Batch,
    Payout,
    PayoutStatus,
    Recipient,
    without_names,
)

ERASED: Final = "erased"
FORGET_S: Final = 60.0
BATCH_MAX: Final = 500
PASS_EVERY: Final = timedelta(days=1)
EMPTY: Final = zlib.compress(b"")
SERVICE: Final = "payment-gateway"
PERSONAL: Final[Mapping[str, Any]] = {"user_id": ERASED, "metadata": {}}
ENDED_PAYOUTS: Final = tuple(
    status.value
    for status in PayoutStatus
    if LIFECYCLE.is_final(status) and status != "quarantined"
)
ENDED_BATCHES: Final = ("completed", "canceled")
"""For ever: one that was completed with errors may be taken up again."""

ENDED_DELIVERIES: Final = ("delivered", "failed")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done about one person, and what could not be yet."""

    payouts: int
    unfinished: int
    """Still on their way: they keep the name until they have ended."""

    attested: bool
    """Compliance's attestation is valid still and stays, with the name."""


class Keeping:
    """Forgets. `retention_days` 0 keeps everything but the answers of old requests."""

    def __init__(self, clock: Clock, retention_days: int) -> None:
        self._clock = clock
        self._days = retention_days
        self._done_to: dict[str, datetime] = {}
        """How far each kind was looked through in this pass."""

        self._rest_until: dict[str, datetime] = {}

    @property
    def loops(self) -> tuple[Loop, ...]:
        return (Loop("keeping.forget", self.step, FORGET_S, SERVICE),)

    async def step(self) -> bool:
        """One batch of each kind; False when there was none."""
        forgot = await forget_old(self._clock.now())
        if not self._days:
            return forgot
        before = self._clock.now() - timedelta(days=self._days)
        with store_errors():
            for status in ENDED_PAYOUTS:
                forgot |= await self._payouts(status, before)
            forgot |= await self._payments(before)
            forgot |= await self._batches(before)
            forgot |= await self._deliveries(before)
        return forgot

    async def erase(self, user_id: str) -> Erased:
        """Take one person's name out of everything that has ended; again is harmless."""
        count = 0
        with store_errors():
            ended = {"user_id": user_id, "status": {"$in": list(ENDED_PAYOUTS)}}
            while user_id != ERASED and (ids := await _ids(Payout, ended, "_id")):
                await _erase(ids)
                count += len(ids)
            unfinished = await Payout.get_pymongo_collection().count_documents(
                {"user_id": user_id, "status": {"$nin": list(ENDED_PAYOUTS)}}
            )
            now = self._clock.now()
            gone = await Recipient.get_pymongo_collection().delete_one(
                {"_id": user_id, "$nor": [{"kyc_expires_at": {"$gt": now}}]}
            )
            attested = not gone.deleted_count and await Recipient.get(user_id) is not None
        log.info("person.erased", payouts=count, unfinished=unfinished, attested=attested)
        return Erased(count, unfinished, attested)

    async def _payouts(self, status: str, before: datetime) -> bool:
        condition = {"status": status, "updated_at": {"$lt": before}, "user_id": {"$ne": ERASED}}
        ids = await self._next(Payout, f"payouts.{status}", condition)
        await _erase(ids)
        return bool(ids)

    async def _payments(self, before: datetime) -> bool:
        """Notes and return addresses of payments; an invoice's address and money stay."""
        condition = {
            "updated_at": {"$lt": before},
            "tracked": None,
            "refunding": None,
            "$or": [{"metadata": {"$nin": [None, {}]}}, {"return_url": {"$ne": None}}],
        }
        ids = await self._next(Payment, "payments", condition)
        await Payment.get_pymongo_collection().update_many(
            {"_id": {"$in": ids}}, {"$set": {"metadata": {}}, "$unset": {"return_url": ""}}
        )
        await _erase_events(ids)
        return bool(ids)

    async def _batches(self, before: datetime) -> bool:
        """The rows as they were uploaded: each has become a payout, or was refused and says why."""
        condition = {
            "status": {"$in": list(ENDED_BATCHES)},
            "working": {"$ne": True},
            "updated_at": {"$lt": before},
            "rows": {"$ne": EMPTY},
        }
        ids = await self._next(Batch, "batches", condition)
        batches = Batch.get_pymongo_collection()
        async for raw in batches.find({"_id": {"$in": ids}}, {"refused": 1}):
            emptied = {"rows": EMPTY, "refused": without_names(raw["refused"])}
            await batches.update_one({"_id": raw["_id"]}, {"$set": emptied})
        return bool(ids)

    async def _deliveries(self, before: datetime) -> bool:
        """Webhooks that were delivered or given up; the events themselves stay."""
        condition = {"status": {"$in": list(ENDED_DELIVERIES)}, "since": {"$lt": before}}
        ids = await _ids(Delivery, condition, "since")
        await Delivery.get_pymongo_collection().delete_many({"_id": {"$in": ids}})
        return bool(ids)

    async def _next(self, model: type[Document], kind: str, condition: dict[str, Any]) -> list[str]:
        """The next ids in the order of creation; after the last one, nothing for a day."""
        now = self._clock.now()
        if now < self._rest_until.get(kind, now):
            return []
        if kind in self._done_to:
            condition = {**condition, "created_at": {"$gte": self._done_to[kind]}}
        found = model.get_pymongo_collection().find(condition, {"created_at": 1})
        rows = [row async for row in found.sort("created_at", ASCENDING).limit(BATCH_MAX)]
        if rows:
            self._done_to[kind] = rows[-1]["created_at"]
        else:
            self._done_to.pop(kind, None)
            self._rest_until[kind] = now + PASS_EVERY
        return [row["_id"] for row in rows]


async def _ids(model: type[Document], condition: dict[str, Any], order: str) -> list[str]:
    found = model.get_pymongo_collection().find(condition, {"_id": 1})
    return [row["_id"] async for row in found.sort(order, ASCENDING).limit(BATCH_MAX)]


async def _erase(payout_ids: list[str]) -> None:
    """Events first: after a crash in between the payouts are found again."""
    await _erase_events(payout_ids)
    await Payout.get_pymongo_collection().update_many(
        {"_id": {"$in": payout_ids}}, {"$set": dict(PERSONAL)}
    )


async def _erase_events(object_ids: list[str]) -> None:
    events = Event.get_pymongo_collection()
    for name, value in PERSONAL.items():
        await events.update_many(
            {"object_id": {"$in": object_ids}, f"data.{name}": {"$exists": True}},
            {"$set": {f"data.{name}": value}},
        )
