"""What people did is told although the process dies right after it, and told once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.payouts.test_policy import enforce
from tests.payouts.test_quarantine import QUARANTINE, skipped
from tests.payouts.world import Pay, person, wish
from tron_payment.db.events import Event
from tron_payment.engine import Order
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.documents import Payout

BAND = {"currency": "USDT", "above": "10", "approvals": 1, "approvers": []}
LIMIT = {"scope": "recipient", "window": "24h", "amount": "20"}
LATER_BLOCKS = 5
"""More than the sweeper waits."""


class Died(BaseException):
    pass


@contextmanager
def death_before_telling() -> Iterator[None]:
    """Whoever tells anything dies instead."""

    async def die(*_: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Announcer, "tell", die)
        with pytest.raises(Died):
            yield


async def told(payout_id: str) -> list[str]:
    events = await Event.find({"object_id": payout_id}).sort("+seq").to_list()
    return [event.type.removeprefix("payout.") for event in events]


async def survivor(pay: Pay) -> None:
    """Whoever comes later finishes what was begun; and again, which changes nothing."""
    for _ in range(2):
        await pay.tick(LATER_BLOCKS)
        await pay.world.work()
    assert await Payout.find({"untold": {"$exists": True}}).count() == 0


@pytest.fixture
async def strict(pay: Pay) -> Any:
    """Everything waits for an approval, and nobody gets more than 20 a day."""
    await enforce(pay, approval_bands=[BAND], limits=[LIMIT])
    yield pay
    await enforce(pay)


async def test_that_it_waits_for_approval(strict: Pay) -> None:
    recipient, key = person(), "a-payout-that-waits"
    with death_before_telling():
        await strict.post("/payouts/v0", wish(recipient_address=recipient), key=key)
    payout_id = strict.house.idempotency.object_id("pay", "op-1", key)
    assert await told(payout_id) == []
    await survivor(strict)
    assert await told(payout_id) == ["awaiting_approval"]


@pytest.mark.parametrize("verb", ["reject", "cancel"])
async def test_that_it_was_ended_and_its_limit_is_free_again(strict: Pay, verb: str) -> None:
    recipient = person()
    made = await strict.pay("v0", recipient_address=recipient)
    path = f"/payouts/{made['payout_id']}/{verb}"
    with death_before_telling():
        body, who = (None, "operator") if verb == "cancel" else ({}, "approver")
        await strict.post(path, body, role=who, sub="op-1" if verb == "cancel" else "ap-1")
    status = {"reject": "rejected", "cancel": "canceled"}[verb]
    assert (await strict.payout(made["payout_id"]))["status"] == status
    full = await strict.post("/payouts/v0", wish(recipient_address=recipient))
    assert full.json()["code"] == "limit_exceeded", "12.5 of 20 still count"
    await survivor(strict)
    assert await told(made["payout_id"]) == ["awaiting_approval", status]
    assert (await strict.pay("v0", recipient_address=recipient))["status"] == "awaiting_approval"


async def test_that_it_was_approved(strict: Pay) -> None:
    recipient = person()
    made = await strict.pay("v0", recipient_address=recipient)
    with death_before_telling():
        await strict.post(f"/payouts/{made['payout_id']}/approve", {}, role="approver", sub="ap-1")
    await survivor(strict)
    await strict.settle(2)
    await survivor(strict)
    assert await told(made["payout_id"]) == ["awaiting_approval", "queued", "signed", "settled"]
    assert await strict.held(recipient) == 12_500_000


async def test_what_was_done_before_is_told_before_what_is_done_now(strict: Pay) -> None:
    key = "a-payout-approved-and-canceled"
    with death_before_telling():
        await strict.post("/payouts/v0", wish(recipient_address=person()), key=key)
    payout_id = strict.house.idempotency.object_id("pay", "op-1", key)
    with death_before_telling():
        await strict.post(f"/payouts/{payout_id}/approve", {}, role="approver", sub="ap-1")
    assert await told(payout_id) == []
    approved = await strict.post(f"/payouts/{payout_id}/approve", {}, role="approver", sub="ap-1")
    assert approved.status_code == 200, approved.text
    canceled = await strict.post(f"/payouts/{payout_id}/cancel")
    assert canceled.json()["status"] == "canceled", canceled.text
    await survivor(strict)
    events = await Event.find({"object_id": payout_id}).sort("+seq").to_list()
    assert [event.type for event in events] == [
        f"payout.{status}" for status in ("awaiting_approval", "queued", "canceled")
    ]
    places = [event.object_seq for event in events]
    assert places == sorted(set(places)), "the newest has the highest number"


async def test_what_people_decided_in_quarantine(pay: Pay) -> None:
    payout_id = await skipped(pay, "a-payout-that-is-told-late", person(), "pay")
    before = await told(payout_id)
    path = f"{QUARANTINE}/{payout_id}"
    proposal = {"outcome": "settled", "note": "looked"}
    assert (await pay.post(f"{path}/propose", proposal)).status_code == 200
    with death_before_telling():
        await pay.post(f"{path}/resolve", {"agree": True}, role="treasurer", sub="tr-1")
    stored = await Payout.get(payout_id)
    assert stored is not None
    order = Order.find_one({"_id": stored.order_id})
    await order.update({"$set": {"news": True}})  # as if nobody had heard of it yet
    await survivor(pay)
    assert (await pay.payout(payout_id))["status"] == "settled", "people know more than the order"
    assert await told(payout_id) == [*before, "settled"]
