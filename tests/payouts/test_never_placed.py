"""Called back before it was placed: it ends although no order can be made of it, and whoever is
about to place it places nothing."""

import asyncio
from typing import Any

import pytest

from tests.payouts.test_apart import loop, restored, rows_of, without_router
from tests.payouts.test_telling import told
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.errors import AppError
from tron_payment.engine import Engine, Order, OrderStatus
from tron_payment.payouts import batch_row_documents
from tron_payment.payouts.batch_documents import Batch, Calling, Stage
from tron_payment.payouts.documents import Payout

BOUND_S = 30
UNITS = 12_500_000


async def die(*_: object, **__: object) -> Any:
    raise ConnectionAbortedError


async def stored(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Two rows of the router's and one that goes direct; who accepted them died before placing."""
    rows = [wish(recipient_address=person()) for _ in range(2)]
    rows.append(wish(recipient_address=person(), route="direct"))
    with monkeypatch.context() as death:
        death.setattr(Engine, "place_many", die)
        await pay.post("/payouts/batch", {"payouts": rows}, key=f"nobody-placed-{person()}")
    row = await Payout.find_one({"recipient_address": rows[0]["recipient_address"]})
    assert row is not None
    batch = await Batch.get(row.batch_id)
    assert batch is not None and batch.stage is Stage.STORED
    return batch


async def assert_unpaid(pay: Pay, batch: Batch) -> None:
    rows = await rows_of({"batch_id": batch.id})
    assert [row.status for row in rows] == ["canceled"] * 3
    assert [(await told(row.id)).count("canceled") for row in rows] == [1, 1, 1]
    orders = await Order.find({"subject": batch.id}).to_list()
    assert {order.status for order in orders} == {OrderStatus.CANCELED}
    assert [await pay.held(row.recipient_address) for row in rows] == [0, 0, 0]
    seen = (await pay.get(f"/payouts/batch/{batch.id}")).json()
    assert (seen["status"], seen["counts"]) == ("canceled", {"canceled": 3})
    await pay.assert_books_equal_chain()


async def test_a_batch_whose_router_is_gone_is_called_back_whole(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await stored(pay, monkeypatch)
    with without_router(pay):
        answer = await pay.post(f"/payouts/batch/{batch.id}/cancel")
        assert answer.status_code == 200, answer.text
        await pay.settle(2)
        await assert_unpaid(pay, batch)
    await pay.settle(2)
    await assert_unpaid(pay, batch)


@pytest.mark.parametrize(
    ("where", "step", "after"),
    [
        (batch_row_documents, "mark_rows_ejected", True),
        (Engine, "forgo", False),
        (Engine, "forgo", True),
    ],
)
async def test_who_dies_while_they_call_it_back_is_followed(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, where: Any, step: str, after: bool
) -> None:
    batch = await stored(pay, monkeypatch)
    do = getattr(where, step)

    async def killed(*args: Any) -> None:
        if after:
            await do(*args)
        raise ConnectionAbortedError

    with without_router(pay):
        with monkeypatch.context() as death:
            death.setattr(where, step, killed)
            await pay.post(f"/payouts/batch/{batch.id}/cancel")
        again = await Batch.get(batch.id)
        assert again is not None
        assert (again.stage, again.calling) == (Stage.STORED, Calling.ASKED)
        await pay.settle(2)
        await assert_unpaid(pay, batch)


async def test_who_was_about_to_place_a_batch_places_nothing_of_what_is_called_back(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await stored(pay, monkeypatch)
    place, at_it, go = Engine.place_many, asyncio.Event(), asyncio.Event()

    async def slow(self: Engine, wishes: Any) -> Any:
        at_it.set()
        await asyncio.wait_for(go.wait(), BOUND_S)
        return await place(self, wishes)

    monkeypatch.setattr(Engine, "place_many", slow)
    running = asyncio.create_task(loop(pay, "payouts.batches").step())
    try:
        await asyncio.wait_for(at_it.wait(), BOUND_S)
        assert (await pay.post(f"/payouts/batch/{batch.id}/cancel")).status_code == 200
    finally:
        go.set()
    await running
    await pay.settle(2)
    await assert_unpaid(pay, batch)


async def test_while_a_restored_store_is_read_a_batch_is_placed_and_ends_afterwards(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it forgot may be the batch's orders: they are to be found by who reads it."""
    batch = await stored(pay, monkeypatch)
    with restored(pay, monkeypatch), without_router(pay):
        assert (await pay.post(f"/payouts/batch/{batch.id}/cancel")).status_code == 200
        (order,) = await Order.find({"subject": batch.id}).to_list()
        assert (order.status, order.kind) == (OrderStatus.QUEUED, "payout.direct")
        assert {row.status for row in await rows_of({"batch_id": batch.id})} == {"queued"}
    while await loop(pay, "payouts.batches").step():
        pass
    await pay.settle(2)
    await assert_unpaid(pay, batch)


@pytest.mark.parametrize("path", ["v0", "direct"])
async def test_a_payout_that_was_never_placed_is_called_back(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    bob = person()
    key = f"a-half-never-placed-{path}"
    with monkeypatch.context() as death:
        death.setattr(Engine, "place", die)
        await pay.post(f"/payouts/{path}", wish(recipient_address=bob), key=key)
    payout_id = pay.house.idempotency.object_id("pay", "op-1", key)
    with without_router(pay):
        with restored(pay, monkeypatch):
            kept = await pay.post(f"/payouts/{payout_id}/cancel")
            assert refusal(kept)[:2] == (409, "perhaps_paid")
        gone = await pay.post(f"/payouts/{payout_id}/cancel")
        assert (gone.status_code, gone.json()["status"]) == (200, "canceled"), gone.text
    await pay.settle(2)
    assert await pay.held(bob) == 0
    (order,) = await Order.find({"subject": payout_id}).to_list()
    assert order.status is OrderStatus.CANCELED
    assert (await told(payout_id)).count("canceled") == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_rows_whose_next_order_cannot_be_made_are_called_back(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    leaving, *rest = await rows_of(
        await pay.batch([wish(recipient_address=person()) for _ in range(3)])
    )
    with without_router(pay):
        assert (await pay.post(f"/payouts/{leaving.id}/cancel")).status_code == 200
        with pytest.raises(AppError):
            await pay.house.engine.tell()
        with restored(pay, monkeypatch):
            kept = await pay.post(f"/payouts/{rest[0].id}/cancel")
            assert refusal(kept)[:2] == (409, "perhaps_paid")
            same = await Payout.get(rest[0].id)
            assert same is not None and same.eject is None
        path = f"batch/{leaving.batch_id}" if whole else rest[0].id
        gone = await pay.post(f"/payouts/{path}/cancel")
        assert gone.status_code == 200, gone.text
        for name in ("payouts.batches", "engine.tell"):
            try:
                await loop(pay, name).step()
            except AppError as kept_one:
                assert not whole, kept_one
    await pay.settle(3)
    expected = ["canceled", "canceled" if whole else "settled"]
    assert [(await pay.payout(row.id))["status"] for row in rest] == expected
    held = [await pay.held(row.recipient_address) for row in (leaving, *rest)]
    assert held == [0, 0, 0 if whole else UNITS]
    await pay.assert_books_equal_chain()
