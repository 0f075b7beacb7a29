"""What every test may ask for: a real MongoDB and a database of its own."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from beanie import Document
from pymongo import AsyncMongoClient

from tron_payment.db.connect import Store, connect
from tron_payment.db.embedded import EmbeddedMongod

_MEMORY = Path("/dev/shm")
_SLOW_S: Final = 5_400
"""The bound of a test marked `slow` that names none itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of `make soak` take longer than those of `make test` may."""
    for item in items:
        if "slow" in item.keywords and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SLOW_S))


@pytest.fixture(scope="session")
async def mongo_uri() -> AsyncIterator[str]:
    """`MONGODB_TEST_URI`, or one embedded server in memory for the whole run (per worker)."""
    if given := os.environ.get("MONGODB_TEST_URI"):
        yield given
        return
    memory = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-test-", dir=memory))
    server = EmbeddedMongod(folder)
    try:
        yield await server.start()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Mongo:
    """A fresh database: ``store = await mongo.connect([Payout, ...])``."""

    uri: str
    name: str
    stores: list[Store] = field(default_factory=list)

    async def connect(self, documents: Sequence[type[Document]]) -> Store:
        """Bind the documents to this database; closed after the test."""
        store = await connect(self.uri, self.name, documents)
        self.stores.append(store)
        return store


@pytest.fixture(scope="session")
async def mongo_sweeper(mongo_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """Drops what tests leave."""
    async with AsyncMongoClient(mongo_uri, serverSelectionTimeoutMS=5_000) as client:
        yield client


@pytest.fixture
async def mongo(
    mongo_uri: str, mongo_sweeper: AsyncMongoClient[dict[str, Any]]
) -> AsyncIterator[Mongo]:
    """A database that no other test sees, dropped afterwards."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    fresh = Mongo(mongo_uri, f"test_{worker}_{uuid4().hex[:12]}")
    yield fresh
    for store in fresh.stores:
        await store.close()
    await mongo_sweeper.drop_database(fresh.name)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait until something async becomes true: ``await eventually(settled)``; 30 s at most."""

    async def wait(true: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while not await true():
                await asyncio.sleep(0.01)

    return wait
