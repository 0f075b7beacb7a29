"""The same request twice at once: no twin is refused for good while another may be accepted."""

import asyncio
from datetime import timedelta

import pytest
from http_world import NOW

from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Refused, Unavailable
from tron_payment.db.group import GroupInsert
from tron_payment.http.idempotency import Idempotency, StoredAnswer, StoredRequest
from tron_payment.http.twins import UNDER_WAY_MAX, InFlight, KeyReused

KEY = "key-of-the-client-1"


class NothingLeft(Refused, code="limit_exceeded"):
    """The limit is used up."""


class LostConflict(Refused, code="lost_race"):
    """May be tried again."""

    retryable = True


@pytest.fixture
async def store(mongo):
    return await mongo.connect([StoredRequest])


class Replica:
    """Accepts something that there is one of, counted before it is accepted."""

    counted: set[str]
    made: set[str]

    def __init__(self, clock: ManualClock, other: "Replica | None" = None, **options) -> None:
        self.idem = Idempotency(b"s" * 32, clock, GroupInsert(), **options)
        self.counted, self.made = (other.counted, other.made) if other else (set(), set())
        self.judged = 0
        self.at_judging, self.at_storing, self.at_effect = (asyncio.Event() for _ in range(3))
        for gate in (self.at_judging, self.at_storing, self.at_effect):
            gate.set()
        self.refuse: Exception | None = None

    async def request(self, content: bytes = b"{}", key: str = KEY) -> StoredAnswer:
        return await self.idem.once("u", key, lambda: self._request(content, key))

    async def _request(self, content: bytes, key: str) -> StoredAnswer:
        same = {"principal_id": "u", "key": key, "operation": "o", "content": content}
        earlier = await self.idem.find(**same)
        if earlier is None or key not in self.made:
            await self._judge(key)

        async def effect() -> None:
            await self.at_effect.wait()
            if self.refuse is not None:
                raise self.refuse
            self.made.add(key)

        return await self.idem.run(**same, answer=(202, b"{}"), effect=effect)

    async def _judge(self, key: str) -> None:
        self.judged += 1
        await self.at_judging.wait()
        if self.counted:
            raise NothingLeft()
        self.counted.add(key)
        await self.at_storing.wait()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_in_one_process_twins_are_judged_once(store) -> None:
    one = Replica(ManualClock(NOW))
    answers = await asyncio.gather(*(one.request() for _ in range(50)))
    assert sorted(each.replayed for each in answers) == [False] + [True] * 49
    assert one.judged == 1 and await StoredRequest.count() == 1


async def test_another_process_that_was_accepted_meanwhile_gives_its_answer(store) -> None:
    one = Replica(ManualClock(NOW))
    two = Replica(ManualClock(NOW), one)
    two.at_judging.clear()
    late = asyncio.create_task(two.request())
    await until(lambda: two.judged)
    assert not (await one.request()).replayed
    two.at_judging.set()
    assert (await late).replayed
    assert two.judged == 1


async def test_what_a_twin_is_about_to_make_is_asked_for_again(store) -> None:
    one = Replica(ManualClock(NOW))
    two = Replica(ManualClock(NOW), one)
    one.at_effect.clear()
    first = asyncio.create_task(one.request())
    await until(lambda: one.idem._running)
    while not await StoredRequest.count():
        await asyncio.sleep(0.005)
    with pytest.raises(InFlight) as refused:
        await two.request()
    assert refused.value.retryable and refused.value.retry_after_s
    one.at_effect.set()
    assert not (await first).replayed
    assert (await two.request()).replayed


async def test_the_effect_of_a_twin_is_not_taken_back_by_who_repeats_it(store) -> None:
    one = Replica(ManualClock(NOW))
    two = Replica(ManualClock(NOW))  # knows nothing of what the other has counted
    two.refuse = NothingLeft()
    one.at_effect.clear()
    first = asyncio.create_task(one.request())
    while not await StoredRequest.count():
        await asyncio.sleep(0.005)
    with pytest.raises(InFlight):
        await two.request()
    assert await StoredRequest.count() == 1
    one.at_effect.set()
    await first
    assert (await one.request()).replayed


async def test_what_a_dead_one_has_left_is_refused_for_good_after_its_time(store) -> None:
    clock = ManualClock(NOW)
    one = Replica(clock)
    one.refuse = SystemError("killed")
    with pytest.raises(SystemError):
        await one.request()
    two = Replica(clock, one)
    with pytest.raises(InFlight):
        await two.request()
    clock.advance(UNDER_WAY_MAX - timedelta(seconds=1))
    with pytest.raises(InFlight):
        await two.request()
    clock.advance(timedelta(seconds=1))
    with pytest.raises(NothingLeft):
        await two.request()
    two.counted.clear()
    assert (await two.request()).replayed and two.made == {KEY}


async def test_a_twin_of_one_that_was_refused_is_judged_for_itself(store) -> None:
    one = Replica(ManualClock(NOW))
    one.counted.add("another")
    answers = await asyncio.gather(*(one.request() for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in answers] == [NothingLeft] * 5
    assert one.judged == 5 and one.idem._twins._turns == {}
    one.counted.clear()
    assert not (await one.request()).replayed


async def test_who_goes_away_lets_the_next_one_in(store) -> None:
    one = Replica(ManualClock(NOW))
    one.at_judging.clear()
    first = asyncio.create_task(one.request())
    await until(lambda: one.judged)
    second = asyncio.create_task(one.request())
    await asyncio.sleep(0.02)
    first.cancel()
    one.at_judging.set()
    assert not (await second).replayed
    assert first.cancelled() and one.idem._twins._turns == {}


async def test_who_waits_too_long_asks_again(store) -> None:
    one = Replica(ManualClock(NOW), in_flight_wait_s=0.05)
    one.at_storing.clear()
    first = asyncio.create_task(one.request())
    await until(lambda: one.counted)
    with pytest.raises(InFlight):
        await one.request()
    one.at_storing.set()
    assert not (await first).replayed


async def test_another_content_is_another_request_at_every_moment(store) -> None:
    one = Replica(ManualClock(NOW))
    answers = await asyncio.gather(one.request(), one.request(b"[]"), return_exceptions=True)
    assert [type(each) for each in answers] == [StoredAnswer, KeyReused]
    with pytest.raises(KeyReused):
        await Replica(ManualClock(NOW), one).request(b"[]")


@pytest.mark.parametrize("refusal", [Unavailable(), LostConflict()])
async def test_what_may_be_tried_again_takes_nothing_back(store, refusal: Exception) -> None:
    one = Replica(ManualClock(NOW))
    one.refuse = refusal
    with pytest.raises(type(refusal)):
        await one.request()
    one.refuse, one.counted = None, set()
    assert (await one.request()).replayed and one.made == {KEY}
