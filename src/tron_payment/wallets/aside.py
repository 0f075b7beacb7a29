"""Computations of many callers, done together in a thread while the event loop goes on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from tron_payment.wallets.together import Together

Work = Callable[[], Any]
T = TypeVar("T")


class Aside:
    """`do` computes what takes a fraction of a millisecond and waits for nothing.

    A thread of its own for each would cost the loop as much as doing it; those that come while
    one batch is computed are the next batch. Who waits is an open request, and of those there is a
    bound (http/front.py).
    """

    def __init__(self) -> None:
        self._together: Together[Work, tuple[Any, Exception | None]] = Together(_computed)

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` answers or raises. It must be pure: nobody stops it when its caller goes."""
        outcome = await self._together.get(work)
        assert outcome is not None, "each is answered"
        answer, error = outcome
        if error is not None:
            raise error
        made: T = answer
        return made


async def _computed(works: Sequence[Work]) -> Mapping[Work, tuple[Any, Exception | None]]:
    return await asyncio.to_thread(lambda: {work: _outcome(work) for work in works})


def _outcome(work: Work) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # it is raised again where it belongs
        return None, error
