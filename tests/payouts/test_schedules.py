"""Scheduled and monthly batches: each occurrence once, at its time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.core.clock import rfc3339
from tron_payment.db.events import Event
from tron_payment.db.faults import StoreUnavailable
from tron_payment.http.idempotency import InFlight, StoredRequest
from tron_payment.payouts import Batches, batch_answers, batch_rows, judge
from tron_payment.payouts.batch_documents import Batch
from tron_payment.payouts.domain import MerchantReferenceTaken
from tron_payment.payouts.limits import Ceiling, Window
from tron_payment.payouts.policy import LimitExceeded, RecipientNotAllowed
from tron_payment.payouts.schedule_routes import ScheduleRequest
from tron_payment.payouts.schedules import (
    RUNS_AT_ONCE,
    Every,
    Schedule,
    Schedules,
    occurrence_at,
)

FIRST = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "number", "expected"),
    [
        (Every.ONCE, 0, FIRST),
        (Every.ONCE, 1, None),
        (Every.DAY, 2, datetime(2026, 2, 2, 8, tzinfo=UTC)),
        (Every.WEEK, 1, datetime(2026, 2, 7, 8, tzinfo=UTC)),
        (Every.MONTH, 1, datetime(2026, 2, 28, 8, tzinfo=UTC)),
        (Every.MONTH, 2, datetime(2026, 3, 31, 8, tzinfo=UTC)),
        (Every.MONTH, 12, datetime(2027, 1, 31, 8, tzinfo=UTC)),
        (Every.MONTH, 25, datetime(2028, 2, 29, 8, tzinfo=UTC)),
    ],
)
def test_when_an_occurrence_is_due(every: Every, number: int, expected: datetime | None) -> None:
    assert occurrence_at(FIRST, every, number) == expected


async def test_a_daily_batch_is_paid_once_a_day_until_it_ends(pay: Pay) -> None:
    alice, now = person(), pay.world.clock.now()
    body = {
        "name": "salaries",
        "payouts": [wish(recipient_address=alice)],
        "first_at": rfc3339(now + timedelta(hours=1)),
        "every": "day",
        "until": rfc3339(now + timedelta(hours=26)),
    }
    key = "a-key-of-a-schedule"
    made = await pay.post("/payouts/schedules", body, key=key)
    assert made.status_code == 202 and made.json()["status"] == "active", made.text
    assert (await pay.post("/payouts/schedules", body, key=key)).json() == made.json()
    path = f"/payouts/schedules/{made.json()['schedule_id']}"
    for hours, paid in ((0, 0), (1, 12_500_000), (25, 25_000_000), (49, 25_000_000)):
        pay.world.clock.skew = timedelta(hours=hours)
        await pay.settle()
        assert await pay.held(alice) == paid, hours
    seen = (await pay.get(path)).json()
    assert (seen["status"], seen["occurrences"], seen["last_refusal"]) == ("finished", 2, None)
    await Schedule.get_pymongo_collection().update_one(
        {"_id": seen["schedule_id"]}, {"$set": {"status": "active", "occurrence": 0}}
    )  # as after a crash between a batch and the note of it
    await pay.settle()
    pay.world.clock.skew = timedelta()
    assert await pay.held(alice) == 25_000_000
    batch = (await pay.get(f"/payouts/batch/{seen['last_batch_id']}")).json()
    assert batch["schedule_id"] == seen["schedule_id"]


async def test_what_a_schedule_is_refused_for(pay: Pay) -> None:
    now = pay.world.clock.now()
    good = {
        "name": "x",
        "payouts": [wish(recipient_address=person(), merchant_reference="s-1")],
        "first_at": rfc3339(now + timedelta(hours=1)),
    }
    again = await pay.post("/payouts/schedules", good | {"every": "month"})
    assert refusal(again) == (422, "reference_repeats", "merchant_reference")
    past = await pay.post("/payouts/schedules", good | {"first_at": rfc3339(now)})
    assert refusal(past) == (422, "invalid_field", "first_at")
    made = await pay.post("/payouts/schedules", good)
    path = f"/payouts/schedules/{made.json()['schedule_id']}"
    assert (await pay.get(path, role="merchant", sub="other")).status_code == 404
    assert (await pay.post(f"{path}/cancel")).json()["status"] == "canceled"
    pay.world.clock.skew = timedelta(hours=2)
    await pay.settle()
    pay.world.clock.skew = timedelta()
    assert (await pay.get(path)).json()["occurrences"] == 0


@pytest.mark.parametrize("older_build", [False, True])
async def test_an_occurrence_that_died_before_its_batch_is_paid_by_the_next_build(
    pay: Pay, monkeypatch: pytest.MonkeyPatch, older_build: bool
) -> None:
    """The next build refuses a row with another code. What was accepted says what it was told then,
    if it was accepted by a build that keeps it."""
    alice, at = person(), pay.world.clock.now() + timedelta(minutes=1)
    made = await pay.post(
        "/payouts/schedules",
        {
            "name": "pay",
            "payouts": [wish(recipient_address=alice)],
            "first_at": rfc3339(at),
        },
    )
    assert made.status_code == 202, made.text
    schedule_id = made.json()["schedule_id"]
    body = {"payouts": [wish(recipient_address=alice), wish(amount="0.0000001")]}
    await Schedule.get_pymongo_collection().update_one(
        {"_id": schedule_id}, {"$set": {"body": msgspec.json.encode(body), "rows": 2}}
    )  # builds before 2026-11-22 accepted such rows
    schedules = runner(pay)
    insert = batch_answers.insert_once

    async def dies(document: Any) -> bool:
        if isinstance(document, Batch):
            raise StoreUnavailable("killed here")
        return await insert(document)

    pay.world.clock.skew = timedelta(minutes=2)
    with monkeypatch.context() as dying:
        dying.setattr(batch_answers, "insert_once", dies)
        with pytest.raises(StoreUnavailable):
            await schedules.step()
    requests = StoredRequest.get_pymongo_collection()
    ids = pay.house.idempotency.object_id
    batch_id = ids("bat", "op-1", f"schedule:{schedule_id}:0")
    record = await requests.find_one({"object_ids": batch_id})
    assert record is not None and await Batch.get(batch_id) is None
    if older_build:
        await requests.delete_one({"_id": record["_id"]})
        record["_id"] = ids("req", record["principal"], f"schedule:{schedule_id}:0")
        await requests.insert_one(record | {"fingerprint": "0" * 64})

    def reworded(row: int, refused: Any) -> batch_rows.RefusedRow:
        return batch_rows.RefusedRow(row, "invalid_field", None, "Sorry")

    monkeypatch.setattr(batch_rows.RefusedRow, "of", reworded)
    await pay.settle()
    pay.world.clock.skew = timedelta()
    found = (await pay.get(f"/payouts/schedules/{schedule_id}")).json()
    told_of = "invalid_field" if older_build else "invalid_amount"
    assert found["last_refusal"] == told_of and found["status"] == "finished"
    batch = (await pay.get(f"/payouts/batch/{found['last_batch_id']}")).json()
    assert (batch["schedule_id"], batch["accepted"]) == (schedule_id, 1)
    assert await pay.held(alice) == 12_500_000


@pytest.mark.parametrize("prefix", ["schedule", "occurrence"])
async def test_a_key_that_is_an_occurrence_s_name_is_refused_or_tells_the_schedule(
    pay: Pay, prefix: str
) -> None:
    """Whichever was first is paid; the other is told, and is not taken for it."""
    alice, bob = person(), person()
    made = []
    for name in ("before", "after"):
        at = pay.world.clock.now() + timedelta(minutes=1)
        rows = [wish(recipient_address=alice)]
        body = {"name": name, "payouts": rows, "first_at": rfc3339(at)}
        made.append((await pay.post("/payouts/schedules", body)).json()["schedule_id"])
    before, after = made
    upload = {"payouts": [wish(recipient_address=bob)]}
    early = await pay.post("/payouts/batch", upload, key=f"{prefix}:{before}:0")
    assert early.status_code == 202, early.text
    pay.world.clock.skew = timedelta(minutes=2)
    await pay.settle()
    pay.world.clock.skew = timedelta()
    taken = prefix == "schedule"
    seen = (await pay.get(f"/payouts/schedules/{before}")).json()
    assert seen["last_refusal"] == ("idempotency_key_reused" if taken else None)
    assert seen["last_batch_id"] != early.json()["batch_id"]
    for _ in range(2):
        late = await pay.post("/payouts/batch", upload, key=f"{prefix}:{after}:0")
        if taken:
            assert refusal(late) == (422, "idempotency_key_reused", None)
    await pay.settle()
    seen = (await pay.get(f"/payouts/schedules/{after}")).json()
    assert seen["last_refusal"] is None and seen["last_batch_id"] is not None
    assert await pay.held(alice) == 12_500_000 * (1 if taken else 2)
    assert await pay.held(bob) == 12_500_000 * (1 if taken else 2)
    again = await pay.post("/payouts/batch", upload, key=f"{prefix}:{before}:0")
    assert again.json() == early.json()


def runner(pay: Pay) -> Schedules:
    """Runs what is due, as each replica does."""
    steps = (getattr(each.step, "__self__", None) for each in pay.world.assembly.loops.all)
    (found,) = (each for each in steps if isinstance(each, Schedules))
    return found


async def told(pay: Pay, schedule_id: str) -> list[tuple[str, Any]]:
    """Type and data of what was told of a schedule."""
    events = await Event.find({"object_id": schedule_id}).sort("+seq").to_list()
    return [(event.type, event.data) for event in events]


async def planned(pay: Pay, *rows: dict[str, Any], key: str = "", **more: Any) -> Any:
    """A schedule that is due in a minute."""
    at = rfc3339(pay.world.clock.now() + timedelta(minutes=1))
    body = {"name": "pay", "payouts": list(rows), "first_at": at, **more}
    made = await pay.post("/payouts/schedules", body, key=key)
    assert made.status_code == 202, made.text
    return made.json(), body


async def test_a_repeat_after_its_time_gets_the_stored_answer(pay: Pay) -> None:
    alice = person()
    made, body = await planned(pay, wish(recipient_address=alice), key="a-key-with-no-answer")
    pay.world.clock.skew = timedelta(hours=1)
    try:
        for _ in range(2):  # before it has run, and after
            again = await pay.post("/payouts/schedules", body, key="a-key-with-no-answer")
            assert again.status_code == 202 and again.json() == made, again.text
            await pay.settle()
        late = await pay.post("/payouts/schedules", body)
        assert refusal(late) == (422, "invalid_field", "first_at")
        other = body | {"name": "another"}
        reused = await pay.post("/payouts/schedules", other, key="a-key-with-no-answer")
        assert refusal(reused)[:2] == (422, "idempotency_key_reused")
    finally:
        pay.world.clock.skew = timedelta()
    assert await pay.held(alice) == 12_500_000


async def test_what_was_accepted_and_not_stored_is_stored_by_a_repeat_after_its_time(
    pay: Pay,
) -> None:
    """The process died between the two; the client was never answered."""
    alice = person()
    made, body = await planned(pay, wish(recipient_address=alice), key="a-key-of-the-dead")
    await Schedule.get_pymongo_collection().delete_one({"_id": made["schedule_id"]})
    pay.world.clock.skew = timedelta(hours=1)
    again = await pay.post("/payouts/schedules", body, key="a-key-of-the-dead")
    assert again.status_code == 202 and again.json() == made
    await pay.settle()
    pay.world.clock.skew = timedelta()
    assert await pay.held(alice) == 12_500_000


async def test_a_schedule_with_rows_that_a_dry_run_refuses_is_not_made(pay: Pay) -> None:
    at = rfc3339(pay.world.clock.now() + timedelta(minutes=1))
    rows = [
        wish(recipient_address=person()),
        wish(amount="1e3"),
        wish(recipient_address="nobody"),
        wish(route="direct"),
        wish(recipient_address=person(), kyc_verified=True),
    ]
    body = {"name": "x", "payouts": rows, "first_at": at}
    for role in ("operator", "merchant"):
        count = await Schedule.find({}).count()
        answer = await pay.post("/payouts/schedules", body, role=role)
        assert refusal(answer)[:2] == (422, "rows_refused")
        batch = {"payouts": rows}
        dry = await pay.post("/payouts/batch?dry_run=true", batch, role=role, key=None)
        assert answer.json()["refused"] == dry.json()["refused"] != []
        assert [row["row"] for row in answer.json()["refused"]][:2] == [2, 3]
        assert await Schedule.find({}).count() == count


async def freeze(pay: Pay, frozen: bool) -> None:
    wallets = (await pay.get("/wallets")).json()["data"]
    (treasury,) = (each for each in wallets if each["address"] == pay.world.treasury)
    changed = await pay.put(
        f"/wallets/{treasury['wallet_id']}", {"frozen": frozen}, role="operator", sub="op-1"
    )
    assert changed.status_code == 200, changed.text


async def test_an_occurrence_that_a_frozen_wallet_keeps_back_is_paid_after_the_thaw(
    pay: Pay,
) -> None:
    alice = person()
    await freeze(pay, True)
    try:
        made, _ = await planned(pay, wish(recipient_address=alice))
        path = f"/payouts/schedules/{made['schedule_id']}"
        for minutes in (2, 4, 60):
            pay.world.clock.skew = timedelta(minutes=minutes)
            await pay.settle()
            seen = (await pay.get(path)).json()
            assert (seen["status"], seen["occurrences"]) == ("active", 0)
            assert seen["waiting_for"] == seen["last_refusal"] == "wallet_frozen"
    finally:
        await freeze(pay, False)
    (event,) = await told(pay, made["schedule_id"])
    assert event[0] == "schedule.waiting" and event[1]["code"] == "wallet_frozen"
    pay.world.clock.skew = timedelta(minutes=62)
    await pay.settle()
    pay.world.clock.skew = timedelta()
    seen = (await pay.get(path)).json()
    assert (seen["status"], seen["occurrences"]) == ("finished", 1)
    assert seen["waiting_for"] is None is seen["last_refusal"]
    assert await pay.held(alice) == 12_500_000


async def test_rows_that_a_limit_keeps_back_are_paid_alone_once_it_lets_them(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are paid at once; nobody is paid twice, whatever dies in between."""
    alice, bob, eve = person(), person(), person()
    rows = [wish(recipient_address=each) for each in (alice, bob, eve)]
    made, _ = await planned(pay, *rows, every="day")
    path = f"/payouts/schedules/{made['schedule_id']}"
    found = pay.house.use(Batches)._drafts
    many = found._judge.many

    async def strict(principal: Any, wishes: Any) -> Any:
        """A limit that has room for alice; eve is lost for good."""
        answers = await many(principal, wishes)
        why = {bob: LimitExceeded(), eve: RecipientNotAllowed()}
        return [
            why.get(wish.recipient_address) or answer
            for (_, wish), answer in zip(wishes, answers, strict=True)
        ]

    pay.world.clock.skew = timedelta(minutes=2)
    with monkeypatch.context() as tight:
        tight.setattr(found._judge, "many", strict)
        for again in range(3):
            await pay.settle()
            seen = (await pay.get(path)).json()
            assert (seen["status"], seen["occurrences"]) == ("active", 0)
            assert seen["waiting_for"] == seen["last_refusal"] == "limit_exceeded"
            pay.world.clock.skew += timedelta(minutes=2)
            if again:
                await Schedule.get_pymongo_collection().update_one(
                    {"_id": made["schedule_id"]}, {"$set": {"part": 0, "left": []}}
                )  # as after a crash between the batch and the note of it
    assert [await pay.held(each) for each in (alice, bob, eve)] == [12_500_000, 0, 0]
    for _ in range(2):
        pay.world.clock.skew += timedelta(minutes=2)
        await pay.settle()
    pay.world.clock.skew = timedelta()
    seen = (await pay.get(path)).json()
    assert (seen["status"], seen["occurrences"], seen["waiting_for"]) == ("active", 1, None)
    assert [await pay.held(each) for each in (alice, bob, eve)] == [12_500_000, 12_500_000, 0]
    assert (await pay.post(f"{path}/cancel")).status_code == 200
    kinds = [
        (kind, data["code"], data.get("rows"))
        for kind, data in await told(pay, made["schedule_id"])
    ]
    assert kinds[:2] == [
        ("schedule.waiting", "limit_exceeded", None),
        ("schedule.refused", "recipient_not_allowed", 1),
    ]
    await pay.assert_books_equal_chain()


