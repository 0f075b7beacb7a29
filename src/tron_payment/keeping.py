"""What is forgotten, and when: personal data goes, money's books stay.

With RETENTION_DAYS the names of people and the merchant's notes leave what ended so long ago, what
webhooks say of it too, and delivered ones go; `tron-payment erase USER_ID` does it for one person
now, and drops stored answers that have the name. Amounts, addresses, txids, references, journal and
audit log stay: they are on the chain anyway, or are the proof that nothing was paid twice. Every
step is harmless when it is done again or by two processes at once.

What still says a name is in an index that has nothing else, the oldest first. So each look reads
what it is about and no more, however much was ever forgotten, and nothing need be remembered.
"""

import zlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from beanie import Document
from pymongo import ASCENDING

from tron_payment.core.clock import Clock
from tron_payment.db.cas import LostRace
from tron_payment.db.events import Event
from tron_payment.db.faults import store_errors
from tron_payment.gateway import NOTED, Delivery, Payment
from tron_payment.http.forgetting import forget_about, forget_old
from tron_payment.loops import Loop
from tron_payment.payouts import (
    ENDED,
    ERASED,
    NAMED,
    Batch,
    Payout,
    Recipient,
    Schedule,
    is_name,
    is_named,
    rows_of,
    rows_without,
    without_names,
    without_person,
)

FORGET_S: Final = 60.0
BATCH_MAX: Final = 500
LARGE_MAX: Final = 10
"""Batches and schedules read at a time: each may have megabytes."""

ERASE_ATTEMPTS_MAX: Final = 8
"""For one batch that others keep changing meanwhile."""

BATCH_FIELDS: Final = ("rows", "refused", "stage", "version")
EMPTY: Final = zlib.compress(b"")
SERVICE: Final = "payment-gateway"
PERSONAL: Final[Mapping[str, Any]] = {"user_id": ERASED, "metadata": {}}
TOLD: Final[Mapping[str, Any]] = {**PERSONAL, "return_url": None}
"""The same in events and webhooks; those of payments have the return address, too."""

ENDED_BATCHES: Final = ("completed", "completed_with_errors", "canceled")
"""What is taken up again of one that was completed with errors are its payouts, not these rows."""

ENDED_SCHEDULES: Final = ("finished", "canceled")

ENDED_DELIVERIES: Final = ("delivered", "failed")
NAMED_BATCHES: Final[Mapping[str, Any]] = {"nameless": {"$in": [None, False]}}
NAMED_SCHEDULES: Final[Mapping[str, Any]] = {"body": {"$gt": b""}}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done about one person, and what could not be yet."""

    payouts: int
    unfinished: int
    """Still on their way: they keep the name until they have ended."""

    attested: bool
    """Compliance's attestation is valid still and stays, with the name."""

    batches: int
    """Uploads that had the name in rows of their own, refused ones too."""

    schedules: int
    """Active ones that will pay the person again: they keep the name until they are canceled."""


class Keeping:
    """Forgets. `retention_days` 0 keeps everything but the answers of old requests."""

    def __init__(self, clock: Clock, retention_days: int) -> None:
        self._clock = clock
        self._days = retention_days

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
            forgot |= await _forget_payouts(before)
            forgot |= await _forget_payments(before)
            forgot |= await _forget_batches(before)
            forgot |= await _forget_schedules(before)
            forgot |= await _forget_deliveries(before)
        return forgot

    async def erase(self, user_id: str) -> Erased:
        """Take one person's name out of everything that has ended; again is harmless.

        Raises:
            ValueError: It is nobody's name, and would be found everywhere.
        """
        if not is_name(user_id):
            raise ValueError("this is nobody's name")
        count = 0
        with store_errors():
            ended = {"user_id": user_id, "status": {"$in": list(ENDED)}}
            while user_id != ERASED and (ids := await _ids(Payout, ended, "created_at")):
                await forget_about(ids)
                await _erase(ids)
                count += len(ids)
            unfinished = await Payout.get_pymongo_collection().count_documents(
                {"user_id": user_id, "status": {"$nin": list(ENDED)}}
            )
            batches, undrawn = await _erase_from_batches(user_id)
            schedules = await _erase_from_schedules(user_id)
            now = self._clock.now()
            gone = await Recipient.get_pymongo_collection().delete_one(
                {"_id": user_id, "$nor": [{"kyc_expires_at": {"$gt": now}}]}
            )
            attested = not gone.deleted_count and await Recipient.get(user_id) is not None
        done = Erased(count, unfinished + undrawn, attested, batches, schedules)
        log.info("person.erased", **asdict(done))
        return done


