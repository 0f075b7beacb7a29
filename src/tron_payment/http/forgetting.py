"""Forgetting what requests were answered; their keys are kept for ever.

A key whose answer is gone is refused as `idempotency_key_expired`: it pays nothing again.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from pymongo import ASCENDING

from tron_payment.db.faults import store_errors
from tron_payment.http.idempotency import RETENTION, StoredRequest

FORGET_BATCH: Final = 1_000


async def forget_old(now: datetime) -> bool:
    """Drop the answers of one batch of old records; False when there was none."""
    requests = StoredRequest.get_pymongo_collection()
    old = {"forgotten": False, "created_at": {"$lt": now - RETENTION}}
    with store_errors():
        found = requests.find(old, {"_id": 1}).sort("created_at", ASCENDING).limit(FORGET_BATCH)
        ids = [raw["_id"] async for raw in found]
        if ids:
            await _forget({"_id": {"$in": ids}})
    return bool(ids)


async def forget_about(object_ids: Collection[str]) -> None:
    """Drop the answers, of the last `RETENTION`, that made any of these.

    Only for what has been done: an answer is what a repeat of an unfinished request goes on from.
    """
    if object_ids:
        with store_errors():
            await _forget({"forgotten": False, "object_ids": {"$in": list(object_ids)}})


async def _forget(which: dict[str, Any]) -> None:
    await StoredRequest.get_pymongo_collection().update_many(
        which, {"$set": {"forgotten": True, "body": b""}, "$unset": {"promised": ""}}
    )
