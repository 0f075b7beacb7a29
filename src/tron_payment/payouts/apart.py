"""Many that are done one by one: what keeps one of them stops none of the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError, NotFound
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import Engine, Wish
from tron_payment.payouts import documents as store
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import ROUTE_UNAVAILABLE, PayoutStatus, RouteUnavailable
from tron_payment.payouts.orders import OrderMaker

OUTAGES: Final = (StoreUnavailable, NodesUnavailable)
"""They keep all of them, and go away by themselves."""

log = structlog.get_logger()


class Apart:
    """Each has its turn; what was refused is raised when all had theirs, so that it is seen."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._first: AppError | None = None

    @contextmanager
    def one(self, **what: str) -> Iterator[None]:
        """Do one of them inside; what it is refused for is kept for `end`.

        Raises:
            StoreUnavailable, NodesUnavailable: At once.
        """
        try:
            yield
        except OUTAGES:
            raise
        except LostRace as race:
            log.info(self._event, reason=race.code, detail=race.detail, **what)
            self._first = self._first or race
        except AppError as refusal:
            log.error(self._event, reason=refusal.code, detail=refusal.detail, **what)
            if self._first is None or isinstance(self._first, LostRace):
                self._first = refusal

    def end(self) -> None:
        """
        Raises:
            AppError: One of them was refused, or lost a race, and is to be done again.
        """
        if self._first is not None:
            raise self._first


async def wish_of(orders: OrderMaker, payouts: Sequence[Payout]) -> Wish:
    """The order of these payouts, as `OrderMaker.wish`; they show it when there can be none.

    Raises:
        RouteUnavailable: The router was taken out of the settings since they were accepted.
    """
    try:
        return orders.wish(payouts)
    except RouteUnavailable:
        await following.wait(payouts[0].order_id, ROUTE_UNAVAILABLE)
        raise


class Unmade:
    """Orders that cannot be made, of payouts that are called back."""

    def __init__(self, engine: Engine, orders: OrderMaker) -> None:
        self._engine = engine
        self._orders = orders

    async def cancel(self, order_id: str) -> None:
        """As `Engine.cancel`, also of an order that could not be made."""
        try:
            await self._engine.cancel(order_id)
        except NotFound:
            if not await self.forgo(order_id):
                raise
            await self._engine.cancel(order_id)  # another has made it in this moment

    async def forgo(self, order_id: str) -> bool:
        """Let an order that could not be made (`wish_of`) never be made; False where that was not
        so. Safe to repeat, and while another makes it: one of the two is stored.

        Who looked whether it can be made had all its payouts before them; and none came since.

        Raises:
            PerhapsPaid, Unavailable: As `Engine.cancel`.
        """
        inside = await store.in_order(order_id)
        queued = [each for each in inside if each.status is PayoutStatus.QUEUED]
        if not any(each.waiting_for == ROUTE_UNAVAILABLE for each in queued):
            return False
        await self._engine.forgo([self._orders.forgone(queued)])
        return True
