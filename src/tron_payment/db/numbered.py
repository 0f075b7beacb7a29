"""Append-only collections numbered 1, 2, 3, ... without a gap, by any number of processes.

Entry n+1 is inserted by whoever has seen entry n as majority-committed; the unique index on `seq`
lets one of several through. So a reader that has read up to n has read everything up to n, for
ever: a late writer can only write after the end. Within a process many callers share one insert.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import Field
from pymongo import DESCENDING
from pymongo.errors import BulkWriteError

from tron_payment.core.errors import Unavailable
from tron_payment.db.faults import StoreUnavailable, duplicates_of, store_errors
from tron_payment.db.lean import LeanDocument, copy_with, written

BATCH_MAX: Final = 500
QUEUE_MAX: Final = 20_000
ATTEMPTS_MAX: Final = 50
"""Lost races of one batch before its callers are told that the store is busy."""

PAUSE_S: Final = 0.004
PAUSE_MAX_S: Final = 0.1
"""Random, growing pause after a lost race, so that processes take turns."""


class NumberedDocument(LeanDocument):
    """What an entry needs. A subclass declares a unique index on `seq`."""

    id: str  # type: ignore[assignment]  # known before the insert, so that a retry finds it
    seq: int = Field(default=0, ge=0)


E = TypeVar("E", bound=NumberedDocument)


class Appender(Generic[E]):
    """The writing end of one collection. One per process and event loop."""

    def __init__(
        self,
        model: type[E],
        link: Callable[[E, E | None], E],
        *,
        batch_max: int = BATCH_MAX,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        """Name the collection.

        Args:
            link: Answers the entry with everything that depends on the one before it (None for
                the first); `seq` is set already. Pure.
        """
        self._model = model
        self._link = link
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._queue: deque[tuple[E, asyncio.Future[E]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._head: E | None = None

    async def append(self, entries: Sequence[E]) -> list[E]:
        """Store the entries in this order; as stored. An id that exists answers the stored one.

        Raises:
            StoreUnavailable: The outcome is unknown; append again with the same ids.
        """
        if len(self._queue) + len(entries) > self._queue_max:
            raise Unavailable("too many entries are waiting to be written", retry_after_s=1)
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[E]] = [loop.create_future() for _ in entries]
        self._queue.extend(zip(entries, answers, strict=True))
        if self._writer is None and entries:
            self._writer = asyncio.create_task(self._write_all(), name=self._model.__name__)
        outcomes = await asyncio.gather(*answers, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    async def head(self) -> E | None:
        """The last entry as stored now; None when there is none."""
        with store_errors():
            raw = await self._collection.find_one({}, sort=[("seq", DESCENDING)])
        if raw is None:
            return None
        entry: E = self._model.model_validate(raw)
        return entry

    @property
    def _collection(self) -> Any:
        return self._model.get_pymongo_collection()

    async def _write_all(self) -> None:
        batch: list[tuple[E, asyncio.Future[E]]] = []
        try:
            await asyncio.sleep(0)  # callers that are ready in this very round come along
            while self._queue:
                size = min(self._batch_max, len(self._queue))
                batch = [self._queue.popleft() for _ in range(size)]
                await self._write_batch(batch)
        except BaseException:  # we are being ended: nobody may wait for us
            batch += self._queue
            self._queue.clear()
            raise
        finally:
            self._writer = None
            for _, answer in batch:
                _refuse(answer, StoreUnavailable())

    async def _write_batch(self, batch: list[tuple[E, asyncio.Future[E]]]) -> None:
        try:
            await self._write([entry for entry, _ in batch], _by_id(batch))
        except Exception as error:
            self._head = None
            if isinstance(error, Unavailable) or len(batch) == 1:
                for _, answer in batch:
                    _refuse(answer, error)
                return
            for each in batch:  # one entry cannot be stored: it shall not hurt the others
                if not each[1].done():
                    await self._write_batch([each])

    async def _write(self, entries: list[E], answers: dict[str, list[asyncio.Future[E]]]) -> None:
        """Insert until all are stored; each answer is given as soon as it is true."""
        left = list({entry.id: entry for entry in reversed(entries)}.values())[::-1]
        unsure = False
        for attempt in range(ATTEMPTS_MAX):
            if unsure or self._head is None:
                left = await self._drop_stored(left, answers)
                self._head = await self.head()
                unsure = False
            if not left:
                return
            linked = self._linked(left)
            stored = await self._insert(linked)
            for entry in linked[:stored]:
                _answer(answers, entry)
            if stored:
                self._head = linked[stored - 1]
            left = left[stored:]
            if not left:
                return
            unsure = True
            most = min(PAUSE_S * (attempt + 1), PAUSE_MAX_S)
            await asyncio.sleep(random.uniform(0, most))  # noqa: S311 - a pause, no secret
        raise StoreUnavailable("too many writers at once", retry_after_s=1)

    def _linked(self, entries: Sequence[E]) -> list[E]:
        before, linked = self._head, []
        for entry in entries:
            seq = before.seq + 1 if before else 1
            before = self._link(copy_with(entry, {"seq": seq}), before)
            linked.append(before)
        return linked

    async def _insert(self, entries: Sequence[E]) -> int:
        """How many of the first entries are stored: all, or those before a lost race."""
        try:
            with store_errors():
                await self._collection.insert_many([written(e) for e in entries], ordered=True)
        except BulkWriteError as error:
            duplicates_of(error)
            return int((error.details or {})["nInserted"])
        return len(entries)

    async def _drop_stored(
        self, entries: list[E], answers: dict[str, list[asyncio.Future[E]]]
    ) -> list[E]:
        """Answer those whose id is stored already, by an earlier try or an earlier life."""
        wanted = {"_id": {"$in": [entry.id for entry in entries]}}
        present = set()
        with store_errors():
            async for raw in self._collection.find(wanted):
                entry: E = self._model.model_validate(raw)
                present.add(entry.id)
                _answer(answers, entry)
        return [entry for entry in entries if entry.id not in present]


def _by_id(batch: Sequence[tuple[E, asyncio.Future[E]]]) -> dict[str, list[asyncio.Future[E]]]:
    answers: dict[str, list[asyncio.Future[E]]] = {}
    for entry, answer in batch:
        answers.setdefault(entry.id, []).append(answer)
    return answers


def _answer(answers: dict[str, list[asyncio.Future[E]]], entry: E) -> None:
    for answer in answers[entry.id]:
        if not answer.done():
            answer.set_result(entry)


def _refuse(answer: asyncio.Future[E], error: Exception) -> None:
    """Give a caller the error; each needs one of its own, for its own traceback."""
    if answer.done():
        return
    if isinstance(error, StoreUnavailable):
        error = StoreUnavailable(error.detail, retry_after_s=error.retry_after_s)
    answer.set_exception(error)
