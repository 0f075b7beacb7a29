"""Twins: the same request under the same key, twice at once, here or in another process.

Whoever repeats a request believes a refusal, and asks anew under another key. So none is final
while a twin may be accepted:

- In one process one twin is judged; the others wait until it has its answer.
- A refusal is looked at once more. Was a twin accepted meanwhile, its answer is given. Is one about
  to be, by what it has counted or stored, the answer is `InFlight`: ask again with the same key.

What a twin has stored and not finished for `UNDER_WAY_MAX` was left by a process that died.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Conflict, Refused
from tron_payment.http.limits import KeyInvalid

IN_FLIGHT_WAIT_S: Final = 5.0
IN_FLIGHT_RETRY_S: Final = 1
LOOKS_MAX: Final = 5
LOOK_AGAIN_S: Final = 0.02
UNDER_WAY_MAX: Final = timedelta(seconds=60)
"""Longer than a request lives after it has stored something."""

COUNTED_GOOD_FOR: Final = timedelta(seconds=30)
"""Whoever counted longer ago accepts nothing: a write that it begins now ends, with its retry,
before a twin takes what was counted for left behind (`UNDER_WAY_MAX`)."""

T = TypeVar("T")
_good_until: ContextVar[datetime | None] = ContextVar("good_until", default=None)


class KeyReused(Refused, code="idempotency_key_reused"):
    """The key belongs to another request."""


class KeyExpired(Refused, code="idempotency_key_expired"):
    """The key was used long ago, and its answer is not kept any more."""


class InFlight(Conflict, code="idempotency_in_flight"):
    """The first request with this key is still being answered."""

    retryable = True


def is_final(refusal: AppError) -> bool:
    """Whether whoever hears this takes it for decided that nothing is done."""
    return refusal.status < 500 and not refusal.retryable


@contextmanager
def counted_at(moment: datetime, good_for: timedelta = COUNTED_GOOD_FOR) -> Iterator[None]:
    """What is accepted within was counted against limits then, and is refused when it is late; of
    two that apply the earlier bound holds."""
    until, outer = moment + good_for, _good_until.get()
    token = _good_until.set(until if outer is None else min(until, outer))
    try:
        yield
    finally:
        _good_until.reset(token)


def check_counted(now: datetime) -> None:
    """To be asked just before something is stored that was counted before.

    Raises:
        InFlight: It was counted so long ago that a twin may have released it.
    """
    until = _good_until.get()
    if until is not None and now >= until:
        raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S)


class Twins:
    """Gives twins one answer. One per process and event loop.

    Args:
        accepted_at: When the request of this id was accepted; None when it was not.
        wait_s: How long one waits for another of this process.
    """

    def __init__(
        self, clock: Clock, accepted_at: Callable[[str], Awaitable[datetime | None]], wait_s: float
    ) -> None:
        self._clock = clock
        self._accepted_at = accepted_at
        self._wait_s = wait_s
        self._turns: dict[str, asyncio.Future[None]] = {}

    def under_way(self, accepted_at: datetime) -> bool:
        """Whether the twin that was accepted then may still be at it."""
        return self._clock.now() < accepted_at + UNDER_WAY_MAX

    async def once(self, request_id: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """The answer of `attempt`, which looks for an earlier answer, judges and runs.

        Raises:
            InFlight: A twin is under way.
            AppError: The attempt's refusal; no twin was accepted, as far as anybody can tell.
        """
        if await self._answered(request_id):
            return await self._heeding(request_id, attempt)
        turn = self._turns[request_id] = asyncio.get_running_loop().create_future()
        try:
            answer = await self._heeding(request_id, attempt)
            turn.set_result(None)
            return answer
        finally:
            turn.cancel()  # no effect when there is a result; else the next one is judged
            del self._turns[request_id]

    async def _answered(self, request_id: str) -> bool:
        """Wait while a twin of this process is judged; False when it is our turn."""
        try:
            async with asyncio.timeout(self._wait_s):
                while turn := self._turns.get(request_id):
                    await asyncio.wait([turn])
                    if not turn.cancelled():
                        return True
        except TimeoutError:
            raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S) from None
        return False

    async def _heeding(self, request_id: str, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except (KeyReused, KeyExpired, KeyInvalid):
            raise
        except InFlight:
            if await self._look(request_id, LOOKS_MAX) is None:
                raise
        except AppError as refusal:
            if not is_final(refusal) or await self._look(request_id, 1) is None:
                raise
        try:
            return await attempt()
        except (KeyReused, KeyExpired, KeyInvalid):
            raise
        except AppError as refusal:
            accepted_at = await self._look(request_id, 1) if is_final(refusal) else None
            if accepted_at is not None and self.under_way(accepted_at):
                raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S) from refusal
            raise

    async def _look(self, request_id: str, looks: int) -> datetime | None:
        for left in reversed(range(looks)):
            if (accepted_at := await self._accepted_at(request_id)) is not None:
                return accepted_at
            if left:
                await asyncio.sleep(LOOK_AGAIN_S)
        return None
