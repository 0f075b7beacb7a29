"""Each principal has its own bucket per class; an empty one answers 429 and says when to return."""

from typing import Any

import httpx
import pytest
from http_world import HANDLERS, NOW, anchor, bearer, serve
from litestar import post

from tron_payment.core.clock import ManualClock
from tron_payment.http.app import create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.gate import NOBODY, source_of
from tron_payment.http.rate_limits import (
    BUCKETS_MAX,
    DEFAULT_RATES,
    NS_PER_S,
    MemoryBuckets,
    Rate,
    RateClass,
    RateLimiter,
)


class Time:
    def __init__(self) -> None:
        self.ns = 1_000 * NS_PER_S

    def __call__(self) -> int:
        return self.ns


def test_the_defaults_are_the_owner_s() -> None:
    assert {str(kind): (rate.per_second, rate.burst) for kind, rate in DEFAULT_RATES.items()} == {
        "read": (100, 500),
        "write": (50, 250),
        "payout": (50, 250),
        "approve": (5, 25),
    }


@pytest.mark.parametrize("rate", [Rate(5, 25), Rate(100, 500), Rate(1, 1), Rate(3, 7)])
async def test_a_burst_and_then_the_rate(rate: Rate) -> None:
    time = Time()
    buckets = MemoryBuckets(time)
    remaining = [(await buckets.take("a", rate)).remaining for _ in range(rate.burst)]
    assert remaining == list(range(rate.burst - 1, -1, -1))
    empty = await buckets.take("a", rate)
    assert not empty.allowed and empty.retry_after_s >= 1
    assert (await buckets.take("b", rate)).allowed

    allowed = 0
    for _ in range(1000):  # ten seconds in steps of ten milliseconds
        time.ns += NS_PER_S // 100
        allowed += (await buckets.take("a", rate)).allowed
    assert abs(allowed - 10 * rate.per_second) <= 1

    time.ns += 3600 * NS_PER_S
    assert (await buckets.take("a", rate)).remaining == rate.burst - 1


async def test_memory_is_bounded() -> None:
    buckets = MemoryBuckets(Time())
    for number in range(BUCKETS_MAX + 10):
        await buckets.take(str(number), Rate(1, 5))
    assert len(buckets._full_at) == BUCKETS_MAX


async def test_over_http() -> None:
    time = Time()
    rates = dict.fromkeys(RateClass, Rate(1, 3)) | {RateClass.PAYOUT: Rate(1, 1)}
    limiter = RateLimiter(rates, MemoryBuckets(time))
    async with serve(HANDLERS, limiter=limiter) as world:
        get = world.client.get
        seen = [await get("/orders/1", headers=bearer()) for _ in range(4)]
        assert [answer.status_code for answer in seen] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in seen] == ["2", "1", "0", "0"]
        assert {answer.headers["ratelimit-limit"] for answer in seen} == {"3"}
        assert [answer.headers["ratelimit-reset"] for answer in seen] == ["1", "2", "3", "3"]
        refused = seen[-1].json()
        assert (refused["code"], refused["retryable"]) == ("rate_limited", True)
        assert seen[-1].headers["retry-after"] == "1"

        # Another principal, another class, and no principal at all have their own.
        assert (await get("/orders/1", headers=bearer(sub="user-2"))).status_code == 200
        order = {"to": "T", "amount": "1"}
        first = await world.client.post("/orders", json=order, headers=bearer())
        second = await world.client.post("/orders", json=order, headers=bearer())
        assert (first.status_code, second.status_code) == (202, 429)
        assert (await get("/health")).status_code == 200

        # 401 comes before 429, and 429 before 403 and 404.
        assert (await get("/orders/1")).status_code == 401
        assert (await get("/config", headers=bearer())).status_code == 429
        assert (await get("/nowhere", headers=bearer())).status_code == 429
        time.ns += NS_PER_S
        assert (await get("/config", headers=bearer())).status_code == 403


@post("/notices", status_code=200, opt={"open": True})
async def take_notice() -> dict[str, str]:
    """Take what anybody sends."""
    return {}


async def test_callers_without_a_token_have_a_bucket_for_each_source() -> None:
    """A stranger who floods the open route locks out themselves and nobody else."""
    rates = dict.fromkeys(RateClass, Rate(1, 3))
    app = create_http(
        [take_notice],
        authenticator=Authenticator(anchor(ManualClock(NOW))),
        limiter=RateLimiter(rates, MemoryBuckets(Time())),
    )

    async def post_from(host: str) -> int:
        transport = httpx.ASGITransport(app, client=(host, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            forwarded = {"X-Forwarded-For": "203.0.113.77"}  # believed only by TRUSTED_PROXIES
            return (await client.post("/notices", headers=forwarded)).status_code

    assert [await post_from("192.0.2.1") for _ in range(5)] == [200, 200, 200, 429, 429]
    assert await post_from("192.0.2.2") == 200
    assert await post_from("::ffff:192.0.2.1") == 429
    assert [await post_from(f"2001:db8::{n}") for n in range(1, 5)] == [200, 200, 200, 429]
    assert await post_from("2001:db8:0:1::1") == 200


@pytest.mark.parametrize(
    ("client", "source"),
    [
        (None, NOBODY),
        (("", 0), NOBODY),
        (("unix:/run/socket", 0), NOBODY),
        (("x" * 5000, 0), NOBODY),
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::/64"),
    ],
)
def test_a_source_is_an_address_or_a_network(client: Any, source: str) -> None:
    assert source_of(client) == source
