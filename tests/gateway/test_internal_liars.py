"""One node of three that says anything of what contracts move, and processes that sleep."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.gateway.test_deposits import PAYER, word
from tests.gateway.test_internal_transfers import (
    AMOUNT_SUN,
    PAID,
    Node,
    Three,
    books,
    three,
    unswept,
)
from tron_payment.chain import Follower
from tron_payment.chain.internal import INTERNAL_MAX
from tron_payment.core.address import Address, address_bytes
from tron_payment.engine import InternalVerdict, OpeningRequest, internal
from tron_payment.engine.internal import IDLE_S
from tron_payment.engine.internal_told import TOLD_MAX

__all__ = ["three", "unswept"]

CALLS_A_DAY = 100_000
"""TronGrid's free account."""

FOLLOWING_A_DAY = 2 * 28_800
"""A header and the receipts of each block, from each node."""


def says(node: Node, tells: Callable[[dict[str, Any]], None]) -> None:
    """It tells something else of each receipt."""
    real = node.handle_async_request

    async def lying(request: httpx.Request) -> httpx.Response:
        answer = await real(request)
        body = json.loads(answer.content or b"{}")
        for receipt in body if isinstance(body, list) else ():
            tells(receipt)
        return httpx.Response(answer.status_code, json=body)

    node.handle_async_request = lying  # type: ignore[method-assign]


async def follow_to_the_end(three: Three) -> None:
    await three.shop.devnet.mine(22)
    follower = three.shop.assembly.follower
    while await follower.step():
        pass
    assert follower.status().number == (await three.nodes.solid_head()).number


async def test_more_than_a_transaction_can_hold_is_believed_of_nobody(three: Three) -> None:
    invoice = await three.shop.invoice("25", "TRX")
    part = {
        "caller_address": "41" + "11" * 20,
        "transferTo_address": address_bytes(Address(invoice["address"])).hex(),
        "callValueInfo": [{"callValue": 9 * 10**18}],
        "note": b"call".hex(),
    }
    lie = [part] * (INTERNAL_MAX + 10)
    for node in three.made:  # all three
        says(node, lambda receipt: receipt.update(internal_transactions=lie))
    await three.shop.pay(PAYER, invoice["address"], "25", "TRX")
    await follow_to_the_end(three)
    verdict = (await InternalVerdict.find_all().to_list())[0]
    assert (verdict.counted_in, verdict.parts) == (None, [])
    assert verdict.told[-1] == f"and {INTERNAL_MAX + 1 - TOLD_MAX} more"
    assert verdict.told_by == "node-0,node-1,node-2"


@pytest.mark.parametrize(
    "values", [[{}] * 500_000, [{"callValue": 2**70}, {"callValue": -(2**70)}]], ids=["many", "big"]
)
async def test_the_same_in_other_words_is_kept_in_ours(unswept: Three, values: list[Any]) -> None:
    three = unswept
    three.nodes.outvotes = True

    def wordy(receipt: dict[str, Any]) -> None:
        for part in receipt.get("internal_transactions", ()):
            part["callValueInfo"] = [*part["callValueInfo"], *values]

    says(three.made[0], wordy)
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await follow_to_the_end(three)
    (verdict,) = await InternalVerdict.find_all().to_list()
    assert verdict.parts[0]["callValueInfo"] == [{"callValue": AMOUNT_SUN}]
    assert await books(three, invoice) == AMOUNT_SUN


async def test_a_verdict_of_an_older_build_counts(unswept: Three) -> None:
    """It has the node's words, and nothing of who told it and when it is due."""
    three = unswept
    three.away(2)
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.follow()
    news = {"told_by": "", "amount_sun": "", "asked": "", "due_at": ""}
    await InternalVerdict.get_pymongo_collection().update_many({}, {"$unset": news})
    three.away(2, False)
    await three.later()
    assert await three.outcome(invoice) == PAID or await books(three, invoice) == AMOUNT_SUN
    (verdict,) = await InternalVerdict.find_all().to_list()
    assert verdict.is_late


async def test_what_nobody_proves_does_not_eat_the_nodes_allowance(three: Three) -> None:
    three.made[2].keeps = False
    for _ in range(5):
        invoice = await three.shop.invoice("25", "TRX")
        call = await three.shop.call(PAYER, three.forwarder, word(invoice["address"]), 1)
        await three.shop.send(PAYER, call)
        await three.shop.devnet.mine()
    await three.follow()
    assert await InternalVerdict.find({"counted_in": None}).count() == 5
    await InternalVerdict.get_pymongo_collection().update_many({}, {"$set": {"due_at": None}})
    asked: list[Any] = []
    for node in three.made:
        says(node, asked.append)
        real = node.handle_async_request

        async def counting(request: Any, real: Any = real) -> Any:
            asked.append(request.url)
            return await real(request)

        node.handle_async_request = counting  # type: ignore[method-assign]
    engine = three.shop.house.engine.internal
    await engine.step()
    a_day = len(asked) / len(three.made) * 86_400 / IDLE_S
    assert 0 < a_day + FOLLOWING_A_DAY < CALLS_A_DAY, "even if something were due in each step"
    for _ in range(4):
        await engine.step()
    asked.clear()
    await engine.step()
    assert not asked, "all five have been asked for, and have a pause"


