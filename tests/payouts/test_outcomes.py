"""What is seen again before money is signed away, and what is told of it."""

from datetime import timedelta

from tests.payouts.world import Pay, person, wish
from tron_payment.db.events import Event
from tron_payment.engine import OrderStatus
from tron_payment.payouts import Decisions
from tron_payment.payouts.batch_documents import BatchStatus, Stage
from tron_payment.payouts.batch_work import status_of
from tron_payment.payouts.outcomes import Share


async def test_a_recipient_frozen_after_acceptance_is_not_paid(pay: Pay) -> None:
    alice, bob, carol = person(), person(), person()
    single = await pay.pay(recipient_address=alice)
    made = await pay.batch([wish(recipient_address=address) for address in (bob, alice, carol)])
    screen = pay.house.use(Decisions)._outcomes._screen
    ms = round(pay.world.clock.now().timestamp() * 1000)
    screen._verdicts[alice] = ("recipient_blacklisted", ms)
    await pay.settle(2)
    seen = await pay.payout(single["payout_id"])
    assert (seen["status"], seen["reason"]) == ("failed", "recipient_blacklisted")
    batch = (await pay.get(f"/payouts/batch/{made['batch_id']}")).json()
    assert batch["status"] == "completed_with_errors"
    assert [(row["status"], row["reason"]) for row in batch["data"]] == [
        ("settled", None),
        ("failed", "recipient_blacklisted"),
        ("settled", None),
    ]
    assert [await pay.held(each) for each in (alice, bob, carol)] == [0, 12_500_000, 12_500_000]
    await pay.assert_books_equal_chain()


async def test_a_large_batch_is_screened_before_it_is_signed(pay: Pay) -> None:
    rows = [wish(recipient_address=person()) for _ in range(201)]
    rows[100]["recipient_address"] = pay.kyc
    made = await pay.batch(rows)
    assert [row["code"] for row in made["refused"]] == ["recipient_is_own"]
    await pay.house.engine.dispatcher.step()
    orders = await pay.house.engine.stats()
    assert orders.get(OrderStatus.SIGNED.value, 0) == 0, "nobody was asked yet"
    pay.world.clock.skew = timedelta(seconds=6)
    await pay.settle(2)
    batch = (await pay.get(f"/payouts/batch/{made['batch_id']}?limit=1")).json()
    assert (batch["status"], batch["counts"]) == ("completed", {"settled": 200}), batch["counts"]
    await pay.assert_books_equal_chain()


async def test_every_change_of_status_is_told_once(pay: Pay) -> None:
    made = await pay.pay(recipient_address=person())
    canceled = await pay.pay(recipient_address=person(), max_fee_trx="0")
    await pay.post(f"/payouts/{canceled['payout_id']}/cancel")
    await pay.settle()
    for payout, types in (
        (made, ["payout.queued", "payout.signed", "payout.settled"]),
        (canceled, ["payout.queued", "payout.canceled"]),
    ):
        events = await Event.find({"object_id": payout["payout_id"]}).sort("+seq").to_list()
        assert [event.type for event in events] == types
        assert {event.owner for event in events} == {"op-1"}
    assert events[0].data["amount"] == "12.5"


def test_shares_add_up_to_the_whole() -> None:
    for total in (0, 1, 99, 345_000, 1_000_003):
        for count in (1, 2, 3, 100):
            parts = [Share(index, count).of(total) for index in range(count)]
            assert sum(parts) == total and max(parts) - min(parts) <= 1


def test_a_batch_stands_as_its_rows_do() -> None:
    for stage, counts, expected in (
        (Stage.ACCEPTED, {}, BatchStatus.QUEUED),
        (Stage.STORED, {"queued": 2}, BatchStatus.QUEUED),
        (Stage.PLACED, {"queued": 2}, BatchStatus.QUEUED),
        (Stage.PLACED, {"queued": 1, "settled": 1}, BatchStatus.PROCESSING),
        (Stage.PLACED, {"signed": 2}, BatchStatus.PROCESSING),
        (Stage.PLACED, {"settled": 2}, BatchStatus.COMPLETED),
        (Stage.PLACED, {"settled": 1, "failed": 1}, BatchStatus.COMPLETED_WITH_ERRORS),
        (Stage.PLACED, {"settled": 1, "quarantined": 1}, BatchStatus.COMPLETED_WITH_ERRORS),
        (Stage.PLACED, {"canceled": 2}, BatchStatus.CANCELED),
        (Stage.PLACED, {"failed": 2}, BatchStatus.COMPLETED_WITH_ERRORS),
    ):
        assert status_of(stage, counts) is expected, (stage, counts)
