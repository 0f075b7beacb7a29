"""A canceled schedule pays nothing any more, whoever was about to, and whatever has died."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.payouts.test_schedules import planned, runner
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.chain import NodesUnavailable
from tron_payment.payouts import Schedule
from tron_payment.payouts.batch_documents import Batch
from tron_payment.payouts.batch_drafts import Drafts
from tron_payment.payouts.batches import Batches
from tron_payment.payouts.schedule_documents import CANCEL_FIRST, CLAIM_ENDS, CLAIM_GOOD_FOR
from tron_payment.payouts.schedules import Schedules

DUE = timedelta(minutes=2)
BOUND_S = 30


@pytest.fixture(autouse=True)
async def on_time(pay: Pay) -> AsyncIterator[None]:
    yield
    pay.world.clock.skew = timedelta()


async def killed(*_: Any, **__: Any) -> Any:
    raise RuntimeError("killed here")


async def dying(pay: Pay, patch: pytest.MonkeyPatch, where: Any, step: str) -> None:
    """The schedules are run by a process that is killed there."""
    with patch.context() as death, pytest.raises(RuntimeError, match="killed"):
        death.setattr(where, step, killed)
        await runner(pay).step()


async def batches_of(made: dict[str, Any]) -> int:
    return await Batch.find({"schedule_id": made["schedule_id"]}).count()


async def test_what_is_being_run_is_not_canceled_until_its_batch_is_there(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice), every="day")
    path = f"/payouts/schedules/{made['schedule_id']}"
    make, at_it, go = Drafts.make, asyncio.Event(), asyncio.Event()

    async def slow(self: Drafts, *args: Any) -> Any:
        at_it.set()
        await asyncio.wait_for(go.wait(), BOUND_S)
        return await make(self, *args)

    monkeypatch.setattr(Drafts, "make", slow)
    pay.world.clock.skew = DUE
    running = asyncio.create_task(runner(pay).step())
    try:
        await asyncio.wait_for(at_it.wait(), BOUND_S)
        busy = await pay.post(f"{path}/cancel")
        assert refusal(busy)[:2] == (409, "schedule_busy"), busy.text
        assert busy.json()["retryable"] and "Retry-After" in busy.headers
        assert not await runner(pay).step(), "nobody else runs it"
    finally:
        go.set()
    await running
    gone = (await pay.post(f"{path}/cancel")).json()
    assert gone["status"] == "canceled" and gone["last_batch_id"] is not None
    await pay.settle()
    assert await pay.held(alice) == 12_500_000


async def test_who_was_paused_since_it_claimed_makes_no_batch_of_what_was_canceled(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice))
    make, at_it, go = Drafts.make, asyncio.Event(), asyncio.Event()

    async def slow(self: Drafts, *args: Any) -> Any:
        at_it.set()
        await asyncio.wait_for(go.wait(), BOUND_S)
        return await make(self, *args)

    monkeypatch.setattr(Drafts, "make", slow)
    pay.world.clock.skew = DUE
    running = asyncio.create_task(runner(pay).step())
    try:
        await asyncio.wait_for(at_it.wait(), BOUND_S)
        pay.world.clock.skew += CLAIM_ENDS
        gone = await pay.post(f"/payouts/schedules/{made['schedule_id']}/cancel")
        assert gone.status_code == 200 and gone.json()["last_batch_id"] is None, gone.text
    finally:
        go.set()
    assert not await running
    await pay.settle()
    assert await batches_of(made) == 0 and await pay.held(alice) == 0
    assert CLAIM_GOOD_FOR < CLAIM_ENDS


@pytest.mark.parametrize("is_canceled", [True, False])
@pytest.mark.parametrize(("where", "step"), [(Drafts, "make"), (Schedules, "_go_on")])
async def test_what_a_dead_process_has_claimed_is_canceled_or_paid_once(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, where: Any, step: str, is_canceled: bool
) -> None:
    """It died before its batch was there, or before that was written down."""
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice))
    path = f"/payouts/schedules/{made['schedule_id']}"
    pay.world.clock.skew = DUE
    await dying(pay, monkeypatch, where, step)
    assert not await runner(pay).step(), "it may be at it"
    assert refusal(await pay.post(f"{path}/cancel"))[:2] == (409, "schedule_busy")
    pay.world.clock.skew += CLAIM_ENDS
    assert not await runner(pay).step(), "who would cancel it comes first"
    if is_canceled:
        gone = await pay.post(f"{path}/cancel")
        assert gone.status_code == 200 and gone.json()["status"] == "canceled", gone.text
        assert (gone.json()["last_batch_id"] is None) == (await batches_of(made) == 0)
    pay.world.clock.skew += CANCEL_FIRST
    await pay.settle()
    seen = (await pay.get(path)).json()
    assert seen["status"] == ("canceled" if is_canceled else "finished")
    paid = where is Schedules or not is_canceled
    assert await batches_of(made) == (1 if paid else 0)
    assert (seen["last_batch_id"] is not None) == paid
    assert await pay.held(alice) == (12_500_000 if paid else 0)


async def test_what_an_older_release_left_without_a_claim_is_named_by_who_cancels_it(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice))
    pay.world.clock.skew = DUE
    await dying(pay, monkeypatch, Schedules, "_go_on")
    await Schedule.get_pymongo_collection().update_one(
        {"_id": made["schedule_id"]}, {"$unset": {"busy_until": "", "unsure_until": ""}}
    )
    gone = await pay.post(f"/payouts/schedules/{made['schedule_id']}/cancel")
    assert gone.json()["status"] == "canceled" and gone.json()["last_batch_id"] is not None


async def test_a_schedule_whose_every_run_faults_is_canceled_when_the_first_claim_is_over(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice), every="day")
    path = f"/payouts/schedules/{made['schedule_id']}"

    async def away(*_: Any, **__: Any) -> Any:
        raise NodesUnavailable("away")

    tried: list[timedelta] = []
    with monkeypatch.context() as patched:
        patched.setattr(Batches, "request", away)
        for half_minutes in range(11):
            since = timedelta(seconds=30) * half_minutes
            pay.world.clock.skew = DUE + since
            try:
                assert not await runner(pay).step()
            except NodesUnavailable:
                tried.append(since)
            gone = await pay.post(f"{path}/cancel")
            if since < CLAIM_ENDS:
                assert refusal(gone)[:2] == (409, "schedule_busy")
    assert gone.status_code == 200 and gone.json()["status"] == "canceled", gone.text
    assert timedelta(minutes=1) in tried, "a fault that passes delays nothing"
    assert max(tried) < CLAIM_ENDS


async def test_who_claims_again_what_faulted_makes_no_batch_when_the_first_claim_is_over(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = person()
    made, _ = await planned(pay, wish(recipient_address=alice))
    make, at_it, go = Drafts.make, asyncio.Event(), asyncio.Event()

    async def away(*_: Any, **__: Any) -> Any:
        raise NodesUnavailable("away")

    async def slow(self: Drafts, *args: Any) -> Any:
        at_it.set()
        await asyncio.wait_for(go.wait(), BOUND_S)
        return await make(self, *args)

    pay.world.clock.skew = DUE
    with monkeypatch.context() as patched, pytest.raises(NodesUnavailable):
        patched.setattr(Batches, "request", away)
        await runner(pay).step()
    monkeypatch.setattr(Drafts, "make", slow)
    pay.world.clock.skew += CLAIM_GOOD_FOR - timedelta(seconds=20)
    running = asyncio.create_task(runner(pay).step())
    try:
        await asyncio.wait_for(at_it.wait(), BOUND_S)
        pay.world.clock.skew = DUE + CLAIM_ENDS + timedelta(seconds=10)
        gone = await pay.post(f"/payouts/schedules/{made['schedule_id']}/cancel")
        assert gone.status_code == 200 and gone.json()["status"] == "canceled", gone.text
    finally:
        go.set()
    assert not await running
    await pay.settle()
    assert await batches_of(made) == 0 and await pay.held(alice) == 0
