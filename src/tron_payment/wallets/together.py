"""Questions that many callers ask at once, asked of the store as one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from tron_payment.db.faults import StoreUnavailable

AT_ONCE_MAX: Final = 200
"""Keys in one query."""

K = TypeVar("K")
V = TypeVar("V")


class Together(Generic[K, V]):
    """`get` answers what `fetch` says about one key, cheaper when many call it.

    Nothing is remembered: every answer was read after its caller had asked.

    Args:
        fetch: Reads many keys; what is not there is not in its answer.
    """

    def __init__(self, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._fetch = fetch
        self._asked: list[tuple[K, asyncio.Future[V | None]]] = []
        self._flight: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """
        Raises:
            Exception: What `fetch` raises.
        """
        answer: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly(), name="wallets.read_together")
        return await answer

    async def _fly(self) -> None:
        await asyncio.sleep(0)  # callers that are ready in this very round come along
        while self._asked:
            batch = self._asked[:AT_ONCE_MAX]
            del self._asked[:AT_ONCE_MAX]
            try:
                found = await self._fetch([*dict.fromkeys(key for key, _ in batch)])
            except BaseException as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(_of(error))
                if not isinstance(error, Exception):
                    raise
                continue
            for key, answer in batch:
                if not answer.done():
                    answer.set_result(found.get(key))


def _of(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else StoreUnavailable()
