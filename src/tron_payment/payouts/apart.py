"""Many that are done one by one: what keeps one of them stops none of the others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import Wish
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import ROUTE_UNAVAILABLE, RouteUnavailable
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
