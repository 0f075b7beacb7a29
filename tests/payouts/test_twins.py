"""A payout's or a batch's key repeated while the first is under way, near a limit."""

import asyncio
from typing import Any

import pytest

from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.world import Pay, person, wish
from tron_payment.http.idempotency import InFlight
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts.batches import Batches
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.limits import Ceiling, RollingLimits, Window
from tron_payment.payouts.policy_desk import PolicyDesk

KEY = "one-and-the-same-key"


@pytest.mark.parametrize("path", ["/payouts/initiate", "/payouts/batch"])
@pytest.mark.parametrize("pause_s", [0, 0.002])
async def test_the_same_twice_at_once_under_a_limit(pay: Pay, path: str, pause_s: float) -> None:
    who = person()
    await enforce(pay.world, ceilings=(Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT),))
    row: dict[str, Any] = wish(recipient_address=who)
    body = {"payouts": [row]} if path.endswith("batch") else row
    key = f"{KEY}-{path}-{pause_s}"
    tasks = []
    for _ in range(12):
        tasks.append(asyncio.create_task(pay.post(path, body, key=key)))
        await asyncio.sleep(pause_s)
    answers = await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    other = await pay.post(path, body)
    assert other.status_code == 422
    await pay.settle(3)
    assert await pay.held(who) == 12_500_000


async def test_what_a_twin_has_counted_of_a_batch_counts_for_neither(pay: Pay) -> None:
    """Two processes, one batch: the second takes no fewer rows for what the first has counted."""
    who = person()
    await enforce(pay.world, ceilings=(Ceiling("recipient", Window.DAY, "USDT", 40 * UNIT),))
    clock, desk = pay.world.clock, pay.world.service(PolicyDesk)
    one, two = (Counting(clock, desk, RollingLimits(clock)) for _ in range(2))
    made = (await pay.batch([wish(recipient_address=person()) for _ in range(2)]))["batch_id"]
    rows = await pay.house.use(Batches).every_row(await store.by_id(made, {}))
    for row in rows:
        row.id, row.recipient_address, row.hold_id = f"{row.id}-other", who, None
    mine = [row.model_copy() for row in rows]
    assert await one.count(rows) == {}
    with pytest.raises(InFlight):
        await two.count(mine)
    scope = f"recipient:{who}"  # its first row fitted, and counts no more
    assert await RollingLimits(clock).used(Window.DAY, scope, "USDT") == 25 * UNIT
    await one.uncount(rows)
    assert await two.count(mine) == {}
    await two.uncount(mine)
