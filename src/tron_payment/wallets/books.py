"""Opening the books of new keys, many at once: one journal entry for all that wait."""

import asyncio
from typing import Final

from tron_payment.core.address import Address
from tron_payment.core.errors import Unavailable
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import Openings

OPENED_AT_ONCE_MAX: Final = 500
WAITING_MAX: Final = 10_000


class TooManyOpenings(Unavailable, code="openings_busy"):
    """Too many new addresses are waiting for their books."""


class FreshBooks:
    """`open` is `Openings.open_fresh` for one address, cheaper when many call it."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings
        self._waiting: list[tuple[Address, asyncio.Future[None]]] = []
        self._flight: asyncio.Task[None] | None = None

    async def open(self, address: Address) -> None:
        """Return when movements of this new address are booked from now on.

        Raises:
            TooManyOpenings: Nothing was opened.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise TooManyOpenings(retry_after_s=1)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((address, done))
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly(), name="wallets.open_books")
        await done

    async def _fly(self) -> None:
        await asyncio.sleep(0)  # callers that are ready in this very round come along
        while self._waiting:
            batch = self._waiting[:OPENED_AT_ONCE_MAX]
            del self._waiting[:OPENED_AT_ONCE_MAX]
            try:
                await self._openings.open_fresh([address for address, _ in batch])
            except BaseException as error:
                for _, done in batch:
                    if not done.done():
                        done.set_exception(_same(error))
                if not isinstance(error, Exception):
                    raise
                continue
            for _, done in batch:
                if not done.done():
                    done.set_result(None)


def _same(error: BaseException) -> Exception:
    """What a caller is told: whether its books were opened is unknown when we were killed."""
    return error if isinstance(error, Exception) else StoreUnavailable()
