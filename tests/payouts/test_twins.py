"""A payout's or a batch's key repeated while the first is under way, near a limit."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.test_doors import UNIT, enforce, treasury
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.db.faults import StoreUnavailable
from tron_payment.http.idempotency import Idempotency, InFlight
from tron_payment.http.twins import UNDER_WAY_MAX
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


@pytest.mark.parametrize("path", ["/payouts/initiate", "/payouts/batch", "/usdt/transfer"])
@pytest.mark.parametrize("accepted", [False, True])
async def test_what_a_dead_process_has_counted_does_not_refuse_the_repeat(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, path: str, accepted: bool
) -> None:
    """It died between counting and accepting, or making what it had accepted; nobody else has room
    for what it counted."""
    who, key = person(), f"{KEY}-left-{path}-{accepted}"
    await enforce(pay.world, ceilings=(Ceiling("recipient", Window.DAY, "USDT", 30 * UNIT),))
    row: dict[str, Any] = wish(recipient_address=who, amount="25")
    body = row
    if path.endswith("batch"):
        body = {"payouts": [row | {"amount": "13"}, row | {"amount": "12"}]}
    elif path.endswith("transfer"):
        body = {"wallet_id": await treasury(pay.world), "to_address": who, "amount": "25"}

    run = Idempotency.run

    async def dies(idempotency: Idempotency, **asked: Any) -> Any:
        async def killed() -> None:
            raise StoreUnavailable("killed here")

        if not accepted:
            await killed()
        return await run(idempotency, **asked | {"effect": killed, "promise": None})

    async def used() -> int:
        scope = f"recipient:{who}"
        return await RollingLimits(pay.world.clock).used(Window.DAY, scope, "USDT")

    with monkeypatch.context() as dying:
        dying.setattr(Idempotency, "run", dies)
        assert (await pay.post(path, body, key=key)).status_code == 503
    assert await used() == 25 * UNIT
    try:
        early = await pay.post(path, body, key=key)
        assert refusal(early)[:2] == (409, "idempotency_in_flight"), "whoever counted may live"
        pay.world.clock.skew = UNDER_WAY_MAX + timedelta(seconds=1)
        late = await pay.post(path, body, key=key)
        assert late.status_code == 202, late.text
        assert await used() == 25 * UNIT, "it counts once"
        assert (await pay.post(path, body, key=key)).json() == late.json()
        assert await used() == 25 * UNIT
        assert (await pay.post(path, body)).status_code == 422, "another one has no room"
        await pay.settle(3)
    finally:
        pay.world.clock.skew = timedelta()
    assert await pay.held(who) == 25 * UNIT
