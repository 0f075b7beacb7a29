"""A process that dies at any of its writes: before it, or after it and before it hears of it.

All that the service does ends at its next write once it is dead; then the test makes a new
process on the same store and chain.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from tron_payment.loops import end

WRITES = (
    "insert_one", "insert_many", "update_one", "update_many", "bulk_write", "replace_one",
    "delete_one", "delete_many", "find_one_and_update", "find_one_and_delete",
    "find_one_and_replace",
)  # fmt: skip
END_S = 60.0


class Killed(BaseException):
    """The process is gone."""


class Mortality:
    """Counts writes, and lets the process die at one of them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._left: int | None = None
        self._after = False
        self._quiet: set[asyncio.Task[Any]] = set()
        self.died = asyncio.Event()
        self.deaths = 0
        self.writes = 0

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Every write of this process goes through here."""
        before = {name: getattr(AsyncCollection, name) for name in WRITES}
        for name, call in before.items():
            setattr(AsyncCollection, name, self._mortal(call))
        try:
            yield
        finally:
            for name, call in before.items():
                setattr(AsyncCollection, name, call)

    def arm(self, within: int) -> None:
        """Die at one of the next `within` writes."""
        self._left = self._random.randint(1, within)
        self._after = self._random.random() < 0.5

    def disarm(self) -> None:
        self._left = None

    async def live(self, life: Coroutine[Any, Any, None]) -> bool:
        """Run until done or dead; False when it died."""
        others = asyncio.all_tasks()
        task = asyncio.create_task(life)
        dead = asyncio.create_task(self.died.wait())
        try:
            await asyncio.wait({task, dead}, return_when=asyncio.FIRST_COMPLETED)
            if not self.died.is_set():
                await task
                return True
            rest = {each for each in asyncio.all_tasks() - others - {dead} if _is_ours(each)}
            if rest:
                await asyncio.wait(rest, timeout=END_S)
            await end(task, *rest)
            return False
        finally:
            dead.cancel()

    def born_again(self) -> None:
        """A new process begins."""
        self.died.clear()
        self._left = None

    def _mortal(self, call: Any) -> Any:
        async def write(collection: Any, *args: Any, **kwargs: Any) -> Any:
            if self.died.is_set():
                raise Killed
            self.writes += 1
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self.deaths += 1
                    if self._after:
                        await call(collection, *args, **kwargs)
                    self.died.set()
                    raise Killed
            return await call(collection, *args, **kwargs)

        return write


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Whether a task belongs to the service: not the driver's monitors, not the devnet."""
    code = getattr(task.get_coro(), "cr_code", None)
    path = getattr(code, "co_filename", "")
    return ("tron_payment" in path or "tests/gateway" in path) and "devnet" not in path
