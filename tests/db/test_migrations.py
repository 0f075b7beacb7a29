"""A store of an older release is brought forward once, by whoever comes first, and may go back."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from beanie import Document
from pymongo import ASCENDING, IndexModel
from structlog.testing import capture_logs

from tron_payment.core.clock import SystemClock
from tron_payment.db import installation, migrations
from tron_payment.db.connect import connect, make_indexes, open_store
from tron_payment.db.installation import Installation, InstallationMismatch, migrate
from tron_payment.db.leases import Lease, Leases
from tron_payment.db.migrations import FIRST_VERSION, MIGRATIONS, SCHEMA_VERSION, Migration

MANUAL = Path(__file__).parents[2] / "docs" / "operations.md"


async def nothing(_: Any) -> None:
    return


def step(to: int, beside: bool, run: Any = nothing) -> Migration:
    return Migration(to, f"step {to}", run, beside, "nothing")


async def older(mongo: Any, version: int = FIRST_VERSION) -> Any:
    """A store as a release without migrations left it."""
    database = (await mongo.connect([Installation, Lease])).database
    await database["installation"].insert_one(
        {
            "_id": "installation",
            "secret": b"s" * 32,
            "genesis_id": "aa",
            "created_at": SystemClock().now(),
            "schema_version": version,
        }
    )
    return database


def test_steps_are_numbered_without_gaps() -> None:
    assert [each.to for each in MIGRATIONS] == list(range(FIRST_VERSION + 1, SCHEMA_VERSION + 1))


def test_every_step_is_in_the_manual_with_its_way_back() -> None:
    text = MANUAL.read_text()
    for each in MIGRATIONS:
        kind = "yes" if each.beside else "no"
        assert f"| {each.to} | {each.title} | {kind} | {each.rollback} |" in text


async def test_an_older_store_is_brought_forward(mongo: Any) -> None:
    database = await older(mongo)
    await database["leases"].insert_one({"_id": "old", "owner": "x", "epoch": 1})
    await database["leases"].insert_one({"_id": "new", "owner": "x", "epoch": 1, "beat": 1})
    found = await installation.load("aa", SystemClock())
    assert (found.schema_version, found.secret) == (SCHEMA_VERSION, b"s" * 32)
    assert [row["_id"] async for row in database["leases"].find()] == ["new"]
    again = await installation.load("aa", SystemClock())
    assert again == found


@pytest.mark.parametrize("version", [4, 6])
async def test_invoices_that_were_paid_are_looked_at_for_a_sweep_once_more(
    mongo: Any, version: int
) -> None:
    database = await older(mongo, version=version)
    payments = database["payments"]
    rows = [("paid", "invoice", 7), ("never paid", "invoice", 0), ("of another kind", "usdt", 0)]
    await payments.insert_many(
        [{"_id": name, "kind": kind, "booked_block": block} for name, kind, block in rows]
    )
    await installation.load("aa", SystemClock())
    assert [row["_id"] async for row in payments.find({"sweepable": True})] == ["paid"]


async def test_a_step_about_many_rows_asks_for_a_page_at_a_time(
    mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, no one write is so long that the start gives up on the server."""
    monkeypatch.setattr(migrations, "PAGE", 10)
    database, count = await older(mongo, version=4), 35
    rows = [{"_id": f"inv_{n}", "kind": "invoice", "booked_block": 7} for n in range(count)]
    await database["payments"].insert_many([*rows, {**rows[0], "_id": "x", "status": "expired"}])
    open_one = {**rows[0], "_id": "open", "status": "partially_paid"}
    await database["payments"].insert_one(open_one)
    await database.command("profile", 2)
    await installation.load("aa", SystemClock())
    await database.command("profile", 0)
    writes = {"op": "update", "ns": f"{database.name}.payments"}
    touched = [
        n async for row in database["system.profile"].find(writes) if (n := row["nModified"])
    ]
    assert len(touched) == 4 and max(touched) <= 10 and sum(touched) == count + 1
    kept = await database["payments"].find_one({"_id": "open"})
    assert "sweepable" not in kept, "it was never forgotten"


