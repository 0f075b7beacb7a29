"""What is paid anew after a failure: only what is proved unpaid, and by one payout."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.payouts.test_policy import enforce
from tests.payouts.test_single_command import options, terminal
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.clock import rfc3339
from tron_payment.engine import Order, OrderStatus
from tron_payment.keeping import Keeping
from tron_payment.operator import single
from tron_payment.operator.calling import ApiRefusal
from tron_payment.payouts import RETRY, judge
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import (
    POISONS,
    MerchantReferenceTaken,
    has_failed_in,
    is_retryable,
)
from tron_payment.payouts.screen import REFUSALS

PROVED = [
    *("attempts_exhausted", "receipt: REVERT", "receipt: OUT_OF_ENERGY", "quarantine: x (a, b)"),
    *sorted(POISONS),
    *sorted(REFUSALS),
]
UNPROVED = ["", "merchant_reference_taken", "of the test", "canceled", "a receipt: REVERT"]


async def failed(pay: Pay, reason: str = "attempts_exhausted", **changes: Any) -> Any:
    """A payout that was never signed."""
    made = await pay.pay(recipient_address=person(), **changes)
    stored = await Payout.get(made["payout_id"])
    assert stored is not None
    await pay.house.engine.refuse(stored.order_id, reason)
    await pay.world.work()
    return await pay.payout(made["payout_id"])


async def reference_taken(pay: Pay, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """Two batches with one reference, each judged before the other was stored."""
    alice = person()
    row = wish(recipient_address=alice, merchant_reference=f"R-{alice}")
    first = await pay.batch([row])
    with patch.context() as before:
        before.setattr(judge, "_taken", lambda *_: None)
        second = await pay.batch([row])
    found = []
    for batch in (first, second):
        (payout,) = (await pay.get(f"/payouts/batch/{batch['batch_id']}/rows")).json()["data"]
        found.append(payout)
    return found[0], found[1]


async def test_a_payout_whose_reference_another_one_took_is_never_paid(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, loser = await reference_taken(pay, monkeypatch)
    assert (loser["status"], loser["reason"]) == ("failed", "merchant_reference_taken")
    told = (await pay.get(f"/payouts/{loser['payout_id']}/explain")).json()
    assert holder["payout_id"] in told["what_happened"][-1]
    assert told["what_to_do"].startswith(f"look at {holder['payout_id']}, it may be the same money")
    for _ in range(2):
        again = await pay.post(f"/payouts/{loser['payout_id']}/retry", key="one-key-for-a-retry")
        assert refusal(again)[:2] == (409, "not_retryable")
        assert again.json()["payout_id"] == holder["payout_id"] in again.json()["detail"]
        await pay.settle()
    async with terminal(pay) as http:
        with pytest.raises(ApiRefusal, match=holder["payout_id"]):
            await single.retry(http, options(loser["payout_id"]))
    await pay.settle()
    assert await pay.held(holder["recipient_address"]) == 12_500_000
    assert await Payout.find({"retry_of": loser["payout_id"]}).count() == 0


async def test_nor_is_one_of_which_an_older_build_did_not_say_who_took_it(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, loser = await reference_taken(pay, monkeypatch)
    await Payout.get_pymongo_collection().update_one(
        {"_id": loser["payout_id"]}, {"$unset": {"reference_taken_by": ""}}
    )
    again = await pay.post(f"/payouts/{loser['payout_id']}/retry")
    assert refusal(again)[:2] == (409, "not_retryable")
    await pay.settle()
    assert await pay.held(loser["recipient_address"]) == 12_500_000


async def test_what_is_said_to_prove_nothing_is_not_paid_anew(pay: Pay) -> None:
    for reason in ("of the test", "of another build"):
        made = await failed(pay, reason)
        again = await pay.post(f"/payouts/{made['payout_id']}/retry")
        assert refusal(again)[:2] == (409, "not_retryable")
    await pay.settle()
    assert await pay.held(made["recipient_address"]) == 0


async def test_what_the_order_does_not_bear_out_is_not_paid_anew(pay: Pay) -> None:
    made = await failed(pay)
    stored = await Payout.get(made["payout_id"])
    assert stored is not None
    for status in ("settled", "signed", "quarantined"):
        await Order.get_pymongo_collection().update_one(
            {"_id": stored.order_id}, {"$set": {"status": status, "books_open": False}}
        )
        again = await pay.post(f"/payouts/{made['payout_id']}/retry")
        assert refusal(again)[:2] == (409, "not_retryable"), status


async def test_what_nobody_knows_whose_it_was_is_not_paid_anew_past_the_recipient_book(
    pay: Pay,
) -> None:
    await enforce(pay, user_cool_down_s=3600)
    try:
        old = await failed(pay, user_id="zoe-1", path="direct")
        entry = {"recipient_address": person(), "level": "full"}
        expires = rfc3339(pay.world.clock.now() + timedelta(days=30))
        booked = await pay.put("/payouts/recipients/zoe-1/kyc", entry | {"expires_at": expires})
        assert booked.status_code == 200, booked.text
        retry = f"/payouts/{old['payout_id']}/retry"
        assert refusal(await pay.post(retry))[:2] == (422, "recipient_differs")
        await Keeping(pay.world.clock, 0).erase("zoe-1")
        assert refusal(await pay.post(retry))[:2] == (409, "not_retryable")
        told = (await pay.get(f"/payouts/{old['payout_id']}/explain")).json()
        assert "make a new one for the right person" in told["what_to_do"]
        assert RETRY not in told["what_to_do"]
    finally:
        await enforce(pay)


async def test_many_who_try_again_at_once_pay_once(pay: Pay) -> None:
    made = await failed(pay)
    path = f"/payouts/{made['payout_id']}/retry"
    answers = await asyncio.gather(*(pay.post(path) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [202, 409, 409, 409, 409]
    (new,) = (each.json()["payout_id"] for each in answers if each.status_code == 202)
    assert {each.json()["payout_id"] for each in answers} == {new}
    await pay.settle()
    assert await pay.held(made["recipient_address"]) == 12_500_000
    await pay.assert_books_equal_chain()


async def test_a_failed_payout_keeps_its_reference_from_everybody(pay: Pay) -> None:
    """Before and after it was paid anew; and a repeat of the retry gets the same answer."""
    made = await failed(pay, merchant_reference="R-2")
    anew = wish(recipient_address=made["recipient_address"], merchant_reference="R-2")
    first = None
    for _ in range(2):
        single_one = await pay.post("/payouts/initiate", anew)
        assert refusal(single_one)[:2] == (409, "merchant_reference_taken")
        batch = await pay.post("/payouts/batch", {"payouts": [anew]})
        assert refusal(batch)[:2] == (422, "no_good_row")
        path = f"/payouts/{made['payout_id']}/retry"
        retried = await pay.post(path, key="the-key-of-a-retry")
        assert retried.status_code == 202, retried.text
        first = first or retried.json()
        assert retried.json() == first
        await pay.settle()
    assert await pay.held(made["recipient_address"]) == 12_500_000


@pytest.mark.parametrize("reason", PROVED)
def test_reasons_that_prove_that_nothing_was_paid(reason: str) -> None:
    assert is_retryable(reason)


@pytest.mark.parametrize("reason", UNPROVED)
def test_reasons_that_do_not(reason: str) -> None:
    assert not is_retryable(reason)
    assert MerchantReferenceTaken.code in UNPROVED


@pytest.mark.parametrize("status", list(OrderStatus))
def test_an_order_that_may_still_pay_or_has_paid_bears_no_failure_out(status: OrderStatus) -> None:
    ended = status in (OrderStatus.FAILED, OrderStatus.CANCELED)
    assert has_failed_in(status, "receipt: REVERT") == ended
    by_people = ended or status is OrderStatus.SETTLED
    assert has_failed_in(status, "quarantine: looked (a, b)") == by_people
