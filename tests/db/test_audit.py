"""The audit log shows any tampering at the exact entry."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import Act, Audit, AuditEntry, BadEntry, Fault, Head, canonical

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


def act(n: int, **more: Any) -> Act:
    return Act(actor="usr_1", role="treasurer", action="payout.approve", object_id=f"o{n}", **more)


@pytest.fixture
async def raw(mongo: Any) -> Any:
    """The collection with entries 1 to 10."""
    store = await mongo.connect([AuditEntry])
    acts = [act(n, before={"n": n, "at": NOW}, after={"n": n + 1, "x": None}) for n in range(1, 11)]
    await Audit(ManualClock(NOW)).append_many(acts)
    return store.database["audit"]


@pytest.fixture
def log() -> Audit:
    return Audit(ManualClock(NOW))


async def test_an_untouched_log_is_sound(raw: Any, log: Audit) -> None:
    assert await log.verify() is None
    assert await log.verify(from_seq=7) is None
    head = await log.head()
    assert head is not None and await log.verify(known=head) is None
    await log.append(act(11))
    assert await log.verify(known=head) is None


@pytest.mark.parametrize(
    "change",
    [
        {"after.n": 99},
        {"actor": "usr_2"},
        {"at": NOW + timedelta(milliseconds=1)},
        {"role": 5},
        {"added": 1},
        {"before": None},
        {"after.n": 7.5},
        {"hash": "0" * 64},
    ],
)
async def test_a_changed_entry_is_named(raw: Any, log: Audit, change: Any) -> None:
    await raw.update_one({"seq": 6}, {"$set": change})
    assert await log.verify() == BadEntry(6, Fault.CHANGED)
    assert await log.verify(from_seq=8) is None


@pytest.mark.parametrize("seq", [1, 4, 9])
async def test_a_removed_entry_is_named(raw: Any, log: Audit, seq: int) -> None:
    await raw.delete_one({"seq": seq})
    assert await log.verify() == BadEntry(seq, Fault.REMOVED)


async def test_swapped_entries_are_named(raw: Any, log: Audit) -> None:
    for source, target in ((4, -1), (7, 4), (-1, 7)):
        await raw.update_one({"seq": source}, {"$set": {"seq": target}})
    assert await log.verify() == BadEntry(4, Fault.REORDERED)


async def test_a_removed_entry_whose_number_is_closed_up_is_named(raw: Any, log: Audit) -> None:
    await raw.delete_one({"seq": 4})
    for seq in range(5, 11):
        await raw.update_one({"seq": seq}, {"$set": {"seq": seq - 1}})
    assert await log.verify() == BadEntry(4, Fault.REORDERED)


async def test_a_known_head_shows_a_cut_and_a_rewritten_log(raw: Any, log: Audit) -> None:
    head = await log.head()
    assert head is not None
    await raw.delete_many({"seq": {"$gt": 8}})
    assert await log.verify() is None, "the chain alone cannot know"
    assert await log.verify(known=head) == BadEntry(9, Fault.CUT_OFF)
    await log.append_many([act(9), act(10)])
    assert await log.verify() is None
    assert await log.verify(known=head) == BadEntry(10, Fault.REWRITTEN)
    assert await log.verify(known=Head(99, head.hash)) == BadEntry(11, Fault.CUT_OFF)


async def test_many_callers_share_few_commands(raw: Any, log: Audit) -> None:
    entries = await asyncio.gather(*(log.append(act(n)) for n in range(500)))
    assert [each.seq for each in entries] == list(range(11, 511))
    assert await log.verify() is None


def test_the_same_value_is_the_same_text() -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    assert canonical({"b": [1, "ü"], "a": berlin}) == (
        '{"a":"2026-11-20T12:00:00.123Z","b":[1,"ü"]}'
    )
    assert canonical({"s": {"b", "a"}, "t": (True, None, b"\x01")}) == (
        '{"s":["a","b"],"t":[true,null,"01"]}'
    )


@pytest.mark.parametrize("value", [1.5, 2**63, object()])
def test_what_has_no_exact_text_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"v": value})
