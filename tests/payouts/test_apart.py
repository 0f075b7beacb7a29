"""What keeps one payout, order or batch stops none of the others, is seen, and goes on later."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.payouts.test_telling import told
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.engine import Engine, Order, OrderStatus
from tron_payment.loops import Loop
from tron_payment.payouts.batch_documents import Batch, Calling
from tron_payment.payouts.documents import SWEEP_AFTER, Payout
from tron_payment.payouts.domain import RouteUnavailable

UNITS = 12_500_000
GONE = "route_unavailable"


@contextmanager
def without_router(pay: Pay) -> Iterator[None]:
    """The setting was taken away, and the service started again."""
    deployment = pay.house.deployment
    router, deployment.router_v0 = deployment.router_v0, None
    try:
        yield
    finally:
        deployment.router_v0 = router


def loop(pay: Pay, name: str) -> Loop:
    (found,) = [each for each in pay.world.assembly.loops.all if each.name == name]
    return found


async def rows_of(batch: dict[str, Any]) -> list[Payout]:
    found: list[Payout] = await Payout.find({"batch_id": batch["batch_id"]}).sort("+row").to_list()
    return found


async def test_an_order_that_cannot_part_keeps_nobody_else_from_being_told(pay: Pay) -> None:
    leaving, staying = await rows_of(
        await pay.batch([wish(recipient_address=person()) for _ in range(2)])
    )
    carl = person()
    with without_router(pay):
        gone = await pay.post(f"/payouts/{leaving.id}/cancel")
        assert (gone.status_code, gone.json()["status"]) == (200, "canceled"), gone.text
        other = await pay.pay("direct", recipient_address=carl)
        for _ in range(3):
            with pytest.raises(RouteUnavailable):  # the loop is seen to fail
                await pay.house.engine.tell()
            while await pay.house.engine.dispatcher.step():
                pass
            await pay.world.devnet.mine(20)
            while await loop(pay, "chain.follow").step():
                pass
        with pytest.raises(RouteUnavailable):
            await pay.house.engine.tell()
        assert await pay.held(carl) == UNITS
        assert (await pay.payout(other["payout_id"]))["status"] == "settled"
        assert (await told(other["payout_id"]))[-1] == "settled"
        waits = await pay.payout(staying.id)
        assert (waits["status"], waits["waiting_for"]) == ("queued", GONE)
        found = (await pay.get("/payouts/history?waiting_for=somebody")).json()["data"]
        assert staying.id in [each["payout_id"] for each in found]
        why = (await pay.get(f"/payouts/{staying.id}/explain")).json()
        assert "in the settings no more" in why["waits_for"]
    await pay.settle(3)
    assert (await pay.payout(staying.id))["status"] == "settled"
    assert [await pay.held(row.recipient_address) for row in (leaving, staying)] == [0, UNITS]
    assert (await told(leaving.id)).count("canceled") == 1
    await pay.assert_books_equal_chain()


async def test_a_payout_that_cannot_be_placed_keeps_no_other_from_being_swept(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> Any:
        raise ConnectionAbortedError

    monkeypatch.setattr(Engine, "place", die)
    recipients, keys = [person(), person()], ["a-half-by-the-router", "a-half-that-goes-direct"]
    for path, recipient, key in zip(("v0", "direct"), recipients, keys, strict=True):
        await pay.post(f"/payouts/{path}", wish(recipient_address=recipient), key=key)
    monkeypatch.undo()
    ids = [pay.house.idempotency.object_id("pay", "op-1", key) for key in keys]
    pay.world.clock.skew += SWEEP_AFTER * 2
    with without_router(pay):
        with pytest.raises(RouteUnavailable):
            await loop(pay, "payouts.sweep").step()
        assert (await pay.payout(ids[0]))["waiting_for"] == GONE
        assert (await Order.find_one({"subject": ids[1]})) is not None
        assert not await loop(pay, "payouts.sweep").step(), "others are looked at before"
    pay.world.clock.skew += SWEEP_AFTER * 2
    await pay.settle(2)
    pay.world.clock.skew = timedelta()
    assert [await pay.held(each) for each in recipients] == [UNITS, UNITS]


async def test_a_batch_that_cannot_be_placed_keeps_no_other_and_none_of_its_other_rows(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> Any:
        raise ConnectionAbortedError

    monkeypatch.setattr(Engine, "place_many", die)
    routed, direct, other = person(), person(), person()
    keys = ["a-batch-of-two-routes", "a-batch-that-goes-direct"]
    bodies = [
        [wish(recipient_address=routed), wish(recipient_address=direct, route="direct")],
        [wish(recipient_address=other, route="direct")],
    ]
    for key, body in zip(keys, bodies, strict=True):
        await pay.post("/payouts/batch", {"payouts": body}, key=key)
    monkeypatch.undo()
    with without_router(pay):
        with pytest.raises(RouteUnavailable):
            await loop(pay, "payouts.batches").step()
        (waits,) = await Payout.find({"recipient_address": routed}).to_list()
        assert waits.waiting_for == GONE
        placed = await Payout.find({"recipient_address": {"$in": [direct, other]}}).to_list()
        assert await Order.find({"_id": {"$in": [row.order_id for row in placed]}}).count() == 2
    await pay.settle(3)
    assert [await pay.held(each) for each in (routed, direct, other)] == [UNITS] * 3


@contextmanager
def restored(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The store may have forgotten what was paid: no order ends."""

    async def perhaps() -> bool:
        return True

    monkeypatch.setattr(pay.house.engine.safe_mode, "may_have_forgotten", perhaps)
    yield
    monkeypatch.undo()


