"""What a schedule may be: what it could never pay is refused when it is asked for, or told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.test_batch_promises import much_later, no_batch
from tests.payouts.test_schedules import planned, runner, told
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.clock import rfc3339
from tron_payment.db.faults import StoreUnavailable
from tron_payment.payouts import Schedule
from tron_payment.payouts.limits import Ceiling, Window

DAILY = (Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT),)


@pytest.fixture(autouse=True)
async def lawless(pay: Pay) -> AsyncIterator[None]:
    yield
    pay.world.clock.skew = timedelta()
    await enforce(pay.world)


def asked(pay: Pay, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    at = rfc3339(pay.world.clock.now() + timedelta(hours=2))
    return {"name": "pay", "payouts": list(rows), "first_at": at, **more}


async def test_a_row_above_a_limit_itself_is_refused_when_it_is_asked_for(pay: Pay) -> None:
    await enforce(pay.world, ceilings=DAILY)
    rows = [wish(amount="20"), wish(amount="20.000001"), wish(amount="1e3")]
    answer = await pay.post("/payouts/schedules", asked(pay, *rows))
    assert refusal(answer)[:2] == (422, "rows_refused")
    found = [(row["row"], row["code"]) for row in answer.json()["refused"]]
    assert found == [(2, "payout_cap_exceeded"), (3, "invalid_amount")]
    made = await pay.post("/payouts/schedules", asked(pay, rows[0]))
    assert made.status_code == 202, made.text
    await pay.post(f"/payouts/schedules/{made.json()['schedule_id']}/cancel")


async def test_a_row_that_a_later_limit_has_no_room_for_holds_no_schedule_up(pay: Pay) -> None:
    alice, bob = person(), person()
    rows = [wish(recipient_address=alice), wish(recipient_address=bob, amount="21")]
    made, _ = await planned(pay, *rows, every="day")
    path = f"/payouts/schedules/{made['schedule_id']}"
    await enforce(pay.world, ceilings=DAILY)
    for day in (0, 1):
        pay.world.clock.skew = timedelta(days=day, minutes=10 + day * 10)
        await pay.settle()
        seen = (await pay.get(path)).json()
        assert (seen["occurrences"], seen["waiting_for"]) == (day + 1, None)
    await pay.post(f"{path}/cancel")
    said = [(kind, data["code"]) for kind, data in await told(pay, made["schedule_id"])]
    assert said == [("schedule.refused", "payout_cap_exceeded")] * 2
    assert [await pay.held(each) for each in (alice, bob)] == [25 * UNIT, 0]


async def test_an_occurrence_that_died_and_has_no_room_any_more_holds_no_schedule_up(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted, all of its rows; none of them is paid, and that is told."""
    alice, bob = person(), person()
    rows = [wish(recipient_address=alice), wish(recipient_address=bob, amount="21")]
    loose = Ceiling("recipient", Window.DAY, "USDT", 30 * UNIT)
    await enforce(pay.world, ceilings=(loose,))
    made, _ = await planned(pay, *rows)
    pay.world.clock.skew = timedelta(minutes=2)
    with no_batch(monkeypatch), pytest.raises(StoreUnavailable):
        await runner(pay).step()
    await much_later(pay)
    await enforce(pay.world, ceilings=DAILY)
    await pay.settle(2)
    seen = (await pay.get(f"/payouts/schedules/{made['schedule_id']}")).json()
    assert (seen["status"], seen["last_refusal"]) == ("finished", "payout_cap_exceeded")
    assert [await pay.held(each) for each in (alice, bob)] == [0, 0]


async def test_who_is_verified_by_a_token_s_claim_only_is_refused_when_it_is_asked_for(
    pay: Pay,
) -> None:
    """The claim is not there when it is due: each time the row would be refused."""
    count = await Schedule.find({}).count()
    body = asked(pay, wish(kyc_verified=True), wish())
    answer = await pay.post("/payouts/schedules", body, kyc="full")
    assert refusal(answer)[:2] == (422, "rows_refused"), answer.text
    assert [(row["row"], row["code"]) for row in answer.json()["refused"]] == [
        (1, "kyc_not_verified")
    ]
    assert "claim" in answer.json()["detail"]
    assert await Schedule.find({}).count() == count


async def test_a_schedule_that_ends_before_it_begins_is_refused(pay: Pay) -> None:
    now = pay.world.clock.now()
    for hours, status in ((1, 422), (2, 202)):
        until = rfc3339(now + timedelta(hours=hours, minutes=1))
        answer = await pay.post("/payouts/schedules", asked(pay, wish(), every="day", until=until))
        assert answer.status_code == status, answer.text
    await pay.post(f"/payouts/schedules/{answer.json()['schedule_id']}/cancel")
