"""`raw_data.timestamp` as a counter for each signer: equal payments never share a txid.

java-tron never checks this timestamp, and a txid is the hash of raw_data alone, so two equal
transfers built in the same millisecond would be one transaction.
"""

from datetime import datetime

from pymongo import ReturnDocument

from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.db.lean import LeanDocument


class TimestampCounter(LeanDocument):
    """The last timestamp given out for a signer, in milliseconds; only ever grows."""

    id: str  # type: ignore[assignment]  # the signer's address
    last_ms: int

    class Settings:
        name = "timestamp_counters"


async def next_timestamps(signer: Address, count: int, now: datetime) -> int:
    """Take `count` timestamps for a signer; answers the first. None of them is given out again."""
    newest = {"$max": [{"$ifNull": ["$last_ms", 0]}, to_ms(now)]}
    row = await TimestampCounter.get_pymongo_collection().find_one_and_update(
        {"_id": signer},
        [{"$set": {"last_ms": {"$add": [newest, count]}}}],
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    assert row is not None
    return int(row["last_ms"]) - count + 1
