"""Called back, refused or expired after a torn restore: what was paid does not end as unpaid, and
keeps nothing else from ending."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.payouts.test_apart import loop, restored, rows_of
from tests.payouts.test_never_placed import die
from tests.payouts.test_policy import enforce
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.engine import Engine, Order, OrderStatus
from tron_payment.payouts.batch_documents import Batch, BatchStatus, Calling, Stage
from tron_payment.payouts.documents import Payout

UNITS = 12_500_000
ROWS = 40
TORN = 17  # more than are called back at once
LIFETIME_S = 3_600


@pytest.fixture
async def strict(pay: Pay) -> AsyncIterator[Pay]:
    """Everything waits for an approval."""
    bands = [{"above": "0", "approvals": 1}]
    await enforce(pay, approval_bands=bands, approval_lifetime_s=LIFETIME_S)
    yield pay
    await enforce(pay)


class Dump:
    """Documents as they were, of which some come back."""

    def __init__(self, kind: Any, rows: Sequence[dict[str, Any]]) -> None:
        self._collection = kind.get_pymongo_collection()
        self._rows = rows

    @classmethod
    async def of(cls, kind: Any, *ids: str) -> "Dump":
        found = kind.get_pymongo_collection().find({"_id": {"$in": list(ids)}})
        return cls(kind, await found.to_list())

    async def restore(self) -> None:
        for row in self._rows:
            await self._collection.replace_one({"_id": row["_id"]}, row)


async def forget(order_ids: Sequence[str]) -> None:
    await Order.get_pymongo_collection().delete_many({"_id": {"$in": list(order_ids)}})


async def statuses(order_ids: Sequence[str]) -> list[str]:
    found = await Order.find({"_id": {"$in": list(order_ids)}}).to_list()
    return sorted(order.status.value for order in found)


@contextmanager
def only(pay: Pay, order_ids: set[str]) -> Iterator[None]:
    """No other order is signed."""

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {order.id: "held" for order in orders if order.id not in order_ids}

    pay.house.engine.gate(gate)
    try:
        yield
    finally:
        pay.house.engine.dispatcher.gates.remove(gate)


async def pay_only(pay: Pay, order_ids: set[str]) -> None:
    with only(pay, order_ids):
        for _ in range(12):
            await pay.settle()
            if set(await statuses(sorted(order_ids))) == {"settled"}:
                return
    raise AssertionError(await statuses(sorted(order_ids)))


async def batch_of(pay: Pay, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Of direct rows, each an order; nothing of it is placed."""
    rows = [wish(recipient_address=person(), route="direct") for _ in range(ROWS)]
    with monkeypatch.context() as death:
        death.setattr(Engine, "place_many", die)
        await pay.post("/payouts/batch", {"payouts": rows}, key=f"torn-{person()}")
    row = await Payout.find_one({"recipient_address": rows[0]["recipient_address"]})
    assert row is not None
    batch = await Batch.get(row.batch_id)
    assert batch is not None and batch.stage is Stage.STORED
    return batch


async def assert_the_others_are_unpaid(pay: Pay, batch: Batch, torn: set[str]) -> None:
    """Whatever time passes; and the loop of batches has its pauses."""
    for _ in range(3):
        await pay.settle(2)
        assert not await loop(pay, "payouts.batches").step()
    rows = await rows_of({"batch_id": batch.id})
    others = [row for row in rows if row.order_id not in torn]
    assert len(others) == ROWS - TORN
    assert {row.status for row in others} == {"canceled"}
    paid = [row for row in rows if row.order_id in torn]
    held = [await pay.held(row.recipient_address) for row in (*others, *paid)]
    assert held == [0] * len(others) + [UNITS] * TORN
    again = await Batch.get(batch.id)
    assert again is not None
    assert (again.stage, again.calling, again.working) == (Stage.PLACED, Calling.ASKED, True)


