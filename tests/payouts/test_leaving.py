"""Who leaves a transaction of several that never pays: told once, if and only if it left."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.payouts.test_policy import enforce
from tests.payouts.test_telling import death_before_telling, survivor, told
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.engine import Order
from tron_payment.payouts import Decisions, Payouts
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.limits import Window

LIMIT = {"scope": "recipient", "window": "24h", "amount": "20"}
UNITS = 12_500_000
PATIENCE_S = 20


@pytest.fixture
async def strict(pay: Pay) -> Any:
    """Nobody gets more than 20 a day."""
    await enforce(pay, limits=[LIMIT])
    yield pay
    await enforce(pay)


async def shared(pay: Pay, count: int) -> list[Payout]:
    """Rows of one order."""
    made = await pay.batch([wish(recipient_address=person()) for _ in range(count)])
    rows = await Payout.find({"batch_id": made["batch_id"]}).sort("+row").to_list()
    assert len({row.order_id for row in rows}) == 1
    return rows


async def failed(pay: Pay, row: Payout) -> Order:
    """The order of a row, which has ended unpaid; nobody has heard of it."""
    await pay.house.engine.refuse(row.order_id, "attempts_exhausted")
    order = await pay.house.engine.find(row.order_id)
    assert order is not None
    return order


async def used(pay: Pay, row: Payout) -> int:
    """What counts against the recipient's limit."""
    rolling = pay.house.use(Payouts)._counting._rolling
    return await rolling.used(Window.DAY, f"recipient:{row.recipient_address}", "USDT")


async def assert_left(pay: Pay, row: Payout) -> None:
    assert (await pay.payout(row.id))["status"] == "canceled"
    assert [name for name in await told(row.id) if name == "canceled"] == ["canceled"]
    assert (await pay.held(row.recipient_address), await used(pay, row)) == (0, 0)


async def assert_paid(pay: Pay, row: Payout) -> None:
    assert (await pay.payout(row.id))["status"] == "settled"
    names = await told(row.id)
    assert "settled" in names and not {"canceled", "failed"} & set(names)
    assert (await pay.held(row.recipient_address), await used(pay, row)) == (UNITS, UNITS)


