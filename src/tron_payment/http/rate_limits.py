"""How often a principal may call, per class of request.

The generic cell rate algorithm: a bucket is one number, the time at which it would be full again,
in whole nanoseconds. `MemoryBuckets` live in this process; shared_rates.py has those that
processes share.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from tron_payment.core.errors import RateLimited

NS_PER_S: Final = 1_000_000_000
BURST_FACTOR: Final = 5
BUCKETS_MAX: Final = 50_000
"""Buckets kept at most; the one unused for longest goes first, and it is the fullest."""


class RateClass(StrEnum):
    READ = "read"
    WRITE = "write"
    PAYOUT = "payout"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, and how many may come at once."""

    per_second: int
    burst: int

    def __post_init__(self) -> None:
        assert 0 < self.per_second <= NS_PER_S and self.burst > 0


DEFAULT_RATES: Final[Mapping[RateClass, Rate]] = MappingProxyType(
    {
        kind: Rate(per_second, per_second * BURST_FACTOR)
        for kind, per_second in (
            (RateClass.READ, 100),
            (RateClass.WRITE, 50),
            (RateClass.PAYOUT, 50),
            (RateClass.APPROVE, 5),
        )
    }
)


class TooManyRequests(RateLimited, code="rate_limited"):
    """Too many requests of this class; wait and repeat."""


class Allowance(msgspec.Struct, frozen=True):
    """What a bucket answered."""

    allowed: bool
    remaining: int
    reset_s: int
    """Until the bucket is full again."""
    retry_after_s: int
    """Until the next request is allowed; 0 when it is."""


class RateStore(Protocol):
    """Keeps buckets."""

    async def take(self, key: str, rate: Rate) -> Allowance: ...


class MemoryBuckets:
    """Buckets of this process."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._full_at: OrderedDict[str, int] = OrderedDict()

    async def take(self, key: str, rate: Rate) -> Allowance:
        """Take one request out of a bucket, if it holds one."""
        now = self._now_ns()
        step = NS_PER_S // rate.per_second
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        allowed = full_at - now <= step * (rate.burst - 1)
        if allowed:
            full_at += step
            self._full_at[key] = full_at
            self._full_at.move_to_end(key)
            if len(self._full_at) > BUCKETS_MAX:
                self._full_at.popitem(last=False)
        return allowance_of(rate, now, full_at, allowed=allowed)


def allowance_of(rate: Rate, now_ns: int, full_at_ns: int, *, allowed: bool) -> Allowance:
    """What a bucket that is full again at `full_at_ns`, this request counted, tells its caller."""
    step = NS_PER_S // rate.per_second
    room = now_ns + step * rate.burst - full_at_ns
    return Allowance(
        allowed,
        room // step if room > 0 else 0,
        -((now_ns - full_at_ns) // NS_PER_S),
        0 if allowed else -((room - step) // NS_PER_S),
    )


class RateLimiter:
    """Admits or refuses one request of a principal."""

    def __init__(
        self,
        rates: Mapping[RateClass, Rate] = DEFAULT_RATES,
        store: RateStore | None = None,
    ) -> None:
        assert set(rates) == set(RateClass), "every class needs a rate"
        self._rates = dict(rates)
        self._store = store or MemoryBuckets()

    async def admit(
        self, principal_id: str, kind: RateClass, answer_headers: list[tuple[bytes, bytes]]
    ) -> None:
        """Count one request and add what is left to the headers of its answer.

        Raises:
            TooManyRequests: With `retry_after_s`.
        """
        rate = self._rates[kind]
        allowance = await self._store.take(f"{kind}:{principal_id}", rate)
        answer_headers += [
            (b"ratelimit-limit", b"%d" % rate.burst),
            (b"ratelimit-remaining", b"%d" % allowance.remaining),
            (b"ratelimit-reset", b"%d" % allowance.reset_s),
        ]
        if not allowance.allowed:
            raise TooManyRequests(
                f"at most {rate.per_second} a second of the class {kind}, {rate.burst} at once",
                retry_after_s=max(1, allowance.retry_after_s),
            )
