"""Connect to the replica set with the guarantees that money needs, or refuse to start.

Majority and journal on every write, majority reads from the primary, bounded waits. A standalone
server would acknowledge writes that a failover forgets, so it is refused.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pymongo
import structlog
from beanie import Document, init_beanie
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

from tron_payment.core.errors import Unavailable
from tron_payment.db import driver_waits
from tron_payment.db.faults import store_errors
from tron_payment.db.installation import refuse_newer

SERVER_SELECTION_MS: Final = 2_000
"""How long an operation looks for a primary: an absent database is told within this.

The driver's `timeoutMS` is not used: it would replace this wait by its own, longer one.
"""

ANSWER_MS: Final = 10_000
"""How long a server that has taken a command may be silent; a timed-out write is retried once."""

CONNECT_MS: Final = 2_000
POOL_MAX: Final = 64
POOL_WAIT_MS: Final = 5_000
INDEX_BUILD_S: Final = 600.0
"""Indexes on a large collection may take minutes, once."""

INDEX_TOLD_S: Final = 1.0
"""Where one is not there or made by then, the log says what the start waits for."""

OLDEST_SERVER: Final = (6, 0)

Raw = dict[str, Any]

log = structlog.get_logger()


class StoreRefused(Unavailable, code="store_refused"):
    """The database is not one that this service may keep money in."""

    retryable = False


@dataclass(frozen=True, slots=True, repr=False)
class Store:
    """An open connection; close it with `close`."""

    client: AsyncMongoClient[Raw]
    database: AsyncDatabase[Raw]

    def __repr__(self) -> str:
        return f"Store({self.database.name})"

    async def ping(self, within_s: float = SERVER_SELECTION_MS / 1000) -> bool:
        """Whether a primary takes writes, within the time."""
        try:
            with pymongo.timeout(within_s):
                hello = await self.client.admin.command("hello")
        except PyMongoError:
            return False
        return bool(hello.get("isWritablePrimary"))

    async def close(self) -> None:
        await self.client.close()


async def connect(uri: str, name: str, documents: Sequence[type[Document]]) -> Store:
    """Open the store, see that we may work on it, and make the indexes.

    Args:
        uri: ``mongodb://`` or ``mongodb+srv://``; its write and read concerns are overridden.
        name: The database.
        documents: Every document class that will be used; each is bound to this connection.

    Raises:
        StoreRefused: Malformed URI, no replica set, an old server, or an index that cannot be.
        InstallationMismatch: The database is a newer release's.
        StoreUnavailable: No primary answers in time.
    """
    store = await open_store(uri, name, documents)
    try:
        if documents:
            await refuse_newer(store.database)
            await make_indexes(store, documents)
    except BaseException:
        await store.close()
        raise
    return store


async def open_store(uri: str, name: str, documents: Sequence[type[Document]]) -> Store:
    """Open the store, as `connect` does, and change nothing in it.

    Whoever serves makes the indexes after `installation.load`: an older release must not touch
    what a newer one works on, and what a step of a new one removes may be in an index's way.

    Raises:
        StoreRefused: Malformed URI, no replica set, or an old server.
        StoreUnavailable: No primary answers in time.
    """
    client = _client(uri)
    try:
        with _refusals():
            await _require_replica_set(client)
            database = client[name]
            await init_beanie(database=database, document_models=list(documents), skip_indexes=True)
    except BaseException:
        await client.close()
        raise
    return Store(client, database)


async def open_beside(store: Store, name: str, documents: Sequence[type[Document]]) -> Store:
    """Another database of the same server, by the same connections: they end with the first."""
    with _refusals():
        database = store.client[name]
        await init_beanie(database=database, document_models=list(documents), skip_indexes=True)
    return Store(store.client, database)


async def make_indexes(store: Store, documents: Sequence[type[Document]]) -> None:
    """Make the indexes that are missing, and see that the unique ones are there.

    Raises:
        StoreRefused: One cannot be.
        StoreUnavailable: No primary answers, or one takes longer than `INDEX_BUILD_S`.
    """
    with _refusals(), pymongo.timeout(INDEX_BUILD_S):
        for model in documents:
            await _require_indexes(store.database, model)


async def see_indexes(store: Store, documents: Sequence[type[Document]]) -> None:
    """For who leaves making them to the service: see that the unique ones are there.

    Raises:
        StoreRefused: One is not.
        StoreUnavailable: No primary answers.
    """
    with _refusals():
        for model in documents:
            await _see_unique(store.database, model)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        with store_errors():
            yield
    except pymongo.errors.OperationFailure as error:
        raise StoreRefused(f"the database refuses: {without_password(str(error))}") from None


def without_password(text: str) -> str:
    """The text with the user part of every MongoDB URI in it replaced by three stars."""
    return re.sub(r"(mongodb(?:\+srv)?://)[^/\s]*@", r"\1***@", text)


def _client(uri: str) -> AsyncMongoClient[Raw]:
    driver_waits.mend()
    try:
        return AsyncMongoClient(
            uri,
            w="majority",
            journal=True,
            readConcernLevel="majority",
            readPreference="primary",
            retryWrites=True,
            retryReads=True,
            tz_aware=True,
            uuidRepresentation="standard",
            serverSelectionTimeoutMS=SERVER_SELECTION_MS,
            connectTimeoutMS=CONNECT_MS,
            socketTimeoutMS=ANSWER_MS,
            waitQueueTimeoutMS=POOL_WAIT_MS,
            maxPoolSize=POOL_MAX,
            appName="tron-payment",
        )
    except (ConfigurationError, InvalidURI, ValueError, TypeError) as error:
        kind = type(error).__name__  # its text may quote the URI with the password
        raise StoreRefused(f"MONGODB_URI cannot be used ({kind})") from None


async def _require_replica_set(client: AsyncMongoClient[Raw]) -> None:
    hello, build = await asyncio.gather(
        client.admin.command("hello"), client.admin.command("buildInfo")
    )
    if not hello.get("setName"):
        raise StoreRefused(
            "MongoDB runs standalone: start it with --replSet and initiate the set "
            "(one member is enough), because a standalone server may forget acknowledged writes"
        )
    version: tuple[int, ...] = tuple(build["versionArray"][:2])
    if version < OLDEST_SERVER:
        raise StoreRefused(f"MongoDB {build['version']} is too old: 6.0 or later is needed")


async def _require_indexes(database: AsyncDatabase[Raw], model: type[Document]) -> None:
    """Make what is missing, and see the unique ones: uniqueness is a money rule.

    They are seen in the server's own list, not in our declarations. That list also has indexes
    which another process is still building, so `createIndexes` comes first, at every start: it
    does nothing where all are there, waits for a build, and fails with it. A majority of the
    members is enough, as for every write: one that is away must not keep a release from starting.
    """
    settings = model.get_settings()
    collection = database[str(settings.name)]
    declared = [index.index for index in settings.indexes]
    if declared:
        telling = asyncio.get_running_loop().call_later(
            INDEX_TOLD_S, partial(log.info, "index.building", collection=collection.name)
        )
        try:
            await collection.create_indexes(declared, commitQuorum="majority")
        finally:
            telling.cancel()
    await _see_unique(database, model)


async def _see_unique(database: AsyncDatabase[Raw], model: type[Document]) -> None:
    settings = model.get_settings()
    declared = [index.index for index in settings.indexes]
    wanted = {index.document["name"] for index in declared if index.document.get("unique")}
    present = await database[str(settings.name)].index_information() if wanted else {}
    missing = {name for name in wanted if not present.get(name, {}).get("unique")}
    if missing:
        raise StoreRefused(
            f"{settings.name} lacks its unique indexes {sorted(missing)}: the service makes them "
            "when it starts"
        )