async def _forget_payouts(before: datetime) -> bool:
    ids = await _oldest(Payout, "named", NAMED, before)
    await _erase(ids)
    return bool(ids)


async def _forget_payments(before: datetime) -> bool:
    """Notes and return addresses of payments; an invoice's address and money stay.

    Events first: after a crash in between the payments are found again.
    """
    ids = await _oldest(Payment, "noted", {**NOTED, "tracked": None, "refunding": None}, before)
    await _erase_events(ids)
    await Payment.get_pymongo_collection().update_many(
        {"_id": {"$in": ids}}, {"$set": {"metadata": {}}, "$unset": {"return_url": ""}}
    )
    return bool(ids)


async def _forget_batches(before: datetime) -> bool:
    """The rows as they were uploaded: each has become a payout, or was refused."""
    condition = {
        **NAMED_BATCHES,
        "status": {"$in": list(ENDED_BATCHES)},
        "updated_at": {"$lt": before},
        "working": {"$ne": True},
    }
    ids = await _ids(Batch, condition, "updated_at", "named_since")
    batches = Batch.get_pymongo_collection()
    async for raw in batches.find({"_id": {"$in": ids}}, {"refused": 1}):
        emptied = {"rows": EMPTY, "refused": without_names(raw["refused"]), "nameless": True}
        await batches.update_one({"_id": raw["_id"]}, {"$set": emptied})
    return bool(ids)


async def _forget_schedules(before: datetime) -> bool:
    """The rows of schedules that make no batch any more."""
    condition = {**NAMED_SCHEDULES, "status": {"$in": list(ENDED_SCHEDULES)}}
    ids = await _oldest(Schedule, "named", condition, before)
    await Schedule.get_pymongo_collection().update_many(
        {"_id": {"$in": ids}}, {"$set": {"body": b""}}
    )
    return bool(ids)


async def _forget_deliveries(before: datetime) -> bool:
    """Webhooks that were delivered or given up; the events themselves stay."""
    condition = {"status": {"$in": list(ENDED_DELIVERIES)}, "since": {"$lt": before}}
    ids = await _ids(Delivery, condition, "since", "oldest")
    await Delivery.get_pymongo_collection().delete_many({"_id": {"$in": ids}})
    return bool(ids)


async def _oldest(
    model: type[Document], index: str, condition: Mapping[str, Any], before: datetime
) -> list[str]:
    """The ids of some that changed last before then, by an index of `updated_at`.

    The end is told to the index itself: beside an `$or` the server does not make bounds of it.
    """
    end: Any = [("updated_at", before)]
    condition = {**condition, "updated_at": {"$lt": before}}
    found = model.get_pymongo_collection().find(condition, {"_id": 1}, hint=index).max(end)
    return [row["_id"] async for row in found.sort("updated_at", ASCENDING).limit(BATCH_MAX)]


async def _ids(
    model: type[Document], condition: Mapping[str, Any], order: str, index: str | None = None
) -> list[str]:
    found = model.get_pymongo_collection().find(condition, {"_id": 1}, hint=index)
    return [row["_id"] async for row in found.sort(order, ASCENDING).limit(BATCH_MAX)]


async def _erase(payout_ids: list[str]) -> None:
    """Events first: after a crash in between the payouts are found again."""
    await _erase_events(payout_ids)
    await Payout.get_pymongo_collection().update_many(
        {"_id": {"$in": payout_ids}}, {"$set": dict(PERSONAL)}
    )


