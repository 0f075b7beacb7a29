"""A process that dies at any of its writes while it accepts rows: each row is paid once."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from tests.engine.points import Crash, Fuse, Points
from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.test_schedules import planned, runner
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.errors import AppError
from tron_payment.http.twins import UNDER_WAY_MAX
from tron_payment.payouts.limits import Ceiling, RollingLimits, Window

DAILY = (Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT),)
POINTS_MAX = 120
TURNS_MAX = 6


@pytest.fixture
async def points(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Points]:
    made = Points()
    made.watch(monkeypatch)
    await enforce(pay.world, ceilings=DAILY)
    yield made
    made.reset()
    pay.world.clock.skew = timedelta()
    await enforce(pay.world)


async def used(pay: Pay, who: str) -> int:
    return await RollingLimits(pay.world.clock).used(Window.DAY, f"recipient:{who}", "USDT")


async def test_an_upload_is_stored_as_it_was_accepted_wherever_its_process_died(
    pay: Pay, points: Points
) -> None:
    people, later = list[Any](), UNDER_WAY_MAX + timedelta(seconds=1)
    for point in count(1):
        assert point < POINTS_MAX
        alice, bob, key = person(), person(), f"dies-at-the-point-{point}"
        rows = [wish(recipient_address=each) for each in (alice, alice, bob)]
        people += [alice, bob]
        fuse = Fuse(points)
        fuse.remaining = point
        with suppress(Crash):
            await pay.post("/payouts/batch", {"payouts": rows}, key=key)
        points.reset()
        answer = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
        if answer.status_code != 202:
            assert refusal(answer)[:2] == (409, "idempotency_in_flight"), fuse.burnt
            pay.world.clock.skew += later
            answer = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
        assert answer.status_code == 202, (fuse.burnt, answer.text)
        told = answer.json()
        assert (told["accepted"], [row["row"] for row in told["refused"]]) == (2, [2]), fuse.burnt
        made = (await pay.get(f"/payouts/batch/{told['batch_id']}")).json()
        assert [row["recipient_address"] for row in made["data"]] == [alice, bob], fuse.burnt
        for each in (alice, bob):
            assert await used(pay, each) == 12_500_000, fuse.burnt
        if not fuse.burnt:
            break
    await pay.settle(4)
    assert {await pay.held(each) for each in people} == {12_500_000}


@pytest.mark.slow
@pytest.mark.parametrize("owed", [False, True])
async def test_what_a_schedule_owes_is_paid_once_wherever_its_process_died(
    pay: Pay, points: Points, owed: bool
) -> None:
    """In the turn that pays the first row, or in the one that pays what was owed of it."""
    people = list[Any]()
    for point in count(1):
        assert point < POINTS_MAX
        alice = person()
        people.append(alice)
        made, _ = await planned(pay, *[wish(recipient_address=alice)] * 2)
        path = f"/payouts/schedules/{made['schedule_id']}"
        if owed:
            await turn(pay)
            await enforce(pay.world)
        fuse = Fuse(points)
        fuse.remaining = point
        await turn(pay)
        points.reset()
        await enforce(pay.world)
        for _ in range(TURNS_MAX):
            seen = (await pay.get(path)).json()
            if seen["status"] == "finished":
                break
            await turn(pay)
        assert (seen["status"], seen["last_refusal"]) == ("finished", None), fuse.burnt
        await enforce(pay.world, ceilings=DAILY)
        if not fuse.burnt:
            break
    await pay.settle(4)
    assert {await pay.held(each) for each in people} == {25_000_000}


async def turn(pay: Pay) -> None:
    """What is due is run, two minutes later; whatever goes wrong is tried again."""
    pay.world.clock.skew += timedelta(minutes=2)
    try:
        await runner(pay).step()
    except (Crash, AppError):
        return
