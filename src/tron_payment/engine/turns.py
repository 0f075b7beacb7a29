"""Whose turn it is: nobody who has to wait keeps those behind from being looked at."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any, Final

from tron_payment.db.lean import fetch
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import OrderStatus

ITEMS_MAX: Final = 2_000
"""Payments in the orders reserved or signed together: each is looked at once more before."""

TURNS: Final = (
    OrderStatus.SIGNED,
    OrderStatus.QUEUED,
    OrderStatus.RESERVED,
    OrderStatus.AWAITING_SIGNATURE,
)
"""What the dispatcher takes further, one kind after the other, in the way that an order goes."""


WAIT_MAX: Final = timedelta(minutes=15)
"""Longer than the engine lets an order wait, but for adopted ones (adopting.py). What is due later
was put off by a clock that was fast, and is due now."""


def is_due(status: OrderStatus, now: datetime) -> dict[str, Any]:
    """The condition that an order of this status is worth a look now; by index."""
    late: dict[str, Any] = {"due_at": {"$gt": now + WAIT_MAX}}
    if status is OrderStatus.SIGNED:
        late["attempts.signatures"] = {"$ne": []}  # an adopted one has none, and rests for a day
    return {"status": status.value, "$or": [{"due_at": {"$lte": now}}, late]}


def turns_after(last: OrderStatus) -> tuple[OrderStatus, ...]:
    """The kinds in the order of their turns, the one served last at the end."""
    start = TURNS.index(last) + 1
    return TURNS[start:] + TURNS[:start]


async def due(status: OrderStatus, now: datetime, *, limit: int) -> list[Order]:
    """Orders of this status that are worth a look now.

    Every second one is the first by rank, every second one has been due for longest. By rank alone
    the first that have to wait would be due again before the last were ever looked at; in turn
    alone a priority would count for nothing while there is too little money for all.
    """
    assert limit > 1, limit
    half = limit // 2
    condition = is_due(status, now)
    by_rank = await fetch(Order, condition, sort="rank", limit=half)
    if len(by_rank) < half:
        in_turn = sorted(by_rank, key=lambda order: order.due_at)
    else:
        others = condition | {"_id": {"$nin": [order.id for order in by_rank]}}
        in_turn = await fetch(Order, others, sort="due_at", limit=limit - half)
    mixed = [each for pair in zip_longest(by_rank, in_turn) for each in pair]
    return list({order.id: order for order in mixed if order is not None}.values())


def some(orders: Sequence[Order]) -> list[Order]:
    """The first of them, with at most `ITEMS_MAX` payments together and at least one; by rank."""
    items, taken = 0, list[Order]()
    for order in orders:
        items += max(1, len(order.expects))
        if items > ITEMS_MAX and taken:
            break
        taken.append(order)
    return sorted(taken, key=lambda order: order.rank)
