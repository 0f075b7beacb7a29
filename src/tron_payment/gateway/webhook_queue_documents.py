"""Which delivery is the next, for whom: queries on what waits to be sent.

What waits is found by endpoint, so that much for one is nothing to go through for the others.
"""

from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING

from tron_payment.db.faults import store_errors
from tron_payment.gateway.webhook_documents import ENDPOINTS_MAX, Delivery, DeliveryStatus

DUE_MAX: Final = 32
"""Deliveries of one endpoint that are looked at together."""


async def endpoints_with_due(now: datetime) -> list[str]:
    """Endpoints for which something is worth a try now, by id.

    One look into the index for each endpoint that anything waits for, however much that is.
    """
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": DeliveryStatus.PENDING.value}},
        {"$sort": {"status": ASCENDING, "endpoint_id": ASCENDING, "next_at": ASCENDING}},
        {"$group": {"_id": "$endpoint_id", "next_at": {"$first": "$next_at"}}},
        {"$match": {"next_at": {"$lte": now}}},
        {"$sort": {"_id": ASCENDING}},
        {"$limit": ENDPOINTS_MAX},
    ]
    with store_errors():
        cursor = await Delivery.get_pymongo_collection().aggregate(pipeline)
        return [row["_id"] async for row in cursor]


async def endpoints_with_parked(after: str, limit: int) -> list[str]:
    """Endpoints after this one for which something is parked, by id, so many at most.

    One look into the index for each, however much is parked.
    """
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": DeliveryStatus.PARKED.value, "endpoint_id": {"$gt": after}}},
        {"$sort": {"status": ASCENDING, "endpoint_id": ASCENDING}},
        {"$group": {"_id": "$endpoint_id"}},
        {"$sort": {"_id": ASCENDING}},
        {"$limit": limit},
    ]
    with store_errors():
        cursor = await Delivery.get_pymongo_collection().aggregate(pipeline)
        return [row["_id"] async for row in cursor]


async def due_for(endpoint_id: str, now: datetime) -> list[Delivery]:
    """Deliveries to one endpoint that are worth a try now, the longest due first."""
    query = {
        "status": DeliveryStatus.PENDING.value,
        "endpoint_id": endpoint_id,
        "next_at": {"$lte": now},
    }
    with store_errors():
        return await Delivery.find(query).sort("+next_at").limit(DUE_MAX).to_list()


async def first_pending(delivery: Delivery) -> Delivery | None:
    """The oldest undelivered event of the same object to the same endpoint."""
    query = {
        "endpoint_id": delivery.endpoint_id,
        "object_id": delivery.object_id,
        "status": DeliveryStatus.PENDING.value,
    }
    with store_errors():
        found = await Delivery.find(query).sort("+event_seq").limit(1).to_list()
    return found[0] if found else None


async def claim(delivery: Delivery, until: datetime) -> bool:
    """Take a delivery for ourselves; False when somebody else has."""
    with store_errors():
        result = await Delivery.get_pymongo_collection().update_one(
            {
                "_id": delivery.id,
                "status": DeliveryStatus.PENDING.value,
                "next_at": delivery.next_at,
            },
            {"$set": {"next_at": until}},
        )
    return bool(result.modified_count)


async def hold_back(delivery: Delivery, until: datetime) -> None:
    """Later events of the same object wait for the earlier one; pings have no order, and wait for
    each other."""
    query = {
        "_id": {"$ne": delivery.id},
        "endpoint_id": delivery.endpoint_id,
        "object_id": delivery.object_id,
        "status": DeliveryStatus.PENDING.value,
        "event_seq": {"$gte": delivery.event_seq},
    }
    with store_errors():
        await Delivery.get_pymongo_collection().update_many(query, {"$max": {"next_at": until}})


async def release_next(delivery: Delivery, now: datetime) -> None:
    """The next event of the object need not wait any longer."""
    following = await first_pending(delivery)
    if following is not None:
        with store_errors():
            await Delivery.get_pymongo_collection().update_one(
                {"_id": following.id}, {"$min": {"next_at": now}}
            )
