"""What every test may ask for: a real MongoDB and a database of its own."""

import asyncio
import gc
import os
import re
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
_GC_ALLOCATIONS, _GC_GENERATIONS = 10_000, (20, 20)
_SLOW_S: Final = 5_400
"""The bound of a test marked `slow` that names none itself."""

_WHY_CHARACTERS: Final = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of `make soak` take longer than those of `make test` may."""
    for item in items:
        if "slow" in item.keywords and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SLOW_S))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name at once what failed, and why in a line: a run that is ended has no summary. Its name
    goes to the file that `FAILURES` names, too, for who wants to run it again."""
    if not report.failed or "PYTEST_XDIST_WORKER" in os.environ:
        return
    name = re.sub(r"@[^@\]]*$", "", report.nodeid)  # without its group
    crash = getattr(report.longrepr, "reprcrash", None)
    why = str(getattr(crash, "message", report.longrepr)).partition("\n")[0]
    print(f"\nFAILED {name} ({report.when}) {why[:_WHY_CHARACTERS]}", flush=True)
    if listed := os.environ.get("FAILURES"):
        with Path(listed).open("a") as failures:
            failures.write(f"{name}\n")


def pytest_sessionfinish(exitstatus: int) -> None:
    """What has failed is all that did only where the run came to its end."""
    listed = os.environ.get("FAILURES")
    if listed and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(f"{listed}.exit").write_text(str(int(exitstatus)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look through it after each test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS, *_GC_GENERATIONS)


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


@dataclass(frozen=True)
class Kept:
    """An empty database with the indexes of its documents, and the connection they are bound to."""

    documents: frozenset[type[Document]]
    store: Store

    @property
    def is_bound(self) -> bool:
        """Whether no other connection has taken the documents."""
        return not self.store.client._closed and all(
            model.get_pymongo_collection().database is self.store.database
            for model in self.documents
        )


@dataclass
class Mongo:
    """An empty database: ``store = await mongo.connect([Payout, ...])``."""

    uri: str
    database: str
    """What is used unless an earlier test has left one; afterwards the one that is used."""

    stores: list[Store] = field(default_factory=list)
    kept: dict[frozenset[type[Document]], Kept] = field(default_factory=dict)
    """What earlier tests have left: making a hundred indexes takes longer than most tests."""

    hands_on: bool = False
    """A later test may have the database; not when writes may be under way, or indexes changed."""

    documents: frozenset[type[Document]] = frozenset()

    @property
    def name(self) -> str:
        """The database's; whoever asks may do anything with it, so it is nobody else's."""
        self.hands_on = False
        return self.database

    async def connect(self, documents: Sequence[type[Document]]) -> Store:
        """Bind the documents to this test's database; closed or handed on after the test."""
        wanted = frozenset(documents)
        left = self.kept.pop(wanted, None) if self.hands_on and not self.stores else None
        if left is not None:
            self.database = left.store.database.name
        if left is not None and left.is_bound:
            store = left.store
        else:
            if left is not None:
                await left.store.close()
            store = await connect(self.uri, self.database, documents)
        self.stores.append(store)
        self.documents = wanted
        return store

    async def hand_on(self) -> bool:
        """Empty the database and leave it to the next test, if nothing speaks against it."""
        if not (self.hands_on and len(self.stores) == 1):
            return False
        left = Kept(self.documents, self.stores[0])
        if not left.is_bound or self.documents in self.kept:
            return False
        database = left.store.database
        known = {str(model.get_settings().name) for model in self.documents}
        for name in await database.list_collection_names():
            if name in known:
                await database[name].delete_many({})
            else:
                await database.drop_collection(name)
        self.kept[self.documents] = left
        return True


@pytest.fixture(scope="session")
async def mongo_sweeper(mongo_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """Drops what tests leave."""
    async with AsyncMongoClient(mongo_uri, serverSelectionTimeoutMS=5_000) as client:
        yield client


@pytest.fixture(scope="session")
async def mongo_kept(
    mongo_sweeper: AsyncMongoClient[dict[str, Any]],
) -> AsyncIterator[dict[frozenset[type[Document]], Kept]]:
    """Databases that tests leave to others with the same documents."""
    kept: dict[frozenset[type[Document]], Kept] = {}
    yield kept
    for each in kept.values():
        await each.store.close()
        await mongo_sweeper.drop_database(each.store.database.name)


@pytest.fixture
async def mongo(
    mongo_uri: str,
    mongo_sweeper: AsyncMongoClient[dict[str, Any]],
    mongo_kept: dict[frozenset[type[Document]], Kept],
) -> AsyncIterator[Mongo]:
    """An empty database that no other running test sees."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    fresh = Mongo(mongo_uri, f"test_{worker}_{uuid4().hex[:12]}", kept=mongo_kept, hands_on=True)
    before = asyncio.all_tasks()
    yield fresh
    fresh.hands_on &= not _strays(before)
    if await fresh.hand_on():
        return
    for store in fresh.stores:
        await store.close()
    await mongo_sweeper.drop_database(fresh.name)


def _strays(before: set["asyncio.Task[Any]"]) -> set["asyncio.Task[Any]"]:
    """Tasks that the test has left, which may still write; the driver's own do not."""
    ours = {each for each in asyncio.all_tasks() - before if not each.done()}
    return {each for each in ours if not _is_of_pymongo(each)} - {asyncio.current_task()}


def _is_of_pymongo(task: "asyncio.Task[Any]") -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "pymongo" in code.co_filename


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Wait until something async becomes true: ``await eventually(settled)``; 60 s at most."""

    async def wait(true: Callable[[], Awaitable[bool]], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not await true():
                await asyncio.sleep(0.01)

    return wait