async def test_orders_that_a_block_has_ended_keep_no_other_from_being_called_back(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await batch_of(pay, monkeypatch)
    while await loop(pay, "payouts.batches").step():
        pass
    rows = await rows_of({"batch_id": batch.id})
    torn = set(sorted(row.order_id for row in rows)[:TORN])
    orders = await Dump.of(Order, *torn)
    payouts = await Dump.of(Payout, *(row.id for row in rows if row.order_id in torn))
    await pay_only(pay, torn)
    await orders.restore()
    await payouts.restore()
    gone = await pay.post(f"/payouts/batch/{batch.id}/cancel")
    assert gone.status_code == 200, gone.text
    others = [row.order_id for row in rows if row.order_id not in torn]
    assert set(await statuses(others)) == {"canceled"}
    await assert_the_others_are_unpaid(pay, batch, torn)


@pytest.mark.parametrize("size", [500, 5])
async def test_a_batch_whose_orders_are_forgotten_places_only_those_that_a_block_has_ended(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Who reads that block once more finds them; in pieces of all rows, and of some."""
    batch = await batch_of(pay, monkeypatch)
    rows = await rows_of({"batch_id": batch.id})
    dumps = [await Dump.of(Batch, batch.id), await Dump.of(Payout, *(row.id for row in rows))]
    while await loop(pay, "payouts.batches").step():
        pass
    ids = [row.order_id for row in rows]
    torn = set(ids[:TORN])
    await pay_only(pay, torn)
    await forget(ids)
    for dump in dumps:
        await dump.restore()
    work = loop(pay, "payouts.batches").step.__self__  # type: ignore[attr-defined]
    monkeypatch.setattr("tron_payment.payouts.batch_work.PIECE", size)
    monkeypatch.setattr(work, "_batch_size", 1)  # a piece has one order more than `size`
    with monkeypatch.context() as death:
        death.setattr(Engine, "cancel", die)  # before anything that was placed is called back
        await pay.post(f"/payouts/batch/{batch.id}/cancel")
    assert set(await statuses(ids[TORN:])) == {"canceled"}
    assert "canceled" not in await statuses(sorted(torn))
    assert len(await statuses(sorted(torn))) == TORN
    await assert_the_others_are_unpaid(pay, batch, torn)


HOW = ["cancel", "reject", "expire"]


async def end(pay: Pay, path: str, how: str) -> httpx.Response | None:
    if how == "cancel":
        return await pay.post(f"/payouts/{path}/cancel")
    if how == "reject":
        return await pay.post(f"/payouts/{path}/reject", {}, role="approver", sub="ap-1")
    pay.world.clock.skew += timedelta(seconds=LIFETIME_S)
    try:
        for name in ("payouts.sweep", "payouts.batches"):
            for _ in range(9):
                if not await loop(pay, name).step():
                    break
            else:
                raise AssertionError(f"{name} turns round and round")
    finally:
        pay.world.clock.skew -= timedelta(seconds=LIFETIME_S)
    return None


async def approved(pay: Pay, path: str) -> None:
    done = await pay.post(f"/payouts/{path}/approve", role="approver", sub="ap-1")
    assert done.status_code == 200, done.text
    await pay.settle(2)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("there", [True, False], ids=["its order is there", "and older, too"])
async def test_a_payout_older_than_its_approval_does_not_end_as_unpaid(
    strict: Pay, how: str, there: bool
) -> None:
    pay, alice = strict, person()
    made = await pay.pay(recipient_address=alice)
    other = await pay.pay(recipient_address=person())
    dump = await Dump.of(Payout, made["payout_id"])
    await approved(pay, made["payout_id"])
    assert await pay.held(alice) == UNITS
    await dump.restore()
    (order,) = await Order.find({"subject": made["payout_id"]}).to_list()
    assert order.status is OrderStatus.SETTLED
    if not there:
        await forget([order.id])
    before = await Payout.get(made["payout_id"])
    answer = await end(pay, made["payout_id"], how)
    assert answer is None or refusal(answer)[:2] == (409, "perhaps_paid"), answer
    assert await Payout.get(made["payout_id"]) == before
    await end(pay, other["payout_id"], how)
    expected = "canceled" if how == "cancel" else "rejected"
    assert (await pay.payout(other["payout_id"]))["status"] == expected
    await Payout.find({"_id": made["payout_id"]}).delete()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("there", [True, False], ids=["its orders are there", "and older, too"])
@pytest.mark.parametrize("rows_there", [True, False])
async def test_a_batch_older_than_its_approval_does_not_end_as_unpaid(
    strict: Pay, how: str, there: bool, rows_there: bool
) -> None:
    pay = strict
    made = await pay.batch([wish(recipient_address=person(), route="direct") for _ in range(2)])
    other = await pay.batch([wish(recipient_address=person())])
    rows = await rows_of(made)
    dumps = [await Dump.of(Batch, made["batch_id"])]
    if not rows_there:
        dumps.append(await Dump.of(Payout, *(row.id for row in rows)))
    await approved(pay, f"batch/{made['batch_id']}")
    assert [await pay.held(row.recipient_address) for row in rows] == [UNITS] * 2
    for dump in dumps:
        await dump.restore()
    if not there:
        await forget([row.order_id for row in rows])
    before = await rows_of(made)
    answer = await end(pay, f"batch/{made['batch_id']}", how)
    assert answer is None or refusal(answer)[:2] == (409, "perhaps_paid"), answer
    assert await rows_of(made) == before
    batch = await Batch.get(made["batch_id"])
    assert batch is not None
    assert (batch.status, batch.ending) == (BatchStatus.AWAITING_APPROVAL, None)
    await end(pay, f"batch/{other['batch_id']}", how)
    assert (await pay.get(f"/payouts/batch/{other['batch_id']}")).json()["status"] == "canceled"
    await Batch.find({"_id": made["batch_id"]}).delete()


@pytest.mark.parametrize("how", HOW)
async def test_what_waits_for_approval_ends_when_a_restored_store_was_read(
    strict: Pay, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    pay = strict
    made = await pay.pay(recipient_address=person())
    many = await pay.batch([wish(recipient_address=person()) for _ in range(2)])
    paths = [made["payout_id"], f"batch/{many['batch_id']}"]
    with restored(pay, monkeypatch):
        for path in paths:
            answer = await end(pay, path, how)
            assert answer is None or refusal(answer)[:2] == (409, "perhaps_paid"), answer
            seen = (await pay.get(f"/payouts/{path}")).json()
            assert seen["status"] == "awaiting_approval"
    for path in paths:
        answer = await end(pay, path, how)
        assert answer is None or answer.status_code == 200, answer.text
        seen = (await pay.get(f"/payouts/{path}")).json()
        assert seen["status"] in {"canceled", "rejected"}


async def test_what_is_approved_while_it_is_called_back_is_called_back_as_approved(
    strict: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its order is there by then, in a store that nobody has restored."""
    pay, bob = strict, person()
    made = await pay.pay(recipient_address=bob)
    look, at_it, go = Engine.see_unpaid, asyncio.Event(), asyncio.Event()

    async def slow(self: Engine, order_ids: Sequence[str]) -> None:
        at_it.set()
        await asyncio.wait_for(go.wait(), 30)
        await look(self, order_ids)

    monkeypatch.setattr(Engine, "see_unpaid", slow)
    asked = asyncio.create_task(pay.post(f"/payouts/{made['payout_id']}/cancel"))
    await asyncio.wait_for(at_it.wait(), 30)
    done = await pay.post(f"/payouts/{made['payout_id']}/approve", role="approver", sub="ap-1")
    go.set()
    assert done.status_code == 200, done.text
    answer = await asked
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    await pay.settle()
    assert await pay.held(bob) == 0


async def test_a_payout_whose_order_is_lost_is_placed_again_when_it_is_called_back(
    pay: Pay,
) -> None:
    """Nobody else places it any more; without its order nothing would find what has paid it."""
    bob = person()
    payout_id = (await pay.pay(recipient_address=bob))["payout_id"]
    dump = await Dump.of(Payout, payout_id)
    for _ in range(12):
        await pay.settle()
    assert (await pay.payout(payout_id))["status"] == "settled"
    await dump.restore()
    payout = await Payout.get(payout_id)
    assert payout is not None
    await payout.set({"sweep_at": None})
    await forget([payout.order_id])
    called_back = await pay.post(f"/payouts/{payout_id}/cancel")
    assert refusal(called_back)[:2] == (409, "perhaps_paid"), called_back.text
    assert await statuses([payout.order_id]) == ["queued"]
    await pay.settle(3)
    order = await Order.get(payout.order_id)
    assert order is not None and order.waiting_for == "journal_closed"
    assert await pay.held(bob) == UNITS
