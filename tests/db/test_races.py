"""Several processes at once: each change happens once, each number is given once."""

import asyncio
from typing import Any

import pytest

from tron_payment.core.clock import SystemClock
from tron_payment.db import installation
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.db.events import Event, Events
from tron_payment.db.installation import Installation, InstallationMismatch

from .race import race


async def test_processes_that_count_together_lose_no_count(mongo: Any) -> None:
    store = await mongo.connect([Event])
    said = await race(mongo, ("count", "150"), ("count", "150"))
    counter = await store.database["counters"].find_one({"_id": "c"})
    assert (counter["total"], counter["version"]) == (300, 300)
    assert sum(each["lost"] for each in said) > 0, "they never met"


async def test_processes_that_audit_together_make_one_chain(mongo: Any) -> None:
    await mongo.connect([AuditEntry])
    said = await race(mongo, ("audit", "a", "300"), ("audit", "b", "300"))
    assert sorted(seq for each in said for seq in each) == list(range(1, 601))
    log = Audit(SystemClock())
    assert await log.verify() is None
    head = await log.head()
    assert head is not None and head.seq == 600


async def test_a_reader_misses_no_event_of_many_writers(mongo: Any) -> None:
    await mongo.connect([Event])
    writing = asyncio.create_task(race(mongo, ("events", "a", "700"), ("events", "b", "700")))
    outbox, read, done = Events(), [], False
    while not done or read[-1].seq < await outbox.head_seq():
        done = writing.done()
        page = await outbox.after(read[-1].seq if read else 0, limit=50)
        read += page
        if not page:
            await asyncio.sleep(0.001)
    await writing
    assert [each.seq for each in read] == list(range(1, 1401))
    assert len({each.id for each in read}) == 1400


async def test_processes_that_start_together_are_one_installation(mongo: Any) -> None:
    await mongo.connect([Installation])
    said = await race(mongo, *[("install", "aa")] * 3)
    found = await installation.load("aa", SystemClock())
    assert said == [found.secret.hex()] * 3 and len(found.secret) == 32
    assert found.secret.hex() not in repr(found) and str(found.secret) not in repr(found)


async def test_a_store_of_another_chain_or_a_newer_release_is_refused(mongo: Any) -> None:
    store = await mongo.connect([Installation])
    await installation.load("aa", SystemClock())
    with pytest.raises(InstallationMismatch):
        await installation.load("bb", SystemClock())
    await store.database["installation"].update_one(
        {}, {"$set": {"schema_version": 99, "schema_floor": 99}}
    )
    with pytest.raises(InstallationMismatch):
        await installation.load("aa", SystemClock())


async def test_an_event_appended_again_keeps_its_number(mongo: Any) -> None:
    await mongo.connect([Event])
    now = SystemClock().now()
    made = [
        Event(id=f"evt_{n}", type="t", object_id="o", owner=f"u{n % 2}", object_seq=n, at=now)
        for n in range(10)
    ]
    first = await Events().append_many(made[:6])
    again = await Events().append_many(made)
    assert [each.seq for each in first] == [1, 2, 3, 4, 5, 6]
    assert [each.seq for each in again] == list(range(1, 11))
    outbox = Events()
    twice = await asyncio.gather(outbox.append_many(made), outbox.append_many(made[::-1]))
    assert [each.seq for each in twice[0]] == list(range(1, 11))
    assert [each.seq for each in twice[1]] == list(range(10, 0, -1))
    mine = await outbox.after(3, owner="u1", limit=3)
    assert [each.seq for each in mine] == [4, 6, 8]
    assert await outbox.head_seq() == 10


async def test_an_event_that_cannot_be_stored_hurts_nobody_else(mongo: Any) -> None:
    await mongo.connect([Event])
    now = SystemClock().now()
    made = [
        Event(
            id=f"evt_{n}",
            type="t",
            object_id="o",
            owner="u",
            object_seq=n,
            at=now,
            data={"n": 2**70 if n == 2 else n},
        )
        for n in range(5)
    ]
    outbox = Events()
    answers = await asyncio.gather(
        *(outbox.append_many([each]) for each in made), return_exceptions=True
    )
    assert [isinstance(each, OverflowError) for each in answers] == [0, 0, 1, 0, 0]
    assert [each.seq for each in await outbox.after(0, limit=10)] == [1, 2, 3, 4]