async def test_replicas_that_run_one_occurrence_at_once_make_one_batch_and_lose_none(
    pay: Pay,
) -> None:
    """What one has counted keeps the others out; the batch is there all the same."""
    alice = person()
    rows = [wish(recipient_address=alice), wish(recipient_address=alice, amount="11")]
    made, _ = await planned(pay, *rows)
    path = f"/payouts/schedules/{made['schedule_id']}"
    await enforce(pay.world, ceilings=(Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT),))
    try:
        pay.world.clock.skew = timedelta(minutes=2)
        for minutes in (2, 4, 8):
            pay.world.clock.skew = timedelta(minutes=minutes)
            await asyncio.gather(*(runner(pay).step() for _ in range(4)))
            seen = (await pay.get(path)).json()
            assert seen["last_batch_id"] is not None
            assert (seen["status"], seen["waiting_for"]) == ("active", "limit_exceeded")
        await pay.settle()
        assert await pay.held(alice) in (12_500_000, 11_000_000)
    finally:
        pay.world.clock.skew = timedelta()
        await enforce(pay.world)
    pay.world.clock.skew = timedelta(minutes=30)
    await asyncio.gather(*(runner(pay).step() for _ in range(4)))
    await pay.settle()
    pay.world.clock.skew = timedelta()
    seen = (await pay.get(path)).json()
    assert (seen["status"], seen["last_refusal"]) == ("finished", None)
    assert await pay.held(alice) == 23_500_000
    found = await Batch.find({"schedule_id": made["schedule_id"]}).to_list()
    assert [each.accepted for each in found] == [1, 1]


