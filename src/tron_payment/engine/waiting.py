"""Orders that cannot go on now: each is looked at again a little later, and says why it waits."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from tron_payment.core.clock import Clock
from tron_payment.engine import documents as store
from tron_payment.engine.documents import Order
from tron_payment.engine.ports import Gate

WAIT_S: Final = 5
"""Before an order that has to wait is looked at again."""

JOURNAL_CLOSED: Final = "journal_closed"
"""What an order waits for whose funds were spent or released: it was paid, or it has ended, and
only a part of the store that is older than the journal does not know."""


async def wait(orders: Sequence[Order], waiting_for: str, clock: Clock) -> None:
    """Put these orders off; dying here means that they are looked at at once."""
    until = clock.now() + timedelta(seconds=WAIT_S)
    await store.postpone(orders, until, waiting_for=waiting_for)


async def through(gates: Iterable[Gate], orders: Sequence[Order], clock: Clock) -> list[Order]:
    """Those that every gate lets through now; the others wait."""
    waiting: dict[str, str] = {}
    for gate in gates:
        waiting |= await gate([order for order in orders if order.id not in waiting])
    for reason in set(waiting.values()):
        await wait([o for o in orders if waiting.get(o.id) == reason], reason, clock)
    return [order for order in orders if order.id not in waiting]
