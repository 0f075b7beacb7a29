"""A batch that was accepted and not stored is stored by a repeat, with the rows it was promised."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from tests.gateway.test_doors import UNIT, enforce
from tests.payouts.test_schedules import planned, runner
from tests.payouts.world import Pay, person, refusal, wish
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.group import GroupInsert
from tron_payment.http.idempotency import Idempotency, StoredRequest
from tron_payment.http.twins import COUNTED_GOOD_FOR, UNDER_WAY_MAX
from tron_payment.payouts import Batches, Payouts, batch_answers
from tron_payment.payouts.batch_documents import Batch, by_id, pack_batch, unpack_batch
from tron_payment.payouts.limits import ABANDONED_AFTER, Ceiling, RollingLimits, Window
from tron_payment.payouts.policy import Cap

DAILY = (Ceiling("recipient", Window.DAY, "USDT", 20 * UNIT),)


@pytest.fixture(autouse=True)
async def lawless(pay: Pay) -> AsyncIterator[None]:
    yield
    pay.world.clock.skew = timedelta()
    await enforce(pay.world)


@contextmanager
def no_batch(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever stores a batch dies."""
    insert = batch_answers.insert_once

    async def dies(document: Any) -> bool:
        if isinstance(document, Batch):
            raise StoreUnavailable("killed here")
        return await insert(document)

    with patch.context() as death:
        death.setattr(batch_answers, "insert_once", dies)
        yield


async def dying(pay: Pay, patch: pytest.MonkeyPatch, body: Any, key: str) -> dict[str, Any]:
    """Ask for a batch and die with the acceptance stored and the batch not; the acceptance."""
    with no_batch(patch):
        assert (await pay.post("/payouts/batch", body, key=key)).status_code == 503
    record = await accepted(pay, key)
    assert record is not None and "promised" in record
    assert await Batch.find_one({"_id": record["object_ids"][0]}) is None
    return record


async def accepted(pay: Pay, key: str) -> dict[str, Any] | None:
    request_id = pay.house.idempotency.object_id("req", "op-1", key)
    return await StoredRequest.get_pymongo_collection().find_one({"_id": request_id})


async def used(pay: Pay, who: str) -> int:
    return await RollingLimits(pay.world.clock).used(Window.DAY, f"recipient:{who}", "USDT")


async def much_later(pay: Pay) -> None:
    """What nobody has made anything of counts no more."""
    pay.world.clock.skew += ABANDONED_AFTER + timedelta(minutes=1)
    counting = pay.house.use(Payouts)._counting
    counting._rolling._reconciled = 0
    while await counting.uncount_abandoned():
        pass


