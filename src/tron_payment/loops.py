"""Background loops: a step that does one thing, called again at once while there is work.

The one place where `except Exception` stands: a step that fails is logged, counted and tried
again after a pause that grows; every step is safe to repeat after any crash.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
STOP_DEADLINE_S: Final = 15.0

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

    steps: int = 0
    failures: int = 0
    last_error: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Loops:
    """Runs loops until told to stop; knows how each one fares."""

    def __init__(self) -> None:
        self.all: list[Loop] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    def add(self, *loops: Loop) -> None:
        for loop in loops:
            assert loop.name not in {each.name for each in self.all}, loop.name
            self.all.append(loop)

    def start(self) -> None:
        for loop in self.all:
            if loop.name not in self._tasks:
                self._tasks[loop.name] = asyncio.create_task(self._run(loop), name=loop.name)

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
        for loop in self.all:
            loop.wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=STOP_DEADLINE_S)
        for name in list(self._tasks):
            await self._cancel(name)

    async def _cancel(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])

    async def _run(self, loop: Loop) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._stopping.is_set():
            loop.wake.clear()
            try:
                busy = await loop.step()
                loop.steps += 1
                loop.last_error = ""
                backoff_s = BACKOFF_FIRST_S
                pause_s = 0.0 if busy else loop.idle_s
            except Exception as error:
                loop.failures += 1
                loop.last_error = type(error).__name__
                log.warning(
                    "loop.failed", loop=loop.name, error=type(error).__name__, detail=str(error)
                )
                pause_s, backoff_s = backoff_s, min(backoff_s * 2, BACKOFF_MAX_S)
            if pause_s:
                await _wait(loop.wake, pause_s)
            else:
                await asyncio.sleep(0)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
