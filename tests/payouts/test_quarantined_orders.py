"""A transaction of several payouts in quarantine, proved never to have paid: they go on without."""

from typing import Any

import pytest

from tests.payouts.test_quarantine import QUARANTINE, UNITS
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.chain import Nodes
from tron_payment.engine import Order, OrderStatus
from tron_payment.engine import documents as orders
from tron_payment.payouts.documents import CANCELED_BY_HAND, Payout

NEVER_SENT_S = 24 * 60


async def dead(pay: Pay, patch: pytest.MonkeyPatch, rows: int = 2) -> tuple[Order, list[Payout]]:
    """An order of several that a contradiction stopped, and whose bytes nobody ever sent."""

    async def nobody(self: Nodes, raw: bytes) -> list[Any]:
        return []

    with patch.context() as silent:
        silent.setattr(Nodes, "broadcast", nobody)
        made = await pay.batch([wish(recipient_address=person()) for _ in range(rows)])
        await pay.world.work()
        payouts = await Payout.find({"batch_id": made["batch_id"]}).to_list()
        order = await pay.house.engine.find(payouts[0].order_id)
        assert order is not None and len(order.expects) == rows
        now = pay.world.clock.now()
        changes = {"reason": "a contradiction"}
        await orders.apply_move(orders.move(order, OrderStatus.QUARANTINED, now, set=changes))
        await pay.world.work()
        for _ in range(NEVER_SENT_S // 120):
            await pay.world.wait(120)
    assert {(await pay.payout(each.id))["status"] for each in payouts} == {"quarantined"}
    return order, payouts


async def end(pay: Pay, object_id: str) -> None:
    path = f"{QUARANTINE}/{object_id}"
    said = await pay.post(f"{path}/propose", {"outcome": "failed", "note": "dead"})
    assert said.status_code == 200, said.text
    yes = await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    assert (yes.status_code, yes.json()["status"]) == (200, "resolved"), yes.text


@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_they_leave_quarantine_with_their_order_and_are_paid_once(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, leaving: int
) -> None:
    """Those that were to leave the transaction do; their batch, which had ended, goes on."""
    order, payouts = await dead(pay, monkeypatch)
    gone = [each.id for each in payouts[:leaving]]
    await Payout.get_pymongo_collection().update_many(
        {"_id": {"$in": gone}}, {"$set": {"eject": CANCELED_BY_HAND}}
    )
    await end(pay, order.id)
    await pay.settle(3)
    for each in payouts:
        status = "canceled" if each.id in gone else "settled"
        assert (await pay.payout(each.id))["status"] == status
        assert await pay.held(each.recipient_address) == (UNITS if status == "settled" else 0)
    waiting = (await pay.get(QUARANTINE)).json()
    assert not {each["object_id"] for each in waiting} & {order.id, *(p.id for p in payouts)}
    batch = (await pay.get(f"/payouts/batch/{payouts[0].batch_id}")).json()
    assert batch["status"] == ("completed", "completed_with_errors", "canceled")[leaving]
    await pay.assert_books_equal_chain()


async def test_those_that_an_older_build_left_behind_end_as_failed_and_are_paid_anew(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, payouts = await dead(pay, monkeypatch)
    early = await pay.post(
        f"{QUARANTINE}/{payouts[0].id}/propose", {"outcome": "failed", "note": "?"}
    )
    assert refusal(early)[:2] == (404, "not_quarantined"), "its order is what is resolved"
    found = await pay.house.engine.find(order.id)
    assert found is not None
    evidence = await pay.house.engine.quarantine.look(found)
    assert evidence.proves is OrderStatus.FAILED
    now = pay.world.clock.now()
    ended = {"reason": "quarantine: dead (a, b)", "books_open": True}
    ended |= {"live_txid": None, "live_expiration_ms": None}
    await orders.apply_move(orders.move(found, OrderStatus.FAILED, now, set=ended, quiet=True))
    await pay.settle()
    await end(pay, payouts[0].id)
    again = await pay.post(f"/payouts/{payouts[0].id}/retry")
    assert again.status_code == 202, again.text
    await pay.settle(2)
    assert (await pay.payout(again.json()["payout_id"]))["status"] == "settled"
    assert await pay.held(payouts[0].recipient_address) == UNITS
    assert (await pay.payout(payouts[1].id))["status"] == "quarantined"
