"""What too few nodes tell: room for so many, whose turn it is, and longer and longer pauses."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.world import ALL_DOCUMENTS
from tron_payment.engine import InternalVerdict
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine.internal import ASKED_FOR
from tron_payment.engine.internal_documents import ASK_PAUSE, ASK_PAUSE_MAX, KEPT_MAX

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SINCE = NOW - ASKED_FOR


@pytest.fixture(autouse=True)
async def store(mongo: Mongo) -> AsyncIterator[None]:
    await mongo.connect(ALL_DOCUMENTS)
    yield


def told(name: str, by: str, amount_sun: int, block_number: int = 7) -> InternalVerdict:
    return InternalVerdict(
        id=name,
        block_number=block_number,
        told_by=by,
        amount_sun=amount_sun,
        seen_at=NOW,
        looked_at=NOW,
    )


async def write(*found: InternalVerdict) -> int:
    """As the first look at a block does; how many there was no room for."""
    kept, left = await verdicts.with_room(list(found), SINCE)
    await verdicts.write_down(kept)
    return left


async def names() -> set[str]:
    return {each.id for each in await InternalVerdict.find_all().to_list()}


async def test_who_invents_without_end_takes_the_room_of_nobody_else() -> None:
    lies = [told(f"lie-{n}", "liar", 10**15 + n) for n in range(KEPT_MAX + 30)]
    assert await write(*lies) == 30
    assert await write(told("true", "honest", 25_000_000)) == 0
    assert await write(told("both", "honest,liar", 1)) == 0
    found = await names()
    assert {"true", "both"} < found and len(found) == KEPT_MAX + 2
    assert "lie-29" not in found and "lie-30" in found, "the larger ones are kept"
    assert await write(*lies[30:]) == 0, "what is written down already needs no room"


async def test_small_gifts_go_for_larger_ones() -> None:
    await write(*[told(f"gift-{n}", "honest", 1 + n) for n in range(KEPT_MAX)])
    assert await write(told("small", "honest", 1)) == 1
    assert await write(told("25", "honest", 25_000_000), told("26", "honest", 26_000_000)) == 0
    found = await names()
    assert {"25", "26"} < found and len(found) == KEPT_MAX
    assert not {"small", "gift-0", "gift-1"} & found


async def test_what_counts_or_is_closed_takes_no_room_and_does_not_go() -> None:
    await write(*[told(f"gift-{n}", "honest", 2) for n in range(KEPT_MAX)])
    assert await verdicts.accept("gift-0", "tom", "not true")
    proposed = await verdicts.propose(told("gift-1", "honest", 2), 50, [], 0)
    assert proposed is not None
    larger = [told(f"large-{n}", "honest", 100) for n in range(3)]
    assert await write(*larger) == 0
    found = await names()
    assert {"gift-0", "gift-1", *(each.id for each in larger)} < found
    assert len(found) == KEPT_MAX + 2


async def test_the_most_valuable_is_due_first_and_with_it_its_block() -> None:
    await write(
        told("small", "honest", 1, 5),
        told("large", "honest", 9, 6),
        told("beside", "liar", 10**15, 6),
        told("later", "honest", 5, 8),
    )
    assert await verdicts.tellers(SINCE, NOW) == ["honest", "liar"]
    rows = await verdicts.due("honest", SINCE, NOW, 10)
    assert [each.id for each in rows] == ["large", "beside"]
    for each in rows:
        await verdicts.asked(each, NOW)
    assert await verdicts.tellers(SINCE, NOW) == ["honest"]
    assert [each.id for each in await verdicts.due("honest", SINCE, NOW, 10)] == ["later"]


async def test_pauses_are_doubled_up_to_a_bound() -> None:
    await write(told("gift", "honest", 1))
    now, pauses = NOW, []
    for _ in range(12):
        (row,) = await verdicts.due("honest", SINCE, now, 10)
        await verdicts.asked(row, now)
        (row,) = await InternalVerdict.find_all().to_list()
        assert row.due_at is not None
        assert await verdicts.due("honest", SINCE, row.due_at - timedelta(seconds=1), 10) == []
        pauses.append(row.due_at - now)
        now = row.due_at
    assert pauses[:3] == [ASK_PAUSE, 2 * ASK_PAUSE, 4 * ASK_PAUSE]
    assert pauses[-3:] == [ASK_PAUSE_MAX] * 3
    assert sorted(pauses) == pauses


async def test_of_an_older_build_all_is_due() -> None:
    await write(told("old", "", 0))
    news = {"told_by": "", "amount_sun": "", "asked": "", "due_at": ""}
    await InternalVerdict.get_pymongo_collection().update_many({}, {"$unset": news})
    assert await verdicts.tellers(SINCE, NOW) == [""]
    (row,) = await verdicts.due("", SINCE, NOW, 10)
    await verdicts.asked(row, NOW)
    assert await verdicts.tellers(SINCE, NOW) == []
