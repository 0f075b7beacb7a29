"""Several calls at once end together, whatever one of them does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tron_payment.chain import all_of, both


class Lost(Exception):
    """A node that did not answer."""


class Ways:
    """Calls that end when they are told to, and remember how they ended."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.ended: list[str] = []

    async def slow(self, name: str) -> str:
        try:
            await self.go.wait()
        finally:
            self.ended.append(name)
        return name

    async def fails(self) -> str:
        raise Lost


def _two(ways: Ways) -> Awaitable[object]:
    return both(ways.fails(), ways.slow("a"))


def _three(ways: Ways) -> Awaitable[object]:
    return all_of([ways.slow("a"), ways.fails(), ways.slow("b")])


@pytest.mark.parametrize(("calls", "others"), [(_two, ["a"]), (_three, ["a", "b"])])
async def test_an_error_comes_when_the_other_calls_have_ended(
    calls: Callable[[Ways], Awaitable[object]], others: list[str]
) -> None:
    ways = Ways()
    question = asyncio.ensure_future(calls(ways))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not question.done()
    ways.go.set()
    with pytest.raises(Lost):
        await question
    assert ways.ended == others


@pytest.mark.parametrize(("calls", "others"), [(_two, ["a"]), (_three, ["a", "b"])])
async def test_who_is_cancelled_leaves_no_call_behind(
    calls: Callable[[Ways], Awaitable[object]], others: list[str]
) -> None:
    ways = Ways()
    question = asyncio.ensure_future(calls(ways))
    for _ in range(10):
        await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    assert ways.ended == others


async def test_answers_come_in_the_order_of_the_calls() -> None:
    ways = Ways()
    ways.go.set()
    assert await all_of(ways.slow(name) for name in "cab") == ["c", "a", "b"]
    assert await all_of(()) == []
