"""Closes days: adds a day's payouts up once, when the last of them has ended.

What is closed stays right because an end is for ever and nobody is accepted into the past; each
closed day is counted again in turn all the same, and made anew when it is not right.
"""

from datetime import date, timedelta
from typing import Final

import structlog

from tron_payment.core.clock import Clock
from tron_payment.payouts import day_documents as store
from tron_payment.payouts.batch_documents import is_unexpanded_left
from tron_payment.payouts.day_documents import DAY, begin_of

CLOSE_AFTER: Final = timedelta(hours=1)
"""A day is over for so long: what was accepted in its last moment is stored by then."""

log = structlog.get_logger()


class Days:
    """The step of the loop ``payouts.days``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted: date | None = None

    async def step(self) -> bool:
        """Close every day that can be closed, and count one closed day again; False, always.

        Rows of a batch keep the batch's own time, so nothing is closed while some are no
        payouts yet.
        """
        closed = await store.closed_days()
        await self._count(sorted(closed))
        first, now = await store.first_day(), self._clock.now()
        if first is None or await is_unexpanded_left():
            return False
        day = first
        while begin_of(day) + DAY + CLOSE_AFTER <= now:
            if day not in closed and await store.is_ended(day):
                await store.close(day, now)
            day += DAY
        return False

    async def _count(self, closed: list[date]) -> None:
        if not closed:
            return
        later = [day for day in closed if self._counted is None or day > self._counted]
        self._counted = (later or closed)[0]
        if not await store.is_right(self._counted):
            log.warning("payouts.day_reopened", day=self._counted.isoformat())
            await store.reopen(self._counted)
