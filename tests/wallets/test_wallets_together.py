"""Callers at once share a reading; none is given one from before it asked."""

import asyncio
from collections.abc import Sequence

import pytest

from tron_payment.wallets.together import AT_ONCE_MAX, Together


class Store:
    """Counts, and answers with how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.away = False

    async def fetch(self, keys: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError
        return {key: len(self.asked) for key in keys if key >= 0}


async def test_callers_at_once_are_one_question() -> None:
    store = Store()
    together = Together(store.fetch)
    found = await asyncio.gather(*(together.get(n % 10) for n in range(100)))
    assert found == [1] * 100 and store.asked == [list(range(10))]
    assert await together.get(3) == 2, "nothing is remembered"
    assert await together.get(-1) is None


async def test_who_asks_during_a_reading_gets_the_next_one() -> None:
    store = Store()
    together = Together(store.fetch)
    first = asyncio.create_task(together.get(1))
    while not store.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(together.get(1))
    assert (await first, await second) == (1, 2)


async def test_very_many_are_several_questions_and_a_trouble_is_everybodys() -> None:
    store = Store()
    together = Together(store.fetch)
    found = await asyncio.gather(*(together.get(n) for n in range(AT_ONCE_MAX + 1)))
    assert None not in found and [len(each) for each in store.asked] == [AT_ONCE_MAX, 1]
    store.away = True
    asked = asyncio.gather(*(together.get(n) for n in range(5)), return_exceptions=True)
    assert [type(each) for each in await asked] == [ConnectionError] * 5
    store.away = False
    assert await together.get(1) is not None, "and over with the next question"


async def test_a_caller_that_gives_up_takes_nobody_with_it() -> None:
    store = Store()
    together = Together(store.fetch)
    gone, stays = (asyncio.create_task(together.get(1)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 1
    with pytest.raises(asyncio.CancelledError):
        await gone