async def test_one_that_cannot_be_run_now_keeps_nobody_behind_it(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than one turn runs; each is paid once when it can be."""
    people = [person() for _ in range(RUNS_AT_ONCE + 3)]
    made = [(await planned(pay, wish(recipient_address=each)))[0] for each in people]
    stuck = {each["schedule_id"] for each in made[: RUNS_AT_ONCE + 1]}
    request, faults = Batches.request, [InFlight(), StoreUnavailable("away")]

    async def busy(self: Batches, *args: Any, **more: Any) -> Any:
        if more["occurrence"].schedule_id in stuck:
            raise faults[0]
        return await request(self, *args, **more)

    pay.world.clock.skew = timedelta(minutes=2)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Batches, "request", busy)
            assert await runner(pay).step(), "the others were run"
            assert not await runner(pay).step(), "and it does not turn round and round"
            faults.reverse()
            with pytest.raises(StoreUnavailable):
                await runner(pay).step()
        await pay.settle(3)
    finally:
        pay.world.clock.skew = timedelta()
    assert [await pay.held(each) for each in people] == [12_500_000] * len(people)
    assert {
        (await pay.get(f"/payouts/schedules/{each['schedule_id']}")).json()["status"]
        for each in made
    } == {"finished"}


async def test_a_twin_whose_time_has_passed_meanwhile_gets_the_answer(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is about to be accepted when the second comes, too late for itself."""
    alice, key = person(), "a-key-of-two-schedules"
    at = rfc3339(pay.world.clock.now() + timedelta(minutes=1))
    body = {"name": "pay", "payouts": [wish(recipient_address=alice)], "first_at": at}
    slow, go, insert = asyncio.Event(), asyncio.Event(), pay.house.inserts.insert

    async def waits(document: Any) -> bool:
        if isinstance(document, StoredRequest):
            slow.set()
            await asyncio.wait_for(go.wait(), 60)
        return bool(await insert(document))

    monkeypatch.setattr(pay.house.inserts, "insert", waits)
    first = asyncio.create_task(pay.post("/payouts/schedules", body, key=key))
    try:
        await asyncio.wait_for(slow.wait(), 60)
        pay.world.clock.skew = timedelta(minutes=2)
        second = asyncio.create_task(pay.post("/payouts/schedules", body, key=key))
        await asyncio.sleep(0.1)  # it may be judged now, or later
        go.set()
        answers = [await first, await second]
    finally:
        go.set()
    assert [answer.status_code for answer in answers] == [202, 202], answers[1].text
    assert answers[0].json() == answers[1].json()
    await pay.settle()
    pay.world.clock.skew = timedelta()
    assert await pay.held(alice) == 12_500_000


async def test_what_is_refused_for_good_when_it_is_due_is_told(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = await planned(pay, wish(recipient_address=person()))
    with monkeypatch.context() as patched:
        patched.setattr(judge, "_taken", lambda *_: MerchantReferenceTaken())
        pay.world.clock.skew = timedelta(minutes=2)
        await pay.settle()
        pay.world.clock.skew = timedelta()
    seen = (await pay.get(f"/payouts/schedules/{made['schedule_id']}")).json()
    assert (seen["status"], seen["last_refusal"]) == ("finished", "no_good_row")
    ((kind, data),) = await told(pay, made["schedule_id"])
    assert (kind, data["code"], data["rows"]) == ("schedule.refused", "merchant_reference_taken", 1)


def test_a_row_that_says_not_verified_is_kept_as_it_was_said() -> None:
    """Left out it would let an attested person's payout go by `kyc`."""
    rows = [wish(kyc_verified=False), wish(kyc_verified=True), wish()]
    body = {"name": "x", "first_at": rfc3339(FIRST), "payouts": rows}
    kept = msgspec.json.decode(msgspec.convert(body, ScheduleRequest).body())["payouts"]
    assert [row.get("kyc_verified") for row in kept] == [False, True, None]