async def test_a_batch_called_back_while_no_order_may_end_is_called_back_later(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await pay.batch(
        [wish(recipient_address=person(), max_fee_trx="0") for _ in range(2)]
        + [wish(recipient_address=person(), max_fee_trx="0", route="direct")]
    )
    other = person()
    with restored(pay, monkeypatch):
        asked = await pay.post(f"/payouts/batch/{made['batch_id']}/cancel")
        assert asked.status_code == 200, asked.text
        for _ in range(2):
            await loop(pay, "payouts.batches").step()
        assert not await loop(pay, "payouts.batches").step(), "and it does not turn round and round"
        batch = await Batch.get(made["batch_id"])
        assert batch is not None and (batch.calling, batch.working) == (Calling.ASKED, True)
        await pay.batch([wish(recipient_address=other)])
        await pay.settle(2)
        assert await pay.held(other) == UNITS
    await pay.settle(2)
    seen = (await pay.get(f"/payouts/batch/{made['batch_id']}")).json()
    assert (seen["status"], seen["counts"]) == ("canceled", {"canceled": 3})


async def test_a_row_that_may_not_be_called_back_now_stays_as_it_was(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, mate = await rows_of(await pay.batch([wish(recipient_address=person()) for _ in range(2)]))
    with restored(pay, monkeypatch):
        answer = await pay.post(f"/payouts/{row.id}/cancel")
        assert refusal(answer)[:2] == (409, "perhaps_paid")
    same = await Payout.get(row.id)
    assert same is not None and (same.eject, same.order_id) == (None, row.order_id)
    await pay.settle(2)
    assert [await pay.held(each.recipient_address) for each in (row, mate)] == [UNITS, UNITS]


async def test_a_batch_waits_for_an_order_that_is_still_to_be_made(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows have left their order; who made them leave dies before they have another."""

    async def die(*_: object) -> Any:
        raise ConnectionAbortedError

    rows = await rows_of(await pay.batch([wish(recipient_address=person()) for _ in range(3)]))
    order_id = rows[0].order_id
    monkeypatch.setattr(Engine, "place", die)
    await pay.post(f"/payouts/{rows[0].id}/cancel")
    monkeypatch.undo()
    assert {row.order_id for row in await rows_of({"batch_id": rows[0].batch_id})} > {order_id}
    asked = await pay.post(f"/payouts/batch/{rows[0].batch_id}/cancel")
    assert asked.status_code == 200, asked.text
    await loop(pay, "payouts.batches").step()  # rows have moved, and are counted
    assert not await loop(pay, "payouts.batches").step(), "and it does not turn round and round"
    await pay.settle(2)
    assert [(await pay.payout(row.id))["status"] for row in rows] == ["canceled"] * 3
    ended = await Order.find({"subject": rows[0].batch_id}).to_list()
    assert {order.status for order in ended} == {OrderStatus.CANCELED}
