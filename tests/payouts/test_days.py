"""Closed days: the same figures as from the payouts themselves, and never too early."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.conftest import Mongo
from tron_payment.core.clock import ManualClock
from tron_payment.payouts import day_documents as store
from tron_payment.payouts.batch_documents import Batch
from tron_payment.payouts.day_documents import PayoutDay, begin_of
from tron_payment.payouts.days import CLOSE_AFTER, Days
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus, Route

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
S = PayoutStatus


@pytest.fixture
async def clock(mongo: Mongo) -> AsyncIterator[ManualClock]:
    await mongo.connect([Payout, PayoutDay, Batch])
    yield ManualClock(NOON)


async def paid(name: str, at: datetime, status: S = S.SETTLED, owner: str = "shop") -> Payout:
    payout = Payout(
        id=f"pay_{name}",
        principal=owner,
        user_id="ann",
        recipient_address="TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC",
        currency="USDT",
        units=3_000_001,
        route=Route.DIRECT,
        decision_rule="asked",
        policy_version=0,
        wallet_id="wal_1",
        signer="T1",
        priority="normal",
        max_fee_sun=1,
        order_id=f"ord_{name}",
        status=status,
        fee_paid_sun=7 if status in (S.SETTLED, S.FAILED) else None,
        energy_used=11 if status is S.SETTLED else None,
        settled_at=at + timedelta(seconds=9) if status is S.SETTLED else None,
        created_at=at,
        updated_at=at,
    )
    await payout.insert()
    return payout


async def test_a_closed_day_says_what_its_payouts_say(clock: ManualClock) -> None:
    for back in range(4):
        for n, status in enumerate((S.SETTLED, S.SETTLED, S.FAILED, S.CANCELED)):
            await paid(f"{back}{n}", NOON - back * DAY, status, "shop" if n else "other")
    period = (NOON - 3 * DAY, NOON)
    before = await store.sums(*period, {}), await store.sums(*period, {"principal": "shop"})
    counted = await store.counts()
    assert counted == {"settled": 8, "failed": 4, "canceled": 4}

    await Days(clock).step()
    assert await store.closed_days() == {(NOON - n * DAY).date() for n in (1, 2, 3)}
    after = await store.sums(*period, {}), await store.sums(*period, {"principal": "shop"})
    assert [sorted(each, key=str) for each in after] == [sorted(e, key=str) for e in before]
    assert await store.counts() == counted
    one = next(each for each in after[0] if each.status == "settled")
    assert (one.units, one.took_ms, one.fee_sun, one.energy) == (3_000_001, 9_000, 7, 11)


async def test_a_period_that_cuts_a_day_reads_the_payouts_of_that_day(clock: ManualClock) -> None:
    await paid("a", NOON - DAY - timedelta(hours=1))
    await paid("b", NOON - DAY + timedelta(hours=1))
    await Days(clock).step()
    assert sum(s.payouts for s in await store.sums(NOON - DAY, NOON, {})) == 1
    assert sum(s.payouts for s in await store.sums(NOON - 2 * DAY, NOON - DAY, {})) == 1


@pytest.mark.parametrize("status", [S.QUEUED, S.SIGNED, S.AWAITING_APPROVAL, S.QUARANTINED])
async def test_a_day_with_an_open_payout_is_added_up_live(clock: ManualClock, status: S) -> None:
    await paid("done", NOON - DAY)
    moving = await paid("open", NOON - DAY, status)
    await Days(clock).step()
    assert await store.closed_days() == set()
    assert (await store.counts())[status.value] == 1
    ended = {"$set": {"status": "settled"}}
    await Payout.get_pymongo_collection().update_one({"_id": moving.id}, ended)
    await Days(clock).step()
    assert await store.counts() == {"settled": 2}
    assert await store.closed_days() == {(NOON - DAY).date()}


async def test_a_day_that_has_just_ended_stays_open(clock: ManualClock) -> None:
    await paid("late", NOON)
    midnight = begin_of(NOON.date()) + DAY
    early = ManualClock(midnight + CLOSE_AFTER - timedelta(seconds=1))
    await Days(early).step()
    assert await store.closed_days() == set()
    await Days(ManualClock(midnight + CLOSE_AFTER)).step()
    assert await store.closed_days() == {NOON.date()}


async def test_a_day_that_is_not_right_is_made_anew(clock: ManualClock) -> None:
    await paid("one", NOON - DAY)
    days = Days(clock)
    await days.step()
    await paid("from the past", NOON - DAY)
    await days.step()
    await days.step()
    assert await store.counts() == {"settled": 2}
    assert await store.closed_days() == {(NOON - DAY).date()}


def test_spans_are_what_no_closed_day_has() -> None:
    day = date(2026, 11, 20)
    begin, end = begin_of(day) - DAY, begin_of(day) + 3 * DAY
    assert store.spans(begin, end, []) == [{"$gte": begin, "$lte": end}]
    first, second = store.spans(begin, end, [day])
    assert first == {"$gte": begin, "$lt": begin_of(day)}
    assert second == {"$gte": begin_of(day) + DAY, "$lte": end}
    assert store.spans(begin, begin_of(day), [day - DAY]) == [
        {"$gte": begin_of(day), "$lte": begin_of(day)}
    ]