async def test_a_row_called_back_while_its_order_parts_leaves(
    strict: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order has failed, the row is marked, both have looked, and only then either acts."""
    leaving, staying = await shared(strict, 2)
    order = await failed(strict, leaving)
    engine, outcomes = strict.house.engine, strict.house.use(Decisions)._outcomes
    marked, looked, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    cancel, part = engine.cancel, following.part

    async def slow_cancel(order_id: str) -> None:
        marked.set()
        await asyncio.wait_for(looked.wait(), PATIENCE_S)
        await cancel(order_id)

    async def slow_part(*args: Any) -> int:
        if not looked.is_set():
            looked.set()
            await asyncio.wait_for(answered.wait(), PATIENCE_S)
        return await part(*args)

    monkeypatch.setattr(engine, "cancel", slow_cancel)
    monkeypatch.setattr(following, "part", slow_part)
    asked = asyncio.create_task(strict.post(f"/payouts/{leaving.id}/cancel"))
    await asyncio.wait_for(marked.wait(), PATIENCE_S)
    parting = asyncio.create_task(outcomes.follow([order]))
    answer = await asked
    answered.set()
    await parting
    monkeypatch.undo()
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    await strict.settle(3)
    await assert_left(strict, leaving)
    await assert_paid(strict, staying)
    await strict.assert_books_equal_chain()


@pytest.mark.parametrize("comes", [True, False], ids=["comes", "goes"])
async def test_a_mark_that_comes_or_goes_at_the_last_moment_is_what_is_done_and_told(
    strict: Pay, monkeypatch: pytest.MonkeyPatch, comes: bool
) -> None:
    late, leaving, staying = await shared(strict, 3)
    part, raced = following.part, False
    if not comes:  # whoever marked it has found it signed, and is slow to say so
        await following.mark_ejected(late.order_id, {late.id: "canceled"})

    async def at_the_last_moment(order_id: str, *args: Any) -> int:
        nonlocal raced
        if not raced:
            raced = True
            if comes:
                await following.mark_ejected(order_id, {late.id: "canceled"})
            else:
                await following.unmark_ejected(order_id, [late.id])
        return await part(order_id, *args)

    monkeypatch.setattr(following, "part", at_the_last_moment)
    assert (await strict.post(f"/payouts/{leaving.id}/cancel")).status_code == 200
    monkeypatch.undo()
    await strict.settle(3)
    await assert_left(strict, leaving)
    await assert_paid(strict, staying)
    await (assert_left if comes else assert_paid)(strict, late)


async def test_a_row_that_has_moved_on_is_called_back_where_it_is(
    strict: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, staying = await shared(strict, 3)
    mark, raced = following.mark_ejected, False

    async def late(order_id: str, reasons: Mapping[str, str]) -> None:
        nonlocal raced
        if second.id in reasons and not raced:
            raced = True
            assert (await strict.post(f"/payouts/{first.id}/cancel")).status_code == 200
        await mark(order_id, reasons)

    monkeypatch.setattr(following, "mark_ejected", late)
    answer = await strict.post(f"/payouts/{second.id}/cancel")
    monkeypatch.undo()
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    await strict.settle(2)
    await assert_left(strict, first)
    await assert_left(strict, second)
    await assert_paid(strict, staying)


async def test_who_left_is_told_although_the_process_dies_right_after_it(strict: Pay) -> None:
    leaving, staying = await shared(strict, 2)
    with death_before_telling():
        await strict.post(f"/payouts/{leaving.id}/cancel")
    assert (await strict.payout(leaving.id))["status"] == "canceled"
    assert (await told(leaving.id), await used(strict, leaving)) == (["queued"], UNITS)
    await survivor(strict)
    await strict.settle(2)
    await assert_left(strict, leaving)
    await assert_paid(strict, staying)


@pytest.mark.parametrize("at", ["cancel", "find", "part", "place"])
async def test_a_cancel_that_dies_leaves_a_row_that_is_paid_or_canceled_and_says_which(
    strict: Pay, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    class Died(BaseException):
        pass

    async def die(*_: object) -> Any:
        raise Died

    leaving, staying = await shared(strict, 2)
    await failed(strict, leaving)
    where: Any = following if at == "part" else strict.house.engine
    calls = 0
    real = getattr(where, at)

    async def later(*args: object) -> Any:
        """The order is looked up before anything is done."""
        nonlocal calls
        calls += 1
        return await (real if at == "find" and calls == 1 else die)(*args)

    monkeypatch.setattr(where, at, later)
    with pytest.raises(Died):
        await strict.post(f"/payouts/{leaving.id}/cancel")
    monkeypatch.undo()
    await strict.settle(3)
    await assert_left(strict, leaving)
    await assert_paid(strict, staying)
    await strict.assert_books_equal_chain()


@pytest.mark.parametrize("verb", ["reject", "cancel"])
async def test_a_batch_that_is_ended_tells_of_the_rows_that_end_with_it(
    pay: Pay, verb: str
) -> None:
    await enforce(pay, approval_bands=[{"above": "10", "approvals": 1}], limits=[LIMIT])
    try:
        made = await pay.batch([wish(recipient_address=person()) for _ in range(3)])
        rows = await Payout.find({"batch_id": made["batch_id"]}).sort("+row").to_list()
        assert (await pay.post(f"/payouts/{rows[0].id}/cancel")).json()["status"] == "canceled"
        body, who = (None, "operator") if verb == "cancel" else ({}, "approver")
        path, sub = f"/payouts/batch/{made['batch_id']}/{verb}", "op-1" if body is None else "ap-1"
        with death_before_telling():
            await pay.post(path, body, role=who, sub=sub)
        await pay.world.work()
        end = {"reject": "rejected", "cancel": "canceled"}[verb]
        for row, ended in zip(rows, ["canceled", end, end], strict=True):
            assert (await told(row.id))[1:] == [ended]
            assert (await pay.payout(row.id))["status"] == ended
            assert await used(pay, row) == 0
    finally:
        await enforce(pay)


async def test_what_was_promised_before_there_were_limits_is_free_again(pay: Pay) -> None:
    recipients = [person() for _ in range(4)]
    await enforce(pay, approval_bands=[{"above": "10", "approvals": 1}])
    waiting = await pay.pay(recipient_address=recipients[0])
    await enforce(pay)
    queued = await pay.pay(recipient_address=recipients[1], max_fee_trx="0")
    made = await pay.batch(
        [wish(recipient_address=each, max_fee_trx="0") for each in recipients[2:]]
    )
    rows = await Payout.find({"batch_id": made["batch_id"]}).sort("+row").to_list()
    await enforce(pay, limits=[LIMIT])
    try:
        ids: Sequence[str] = [waiting["payout_id"], queued["payout_id"], rows[0].id]
        for payout_id, recipient in zip(ids, recipients, strict=False):
            full = await pay.post("/payouts/initiate", wish(recipient_address=recipient))
            assert refusal(full)[:2] == (422, "limit_exceeded")
            gone = await pay.post(f"/payouts/{payout_id}/cancel")
            assert gone.json()["status"] == "canceled", gone.text
            await pay.pay(recipient_address=recipient)
        full = await pay.post("/payouts/initiate", wish(recipient_address=recipients[3]))
        assert refusal(full)[:2] == (422, "limit_exceeded"), "the other row goes on, and counts"
    finally:
        await enforce(pay)
