"""Rows that were sent before are named before they are sent again; nothing is refused for it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pymongo.errors import ExecutionTimeout

from tests.payouts.test_schedules import freeze, planned
from tests.payouts.world import Pay, person, wish
from tron_payment.engine import Order
from tron_payment.keeping import Keeping
from tron_payment.operator.remote import check_lines
from tron_payment.payouts import earlier_documents as earlier
from tron_payment.payouts import owed_documents
from tron_payment.payouts.batch_documents import Batch, unpack_payouts
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.schedules import Schedule


async def checked(pay: Pay, rows: list[dict[str, Any]], **who: str) -> Any:
    answer = await pay.post("/payouts/batch?dry_run=true", {"payouts": rows}, key=None, **who)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_same_rows_again_are_named_with_their_batch(pay: Pay) -> None:
    rows = [wish(recipient_address=person(), user_id=f"again-{n}") for n in range(3)]
    bad = wish(amount="0.000001")
    first = await checked(pay, [bad, *rows])
    assert first["sent_before"] == 0 and {row["earlier"] for row in first["quotes"]} == {None}
    assert [(row["row"], row["user_id"]) for row in first["quotes"]] == [
        (2, "again-0"), (3, "again-1"), (4, "again-2"),
    ]  # fmt: skip
    made = await pay.batch([bad, *rows])
    others = [
        {**rows[0], "amount": "12.6"},
        {**rows[1], "user_id": "again-0"},
        {**rows[2], "recipient_address": person()},
    ]
    again = await checked(pay, [*rows, *others])
    assert again["sent_before"] == 3 and again["accepted"] == 6
    assert [row["earlier"] is not None for row in again["quotes"]] == [True] * 3 + [False] * 3
    for row in again["quotes"][:3]:
        before = await pay.payout(row["earlier"]["payout_id"])
        assert before["user_id"] == row["user_id"] and before["amount"] == row["amount"]
        assert row["earlier"]["batch_id"] == before["batch_id"] == made["batch_id"]
        assert row["earlier"]["created_at"] == before["created_at"]
    await pay.settle()
    settled = await checked(pay, rows)
    assert {row["earlier"]["status"] for row in settled["quotes"]} == {"settled"}
    second = await pay.batch(rows)
    assert second["accepted"] == 3 and second["refused"] == [], "it warns, and refuses nothing"
    assert second["batch_id"] != made["batch_id"]


async def test_rows_that_a_schedule_owes_are_named_before_they_are_paid_by_hand(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pays them as soon as it can: to upload them meanwhile would pay them twice."""
    alice, bob = person(), person()
    rows = [
        wish(recipient_address=each, user_id=f"owed-{n}") for n, each in enumerate((alice, bob))
    ]
    made, _ = await planned(pay, *rows)
    assert (await checked(pay, rows))["sent_before"] == 0, "it is not due yet"
    await freeze(pay, True)
    try:
        pay.world.clock.skew = timedelta(minutes=2)
        await pay.settle()
    finally:
        await freeze(pay, False)
    stranger = {"role": "merchant", "sub": "another-shop"}
    assert (await checked(pay, rows, **stranger))["sent_before"] == 0
    told = await checked(pay, [*rows, rows[0] | {"amount": "12.6"}])
    assert (told["sent_before"], told["sent_before_complete"]) == (2, True)
    seen = [each["earlier"] for each in told["quotes"]]
    assert [each and each["schedule_id"] for each in seen] == [made["schedule_id"]] * 2 + [None]
    assert (seen[0]["payout_id"], seen[0]["status"]) == (None, "owed")
    (line,) = [line for line in check_lines(told) if "sent before" in line]
    assert made["schedule_id"] in line
    await Schedule.get_pymongo_collection().update_one(
        {"_id": made["schedule_id"]}, {"$set": {"part": 1, "left": [2]}}
    )  # as after a batch of the first
    assert [bool(each["earlier"]) for each in (await checked(pay, rows))["quotes"]] == [False, True]
    monkeypatch.setattr(owed_documents, "SCHEDULES_MAX", 0)
    assert (await checked(pay, rows))["sent_before_complete"] is False
    pay.world.clock.skew = timedelta(minutes=4)
    await pay.settle(2)
    pay.world.clock.skew = timedelta()
    after = await checked(pay, rows)
    assert [bool(each["earlier"]) for each in after["quotes"]] == [False, True]
    assert after["quotes"][1]["earlier"]["payout_id"].startswith("pay_")
    assert after["sent_before_complete"] is True


