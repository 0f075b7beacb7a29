"""Webhook endpoints, deliveries and notices as stored, and every query on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from tron_payment.db.faults import store_errors

ATTEMPTS_KEPT: Final = 20
ENDPOINTS_MAX: Final = 10_000
"""Endpoints that one event may go to."""

FEED: Final = "feed"
PING_SEQ: Final = 0
"""A ping is in no list of events, so it has no number there."""


class EndpointStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    PARKED = "parked"
    """Its endpoint is disabled."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up; it can still be sent again by hand."""


class WebhookEndpoint(Document):
    """Where a merchant wants to hear of what happens."""

    id: str  # type: ignore[assignment]  # whk_...
    principal: str
    url: str
    description: str = ""
    types: list[str] = Field(default_factory=list)
    """Event types, ``payment.*`` for all of an object's; empty for everything."""

    everything: bool = False
    """Events of all owners, for those who may see them."""

    status: EndpointStatus = EndpointStatus.ENABLED
    reason: str = ""
    generation: int = 1
    previous_until: datetime | None = None
    """Until then what is sent carries the last generation's signature too."""

    root: dict[str, Any] | None = Field(default=None, repr=False)
    """What its secrets are derived from, sealed as wallets' keys are; None: the installation's
    secret, as an older release had it."""

    root_first: int = 0
    root_last: int = 0
    """The generations whose secrets come of `root`."""

    public_key: str = ""
    """Of `root`, so that showing it opens nothing."""

    from_seq: int
    """Events up to this number were before its time."""

    failing_since: datetime | None = None
    failures: int = 0
    """In a row."""

    resting_until: datetime | None = None
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "webhook_endpoints"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("principal", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)],
                name="own_list",
            ),
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="list"),
            IndexModel([("status", ASCENDING), ("principal", ASCENDING)], name="owners"),
            IndexModel([("status", ASCENDING), ("everything", ASCENDING)], name="everything"),
            IndexModel([("root.kek_id", ASCENDING)], name="keks", sparse=True),
        ]

    def wants(self, event_type: str) -> bool:
        """Whether it asked for events of this type."""
        return not self.types or any(
            each == event_type or (each.endswith(".*") and event_type.startswith(each[:-1]))
            for each in self.types
        )

    def generations(self, now: datetime) -> tuple[int, ...]:
        """Secrets that are alive, newest first."""
        if self.previous_until is not None and now < self.previous_until:
            return self.generation, self.generation - 1
        return (self.generation,)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver; 0 is no answer."""

    at: datetime
    status_code: int
    error: str
    took_ms: int


class Delivery(Document):
    """One event on its way to one endpoint. The body is the same at every attempt."""

    id: str  # type: ignore[assignment]  # dlv_...
    endpoint_id: str
    event_id: str
    event_seq: int
    type: str
    object_id: str
    object_seq: int
    body: bytes
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    """Since it was last asked for."""

    log: list[Attempt] = Field(default_factory=list)
    """The newest ones."""

    next_at: datetime
    since: datetime
    """When it was first asked for, or asked for again by hand."""

    delivered_at: datetime | None = None
    created_at: datetime

    class Settings:
        name = "webhook_deliveries"
        keep_nulls = False
        bson_encoders: ClassVar[dict[Any, Any]] = {Attempt: asdict}
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("status", ASCENDING), ("endpoint_id", ASCENDING), ("next_at", ASCENDING)],
                name="waiting",
                partialFilterExpression={"status": DeliveryStatus.PENDING.value},
            ),
            IndexModel(
                [("status", ASCENDING), ("endpoint_id", ASCENDING)],
                name="parked",
                partialFilterExpression={"status": DeliveryStatus.PARKED.value},
            ),
            IndexModel([("status", ASCENDING), ("since", ASCENDING)], name="oldest"),
            IndexModel(
                [
                    ("endpoint_id", ASCENDING),
                    ("object_id", ASCENDING),
                    ("status", ASCENDING),
                    ("event_seq", ASCENDING),
                ],
                name="object",
            ),
            IndexModel(
                [("endpoint_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="list",
            ),
        ]


class Feed(Document):
    """How far events have been given to endpoints. One document."""

    id: str = FEED  # type: ignore[assignment]
    seq: int = 0

    class Settings:
        name = "webhook_feed"


class Notice(Document):
    """A signed notice from outside, as it came."""

    id: str  # type: ignore[assignment]  # ntc_..., derived from the sender's message id
    message_id: str
    body: bytes
    sent_at: datetime
    received_at: datetime

    class Settings:
        name = "notices"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("received_at", ASCENDING)], name="received_at")
        ]


async def endpoint(endpoint_id: str, owner: Mapping[str, str]) -> WebhookEndpoint | None:
    query = {"_id": endpoint_id, "status": {"$ne": EndpointStatus.DELETED.value}, **owner}
    with store_errors():
        return await WebhookEndpoint.find_one(query)


async def count_endpoints(principal: str) -> int:
    query = {"principal": principal, "status": {"$ne": EndpointStatus.DELETED.value}}
    with store_errors():
        return await WebhookEndpoint.find(query).count()


async def listening(owners: Collection[str]) -> list[WebhookEndpoint]:
    """Endpoints that events of these owners go to."""
    query = {
        "status": EndpointStatus.ENABLED.value,
        "$or": [{"principal": {"$in": list(owners)}}, {"everything": True}],
    }
    with store_errors():
        return await WebhookEndpoint.find(query).limit(ENDPOINTS_MAX).to_list()


async def by_ids(endpoint_ids: Collection[str]) -> dict[str, WebhookEndpoint]:
    with store_errors():
        rows = await WebhookEndpoint.find({"_id": {"$in": list(endpoint_ids)}}).to_list()
    return {row.id: row for row in rows}


async def under_other_keks(
    current: str, skip: Collection[str], limit: int
) -> list[WebhookEndpoint]:
    """Endpoints whose root is sealed under another key than this, without those to skip."""
    query = {
        "root.kek_id": {"$type": "string", "$ne": current},
        "status": {"$ne": EndpointStatus.DELETED.value},
        "_id": {"$nin": list(skip)},
    }
    with store_errors():
        return await WebhookEndpoint.find(query).limit(limit).to_list()


async def write_endpoint(
    endpoint_id: str,
    changes: Mapping[str, Any],
    unset: Sequence[str] = (),
    where: Mapping[str, Any] | None = None,
) -> bool:
    """Change an endpoint; it is not about money, the last writer wins, but over a deletion: False
    when it is deleted by now, and stays so, or is not as `where` says."""
    update: dict[str, Any] = {"$set": dict(changes)}
    if unset:
        update["$unset"] = dict.fromkeys(unset, "")
    query = {"_id": endpoint_id, "status": {"$ne": EndpointStatus.DELETED.value}, **(where or {})}
    with store_errors():
        done = await WebhookEndpoint.get_pymongo_collection().update_one(query, update)
    return done.matched_count == 1


async def feed_seq() -> int:
    with store_errors():
        row = await Feed.find_one({"_id": FEED})
    return row.seq if row else 0


async def advance_feed(seq: int) -> None:
    """The number only grows."""
    with store_errors():
        await Feed.get_pymongo_collection().update_one(
            {"_id": FEED}, {"$max": {"seq": seq}}, upsert=True
        )


async def note_attempt(delivery: Delivery, attempt: Attempt, changes: Mapping[str, Any]) -> None:
    with store_errors():
        await Delivery.get_pymongo_collection().update_one(
            {"_id": delivery.id},
            {
                "$set": dict(changes),
                "$inc": {"attempts": 1},
                "$push": {"log": {"$each": [asdict(attempt)], "$slice": -ATTEMPTS_KEPT}},
            },
        )


async def waiting_ping(endpoint_id: str, now: datetime) -> Delivery | None:
    """A ping that was asked for and has not arrived; it is tried again now."""
    query = {
        "endpoint_id": endpoint_id,
        "object_id": endpoint_id,
        "status": DeliveryStatus.PENDING.value,
        "event_seq": PING_SEQ,
    }
    with store_errors():
        raw = await Delivery.get_pymongo_collection().find_one_and_update(
            query, {"$min": {"next_at": now}}, return_document=ReturnDocument.AFTER
        )
    return None if raw is None else Delivery.model_validate(raw)


async def park(endpoint_id: str) -> None:
    """Its endpoint is disabled: nothing is sent."""
    with store_errors():
        await Delivery.get_pymongo_collection().update_many(
            {"endpoint_id": endpoint_id, "status": DeliveryStatus.PENDING.value},
            {"$set": {"status": DeliveryStatus.PARKED.value}},
        )


async def park_while_off(endpoint_id: str, now: datetime) -> None:
    """Park what waits for an endpoint that was seen to be off.

    Its owner may be switching it on in this moment, and then nothing else would soon wake what is
    parked after him: so it is looked at again.
    """
    await park(endpoint_id)
    seen = (await by_ids([endpoint_id])).get(endpoint_id)
    if seen is not None and seen.status is EndpointStatus.ENABLED:
        await unpark(endpoint_id, now)


async def unpark(endpoint_id: str, now: datetime) -> None:
    """Its endpoint is back: what has waited goes out, and its time begins anew."""
    with store_errors():
        await Delivery.get_pymongo_collection().update_many(
            {"endpoint_id": endpoint_id, "status": DeliveryStatus.PARKED.value},
            {
                "$set": {
                    "status": DeliveryStatus.PENDING.value,
                    "next_at": now,
                    "since": now,
                    "attempts": 0,
                }
            },
        )


async def redeliver(delivery_id: str, endpoint_id: str, now: datetime) -> Delivery | None:
    """Ask for a delivery again, whatever became of it."""
    with store_errors():
        await Delivery.get_pymongo_collection().update_one(
            {"_id": delivery_id, "endpoint_id": endpoint_id},
            {
                "$set": {
                    "status": DeliveryStatus.PENDING.value,
                    "next_at": now,
                    "since": now,
                    "attempts": 0,
                },
                "$unset": {"delivered_at": ""},
            },
        )
        return await Delivery.find_one({"_id": delivery_id, "endpoint_id": endpoint_id})


async def counts() -> dict[str, int]:
    """How many deliveries are in each status."""
    pipeline = [{"$group": {"_id": "$status", "n": {"$sum": 1}}}]
    with store_errors():
        cursor = await Delivery.get_pymongo_collection().aggregate(pipeline)
        return {row["_id"]: row["n"] async for row in cursor}


async def oldest_pending_s(now: datetime) -> int:
    """For how many seconds the oldest undelivered one has been waiting; 0 when none is."""
    query = {"status": DeliveryStatus.PENDING.value}
    with store_errors():
        found = await Delivery.find(query).sort("+since").limit(1).to_list()
    return max(0, int((now - found[0].since).total_seconds())) if found else 0
