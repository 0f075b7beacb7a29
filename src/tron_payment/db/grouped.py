"""Group reads: many callers' questions become few queries, each caller has its own answer.

A question that arrives while nothing is under way is asked at once; those that arrive during a
flight leave together in the next one. So every answer is at least as young as its question, as if
each caller had asked alone.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from tron_payment.core.errors import Unavailable
from tron_payment.db.faults import StoreUnavailable

GROUP_MAX: Final = 200
"""Callers that share one flight."""

QUEUE_MAX: Final = 10_000
FLIGHTS_MAX: Final = 2

K = TypeVar("K")
V = TypeVar("V")


class ReadsBusy(Unavailable, code="store_busy"):
    """Too many questions are waiting."""


class GroupRead(Generic[K, V]):
    """`ask` is `read`, cheaper when many call it. One per process and event loop.

    Args:
        read: Answers many keys at once; what it leaves out has no answer.
    """

    def __init__(
        self,
        read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        group_max: int = GROUP_MAX,
        flights: int = FLIGHTS_MAX,
    ) -> None:
        self._read = read
        self._group_max = group_max
        self._flights_max = flights
        self._queue: deque[tuple[tuple[K, ...], asyncio.Future[Mapping[K, V]]]] = deque()
        self._flights: set[asyncio.Task[None]] = set()

    async def ask(self, keys: Iterable[K]) -> Mapping[K, V]:
        """The answers to these keys, and perhaps to others that were asked at the same time.

        Raises:
            ReadsBusy: `QUEUE_MAX` callers are waiting.
            Exception: Whatever `read` raises; the callers of one flight share its failure.
        """
        if len(self._queue) >= QUEUE_MAX:
            raise ReadsBusy(retry_after_s=1)
        answer: asyncio.Future[Mapping[K, V]] = asyncio.get_running_loop().create_future()
        self._queue.append((tuple(keys), answer))
        if len(self._flights) < self._flights_max:
            flight = asyncio.create_task(self._fly(), name="group-read")
            self._flights.add(flight)
        return await answer

    async def _fly(self) -> None:
        """Ask for group after group until nobody waits; signs off in the step that sees that."""
        try:
            await asyncio.sleep(0)  # callers that are ready in this very round come along
            while self._queue:
                size = min(self._group_max, len(self._queue))
                group = [self._queue.popleft() for _ in range(size)]
                try:
                    await self._answer(group)
                except BaseException:  # we are being ended: nobody may wait for us
                    for _, answer in (*group, *self._queue):
                        _refuse(answer, StoreUnavailable())
                    self._queue.clear()
                    raise
        finally:
            flight: asyncio.Task[Any] | None = asyncio.current_task()
            assert flight is not None
            self._flights.discard(flight)

    async def _answer(
        self, group: Sequence[tuple[tuple[K, ...], asyncio.Future[Mapping[K, V]]]]
    ) -> None:
        wanted = list(dict.fromkeys(key for keys, _ in group for key in keys))
        try:
            found = await self._read(wanted)
        except Exception as error:
            for _, answer in group:
                _refuse(answer, error)
            return
        for _, answer in group:
            if not answer.done():
                answer.set_result(found)


def _refuse(answer: "asyncio.Future[Any]", error: Exception) -> None:
    """Give a caller the error; one of its own, for its own traceback, where it can be copied."""
    if answer.done():
        return
    try:
        own = copy.copy(error)
    except TypeError:
        own = error
    answer.set_exception(own)
