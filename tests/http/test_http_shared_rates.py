"""Two processes on one store let through no more than one would."""

import asyncio
from typing import Any

import pytest
from http_world import HANDLERS, bearer, serve
from pymongo.read_concern import ReadConcern

from tron_payment.db.faults import StoreUnavailable
from tron_payment.http.rate_limits import NS_PER_S, MemoryBuckets, Rate, RateClass, RateLimiter
from tron_payment.http.shared_rates import AWAY_S, HELD_S, MongoBuckets, RateBucket

START_NS = 1_700_000_000 * NS_PER_S


class Time:
    """One hand for the server's clock and the processes' own."""

    def __init__(self) -> None:
        self.ns = START_NS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def time() -> Time:
    return Time()


def process(time: Time) -> MongoBuckets:
    return MongoBuckets(server_now_ns=time.ns, now_ns=time)


async def bucket_of(key: str) -> RateBucket | None:
    """As the primary has it now: buckets are not written by majority."""
    buckets = RateBucket.get_pymongo_collection().with_options(read_concern=ReadConcern("local"))
    raw = await buckets.find_one({"_id": key})
    return None if raw is None else RateBucket.model_validate(raw)


def at(time: Time, *processes: MongoBuckets) -> None:
    """Tell the processes the server's time."""
    for each in processes:
        each._server_now_ns = time.ns


@pytest.fixture
async def store(mongo: Any) -> Any:
    return await mongo.connect([RateBucket])


@pytest.mark.parametrize("rate", [Rate(5, 25), Rate(1, 1), Rate(3, 7)])
async def test_it_counts_as_one_process_does(store: Any, time: Time, rate: Rate) -> None:
    """The same requests at the same times get the same answers from both kinds of buckets."""
    ours, alone = process(time), MemoryBuckets(time)
    for step in range(60):
        at(time, ours)
        got, wanted = await ours.take("a", rate), await alone.take("a", rate)
        assert (got.allowed, got.remaining) == (wanted.allowed, wanted.remaining), step
        time.ns += NS_PER_S // 11


@pytest.mark.parametrize("rate", [Rate(5, 25), Rate(100, 500), Rate(50, 250)])
async def test_two_processes_share_one_burst_and_one_rate(
    store: Any, time: Time, rate: Rate
) -> None:
    one, two = process(time), process(time)
    asked = [p.take("a", rate) for _ in range(rate.burst) for p in (one, two)]
    answers = await asyncio.gather(*asked)
    assert sum(answer.allowed for answer in answers) == rate.burst
    refused = [answer for answer in answers if not answer.allowed]
    assert {answer.remaining for answer in refused} == {0}
    assert all(answer.retry_after_s >= 1 for answer in refused)
    assert (await two.take("b", rate)).allowed

    allowed = 0
    for _ in range(200):  # ten seconds, twenty steps each
        time.ns += NS_PER_S // 20
        at(time, one, two)
        for each in (one, two):
            for _ in range(rate.per_second // 10 + 1):
                allowed += (await each.take("a", rate)).allowed
    assert 9 * rate.per_second <= allowed <= 10 * rate.per_second


async def test_what_a_process_holds_ends_with_its_time(store: Any, time: Time) -> None:
    one, rate = process(time), Rate(20, 20)
    assert (await one.take("a", rate)).allowed  # takes two, holds one
    assert (await bucket_of("a")).granted == 2
    time.ns += (HELD_S + 1) * NS_PER_S
    at(time, one)
    before = (await bucket_of("a")).full_at_ns
    await one.take("a", rate)
    assert (await bucket_of("a")).full_at_ns != before


async def test_over_http_by_two_applications(store: Any) -> None:
    """Bursts of ten from two applications on one store: ten pass, whoever answers."""
    rates = dict.fromkeys(RateClass, Rate(1, 10))
    async with (
        serve(HANDLERS, limiter=RateLimiter(rates, MongoBuckets())) as one,
        serve(HANDLERS, limiter=RateLimiter(rates, MongoBuckets())) as two,
    ):
        at_once = [
            w.client.get("/orders/1", headers=bearer()) for _ in range(30) for w in (one, two)
        ]
        answers = await asyncio.gather(*at_once)
        passed = [a for a in answers if a.status_code == 200]
        refused = [a for a in answers if a.status_code == 429]
        assert len(passed) + len(refused) == 60
        bucket = await bucket_of("read:user-1")
        assert bucket is not None
        elapsed_s = (bucket.now_ns - (bucket.full_at_ns - 10 * NS_PER_S)) // NS_PER_S
        assert 10 <= len(passed) <= 11 + elapsed_s
        assert {a.headers["ratelimit-limit"] for a in answers} == {"10"}
        assert all(int(a.headers["retry-after"]) >= 1 for a in refused)
        other = await two.client.get("/orders/1", headers=bearer(sub="user-2"))
        assert other.headers["ratelimit-remaining"] == "9"


async def test_without_its_store_a_process_counts_for_itself(time: Time, store: Any) -> None:
    class Away(MongoBuckets):
        asked = 0

        async def _take(self, *_: Any) -> Any:
            self.asked += 1
            raise StoreUnavailable

    away, rate = Away(now_ns=time), Rate(1, 3)
    assert [(await away.take("a", rate)).allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert away.asked == 1, "a store that is away is not asked at each request"
    time.ns += (AWAY_S + 1) * NS_PER_S
    await away.take("a", rate)
    assert away.asked == 2


async def test_buckets_go_away_by_themselves(store: Any) -> None:
    await MongoBuckets().take("a", Rate(5, 25))
    indexes = await RateBucket.get_pymongo_collection().index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    bucket = await bucket_of("a")
    assert bucket is not None
    assert (bucket.expires_at.timestamp() - bucket.now_ns / NS_PER_S) < 6
