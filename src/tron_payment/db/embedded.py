"""A real MongoDB as our own child: one data folder, a one-node replica set, loopback only.

Development and tests use it; production has `MONGODB_URI`. Whoever holds the folder's lock runs
the server; other processes of the same folder attach to it, and one of them takes over when the
owner dies.
"""

import asyncio
import fcntl
import json
import os
import socket
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import structlog
from pymongo import AsyncMongoClient
from pymongo.errors import (
    AutoReconnect,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from tron_payment.db.binary import EmbeddedMongoUnavailable, find_mongod, link_curl
from tron_payment.db.child import Child

log = structlog.get_logger(__name__)

HOST: Final = "127.0.0.1"
REPLICA_SET: Final = "rs0"
START_S: Final = 30.0
"""Recovery after a kill reads at most a few journal files; more than this is a broken machine."""

PRIMARY_S: Final = 60.0
PRIMARY_POLL_S: Final = 0.01
FOLDER_BUSY_S: Final = 15.0
"""How long a dying earlier server may keep the data folder."""

PORT_BUSY_S: Final = 2.0
"""How long it may keep the port after that; then another one is taken."""

ATTACH_POLL_S: Final = 0.05
ATTACH_PATIENCE_MS: Final = 500
OWNER_POLL_S: Final = 1.0
RESTART_FIRST_S: Final = 0.1
RESTART_MOST_S: Final = 30.0
HEALTHY_S: Final = 60.0
"""A server that lived so long restarts without a wait."""

_CACHE_GB: Final = "0.25"
_OPLOG_MB: Final = "64"
_NOT_YET_INITIALIZED: Final = 94
_ALREADY_INITIALIZED: Final = 23
_EXIT_FOLDER_BUSY: Final = 100


class EmbeddedMongod:
    """The server of one data folder, ours or another process's."""

    def __init__(self, data_dir: Path, port: int = 0, *, cache_gb: str = _CACHE_GB) -> None:
        """Name the folder; nothing happens before `start`.

        Args:
            data_dir: Made when missing; holds the database, the lock and the port of last time.
            port: 0 takes the port of last time when it is free, else any free one.
            cache_gb: WiredTiger's cache, a decimal of GB; the server's least is 0.25.
        """
        self._dir = data_dir.absolute()
        self._wish = port
        self._cache_gb = cache_gb
        self._lock: int | None = None
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self.port = 0

    @property
    def uri(self) -> str:
        """For any client of this machine, while it runs."""
        return f"mongodb://{HOST}:{self.port}/?replicaSet={REPLICA_SET}"

    @property
    def owns(self) -> bool:
        """Whether the server is this process's child."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """The server's process id when it is our child."""
        return self._child.pid if self._child else None

    async def start(self) -> str:
        """Run the server, or attach to the one that runs; the URI once its primary takes writes.

        Raises:
            EmbeddedMongoUnavailable: No program, an unsuitable machine, or a port in use.
        """
        self._stopping.clear()
        self._dir.mkdir(parents=True, exist_ok=True)
        deadline = asyncio.get_running_loop().time() + START_S + PRIMARY_S
        while not self._take_lock():
            if await self._attach():
                return self.uri
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedMongoUnavailable(f"another process holds {self._dir} and runs none")
            await asyncio.sleep(ATTACH_POLL_S)
        try:
            await self._run()
        except BaseException:
            await self.stop()
            raise
        return self.uri

    async def stop(self) -> None:
        """End our child within seconds; another process's server is left alone."""
        self._stopping.set()
        if self._child is not None:
            await self._child.stop()
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def supervise(self) -> None:
        """Run until `stop`: start the server again whenever it dies, on the same port.

        An attached process takes over when the owner is gone. Never raises for a server that
        does not come up: it tries again, ever slower.
        """
        pause_s = RESTART_FIRST_S
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            if self._child is not None:
                await self._child.gone.wait()
                if self._stopping.is_set():
                    return
                log.error("mongod.died", reason=self._child.last_words())
            elif not self._take_lock():
                await self._pause(OWNER_POLL_S)
                continue
            if asyncio.get_running_loop().time() - began > HEALTHY_S:
                pause_s = RESTART_FIRST_S
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, RESTART_MOST_S)
            try:
                await self._run(self.port)
                log.warning("mongod.restarted", port=self.port, pid=self.pid)
            except (EmbeddedMongoUnavailable, OSError) as error:
                log.error("mongod.restart_failed", reason=str(error))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _run(self, port: int = 0) -> None:
        """Start the child, and make it a primary under its present port."""
        wanted = port or self._wish
        known = bool(self._remembered_port()) and (self._dir / "WiredTiger").exists()
        deadline = asyncio.get_running_loop().time() + FOLDER_BUSY_S
        while self._orphan_lives() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(ATTACH_POLL_S)
        if not wanted:
            await self._last_port_free()
        while True:
            if self._stopping.is_set():
                raise EmbeddedMongoUnavailable("the server is being stopped")
            self.port = _free_port(wanted or self._remembered_port(), fixed=bool(wanted))
            self._child = Child(self._arguments(), link_curl(self._dir / "lib"))
            try:
                await self._child.ready(START_S)
                await _make_primary(self.port, known=known)
                break
            except EmbeddedMongoUnavailable:
                await self._child.stop()
                late = asyncio.get_running_loop().time() > deadline
                if late or self._child.returncode != _EXIT_FOLDER_BUSY:
                    raise
                await asyncio.sleep(ATTACH_POLL_S)
        self._remember(self.port)

    async def _last_port_free(self) -> None:
        """Give a server that is ending a moment to leave its port, after it has left the folder."""
        port = self._remembered_port()
        with suppress(TimeoutError):
            async with asyncio.timeout(PORT_BUSY_S):
                while port and _bound(port) is None:  # noqa: ASYNC110
                    await asyncio.sleep(ATTACH_POLL_S)

    def _arguments(self) -> list[str]:
        return [
            *(str(find_mongod()), "--dbpath", str(self._dir), "--port", str(self.port)),
            *("--bind_ip", HOST, "--replSet", REPLICA_SET, "--nounixsocket", "--quiet"),
            *("--networkMessageCompressors", "disabled", "--slowms", "1000"),
            *("--wiredTigerCacheSizeGB", self._cache_gb, "--oplogSize", _OPLOG_MB),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # Nobody reads the past: dropped tables go with the next checkpoint, not after minutes.
            *("--setParameter", "minSnapshotHistoryWindowInSeconds=0"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
            "--wiredTigerEngineConfigString",
            "log=(enabled,file_max=4MB,prealloc=false)",
        ]

    async def _attach(self) -> bool:
        """Whether the owner's server takes our writes."""
        self.port = self._remembered_port()
        if not self.port:
            return False
        async with _direct(self.port, ATTACH_PATIENCE_MS) as client:
            with suppress(PyMongoError):
                hello = await client.admin.command("hello")
                return bool(hello.get("isWritablePrimary")) and hello["setName"] == REPLICA_SET
        return False

    def _take_lock(self) -> bool:
        """Become the owner; the kernel frees the lock when we die, however we die."""
        if self._lock is not None:
            return True
        lock = os.open(self._dir / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _orphan_lives(self) -> bool:
        """Whether a killed owner's server is still busy ending; it has the folder and the port."""
        try:
            pid = int((self._dir / "mongod.lock").read_text())
            return str(self._dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False

    def _remembered_port(self) -> int:
        try:
            return int(json.loads((self._dir / "port.json").read_text())["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _remember(self, port: int) -> None:
        fresh = self._dir / "port.json.new"
        fresh.write_text(json.dumps({"port": port}))
        fresh.replace(self._dir / "port.json")


async def _make_primary(port: int, *, known: bool) -> None:
    """Initiate the replica set, or tell it that its only member now listens on `port`.

    Args:
        known: The folder's set was initiated in an earlier run. A server whose old port belongs
            to someone silent needs half a minute to load what it knows, and says meanwhile that
            it knows nothing.
    """
    try:
        async with _direct(port) as client, asyncio.timeout(PRIMARY_S):
            while not await _takes_writes(client, f"{HOST}:{port}", known=known):  # noqa: ASYNC110
                await asyncio.sleep(PRIMARY_POLL_S)
    except (TimeoutError, PyMongoError) as error:
        raise EmbeddedMongoUnavailable(f"no primary comes up: {error}") from error


async def _takes_writes(
    client: AsyncMongoClient[dict[str, Any]], address: str, *, known: bool
) -> bool:
    """Whether the server is the primary under this address; False: look again.

    A server that finds itself left out of its set closes its connections: then the next look has a
    new one. A server that is gone takes none.
    """
    try:
        if not await _configured(client, address, known=known):
            return False
        return bool((await client.admin.command("hello"))["isWritablePrimary"])
    except ServerSelectionTimeoutError:
        raise
    except AutoReconnect:
        return False


async def _configured(
    client: AsyncMongoClient[dict[str, Any]], address: str, *, known: bool
) -> bool:
    """Whether the set has its one member at the address; False: look again."""
    admin = client.admin
    try:
        config = (await admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        if not known:
            config = {"_id": REPLICA_SET, "members": [{"_id": 0, "host": address}]}
            try:
                await admin.command("replSetInitiate", config)
            except OperationFailure as refusal:
                if refusal.code != _ALREADY_INITIALIZED:
                    raise
        return False
    if config["members"][0]["host"] != address:
        config["members"][0]["host"] = address
        config["version"] += 1
        await admin.command("replSetReconfig", config, force=True)
    return True


def _direct(port: int, patience_ms: int = 5_000) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        HOST,
        port,
        directConnection=True,
        serverSelectionTimeoutMS=patience_ms,
        connectTimeoutMS=patience_ms,
    )


def _free_port(first_choice: int, *, fixed: bool) -> int:
    """The first choice (0: any) when it is free; else another one, unless it is `fixed`."""
    for port in (first_choice,) if fixed else (first_choice, 0):
        if (found := _bound(port)) is not None:
            return found
    raise EmbeddedMongoUnavailable(f"port {first_choice} of {HOST} is in use")


def _bound(port: int) -> int | None:
    """The port (0: any), if a server of ours could listen there now."""
    with closing(socket.socket()) as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])
    return None