async def test_return_addresses_of_forgotten_payments_leave_their_events(
    mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release took them out of the payment alone; who has one still keeps it."""
    monkeypatch.setattr(migrations, "TOLD_PAGE", 2)
    database = await older(mongo, version=5)
    kept = {"_id": "inv_kept", "return_url": "https://shop.example/bob"}
    await database["payments"].insert_many([kept, *({"_id": f"inv_{n}"} for n in range(5))])
    url = {"data": {"amount": "5", "return_url": "https://shop.example/alice"}}
    ids = ["inv_kept", *(f"inv_{n}" for n in range(5))]
    events = [{"_id": f"evt_{i}", "seq": i, "object_id": ids[i % 6]} | url for i in range(12)]
    await database["events"].insert_many(events)
    await database["events"].insert_one({"_id": "x", "seq": 99, "object_id": "inv_0", "data": {}})
    await installation.load("aa", SystemClock())
    left = database["events"].find({"data.return_url": {"$type": "string"}})
    assert {row["object_id"] async for row in left} == {"inv_kept"}
    other = await database["events"].find_one({"_id": "x"})
    assert other["data"] == {}
    told = await database["events"].find_one({"object_id": "inv_1"})
    assert told["data"] == {"amount": "5", "return_url": None}


async def test_many_processes_migrate_at_once(mongo: Any) -> None:
    await older(mongo)
    found = await asyncio.gather(*(installation.load("aa", SystemClock()) for _ in range(8)))
    assert {each.schema_version for each in found} == {SCHEMA_VERSION}


async def test_dying_in_a_step_repeats_it(mongo: Any) -> None:
    await older(mongo)
    calls: list[str] = []

    async def dies_once(_: Any) -> None:
        calls.append("run")
        if len(calls) == 1:
            raise ConnectionError("killed")

    found = await installation._find()
    assert found is not None
    steps = [step(2, beside=True, run=dies_once)]
    with pytest.raises(ConnectionError):
        await migrate(found, steps)
    kept = await installation._find()
    assert kept is not None and kept.schema_version == 1
    assert (await migrate(kept, steps)).schema_version == 2 and len(calls) == 2


@pytest.mark.parametrize(("beside", "floor"), [(True, 1), (False, 3)])
async def test_an_older_release_works_beside_until_a_step_forbids_it(
    mongo: Any, beside: bool, floor: int
) -> None:
    await older(mongo)
    found = await installation._find()
    assert found is not None
    done = await migrate(found, [step(2, beside=True), step(3, beside=beside)])
    assert (done.schema_version, done.schema_floor) == (3, floor)


async def test_a_process_that_knows_too_little_loses_its_turn_before_the_step(mongo: Any) -> None:
    """And says why, once; what it had is free for one that knows enough."""
    database = await older(mongo, version=SCHEMA_VERSION)
    found, runs = await installation._find(), Leases("runs")
    assert found is not None and await runs.acquire("job") is not None
    refused: list[Lease | None] = []

    async def looks(_: Any) -> None:
        refused.append(await runs.acquire("job"))

    with capture_logs() as told:
        found = await migrate(found, [step(SCHEMA_VERSION + 1, beside=True)])
        assert await runs.acquire("job") is not None, "it may work beside that"
        await migrate(found, [step(SCHEMA_VERSION + 2, beside=False, run=looks)])
        assert await runs.acquire("job") is None and refused == [None]
    (why,) = [entry for entry in told if entry["event"] == "lease.refused"]
    assert f"schema {SCHEMA_VERSION + 2}" in why["detail"]
    kept = await database["leases"].find_one()
    assert (kept["owner"], kept["floor"]) == ("runs", SCHEMA_VERSION + 2)
    await database["leases"].update_many({}, {"$unset": {"floor": ""}})
    assert await runs.acquire("job") is not None, "as the manual says for the way back"


async def test_a_release_refuses_a_store_that_it_cannot_work_on(mongo: Any) -> None:
    database = await older(mongo, version=SCHEMA_VERSION + 1)
    with pytest.raises(InstallationMismatch, match="Upgrade and rollback"):
        await installation.load("aa", SystemClock())
    await database["installation"].update_one({}, {"$set": {"schema_floor": SCHEMA_VERSION}})
    found = await installation.load("aa", SystemClock())
    assert found.schema_version == SCHEMA_VERSION + 1, "rolled back, and nothing was undone"


class Named(Document):
    id: str  # type: ignore[assignment]
    code: str

    class Settings:
        name = "named"
        indexes = [IndexModel([("code", ASCENDING)], name="one_code", unique=True)]


async def test_a_refused_release_makes_no_index(mongo: Any) -> None:
    """The newer one may have dropped it because it does not hold any more."""
    database = await older(mongo, version=SCHEMA_VERSION + 1)
    await database["named"].insert_one({"_id": "a", "code": "x"})
    with pytest.raises(InstallationMismatch):
        await connect(mongo.uri, mongo.name, [Installation, Named])
    assert set(await database["named"].index_information()) == {"_id_"}
    await database["installation"].update_one({}, {"$set": {"schema_floor": SCHEMA_VERSION}})
    await (await connect(mongo.uri, mongo.name, [Installation, Named])).close()
    assert "one_code" in await database["named"].index_information()


async def test_a_step_makes_room_for_a_unique_index(mongo: Any) -> None:
    """In the order of a start: open, steps, indexes."""
    database = await older(mongo)
    await database["named"].insert_many([{"_id": each, "code": "x"} for each in "ab"])

    async def tells_apart(database: Any) -> None:
        await database["named"].update_one({"_id": "b"}, {"$set": {"code": "y"}})

    store = await open_store(mongo.uri, mongo.name, [Installation, Named])
    try:
        assert set(await database["named"].index_information()) == {"_id_"}
        found = await installation._find()
        assert found is not None
        await migrate(found, [step(2, beside=True, run=tells_apart)])
        await make_indexes(store, [Installation, Named])
        assert (await database["named"].index_information())["one_code"]["unique"]
    finally:
        await store.close()


async def test_a_new_store_has_the_newest_shape(mongo: Any) -> None:
    await mongo.connect([Installation])
    found = await installation.load("aa", SystemClock())
    assert found.schema_version == SCHEMA_VERSION
    assert found.schema_floor == installation.floor_of(MIGRATIONS)
