"""Looks: a page waits a blink, what it looks for goes on, and nobody sees another's."""

import asyncio
from typing import Any

import pytest

from tron_payment.console import kept
from tron_payment.console.api import ApiProblem
from tron_payment.console.kept import Look, Looks


class Slow:
    """A question that is answered when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()

    async def __call__(self) -> Any:
        self.asked += 1
        await self.answer.wait()
        return self.asked


async def test_what_is_slow_goes_on_and_is_there_when_one_asks_again() -> None:
    looks, slow = Looks(60.0), Slow()
    assert await looks.get("ann", "a", slow) == Look(under_way=True)
    assert (await looks.get("ann", "a", slow)).under_way and slow.asked == 1, "asked once for both"
    slow.answer.set()
    found = await looks.get("ann", "a", slow, patient=True)
    assert (found.value, found.under_way) == (1, False) and found.as_of
    assert (await looks.get("ann", "a", slow)).value == 1 and slow.asked == 1, "kept"
    assert (await looks.get("bob", "a", slow, patient=True)).value == 2, (
        "somebody else's is another"
    )


async def test_what_is_old_is_shown_while_the_new_is_found_out() -> None:
    now = 100.0
    looks, slow = Looks(60.0, lambda: now), Slow()
    slow.answer.set()
    assert (await looks.get("ann", "a", slow, patient=True)).value == 1
    slow.answer.clear()
    now += 61.0
    found = await looks.get("ann", "a", slow)
    assert (found.value, found.under_way) == (1, True)
    slow.answer.set()
    assert (await looks.get("ann", "a", slow, patient=True)).value == 2


async def test_a_refusal_is_told_in_words_and_soon_looked_at_again() -> None:
    now = 100.0
    looks = Looks(60.0, lambda: now)

    async def refused() -> Any:
        raise ApiProblem(503, {"code": "nodes_unavailable", "detail": "no node answers"})

    async def fine() -> Any:
        return "fine"

    assert (await looks.get("ann", "a", refused, patient=True)).problem == "no node answers"
    assert (await looks.get("ann", "a", fine, patient=True)).problem, "for a moment"
    now += kept.PROBLEM_FRESH_S + 0.1
    assert (await looks.get("ann", "a", fine, patient=True)).value == "fine"


async def test_only_so_many_are_found_out_at_once_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "UNDER_WAY_MAX", 1)
    monkeypatch.setattr(kept, "KEPT_MAX", 1)
    looks, slow = Looks(60.0), Slow()
    assert (await looks.get("ann", "a", slow)).under_way
    assert (await looks.get("ann", "b", slow)).under_way and slow.asked == 1
    slow.answer.set()
    assert (await looks.get("ann", "a", slow, patient=True)).value == 1
    assert (await looks.get("ann", "b", slow, patient=True)).value == 2
    assert (await looks.get("ann", "a", slow, patient=True)).value == 3, "the oldest went"


async def test_one_person_with_many_pages_leaves_room_for_the_others() -> None:
    looks, slow = Looks(60.0), Slow()
    for page in range(kept.PERSON_MAX + 1):
        assert (await looks.get("ann", page, slow)).under_way
    assert slow.asked == kept.PERSON_MAX < kept.UNDER_WAY_MAX
    assert (await looks.get("bob", 0, slow)).under_way
    assert slow.asked == kept.PERSON_MAX + 1, "bob's is found out beside hers"
    slow.answer.set()
    found = await looks.get("ann", kept.PERSON_MAX - 1, slow, patient=True)
    assert found.value is not None
    assert (await looks.get("ann", kept.PERSON_MAX, slow, patient=True)).value is not None
