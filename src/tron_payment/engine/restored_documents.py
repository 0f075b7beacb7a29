"""What a restored store is asked about its orders, and told."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tron_payment.core.address import Address
from tron_payment.engine.documents import UNSIGNED, WORK_MAX, Order
from tron_payment.engine.domain import OrderStatus

IDS_PER_QUERY: Final = 10_000
CLOCKS_DIFFER: Final = timedelta(hours=1)


async def unsigned_signers() -> list[str]:
    """Who has orders without live bytes."""
    found: list[str] = await Order.get_pymongo_collection().distinct(
        "signer", {"status": {"$in": UNSIGNED}}
    )
    return found


async def unsigned_with(signer: Address, contract: dict[str, Any]) -> list[Order]:
    """A signer's orders without live bytes that want exactly this, first in rank first; at most
    `WORK_MAX`."""
    query = {"signer": signer, "status": {"$in": UNSIGNED}, "contract": contract}
    return await Order.find(query).sort("+rank").limit(WORK_MAX).to_list()


async def any_absent(order_ids: Collection[str]) -> bool:
    """Whether one of these orders, of one block, is not there."""
    if not order_ids:
        return False
    there = Order.find({"_id": {"$in": list(order_ids)}})
    return await there.count() < len(order_ids)


async def any_not_canceled(order_ids: Sequence[str]) -> bool:
    """Whether one of these orders is there and does not just keep others from placing it."""
    for first in range(0, len(order_ids), IDS_PER_QUERY):
        some = {"$in": list(order_ids[first : first + IDS_PER_QUERY])}
        query = {"_id": some, "status": {"$ne": OrderStatus.CANCELED.value}}
        if await Order.find_one(query) is not None:
            return True
    return False


async def tell_since(moment: datetime) -> None:
    """Modules hear once more of what has changed since then: their own documents may be older.

    Args:
        moment: By the chain's clock; ours may be behind it by `CLOCKS_DIFFER`.
    """
    where = {"updated_at": {"$gte": moment - CLOCKS_DIFFER}, "news": {"$ne": True}}
    await Order.get_pymongo_collection().update_many(where, {"$set": {"news": True}})