async def test_schedules_that_wait_for_nothing_are_not_read(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be many, of megabytes each; and a warning that takes too long stops no upload."""
    rows = [wish(recipient_address=person(), user_id=f"not-owed-{n}") for n in range(2)]
    await planned(pay, *rows)
    where = {"status": "active", "waiting_for": {"$gt": ""}}
    asked = {"find": "schedules", "filter": where, "sort": {"next_at": 1}, "hint": "waiting"}
    told = await Schedule.get_pymongo_collection().database.command(
        {"explain": asked, "verbosity": "executionStats"}
    )
    waiting = await Schedule.get_pymongo_collection().count_documents(where)
    assert told["executionStats"]["totalDocsExamined"] == waiting

    async def slow(*_: Any) -> Any:
        raise ExecutionTimeout("operation exceeded time limit")

    monkeypatch.setattr(earlier, "owed_to", slow)
    assert (await checked(pay, rows))["sent_before_complete"] is False


async def test_what_was_not_paid_is_no_repetition(pay: Pay) -> None:
    row = wish(recipient_address=person(), user_id="not-paid")
    made = await pay.pay(**row)
    assert (await checked(pay, [row]))["sent_before"] == 1
    for status in ("failed", "canceled", "rejected"):
        await Payout.get_pymongo_collection().update_one(
            {"_id": made["payout_id"]}, {"$set": {"status": status}}
        )
        assert (await checked(pay, [row]))["sent_before"] == 0, status


async def test_what_was_paid_to_an_erased_person_is_still_seen(pay: Pay) -> None:
    """By address, currency and amount: whose it was is not known any more."""
    alice = person()
    row = wish(recipient_address=alice, user_id="to-be-erased")
    made = await pay.batch([row])
    await pay.settle()
    assert (await checked(pay, [row]))["sent_before"] == 1
    assert (await Keeping(pay.world.clock, 0).erase("to-be-erased")).payouts == 1
    others = [row | {"amount": "12.6"}, row | {"recipient_address": person()}]
    told = await checked(pay, [row, *others, row | {"user_id": "another"}])
    assert (told["sent_before"], told["sent_before_complete"]) == (2, True)
    found = [each["earlier"] and each["earlier"]["batch_id"] for each in told["quotes"]]
    assert found == [made["batch_id"], None, None, made["batch_id"]]
    stranger = {"role": "merchant", "sub": "another-shop"}
    assert (await checked(pay, [row], **stranger))["sent_before"] == 0


async def test_only_lately_and_only_what_the_caller_may_see(pay: Pay) -> None:
    row = wish(recipient_address=person(), user_id="lately")
    made = await pay.pay(**row)
    stranger = {"role": "merchant", "sub": "another-shop"}
    assert (await checked(pay, [row], **stranger))["sent_before"] == 0
    assert (await checked(pay, [row]))["sent_before"] == 1
    long_ago = pay.world.clock.now() - earlier.LATELY - timedelta(hours=1)
    await Payout.get_pymongo_collection().update_one(
        {"_id": made["payout_id"]}, {"$set": {"created_at": long_ago}}
    )
    assert (await checked(pay, [row]))["sent_before"] == 0


async def test_many_recipients_are_asked_about_in_pieces(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "RECIPIENTS_AT_ONCE", 2)
    rows = [wish(recipient_address=person(), user_id=f"many-{n}") for n in range(5)]
    await pay.batch(rows)
    assert (await checked(pay, rows))["sent_before"] == 5


async def undrawn(pay: Pay, rows: list[dict[str, Any]], **changes: Any) -> str:
    """A batch as it is when only its acceptance is stored."""
    batch_id: str = (await pay.batch(rows))["batch_id"]
    await Payout.get_pymongo_collection().delete_many({"batch_id": batch_id})
    await Order.get_pymongo_collection().delete_many({"subject": batch_id})
    await Batch.get_pymongo_collection().update_one(
        {"_id": batch_id}, {"$set": {"stage": "accepted", "working": True, **changes}}
    )
    return batch_id


async def test_a_batch_that_is_no_payouts_yet_is_seen(pay: Pay) -> None:
    rows = [wish(recipient_address=person(), user_id=f"undrawn-{n}") for n in range(3)]
    batch_id = await undrawn(pay, rows)
    stranger = {"role": "merchant", "sub": "another-shop"}
    assert (await checked(pay, rows, **stranger))["sent_before"] == 0
    told = await checked(pay, [*rows, wish(recipient_address=person())])
    assert told["sent_before"] == 3 and told["sent_before_complete"] is True
    assert {row["earlier"]["batch_id"] for row in told["quotes"][:3]} == {batch_id}
    assert {row["earlier"]["status"] for row in told["quotes"][:3]} == {"queued"}
    await pay.world.work()
    drawn = await checked(pay, rows)
    assert [row["earlier"]["payout_id"] for row in drawn["quotes"]] == [
        row["earlier"]["payout_id"] for row in told["quotes"][:3]
    ], "as payouts they are the same"
    ended = await undrawn(pay, [wish(recipient_address=person())], ending="rejected")
    (row,) = [json.loads(line) for line in unpack_payouts((await stored(ended)).rows)]
    again = {name: row[name] for name in ("user_id", "recipient_address")} | {"amount": "12.5"}
    assert (await checked(pay, [again]))["sent_before"] == 0, "it will never be paid"
    await pay.settle()


async def stored(batch_id: str) -> Batch:
    found = await Batch.find_one({"_id": batch_id})
    assert found is not None
    return found


async def test_a_look_that_is_not_complete_says_so(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = wish(recipient_address=person(), user_id="bounded")
    await undrawn(pay, [row])
    await undrawn(pay, [wish(recipient_address=person())])
    monkeypatch.setattr(earlier, "BATCHES_MAX", 2)
    told = await checked(pay, [row])
    assert (told["sent_before"], told["sent_before_complete"]) == (1, True)
    monkeypatch.setattr(earlier, "BATCHES_MAX", 1)
    told = await checked(pay, [row])
    assert (told["sent_before"], told["sent_before_complete"]) == (0, False)
    await pay.world.work()
    monkeypatch.setattr(earlier, "READ_PER_QUERY_MAX", 2)
    assert (await checked(pay, [row]))["sent_before_complete"] is True
    monkeypatch.setattr(earlier, "READ_PER_QUERY_MAX", 1)
    told = await checked(pay, [row])
    assert (told["sent_before"], told["sent_before_complete"]) == (1, False)
    await pay.settle()


async def many_to(row: dict[str, Any], count: int, **changes: Any) -> None:
    """As many later payouts to this row's address, otherwise like it but for the changes."""
    payouts = Payout.get_pymongo_collection()
    found = await payouts.find_one({"user_id": row["user_id"]})
    assert found is not None
    like = {k: v for k, v in found.items() if k not in ("merchant_reference", "batch_id", "row")}
    later = like["created_at"] + timedelta(seconds=1)
    await payouts.insert_many(
        [
            {**like, "_id": f"pay_{row['user_id']}_{n}", "order_id": f"ord_{n}"}
            | {"created_at": later, "settled_at": later}
            | {name: value(n) if callable(value) else value for name, value in changes.items()}
            for n in range(count)
        ]
    )


async def test_one_busy_recipient_hides_nobody(pay: Pay) -> None:
    rows = [wish(recipient_address=person(), user_id=f"busy-{n}") for n in range(3)]
    await pay.batch(rows)
    await many_to(rows[0], 1_200, units=lambda n: 1_000_000 + n)
    told = await checked(pay, rows)
    assert (told["sent_before"], told["sent_before_complete"]) == (3, True)
    await many_to(rows[1], 5, _id=lambda n: f"pay_newer_{n}", status="failed")
    latest = pay.world.clock.now() + timedelta(seconds=2)
    await many_to(rows[1], 1, _id="pay_newest", status="settled", created_at=latest)
    told = await checked(pay, rows)
    assert told["quotes"][1]["earlier"]["payout_id"] == "pay_newest"
    assert told["sent_before"] == 3
    await Payout.get_pymongo_collection().delete_many({"_id": {"$regex": "^pay_(busy|newe)"}})
    await pay.settle()


async def test_one_recipient_of_many_people_is_asked_about_in_pieces(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "ASKED_AT_ONCE", 2)
    shared = person()
    rows = [wish(recipient_address=shared, user_id=f"shared-{n}") for n in range(5)]
    await pay.batch(rows)
    assert (await checked(pay, rows))["sent_before"] == 5
    await pay.settle()


async def test_a_store_that_takes_too_long_leaves_the_look_incomplete(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    async def too_long(wanted: Any, *_: Any) -> bool:
        asked.append(wanted)
        raise ExecutionTimeout("operation exceeded time limit")

    monkeypatch.setattr(earlier, "RECIPIENTS_AT_ONCE", 1)
    monkeypatch.setattr(earlier, "_drawn", too_long)
    told = await checked(pay, [wish(recipient_address=person()) for _ in range(5)])
    assert (told["sent_before"], told["sent_before_complete"]) == (0, False)
    assert len(asked) == earlier.TIMEOUTS_MAX


async def test_rows_that_say_the_same_are_named_with_the_first(pay: Pay) -> None:
    row, other = (wish(recipient_address=person(), user_id="twice") for _ in range(2))
    told = await checked(
        pay, [wish(amount="x"), row, other, row | {"amount": "12.50"}, row | {"amount": "13"}, row]
    )
    assert (told["accepted"], told["same_rows"], told["sent_before"]) == (5, 2, 0)
    assert {quote["row"]: quote["same_as_row"] for quote in told["quotes"]} == {
        **dict.fromkeys((2, 3, 5)), 4: 2, 6: 2,
    }  # fmt: skip
    (line,) = [line for line in check_lines(told) if "say the same" in line]
    assert line.startswith("2 of these rows say the same") and "(row 4 as 2, 6 as 2)" in line
    alone = await checked(pay, [row, other])
    assert not [line for line in check_lines(alone) if "say the same" in line]
    older = {
        name: alone[name] for name in alone if name not in ("sent_before_complete", "same_rows")
    }
    assert check_lines(older) == check_lines(alone), "a service of before says less"
