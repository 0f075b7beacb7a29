"""The policy: each rule on both sides of its bound, and limits that a crowd cannot exceed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.clock import ManualClock, to_ms
from tron_payment.core.errors import AppError
from tron_payment.core.money import USDT, Amount
from tron_payment.engine import MAX_FEE_SUN_MAX, FeeCapTooHigh, fee_cap
from tron_payment.payouts import Limits, Payouts, PolicyDesk
from tron_payment.payouts.limits import (
    Ceiling,
    Hold,
    LimitEntry,
    RollingLimits,
    Sums,
    Window,
    fresh_hold,
)
from tron_payment.payouts.policy import (
    BURST_COUNT,
    DEFAULT,
    Band,
    Cap,
    Facts,
    InvalidPolicy,
    Policy,
    check_policy,
    evaluate,
    facts_stored,
    policy_of,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAIN = Facts(currency="USDT", units=100, recipient="T1", now=NOW)
BANDS = (Band("USDT", 100, 1), Band("USDT", 1_000, 2, ("ann", "ben", "cem")))


HOUR = timedelta(hours=1)
USERS = Policy(user_cool_down=HOUR)


@pytest.mark.parametrize(
    ("policy", "changes", "code", "approvals", "flags"),
    [
        (DEFAULT, {}, None, 0, ()),
        (DEFAULT, {"paid_before": False}, None, 0, ("new_recipient",)),
        (DEFAULT, {"look_alikes": ("T2",)}, None, 0, ()),
        (
            DEFAULT,
            {"paid_before": False, "look_alikes": ("T2",)},
            None,
            0,
            ("new_recipient", "look_alike"),
        ),
        (DEFAULT, {"recent_payouts": BURST_COUNT - 1}, None, 0, ()),
        (DEFAULT, {"recent_payouts": BURST_COUNT}, None, 0, ("burst",)),
        (Policy(caps=(Cap("USDT", 100),)), {}, None, 0, ()),
        (Policy(caps=(Cap("USDT", 99),)), {}, "payout_cap_exceeded", 0, ()),
        (Policy(caps=(Cap("TRX", 99),)), {}, None, 0, ()),
        (Policy(bands=BANDS), {}, None, 0, ()),
        (Policy(bands=BANDS), {"units": 101}, None, 1, ()),
        (Policy(bands=BANDS), {"units": 1_000}, None, 1, ()),
        (Policy(bands=BANDS), {"units": 1_001}, None, 2, ()),
        (Policy(bands=BANDS), {"units": 1_001, "currency": "TRX"}, None, 0, ()),
        (Policy(allow_list=True), {}, "recipient_not_allowed", 0, ()),
        (
            Policy(allow_list=True),
            {"allowed_at": NOW - timedelta(hours=24) + timedelta(milliseconds=1)},
            "recipient_cooling_down",
            0,
            (),
        ),
        (Policy(allow_list=True), {"allowed_at": NOW - timedelta(hours=24)}, None, 0, ()),
        (DEFAULT, {"booked_address": "T2", "address_changed_at": NOW}, None, 0, ()),
        (USERS, {}, None, 0, ()),
        (USERS, {"booked_address": "T2"}, "recipient_differs", 0, ()),
        (USERS, {"booked_address": "T1"}, None, 0, ()),
        (
            USERS,
            {"booked_address": "T1", "address_changed_at": NOW - HOUR + timedelta(milliseconds=1)},
            "recipient_cooling_down",
            0,
            (),
        ),
        (USERS, {"booked_address": "T1", "address_changed_at": NOW - HOUR}, None, 0, ()),
    ],
)
def test_rules_at_their_bounds(
    policy: Policy,
    changes: dict[str, Any],
    code: str | None,
    approvals: int,
    flags: tuple[str, ...],
) -> None:
    verdict = evaluate(policy, replace(PLAIN, **changes))
    assert (verdict.refusal.code if verdict.refusal else None) == code
    assert (verdict.approvals_needed, verdict.flags) == (approvals, flags)
    assert all(each["version"] == policy.version for each in verdict.stored())


@pytest.mark.parametrize(
    "bands",
    [
        (Band("USDT", 1, 1), Band("USDT", 1, 2)),
        (Band("USDT", 1, 2), Band("USDT", 2, 1)),
        (Band("USDT", 1, 2, ("ann",)),),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(bands: tuple[Band, ...]) -> None:
    with pytest.raises(InvalidPolicy):
        check_policy(Policy(bands=bands))


def test_a_policy_is_stored_whole() -> None:
    whole = Policy(
        version=3,
        caps=(Cap("TRX", 5),),
        ceilings=(Ceiling("wallet", Window.DAY, "USDT", 7),),
        bands=BANDS,
        allow_list=True,
        cool_down=timedelta(hours=2),
        approval_lifetime=timedelta(hours=3),
        user_cool_down=timedelta(hours=4),
    )
    stored = facts_stored(whole)
    assert policy_of(3, stored) == whole
    check_policy(whole)
    del stored["user_cool_down_s"]  # as policies were stored before there was this rule
    assert policy_of(3, stored) == replace(whole, user_cool_down=timedelta())


@pytest.mark.parametrize(
    ("units", "code"),
    [
        (9, "amount_below_minimum"),
        (10, None),
        (100, None),
        (101, "amount_above_maximum"),
    ],
)
def test_amounts_at_their_bounds(units: int, code: str | None) -> None:
    try:
        Limits(10, 100).check(Amount(USDT, units))
        found = None
    except AppError as refusal:
        found = refusal.code
    assert found == code


@pytest.mark.parametrize(
    ("asked", "given"),
    [(None, 7), (0, 0), (MAX_FEE_SUN_MAX, MAX_FEE_SUN_MAX), (MAX_FEE_SUN_MAX + 1, None)],
)
def test_fee_caps_at_their_bounds(asked: int | None, given: int | None) -> None:
    if given is None:
        with pytest.raises(FeeCapTooHigh):
            fee_cap(asked, 7)
    else:
        assert fee_cap(asked, 7) == given


@pytest.mark.parametrize("window", list(Window))
@pytest.mark.parametrize("kind", ["recipient", "principal", "wallet", "all"])
def test_a_window_counts_to_its_end_and_never_frees_early(window: Window, kind: str) -> None:
    sums = Sums()
    scope = kind if kind == "all" else f"{kind}:x"
    first = Hold("h1", "pay_1", "USDT", 60, to_ms(NOW), (scope,))
    sums.add(first, 1)
    ceiling = [Ceiling(kind, window, "USDT", 100)]
    fits = replace(first, hold_id="h2", units=40)
    over = replace(first, hold_id="h3", units=41)
    inside = to_ms(NOW + timedelta(seconds=window.length_s))
    outside = to_ms(NOW + timedelta(seconds=window.length_s + window.bucket_s))
    assert sums.breach(fits, ceiling, inside) is None
    broken = sums.breach(over, ceiling, inside)
    assert broken is not None and broken.free_units == 40
    assert sums.breach(replace(over, currency="TRX"), ceiling, inside) is None
    assert sums.breach(replace(over, scopes=("other:x",)), ceiling, inside) is None
    assert sums.breach(replace(over, units=100), ceiling, outside) is None
    sums.add(first, -1)
    assert sums.used(window, scope, "USDT", inside) == 0


@pytest.fixture
async def journal(mongo: Any) -> AsyncIterator[None]:
    await mongo.connect([LimitEntry])
    yield


async def test_a_crowd_in_several_processes_never_exceeds_a_limit(journal: None) -> None:
    clock = ManualClock(NOW)
    processes = [RollingLimits(clock) for _ in range(4)]
    ceilings = [Ceiling("principal", Window.HOUR, "USDT", 1_000)]
    holds = [
        fresh_hold(f"pay_{i}", "USDT", 10 + i % 7, NOW, ("principal:p", "all")) for i in range(120)
    ]

    async def ask(index: int, hold: Hold) -> int:
        breaches = await processes[index % 4].hold([hold], ceilings)
        return 0 if breaches else hold.units

    granted = await asyncio.gather(*(ask(i, hold) for i, hold in enumerate(holds)))
    assert 1_000 - 16 < sum(granted) <= 1_000
    fresh = RollingLimits(clock)
    assert await fresh.used(Window.HOUR, "principal:p", "USDT") == sum(granted)
    kept = [hold.hold_id for hold, units in zip(holds, granted, strict=True) if units]
    await asyncio.gather(*(each.release(kept) for each in processes))
    await fresh.release([*kept, "hld_unknown"])
    for each in (*processes, fresh, RollingLimits(clock)):
        assert await each.used(Window.HOUR, "principal:p", "USDT") == 0
    assert await LimitEntry.count() == len({entry.id async for entry in LimitEntry.find({})})


async def test_payouts_from_before_a_limit_are_counted_once(journal: None) -> None:
    limits = RollingLimits(ManualClock(NOW))
    earlier = [fresh_hold("pay_1", "USDT", 7, NOW, ("all",))]
    await limits.open(earlier)
    await limits.open(earlier)
    assert await limits.used(Window.MONTH, "all", "USDT") == 7


# ---- by HTTP ---------------------------------------------------------------------------------


async def enforce(pay: Pay, **policy: Any) -> int:
    proposed = await pay.post("/policy/proposals", policy, role="compliance", sub="co-1")
    assert proposed.status_code == 201, proposed.text
    path = f"/policy/proposals/{proposed.json()['proposal_id']}/approve"
    own = await pay.post(path, role="compliance", sub="co-1")
    assert refusal(own)[:2] == (403, "own_approval")
    done = await pay.post(path, role="treasurer", sub="tr-1")
    assert (done.status_code, done.json()["status"]) == (200, "active"), done.text
    version: int = (await pay.get("/policy")).json()["version"]
    return version


@pytest.fixture
async def lawless(pay: Pay) -> AsyncIterator[Pay]:
    yield pay
    await enforce(pay)


async def test_a_hundred_requests_against_one_limit(lawless: Pay) -> None:
    pay, alice = lawless, person()
    await pay.pay(recipient_address=alice, amount="20")  # counted although it was before
    limit = {"scope": "recipient", "window": "24h", "amount": "100"}
    await enforce(pay, limits=[limit])
    answers = await asyncio.gather(
        *(
            pay.post("/payouts/initiate", wish(recipient_address=alice, amount="10"))
            for _ in range(100)
        )
    )
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 422]
    assert (len(accepted), len(refused)) == (8, 92)
    assert {answer.json()["code"] for answer in refused} == {"limit_exceeded"}
    batch = await pay.post(
        "/payouts/batch",
        {"payouts": [wish(recipient_address=alice), wish(recipient_address=person())]},
    )
    assert [row["code"] for row in batch.json()["refused"]] == ["limit_exceeded"]
    gone = await pay.post(f"/payouts/{accepted[0].json()['payout_id']}/cancel")
    assert gone.json()["status"] == "canceled"
    await pay.pay(recipient_address=alice, amount="10")
    full = await pay.post("/payouts/initiate", wish(recipient_address=alice, amount="10"))
    assert refusal(full)[1] == "limit_exceeded"
    await pay.settle()
    assert await pay.held(alice) == 100_000_000
    await pay.assert_books_equal_chain()


async def test_what_died_before_it_was_stored_counts_no_more(lawless: Pay) -> None:
    pay, alice = lawless, person()
    await enforce(pay, limits=[{"scope": "recipient", "window": "24h", "amount": "30"}])
    kept = await pay.pay(recipient_address=alice, amount="10")
    rolling = pay.house.use(Payouts)._counting._rolling
    scope = f"recipient:{alice}"
    lost = fresh_hold("pay_lost", "USDT", 20_000_000, pay.world.clock.now(), (scope,))
    assert await rolling.hold([lost], (await pay.house.use(PolicyDesk).current()).ceilings) == {}
    assert await rolling.used(Window.DAY, scope, "USDT") == 30_000_000
    await pay.world.work()
    assert await rolling.used(Window.DAY, scope, "USDT") == 30_000_000, "it may be on its way"
    pay.world.clock.skew += timedelta(minutes=16)
    await pay.world.work()
    pay.world.clock.skew -= timedelta(minutes=16)
    assert await rolling.used(Window.DAY, scope, "USDT") == 10_000_000
    await pay.settle()
    assert (await pay.payout(kept["payout_id"]))["status"] == "settled"


async def test_an_amount_above_the_band_waits_for_two_others(lawless: Pay) -> None:
    pay, alice = lawless, person()
    version = await enforce(pay, approval_bands=[{"above": "50", "approvals": 2}])
    free = await pay.pay(recipient_address=alice, amount="50")
    assert (free["status"], free["approval"]) == ("queued", None)
    made = await pay.pay(recipient_address=alice, amount="50.000001")
    assert made["status"] == "awaiting_approval" and made["approval"]["needed"] == 2
    assert made["decisions"][-1] == {
        "rule": "approval_band",
        "version": version,
        "outcome": "approve",
        "detail": "above 50 USDT",
    }
    path = f"/payouts/{made['payout_id']}"
    assert (await pay.post(f"{path}/approve", role="operator")).status_code == 403
    own = await pay.post(f"{path}/approve", role="approver", sub="op-1")
    assert refusal(own)[:2] == (403, "own_approval")
    other = {"order_hash": "0" * 64}
    wrong = await pay.post(f"{path}/approve", other, role="approver", sub="ap-1")
    assert refusal(wrong)[:2] == (409, "order_hash_differs")
    right = {"order_hash": made["approval"]["order_hash"]}
    for _ in range(2):
        first = await pay.post(f"{path}/approve", right, role="approver", sub="ap-1")
        assert first.json()["status"] == "awaiting_approval", first.text
        assert first.json()["approval"]["given_by"] == ["ap-1"]
    await pay.settle()
    assert await pay.held(alice) == 50_000_000
    second = await pay.post(f"{path}/approve", role="treasurer", sub="tr-1")
    assert second.json()["status"] == "queued", second.text
    await pay.settle()
    assert await pay.held(alice) == 100_000_001
    late = await pay.post(f"{path}/approve", role="approver", sub="ap-2")
    assert refusal(late)[:2] == (409, "not_awaiting_approval")


async def test_what_nobody_approves_is_never_paid(lawless: Pay) -> None:
    pay, alice = lawless, person()
    bands = [{"above": "0", "approvals": 1}]
    await enforce(pay, approval_bands=bands, approval_lifetime_s=3_600)
    rejected = await pay.pay(recipient_address=alice)
    answer = await pay.post(
        f"/payouts/{rejected['payout_id']}/reject", {"reason": "who?"}, role="approver", sub="ap-1"
    )
    assert (answer.json()["status"], answer.json()["reason"]) == ("rejected", "who?")
    canceled = await pay.pay(recipient_address=alice)
    answer = await pay.post(f"/payouts/{canceled['payout_id']}/cancel")
    assert answer.json()["status"] == "canceled"
    forgotten = await pay.pay(recipient_address=alice)
    batch = await pay.batch([wish(recipient_address=alice)])
    assert batch["status"] == "awaiting_approval"
    raced = await pay.pay(recipient_address=alice)
    approve = f"/payouts/{raced['payout_id']}"
    await asyncio.gather(
        *(pay.post(f"{approve}/approve", role="approver", sub=f"ap-{i}") for i in range(3)),
        *(pay.post(f"{approve}/reject", role="approver", sub=f"ap-{i}") for i in range(3)),
        pay.post(f"{approve}/cancel"),
    )
    end = (await pay.payout(raced["payout_id"]))["status"]
    pay.world.clock.skew += timedelta(hours=1)
    await pay.settle(2)
    late = await pay.post(f"/payouts/{forgotten['payout_id']}/approve", role="approver", sub="ap-1")
    pay.world.clock.skew -= timedelta(hours=1)
    assert refusal(late)[0] == 409
    assert (await pay.payout(forgotten["payout_id"]))["reason"] == "approval_expired"
    seen = (await pay.get(f"/payouts/batch/{batch['batch_id']}")).json()
    assert (seen["status"], seen["counts"]) == ("canceled", {"rejected": 1}), seen
    paid = 12_500_000 if end == "queued" else 0
    assert await pay.held(alice) == paid, end


async def test_a_batch_is_approved_as_a_whole(lawless: Pay) -> None:
    pay, alice = lawless, person()
    bands = [{"above": "20", "approvals": 1, "approvers": ["ap-1"]}]
    await enforce(pay, approval_bands=bands)
    made = await pay.batch([wish(recipient_address=alice), wish(recipient_address=alice)])
    assert made["status"] == "awaiting_approval", "two of 12.5 are more than 20"
    await pay.settle()
    assert await pay.held(alice) == 0
    path = f"/payouts/batch/{made['batch_id']}"
    rows = (await pay.get(path)).json()["data"]
    assert [row["status"] for row in rows] == ["awaiting_approval"] * 2
    alone = await pay.post(f"/payouts/{rows[0]['payout_id']}/approve", role="approver", sub="ap-1")
    assert refusal(alone)[:2] == (409, "not_awaiting_approval")
    stranger = await pay.post(f"{path}/approve", role="approver", sub="ap-2")
    assert refusal(stranger)[:2] == (403, "not_an_approver")
    done = await pay.post(f"{path}/approve", role="approver", sub="ap-1")
    assert (done.status_code, done.json()["status"]) == (200, "queued"), done.text
    await pay.settle()
    assert await pay.held(alice) == 25_000_000
    assert (await pay.get(path)).json()["status"] == "completed"


async def test_the_allow_list_cools_down(lawless: Pay) -> None:
    pay, alice = lawless, person()
    await enforce(pay, allow_list=True, cool_down_s=3_600)
    body = wish(recipient_address=alice)
    assert refusal(await pay.post("/payouts/initiate", body))[1] == "recipient_not_allowed"
    listed = await pay.post("/policy/allow-list", {"recipient_address": alice, "label": "Alice"})
    assert listed.status_code == 201, listed.text
    assert refusal(await pay.post("/payouts/initiate", body))[1] == "recipient_not_allowed"
    path = f"/policy/allow-list/{alice}"
    assert (await pay.post(f"{path}/approve", role="operator")).status_code == 403
    approved = await pay.post(f"{path}/approve", role="treasurer", sub="tr-1")
    assert approved.status_code == 200, approved.text
    assert refusal(await pay.post("/payouts/initiate", body))[1] == "recipient_cooling_down"
    pay.world.clock.skew += timedelta(hours=1)
    accepted = await pay.post("/payouts/initiate", body | {"dry_run": True}, key=None)
    pay.world.clock.skew -= timedelta(hours=1)
    assert accepted.status_code == 200, accepted.text
    assert (await pay.delete(path)).status_code == 204
    assert refusal(await pay.post("/payouts/initiate", body))[1] == "recipient_not_allowed"


async def test_the_kill_switch_holds_back_until_it_is_off(pay: Pay) -> None:
    alice = person()
    on = {"on": True, "reason": "something is wrong"}
    assert (await pay.post("/policy/kill-switch", on, role="merchant")).status_code == 403
    assert (await pay.post("/policy/kill-switch", on, role="operator")).status_code == 200
    made = await pay.pay(recipient_address=alice)
    await pay.settle()
    seen = await pay.payout(made["payout_id"])
    assert (seen["status"], seen["waiting_for"]) == ("queued", "kill_switch")
    off = {"on": False}
    assert (await pay.post("/policy/kill-switch", off, role="operator")).status_code == 403
    assert (await pay.post("/policy/kill-switch", off, role="treasurer")).status_code == 200
    wallet_only = {"on": True, "wallet_id": made["wallet_id"]}
    assert (await pay.post("/policy/kill-switch", wallet_only, role="approver")).status_code == 200
    pay.world.clock.skew += timedelta(seconds=10)
    await pay.settle()
    assert await pay.held(alice) == 0
    thawed = wallet_only | {"on": False}
    assert (await pay.post("/policy/kill-switch", thawed, role="admin")).status_code == 200
    pay.world.clock.skew += timedelta(seconds=10)
    await pay.settle()
    pay.world.clock.skew -= timedelta(seconds=20)
    assert await pay.held(alice) == 12_500_000


async def test_a_look_alike_of_a_known_address_is_flagged(pay: Pay) -> None:
    from tron_payment.payouts.payee_documents import Payee, look_of

    alice = person()
    await Payee(id="T" + "9" * 33, look=look_of(alice), first_paid_at=NOW).insert()
    made = await pay.pay(recipient_address=alice)
    assert made["flags"] == ["new_recipient", "look_alike"]
    await pay.settle()
    again = await pay.pay(recipient_address=alice)
    assert again["flags"] == []
    await pay.settle()


async def test_a_user_whose_address_has_changed_cools_down(lawless: Pay) -> None:
    pay = lawless
    await enforce(pay, user_cool_down_s=3600)
    first, second = person(), person()
    until = "2099-01-01T00:00:00Z"

    async def book(address: str) -> None:
        body = {"recipient_address": address, "level": "full", "expires_at": until}
        answer = await pay.put("/payouts/recipients/node-that-moves/kyc", body)
        assert answer.status_code == 200, answer.text

    async def asked(address: str) -> tuple[int, str]:
        body = wish(user_id="node-that-moves", recipient_address=address)
        answer = await pay.post("/payouts/v0", body)
        return answer.status_code, answer.json().get("code", "")

    assert await asked(first) == (202, ""), "who is not in the book is paid as before"
    await book(first)
    await book(first)  # saying it again changes nothing
    assert await asked(first) == (202, "")
    assert await asked(second) == (422, "recipient_differs")
    await book(second)
    assert await asked(second) == (422, "recipient_cooling_down")
    assert await asked(first) == (422, "recipient_differs")
    pay.world.clock.skew += HOUR
    try:
        assert await asked(second) == (202, "")
    finally:
        pay.world.clock.skew -= HOUR
