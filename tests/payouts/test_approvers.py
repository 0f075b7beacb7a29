"""Who may let money go: each band that applies has what it asks for."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.payouts.test_policy import enforce
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.payouts.policy import (
    ApproversDiffer,
    Band,
    Facts,
    Policy,
    approval_by,
    bands_of,
    evaluate,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRX_BAND = {"above": "1", "approvals": 1, "currency": "TRX"}
USDT_BAND = {"above": "100", "approvals": 1, "currency": "USDT", "approvers": ["cfo-1"]}


@pytest.fixture
async def lawless(pay: Pay) -> AsyncIterator[Pay]:
    yield pay
    pay.world.clock.skew = timedelta()
    await enforce(pay)


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ([], (0, ())),
        ([Band("USDT", 1, 0, ("ann",))], (0, ())),
        ([Band("USDT", 1, 2)], (2, ())),
        ([Band("USDT", 1, 1, ("cfo",)), Band("TRX", 1, 1)], (1, ("cfo",))),
        ([Band("TRX", 1, 2), Band("USDT", 1, 1, ("ann", "ben"))], (2, ("ann", "ben"))),
        ([Band("TRX", 1, 1, ("ben", "cem")), Band("USDT", 1, 1, ("ann", "ben"))], (1, ("ben",))),
        ([Band("TRX", 1, 0, ("cem",)), Band("USDT", 1, 1, ("ann",))], (1, ("ann",))),
        ([Band("TRX", 1, 1, ("cem",)), Band("USDT", 1, 1, ("ann",))], None),
        ([Band("TRX", 1, 2), Band("USDT", 1, 1, ("ann",))], None),
        ([Band("TRX", 1, 2, ("ann", "ben")), Band("USDT", 1, 1, ("ben", "cem"))], None),
    ],
)
def test_what_several_bands_ask_for(bands: list[Band], expected: Any) -> None:
    for order in (bands, bands[::-1]):
        if expected is None:
            with pytest.raises(ApproversDiffer):
                approval_by(order)
        else:
            assert approval_by(order) == expected


def test_the_highest_band_of_each_currency_applies() -> None:
    low, high, other = Band("USDT", 10, 1), Band("USDT", 100, 2, ("ann", "ben")), Band("TRX", 5, 1)
    policy = Policy(bands=(high, low, other))
    assert bands_of(policy, {"USDT": 100, "TRX": 5}) == [low]
    assert {*bands_of(policy, {"USDT": 101, "TRX": 6})} == {high, other}
    assert {*bands_of(policy, None)} == {high, other}


@pytest.mark.parametrize("named", [("cfo",), ()])
def test_a_strangers_call_is_for_those_whom_the_bands_of_all_currencies_name(named: Any) -> None:
    bands = (Band("TRX", 1, 1, named), Band("USDT", 1, 1, ("cfo", "ann")))
    facts = Facts(currency="TRX", units=0, recipient="T1", now=NOW, stranger=True)
    verdict = evaluate(Policy(bands=bands), facts)
    assert verdict.approvers == (named or ("cfo", "ann")) and verdict.approvals_needed == 1
    apart = (Band("TRX", 1, 1, ("bob",)), Band("USDT", 1, 1, ("cfo",)))
    assert isinstance(evaluate(Policy(bands=apart), facts).refusal, ApproversDiffer)


@pytest.mark.parametrize("is_trx_first", [True, False])
async def test_a_batch_of_two_currencies_is_for_the_approvers_of_both(
    lawless: Pay, is_trx_first: bool
) -> None:
    pay, alice, bob = lawless, person(), person()
    await enforce(pay, approval_bands=[USDT_BAND, TRX_BAND])
    rows = [
        wish(recipient_address=bob, amount="10", currency="TRX", route="direct"),
        wish(recipient_address=alice, amount="120"),
    ]
    made = await pay.batch(rows if is_trx_first else rows[::-1])
    path = f"/payouts/batch/{made['batch_id']}/approve"
    friend = await pay.post(path, {}, role="approver", sub="friend")
    assert refusal(friend)[:2] == (403, "not_an_approver"), friend.text
    await pay.settle()
    assert await pay.held(alice) == 0
    assert (await pay.post(path, {}, role="approver", sub="cfo-1")).status_code == 200
    await pay.settle()
    assert await pay.held(alice) == 120_000_000


async def test_a_batch_that_nobody_could_approve_is_refused_and_counts_for_nothing(
    lawless: Pay,
) -> None:
    pay, alice, bob = lawless, person(), person()
    limits = [{"scope": "recipient", "window": "24h", "amount": "120"}]
    apart = [USDT_BAND, TRX_BAND | {"approvers": ["cto-1"]}]
    await enforce(pay, approval_bands=apart, limits=limits)
    rows = [
        wish(recipient_address=alice, amount="120"),
        wish(recipient_address=bob, amount="10", currency="TRX", route="direct"),
    ]
    answer = await pay.post("/payouts/batch", {"payouts": rows})
    assert refusal(answer)[:2] == (422, "approvers_differ"), answer.text
    alone = await pay.batch(rows[:1])
    assert alone["accepted"] == 1, "what was refused has taken no room"
    await pay.post(f"/payouts/batch/{alone['batch_id']}/cancel")


async def listed(pay: Pay, *addresses: str) -> None:
    """On the allow-list, each by two people."""
    for address in addresses:
        body = {"recipient_address": address}
        made = await pay.post("/policy/allow-list", body, role="compliance", sub="co-1")
        assert made.status_code == 201, made.text
        path = f"/policy/allow-list/{address}/approve"
        assert (await pay.post(path, role="treasurer", sub="tr-1")).status_code == 200


async def test_who_is_taken_off_the_allow_list_while_it_waits_is_not_paid(lawless: Pay) -> None:
    """Singly, and in a batch, where the others are paid; and it can be tried again."""
    pay, alice, bob = lawless, person(), person()
    await listed(pay, alice, bob)
    bands = [{"above": "10", "approvals": 1}]
    await enforce(pay, allow_list=True, cool_down_s=0, approval_bands=bands)
    one = await pay.pay(recipient_address=alice)
    many = await pay.batch([wish(recipient_address=each) for each in (alice, bob)])
    assert (await pay.delete(f"/policy/allow-list/{alice}", role="compliance")).status_code == 204
    for path in (f"/payouts/{one['payout_id']}", f"/payouts/batch/{many['batch_id']}"):
        yes = await pay.post(f"{path}/approve", {}, role="approver", sub="ap-1")
        assert yes.status_code == 200, yes.text
    await pay.settle(3)
    assert [await pay.held(each) for each in (alice, bob)] == [0, 12_500_000]
    seen = await pay.payout(one["payout_id"])
    assert (seen["status"], seen["reason"]) == ("failed", "recipient_not_allowed")
    rows = (await pay.get(f"/payouts/batch/{many['batch_id']}")).json()["data"]
    assert [row["status"] for row in rows] == ["failed", "settled"]
    again = await pay.post(f"/payouts/{one['payout_id']}/retry")
    assert refusal(again)[:2] == (422, "recipient_not_allowed")
    await pay.assert_books_equal_chain()


async def test_a_list_that_comes_later_stops_nothing_that_was_accepted_without_it(
    lawless: Pay,
) -> None:
    pay, alice = lawless, person()
    await pay.pay(recipient_address=alice)
    await enforce(pay, allow_list=True)
    await pay.settle()
    assert await pay.held(alice) == 12_500_000
