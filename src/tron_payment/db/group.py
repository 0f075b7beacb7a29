"""Group insert: many callers' single inserts become few commands, each caller has its own answer.

One majority-acknowledged command costs a journal flush, whether it carries one document or two
hundred. A document that arrives while nothing is under way goes at once, alone; those that
arrive during a flight leave together when a flight has landed.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from beanie import Document

from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import insert_each
from tron_payment.db.faults import DuplicateValue, StoreUnavailable

BATCH_MAX: Final = 200
QUEUE_MAX: Final = 10_000
FLIGHTS_MAX: Final = 2
"""Commands under way per collection: the second fills while the first waits for the journal."""


class StoreBusy(Unavailable, code="store_busy"):
    """Too many writes are waiting."""


@dataclass(slots=True)
class _Waiting:
    document: Document
    answer: asyncio.Future[bool]


@dataclass(slots=True)
class _Lane:
    """One collection's queue."""

    queue: deque[_Waiting] = field(default_factory=deque)
    flights: set[asyncio.Task[None]] = field(default_factory=set)


class GroupInsert:
    """`insert` is `insert_once`, cheaper when many call it. One per process and event loop."""

    def __init__(
        self, *, batch_max: int = BATCH_MAX, queue_max: int = QUEUE_MAX, flights: int = FLIGHTS_MAX
    ) -> None:
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._flights_max = flights
        self._lanes: dict[type[Document], _Lane] = {}
        self.commands = 0
        """How many were sent, for metrics."""

    async def insert(self, document: Document) -> bool:
        """Store a document under its derived id; False when that id exists already.

        A caller that is canceled leaves its document in the group: it may be stored.

        Raises:
            DuplicateValue: Another document holds a value that must be unique.
            StoreBusy: `queue_max` documents are waiting; nothing was stored.
            StoreUnavailable: The outcome is unknown; insert it again.
        """
        lane = self._lanes.setdefault(type(document), _Lane())
        if len(lane.queue) >= self._queue_max:
            raise StoreBusy(retry_after_s=1)
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        lane.queue.append(_Waiting(document, answer))
        if len(lane.flights) < self._flights_max:
            self._depart(lane)
        return await answer

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while flights := [task for lane in self._lanes.values() for task in lane.flights]:
            await asyncio.wait(flights)

    def _depart(self, lane: _Lane) -> None:
        flight = asyncio.create_task(self._fly(lane), name="group-insert")
        lane.flights.add(flight)

    async def _fly(self, lane: _Lane) -> None:
        """Send batch after batch until the queue is empty.

        It signs off in the same step that finds the queue empty: a done-callback would run a
        step later, and a caller in between would wait for a flight that is over.
        """
        try:
            await asyncio.sleep(0)  # callers that are ready in this very round come along
            await self._empty(lane)
        finally:
            flight = asyncio.current_task()
            assert flight is not None
            lane.flights.discard(flight)

    async def _empty(self, lane: _Lane) -> None:
        while lane.queue:
            size = min(self._batch_max, len(lane.queue))
            batch = [lane.queue.popleft() for _ in range(size)]
            try:
                await self._send(batch)
            except BaseException:  # we are being ended: nobody may wait for us
                for each in (*batch, *lane.queue):
                    _refuse(each.answer, StoreUnavailable())
                lane.queue.clear()
                raise

    async def _send(self, batch: Sequence[_Waiting]) -> None:
        self.commands += 1
        try:
            outcomes = await insert_each([each.document for each in batch])
        except Exception as error:
            if isinstance(error, StoreUnavailable) or len(batch) == 1:
                for each in batch:
                    _refuse(each.answer, error)
                return
            for each in batch:  # one document cannot be stored: it shall not hurt the others
                await self._send([each])
            return
        for each, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, DuplicateValue):
                _refuse(each.answer, outcome)
            elif not each.answer.done():
                each.answer.set_result(outcome)


def _refuse(answer: asyncio.Future[bool], error: Exception) -> None:
    """Give a caller the error; each needs one of its own, for its own traceback."""
    if answer.done():
        return
    if isinstance(error, StoreUnavailable):
        error = StoreUnavailable(error.detail, retry_after_s=error.retry_after_s)
    answer.set_exception(error)