async def test_a_repeat_stores_every_row_that_was_accepted_though_fewer_would_be_today(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, key = person(), person(), "died-before-its-rows-1"
    rows = [wish(recipient_address=alice), wish(recipient_address=bob, amount="14"), wish(amount=5)]
    record = await dying(pay, monkeypatch, {"payouts": rows}, key)
    await enforce(pay.world, caps=(Cap("USDT", 13 * UNIT),))
    for _ in range(2):
        again = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
        assert again.status_code == 202 and again.content == record["body"], again.text
        assert again.json()["accepted"] == 2
    left = await accepted(pay, key)
    assert left is not None and "promised" not in left, "what is there needs no promise"
    found = (await pay.get(f"/payouts/batch/{again.json()['batch_id']}")).json()
    assert [row["recipient_address"] for row in found["data"]] == [alice, bob]
    anew = await pay.post("/payouts/batch", {"payouts": rows})
    assert anew.json()["accepted"] == 1, "what is asked for now is judged now"
    await enforce(pay.world)
    await pay.settle(2)
    assert [await pay.held(each) for each in (alice, bob)] == [25 * UNIT, 14 * UNIT]


async def test_what_an_older_release_has_accepted_is_stored_as_it_was_or_not_at_all(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its acceptance promises nothing, but says what it has accepted."""
    alice, bob, key = person(), person(), "died-in-an-older-release"
    rows = [wish(recipient_address=alice), wish(recipient_address=bob, amount="14")]
    record = await dying(pay, monkeypatch, {"payouts": rows}, key)
    kept = {"_id": record["_id"]}
    await StoredRequest.get_pymongo_collection().update_one(kept, {"$unset": {"promised": ""}})
    await enforce(pay.world, caps=(Cap("USDT", 13 * UNIT),))
    pay.world.clock.skew = UNDER_WAY_MAX + timedelta(seconds=1)
    late = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
    assert refusal(late)[:2] == (409, "batch_differs"), late.text
    assert await Batch.find_one({"_id": record["object_ids"][0]}) is None
    await enforce(pay.world)
    again = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
    assert again.status_code == 202 and again.content == record["body"], again.text
    await pay.settle(2)
    assert [await pay.held(each) for each in (alice, bob)] == [12_500_000, 14 * UNIT]


async def test_rows_whose_room_was_given_away_meanwhile_are_all_stored_or_none(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, key = person(), person(), "died-before-its-rows-2"
    await enforce(pay.world, ceilings=DAILY)
    rows = [wish(recipient_address=each) for each in (alice, bob, alice)]
    record = await dying(pay, monkeypatch, {"payouts": rows}, key)
    assert [await used(pay, each) for each in (alice, bob)] == [12_500_000, 12_500_000]
    await much_later(pay)
    assert [await used(pay, each) for each in (alice, bob)] == [0, 0]
    other = await pay.pay(recipient_address=bob)
    late = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
    assert refusal(late)[:2] == (422, "limit_exceeded"), late.text
    assert await Batch.find_one({"_id": record["object_ids"][0]}) is None
    assert [await used(pay, each) for each in (alice, bob)] == [0, 12_500_000]
    assert (await pay.post(f"/payouts/{other['payout_id']}/cancel")).status_code == 200
    again = await pay.post("/payouts/batch", {"payouts": rows}, key=key)
    assert again.status_code == 202 and again.content == record["body"], again.text
    assert [await used(pay, each) for each in (alice, bob)] == [12_500_000, 12_500_000]
    await pay.settle(2)
    assert [await pay.held(each) for each in (alice, bob)] == [12_500_000, 12_500_000]


async def test_an_occurrence_whose_room_was_given_away_is_owed_and_paid_once(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = person(), person()
    await enforce(pay.world, ceilings=DAILY)
    made, _ = await planned(pay, *(wish(recipient_address=each) for each in (alice, bob)))
    path = f"/payouts/schedules/{made['schedule_id']}"
    pay.world.clock.skew = timedelta(minutes=2)
    with no_batch(monkeypatch), pytest.raises(StoreUnavailable):
        await runner(pay).step()
    await much_later(pay)
    other = await pay.pay(recipient_address=bob)
    for minutes in (0, 2):
        pay.world.clock.skew += timedelta(minutes=minutes)
        await runner(pay).step()
        seen = (await pay.get(path)).json()
        assert (seen["status"], seen["waiting_for"]) == ("active", "limit_exceeded")
        assert seen["last_batch_id"] is None, "all of them or none"
    assert (await pay.post(f"/payouts/{other['payout_id']}/cancel")).status_code == 200
    pay.world.clock.skew += timedelta(minutes=2)
    await runner(pay).step()
    assert (await pay.get(path)).json()["status"] == "finished"
    await pay.settle(2)
    assert [await pay.held(each) for each in (alice, bob)] == [12_500_000, 12_500_000]


async def test_a_slow_process_and_one_that_repeats_it_store_one_batch_that_counts_once(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stores what the first has promised, and the first takes nothing of it back."""
    alice, key = person(), "slow-before-its-rows-1"
    await enforce(pay.world, ceilings=DAILY)
    body = {"payouts": [wish(recipient_address=alice), wish(recipient_address=alice)]}
    insert, slow, go = batch_answers.insert_once, asyncio.Event(), asyncio.Event()

    async def waits(document: Any) -> bool:
        if isinstance(document, Batch) and not slow.is_set():
            slow.set()
            await go.wait()
        return await insert(document)

    monkeypatch.setattr(batch_answers, "insert_once", waits)
    first = asyncio.create_task(pay.post("/payouts/batch", body, key=key))
    try:
        async with asyncio.timeout(30):
            await slow.wait()
            with monkeypatch.context() as elsewhere:
                other = another_process(pay)
                mine = pay.house.use(Batches)
                elsewhere.setattr(mine, "_idempotency", other)
                second = await pay.post("/payouts/batch", body, key=key)
            go.set()
            one = await first
    finally:
        go.set()
        first.cancel()
    assert (one.status_code, second.status_code) == (202, 202), second.text
    assert one.content == second.content and one.json()["accepted"] == 1
    assert await used(pay, alice) == 12_500_000
    await pay.settle(2)
    assert await pay.held(alice) == 12_500_000
    assert await used(pay, alice) == 12_500_000


async def test_who_was_late_releases_nothing_that_a_twin_stores_in_this_moment(
    pay: Pay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The acceptance is stored, its answer comes late; the twin stores what was promised, rows
    and counts as they are."""
    alice, key = person(), "late-with-its-acceptance"
    await enforce(pay.world, ceilings=DAILY)
    body = {"payouts": [wish(recipient_address=alice)]}
    batches = pay.house.use(Batches)
    idempotency: Any = another_process(pay)
    insert = idempotency._inserts.insert
    counting: Any = batches._drafts._counting
    uncount, looked, go = counting.uncount, asyncio.Event(), asyncio.Event()

    async def answers_late(document: Any) -> bool:
        done: bool = await insert(document)
        pay.world.clock.skew += COUNTED_GOOD_FOR
        idempotency._inserts.insert = insert
        return done

    async def slow(payouts: Any) -> None:
        if not looked.is_set():
            looked.set()
            await go.wait()
        await uncount(payouts)

    monkeypatch.setattr(idempotency._inserts, "insert", answers_late)
    monkeypatch.setattr(counting, "uncount", slow)
    monkeypatch.setattr(batches, "_idempotency", idempotency)
    first = asyncio.create_task(pay.post("/payouts/batch", body, key=key))
    released = asyncio.create_task(looked.wait())
    try:
        async with asyncio.timeout(30):
            await asyncio.wait({first, released}, return_when=asyncio.FIRST_COMPLETED)
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(batches, "_idempotency", another_process(pay))
                second = await pay.post("/payouts/batch", body, key=key)
            go.set()
            await first
    finally:
        go.set()
        first.cancel()
        released.cancel()
    assert second.status_code == 202 and second.json()["accepted"] == 1, second.text
    assert await used(pay, alice) == 12_500_000
    await pay.settle(2)
    assert await pay.held(alice) == 12_500_000


def another_process(pay: Pay) -> Idempotency:
    """Knows of requests only what is stored."""
    return Idempotency(pay.house.secret, pay.world.clock, GroupInsert())


async def test_a_batch_is_the_same_after_it_was_kept(pay: Pay) -> None:
    made = (await pay.batch([wish(recipient_address=person()), wish(amount=5)]))["batch_id"]
    batch = await by_id(made, {})
    assert batch is not None and unpack_batch(pack_batch(batch)) == batch
    await pay.settle(2)