async def _erase_events(object_ids: list[str]) -> None:
    events = Event.get_pymongo_collection()
    for name, value in TOLD.items():
        await events.update_many(
            {"object_id": {"$in": object_ids}, f"data.{name}": {"$exists": True}},
            {"$set": {f"data.{name}": value}},
        )
    await _erase_deliveries(object_ids)


async def _erase_deliveries(object_ids: list[str]) -> None:
    """The bodies of webhooks about these, those that are still to be sent or sent again, too.

    A receiver is then sent what the event says now. The endpoints are named so that an index of
    deliveries finds them.
    """
    deliveries = Delivery.get_pymongo_collection()
    endpoints = await deliveries.distinct("endpoint_id")
    about = {"endpoint_id": {"$in": endpoints}, "object_id": {"$in": object_ids}}
    async for raw in deliveries.find(about, {"body": 1}):
        body = msgspec.json.decode(raw["body"])
        named = {name for name in TOLD if name in body["data"]}
        if any(body["data"][name] != TOLD[name] for name in named):
            body["data"] |= {name: TOLD[name] for name in named}
            await deliveries.update_one(
                {"_id": raw["_id"]}, {"$set": {"body": msgspec.json.encode(body)}}
            )


async def _erase_from_batches(user_id: str) -> tuple[int, int]:
    """How many were changed, and rows that stay for now, as they are no payouts yet.

    Every batch is read: nothing else says who is in it.
    """
    changed = undrawn = 0
    async for raw in _every(Batch, BATCH_FIELDS, NAMED_BATCHES, "named"):
        in_it, left = await _erase_from_batch(raw, user_id)
        changed += in_it
        undrawn += left
    return changed, undrawn


async def _erase_from_batch(raw: dict[str, Any], user_id: str) -> tuple[bool, int]:
    """Whether it was changed, and rows that stay for now.

    Whoever else forgets or moves the batch meanwhile is never undone: it is read again then.

    Raises:
        LostRace: It keeps changing; what was done stays, and doing it again is harmless.
    """
    batches = Batch.get_pymongo_collection()
    for _ in range(ERASE_ATTEMPTS_MAX):
        count = rows_of(raw["rows"], user_id) if user_id != ERASED else 0
        refused = without_person(raw["refused"], user_id)
        if not count and refused is None:
            return False, 0
        if raw.get("stage") == "accepted":
            return False, count or 1
        fields = {} if refused is None else {"refused": refused}
        if count:
            fields["rows"] = rows_without(raw["rows"], user_id, PERSONAL)
        await forget_about([raw["_id"]])  # first: after a crash the batch is found again
        seen = {"_id": raw["_id"], "version": raw.get("version"), **NAMED_BATCHES}
        done = await batches.update_one(seen, {"$set": fields, "$inc": {"version": 1}})
        if done.matched_count:
            return True, 0
        found = await batches.find_one(
            {"_id": raw["_id"], **NAMED_BATCHES}, dict.fromkeys(BATCH_FIELDS, 1)
        )
        if found is None:
            return False, 0
        raw = found
    raise LostRace(f"{raw['_id']} keeps changing")


async def _erase_from_schedules(user_id: str) -> int:
    """Rows of a schedule that has ended are needed by nobody; active ones are counted."""
    active = 0
    async for raw in _every(Schedule, ("body", "status"), NAMED_SCHEDULES):
        if not is_named(raw["body"], user_id):
            continue
        if raw["status"] in ENDED_SCHEDULES:
            await Schedule.get_pymongo_collection().update_one(
                {"_id": raw["_id"]}, {"$set": {"body": b""}}
            )
        else:
            active += 1
    return active


async def _every(
    model: type[Document],
    fields: Collection[str],
    condition: Mapping[str, Any],
    index: str | None = None,
) -> AsyncIterator[dict[str, Any]]:
    """All there are, some at a time, by their ids."""
    last = ""
    while True:
        found = model.get_pymongo_collection().find(
            {"_id": {"$gt": last}, **condition}, dict.fromkeys(fields, 1), hint=index
        )
        rows = [row async for row in found.sort("_id", ASCENDING).limit(LARGE_MAX)]
        for row in rows:
            yield row
        if not rows:
            return
        last = rows[-1]["_id"]
