"""Background loops: a step that does one thing, called again at once while there is work.

The one place where `except Exception` stands: a step that fails is logged, counted and tried
again after a pause that grows; every step is safe to repeat after any crash. Of replicas one may
do the shared work while the others stand by (db/leases.py); that all do it is safe, too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
STOP_DEADLINE_S: Final = 15.0
END_AGAIN_S: Final = 0.5
"""A task that has not ended by then is canceled again."""

STANDBY_S: Final = 1.0
"""Between two looks of a loop whose work another process does."""

QUIET_AFTER_S: Final = 30.0
"""When nobody has had work for so long, loops look less often; the first work wakes them all."""

QUIET_PAUSE_S: Final = 20.0
"""How often then: what falls due by the clock, or was stored by another process, waits no longer
for its loop. What this process stores and what a block brings to us counts as work at once."""

log = structlog.get_logger()


@dataclass(slots=True)
class Loop:
    """A named step. `step` returns True when it did something and wants to be called again."""

    name: str
    step: Callable[[], Awaitable[bool]]
    idle_s: float
    """Pause after a step that found nothing; `wake` ends it early."""

    service: str = ""
    """The part of the service it belongs to, for `POST /restart/{service_name}`."""

    more: Callable[[], bool] | None = None
    """Asked after a step that did something: whether the next is to come at once. When not given,
    it always is; else there is a pause, twice as long when nobody has work."""

    pulse: bool = False
    """Beats whether there is work or not (a block, a lease): never slower, and no sign of work."""

    steps: int = 0
    failures: int = 0
    last_error: str = ""
    failures_in_a_row: int = 0
    began_at: float | None = None
    """By the monotonic clock, while a step is under way."""

    standby: Callable[[], Awaitable[object]] | None = None
    """Done instead of `step` while another process has the work: looks, changes nothing."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Loops:
    """Runs loops until told to stop; knows how each one fares."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.all: list[Loop] = []
        self._monotonic = monotonic
        self._worked_at = monotonic()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._shared: frozenset[str] = frozenset()
        self._mine: Callable[[], bool] = lambda: True

    def share(self, names: Collection[str], mine: Callable[[], bool]) -> None:
        """Run these loops only while `mine` says that the work is this process's."""
        assert set(names) <= {loop.name for loop in self.all}, names
        self._shared, self._mine = frozenset(names), mine

    @property
    def has_turn(self) -> bool:
        """Whether the shared work is this process's."""
        return self._mine()

    def wake_all(self) -> None:
        """End every pause."""
        for loop in self.all:
            loop.wake.set()

    def add(self, *loops: Loop) -> None:
        for loop in loops:
            assert loop.name not in {each.name for each in self.all}, loop.name
            self.all.append(loop)

    def start(self) -> None:
        for loop in self.all:
            if loop.name not in self._tasks:
                self._tasks[loop.name] = asyncio.create_task(
                    self._run(loop),
                    name=loop.name,
                    context=Context(),  # of no request
                )

    async def restart(self, service: str) -> list[str]:
        """Cancel and start again the loops of one service; answers their names."""
        names = [loop.name for loop in self.all if loop.service == service]
        for name in names:
            await self._cancel(name)
        self.start()
        return names

    async def stop(self) -> None:
        """Let current steps finish within the deadline, then cancel (a kill is safe anyway)."""
        self._stopping.set()
        self.wake_all()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=STOP_DEADLINE_S)
        for name in list(self._tasks):
            await self._cancel(name)

    async def _cancel(self, name: str) -> None:
        if (task := self._tasks.pop(name, None)) is not None:
            await end(task)

    async def _run(self, loop: Loop) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            loop.wake.clear()
            try:
                pause_s = await self._once(loop)
                loop.last_error = ""
                loop.failures_in_a_row = 0
                backoff_s = BACKOFF_FIRST_S
            except (Exception, asyncio.CancelledError) as error:
                if _is_ended(error):
                    raise
                _note(loop, error)
                pause_s, backoff_s = backoff_s, min(backoff_s * 2, BACKOFF_MAX_S)
            if pause_s:
                await _wait(loop.wake, pause_s)
            else:
                await asyncio.sleep(0)

    async def _once(self, loop: Loop) -> float:
        """One step, or a look when the work is another's; the pause until the next."""
        if loop.name in self._shared and not self._mine():
            if loop.standby is not None:
                await loop.standby()
            return max(STANDBY_S, loop.idle_s)
        loop.began_at = self._monotonic()
        try:
            busy = await loop.step()
        finally:
            loop.began_at = None
        loop.steps += 1
        if busy:
            if not loop.pulse:
                self.worked()
            if loop.more is None or loop.more():
                return 0.0
            return loop.idle_s * (2 if self._quiet else 1)
        if loop.pulse or not self._quiet:
            return loop.idle_s
        return max(loop.idle_s, QUIET_PAUSE_S)

    @property
    def _quiet(self) -> bool:
        return self._monotonic() - self._worked_at > QUIET_AFTER_S

    def worked(self) -> None:
        """There is or was something to do: let nobody rest longer than its own pause."""
        was_quiet, self._worked_at = self._quiet, self._monotonic()
        if was_quiet:
            self.wake_all()


def _is_ended(error: BaseException) -> bool:
    """Whether it is we who are canceled; what a step waits for may be canceled as well."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def _note(loop: Loop, error: BaseException) -> None:
    """Count and tell a failure; that it cannot be told must not end the loop."""
    loop.failures += 1
    loop.failures_in_a_row += 1
    loop.last_error = type(error).__name__
    with suppress(Exception):
        log.warning("loop.failed", loop=loop.name, error=loop.last_error, detail=str(error))


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until each has ended; what they raise then is of no interest.

    Once is not enough: `asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives in
    the moment when what it waits for is done (CPython issue 86296, mended in 3.12), and pymongo
    sends each command inside one. A loop that is canceled just then would go on for ever.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=END_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
