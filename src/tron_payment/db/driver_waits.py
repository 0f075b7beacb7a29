"""PyMongo's waits for a connection and for a primary, safe to cancel on Python 3.11.

The driver waits by `asyncio.wait_for(condition.wait())`. Before Python 3.12 that runs the wait in a
task of its own, which takes the pool's lock back before it ends. A caller that is canceled once
more meanwhile (its client leaves, and its time is over) does not wait for that: it releases a lock
that it does not hold, and the task then takes it for ever. From then on nobody gets a connection,
and no time limit of the driver's ends it, for none is about that lock. Here the wait is the
caller's own, as `wait_for` has it since Python 3.12.
"""

import asyncio
from typing import Any, Final

from pymongo.asynchronous import pool, topology

REPLACED: Final = "_async_cond_wait"
"""The driver's own; its name and form are those of the locked version."""

WAITING: Final = (pool, topology)
"""What waits so: for a connection, and for a primary."""


async def _wait(condition: Any, within_s: float | None) -> bool:
    """Whether it was notified in time; the lock is held again either way."""
    try:
        async with asyncio.timeout(within_s):
            return bool(await condition.wait())
    except TimeoutError:
        return False


def mend() -> None:
    """Let every client of this process wait so."""
    for module in WAITING:
        assert hasattr(module, REPLACED), "another driver: see whether it still needs this"
        setattr(module, REPLACED, _wait)
