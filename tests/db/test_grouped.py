"""Group reads: few queries, own answers, and never an answer that is older than its question."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tron_payment.core.errors import Conflict
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.grouped import GroupRead


class Store:
    """Answers with what it holds when it is asked; can be held up."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.value = 0
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def read(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.asked.append(list(keys))
        value = self.value
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return {key: value for key in keys if key >= 0}


async def test_callers_of_one_moment_share_one_query() -> None:
    store = Store()
    group = GroupRead(store.read)
    answers = await asyncio.gather(*(group.ask([n % 5, -1]) for n in range(50)))
    assert store.asked == [[0, -1, 1, 2, 3, 4]]
    assert all(answer[n % 5] == 0 and -1 not in answer for n, answer in enumerate(answers))


async def test_an_answer_is_never_older_than_its_question() -> None:
    store = Store()
    group = GroupRead(store.read, flights=1)
    store.go.clear()
    early = asyncio.create_task(group.ask([1]))
    while not store.asked:
        await asyncio.sleep(0)
    store.value = 7
    late = asyncio.create_task(group.ask([1]))
    await asyncio.sleep(0)
    store.go.set()
    assert ((await early)[1], (await late)[1]) == (0, 7)
    assert len(store.asked) == 2


async def test_each_caller_has_the_failure_and_the_next_one_may_succeed() -> None:
    store = Store()
    group = GroupRead(store.read)
    store.failure = Conflict("not now")
    failures = await asyncio.gather(*(group.ask([n]) for n in range(3)), return_exceptions=True)
    assert [str(each) for each in failures] == ["not now"] * 3
    assert len({id(each) for each in failures}) == 3
    store.failure = None
    assert (await group.ask([4]))[4] == 0


async def test_a_failure_that_cannot_be_copied_is_given_all_the_same() -> None:
    class Odd(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(one + two)

    store = Store()
    store.failure = Odd("not ", "now")
    with pytest.raises(Odd, match="not now"):
        await GroupRead(store.read).ask([1])


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    store = Store()
    group = GroupRead(store.read)
    store.go.clear()
    gone, stays = asyncio.create_task(group.ask([1])), asyncio.create_task(group.ask([2]))
    while not store.asked:
        await asyncio.sleep(0)
    gone.cancel()
    store.go.set()
    assert (await stays)[2] == 0
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_nobody_waits_for_a_flight_that_is_ended() -> None:
    store = Store()
    group = GroupRead(store.read)
    store.go.clear()
    waiting = asyncio.create_task(group.ask([1]))
    while not store.asked:
        await asyncio.sleep(0)
    (flight,) = group._flights
    flight.cancel()
    with pytest.raises(StoreUnavailable):
        await waiting