class Asleep:
    """A process stops in the middle of a step while another one goes on."""

    def __init__(self, three: Three, monkeypatch: pytest.MonkeyPatch, opens: Any = None) -> None:
        """
        Args:
            opens: An invoice whose address's books are opened meanwhile.
        """
        self._three = three
        self._opens = opens
        self.slept = False
        self._real = internal.opened_with_balance
        monkeypatch.setattr(internal, "opened_with_balance", self._sleeps)

    async def _sleeps(self, sides: Any) -> Any:
        if not self.slept:
            self.slept = True
            keeps = [node.keeps for node in self._three.made]
            for node in self._three.made:
                node.keeps = False
            await self._other()
            for node, kept in zip(self._three.made, keeps, strict=True):
                node.keeps = kept
        return await self._real(sides)

    async def _other(self) -> None:
        """To whom nobody tells anything."""
        shop = self._three.shop
        follower = shop.assembly.follower
        other = Follower(self._three.nodes, follower._cursor, follower._handlers)
        watched = shop.house.engine.watched
        lock, watched._following = watched._following, asyncio.Lock()
        known, watched._known = watched._known, None
        try:
            while await other.step():
                pass
            if self._opens is not None:
                await opens_now(self._three, self._opens, other)
        finally:
            watched._following, watched._known = lock, known


async def opens_now(three: Three, invoice: Any, follower: Follower) -> None:
    await three.shop.house.openings.request(Address(invoice["address"]))
    for _ in range(4):
        await three.shop.house.openings.step()
        await three.shop.devnet.mine(2)
        while await follower.step():
            pass
    assert await OpeningRequest.find_all().to_list() == []


async def test_who_slept_does_not_double_an_opening(
    unswept: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node tells him of it, and when he wakes the opening balance holds it."""
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.shop.devnet.mine(22)
    three.made[2].keeps = False
    asleep = Asleep(three, monkeypatch, invoice)
    await three.shop.work()
    assert asleep.slept and await books(three, invoice) == AMOUNT_SUN
    three.made[2].keeps = True
    await three.later()
    assert await books(three, invoice) == AMOUNT_SUN, "counted by the opening, and not late as well"


async def test_who_slept_does_not_lose_what_he_writes_down(
    unswept: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enough nodes tell him, but the other process has left the block behind without it."""
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.shop.devnet.mine(22)
    asleep = Asleep(three, monkeypatch)
    await three.shop.work()
    assert asleep.slept
    await three.later()
    assert await three.outcome(invoice) == PAID
    assert await books(three, invoice) == AMOUNT_SUN


@pytest.fixture
async def proved_by_now(unswept: Three) -> AsyncIterator[tuple[Three, Any]]:
    """Told by one node when its block came, by two now, and due."""
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    three.made[2].keeps = False
    await three.pays(invoice)
    await three.follow()
    three.made[2].keeps = True
    await three.due()
    while await three.shop.assembly.follower.step():
        pass
    yield three, invoice


async def test_books_that_are_opened_while_it_is_asked_for_hold_it_once(
    proved_by_now: tuple[Three, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    three, invoice = proved_by_now
    real, done = three.nodes.solid_head, list[int]()

    async def slow() -> Any:
        if not done:
            done.append(1)
            await opens_now(three, invoice, three.shop.assembly.follower)
        return await real()

    monkeypatch.setattr(three.nodes, "solid_head", slow)
    await three.shop.house.engine.internal.step()
    assert done
    await three.later()
    assert await books(three, invoice) == AMOUNT_SUN


async def test_books_that_are_opened_when_it_is_proposed_hold_it_once(
    proved_by_now: tuple[Three, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The opening is asked for between the look at the openings and the note at the cursor: it
    waits for what is proposed."""
    three, invoice = proved_by_now
    cursors = three.shop.house.engine.internal._cursors
    real, done = cursors.note, list[int]()

    async def slow(number: int) -> bool:
        if not done:
            done.append(1)
            await three.shop.house.openings.request(Address(invoice["address"]))
            for _ in range(3):
                await three.shop.house.openings.step()
        return await real(number)

    monkeypatch.setattr(cursors, "note", slow)
    await three.shop.house.engine.internal.step()
    assert done
    await three.later()
    assert await OpeningRequest.find_all().to_list() == []
    assert await books(three, invoice) == AMOUNT_SUN
