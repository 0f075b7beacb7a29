"""One cheap look at whether there is anything to do, where an idle loop would ask for each kind.

An idle service is woken by every block; what it asks the store then is most of what it costs.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tron_payment.engine.documents import Order
from tron_payment.engine.turns import TURNS, is_due


async def any_due(now: datetime) -> bool:
    """Whether an order is worth the dispatcher's look now."""
    return await _any({"$or": [is_due(status, now) for status in TURNS]})


async def any_news(modules: Iterable[str]) -> bool:
    """Whether one of these modules has to be told of an order."""
    return await _any({"module": {"$in": list(modules)}, "news": True})


async def _any(condition: dict[str, Any]) -> bool:
    return await Order.get_pymongo_collection().find_one(condition, {"_id": 1}) is not None
