"""Two of three members of the replica set are there: the store is healthy, and we say so."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from beanie import Document
from bson import ObjectId
from pymongo import ASCENDING, AsyncMongoClient, IndexModel, MongoClient
from pymongo.errors import PyMongoError

from tests.ops.installation import Processes, initiate, mongod_argv, until
from tests.ports import free_port
from tron_payment.db.connect import connect
from tron_payment.metrics import Figures, MongoWatch, make_registry

WITHIN_S = 60
HEARTBEATS_MS = 500
"""The shortest that the driver allows."""

SELECTION_MS = 3_000
"""Closing a client waits for that when nobody is there."""

ELECTION_MS = 10_000
"""As a server has it by itself: a busy machine must not begin one."""


class Bill(Document):
    id: str  # type: ignore[assignment]
    code: str

    class Settings:
        name = "bills"
        indexes = [IndexModel([("code", ASCENDING)], name="one_code", unique=True)]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[tuple[str, Processes]]:
    """The URI of a set of three, one of which was never there."""
    processes = Processes(tmp_path)
    ports = [free_port() for _ in range(3)]
    try:
        for port in ports[:2]:
            argv, env = mongod_argv(tmp_path / str(port), port)
            processes.spawn(argv, f"{port}.log", env)
        uri = initiate(ports[:2])
        with MongoClient[dict[str, Any]](uri) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"].append({"_id": 2, "host": f"127.0.0.1:{ports[2]}"})
            config["version"] += 1
            config["settings"]["electionTimeoutMillis"] = ELECTION_MS
            client.admin.command({"replSetReconfig": config, "force": True})
            until(lambda: _writable(client), "a primary")
        yield uri, processes
    finally:
        processes.end()
        shutil.rmtree(tmp_path, ignore_errors=True)


def _writable(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        client["money"]["bills"].insert_one({"_id": str(ObjectId()), "code": str(ObjectId())})
    except PyMongoError:
        return False
    return True


def shown(watch: MongoWatch) -> float | None:
    return make_registry(Figures(), watch).get_sample_value("tronpay_mongo_writable")


def failures(watch: MongoWatch) -> float:
    families = make_registry(Figures(), watch).collect()
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == "tronpay_mongo_failures_total")


async def test_a_release_with_a_new_index_starts_and_nothing_is_told_to_be_wrong(
    members: tuple[str, Processes],
) -> None:
    uri, processes = members
    async with asyncio.timeout(WITHIN_S):  # by default the server waits for every member
        store = await connect(uri, "money", [Bill])
    found = await store.database["bills"].index_information()
    await store.close()
    assert found["one_code"]["unique"]

    watch = MongoWatch()
    async with AsyncMongoClient[dict[str, Any]](
        uri,
        serverSelectionTimeoutMS=SELECTION_MS,
        heartbeatFrequencyMS=HEARTBEATS_MS,
        event_listeners=[watch],
    ) as client:

        async def until_shown(value: float) -> None:
            async with asyncio.timeout(WITHIN_S):
                while shown(watch) != value:
                    await asyncio.sleep(0.1)

        await client["money"]["bills"].find_one()
        await until_shown(1)
        for _ in range(10):
            await client["money"]["bills"].find_one()
            await asyncio.sleep(HEARTBEATS_MS / 1000)
            assert shown(watch) == 1, "the third one is away all the time"
        assert failures(watch) == 0
        for child in processes.running:
            child.kill()
        await until_shown(0)
    assert shown(watch) == 1, "nobody asks for a store any more"
