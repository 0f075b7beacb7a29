"""A production-shaped installation for tests: mongod, devnet and service as processes."""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
from pymongo import MongoClient
from pymongo.errors import PyMongoError

import tron_payment
from tron_payment.core.address import Address
from tron_payment.db.binary import find_mongod, link_curl
from tron_payment.wallets import SigningKey

PATIENCE_S: Final = 120.0
"""Much more than anything takes on a quiet machine: a busy one gets its time."""

POLL_S: Final = 0.1
HOT_KEY: Final = "7" * 64
JWT_SECRET: Final = "a-secret-of-the-gateway-that-has-40-byte"


class NeverHappened(AssertionError):
    """Something awaited did not come."""


def until(true: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
    """The first true answer; trouble with connections counts as not yet."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError, PyMongoError):
            if found := true():
                return found
        time.sleep(POLL_S)
    raise NeverHappened(f"{what} within {within_s} s")


def hot_address() -> Address:
    return SigningKey.parse(HOT_KEY)[0].address


def token(role: str = "operator", **claims: Any) -> str:
    now = int(time.time())
    claims = {"sub": f"test-{role}", "role": role, "iat": now, "exp": now + 3600, **claims}
    issued = {"iss": "api-gateway", "aud": "tron-payment", **claims}
    return jwt.encode(issued, JWT_SECRET, algorithm="HS256")


@dataclass
class Processes:
    """Children that end with the test."""

    folder: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def spawn(
        self, argv: Sequence[str], log: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as out:
            child = subprocess.Popen(argv, stdout=out, stderr=out, env=dict(env or os.environ))
        self.running.append(child)
        return child

    def end(self) -> None:
        for child in reversed(self.running):
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.kill()
            child.wait()


def mongod_argv(folder: Path, port: int, set_name: str = "rs0") -> tuple[list[str], dict[str, str]]:
    """A command line and environment that run a mongod with its data in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ)
    curl = link_curl(folder.parent / "lib")
    try:
        ctypes.CDLL("libcurl.so.4")
    except OSError:
        if curl is not None:
            env["LD_LIBRARY_PATH"] = str(curl)
    return [
        *(str(find_mongod()), "--dbpath", str(folder), "--port", str(port)),
        *("--bind_ip", "127.0.0.1", "--replSet", set_name, "--nounixsocket", "--quiet"),
        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
        *("--networkMessageCompressors", "disabled"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ], env


def initiate(ports: Sequence[int]) -> str:
    """Make a replica set of running servers; its URI once a primary takes writes."""
    hosts = [f"127.0.0.1:{port}" for port in ports]
    uri = f"mongodb://{','.join(hosts)}/?replicaSet=rs0"

    def begun() -> bool:
        with MongoClient(hosts[0], directConnection=True, serverSelectionTimeoutMS=1_000) as client:
            members = [{"_id": n, "host": host} for n, host in enumerate(hosts)]
            config: dict[str, Any] = {"_id": "rs0", "members": members}
            config["settings"] = {"electionTimeoutMillis": 2_000}
            with suppress(PyMongoError):
                client.admin.command("replSetInitiate", config)
            return bool(client.admin.command("hello").get("setName"))

    until(begun, "a replica set")

    def writable() -> bool:
        with MongoClient(uri, serverSelectionTimeoutMS=1_000) as client:
            return bool(client.admin.command("hello").get("isWritablePrimary"))

    until(writable, "a primary")
    return uri


def devnet_argv(folder: Path, port: int, block_ms: int, host: str = "127.0.0.1") -> list[str]:
    return [
        *(sys.executable, "-m", "tron_payment.devnet", "--port", str(port), "--host", host),
        *("--block-ms", str(block_ms), "--data", str(folder / "devnet")),
        *("--history-ms", str(240 * block_ms)),
    ]


def service_environment(folder: Path, mongo_uri: str, **settings: str) -> dict[str, str]:
    """The environment of a service in production mode; its secrets are files in the folder."""
    place = folder / "secrets"
    place.mkdir(exist_ok=True)
    for name, value in {
        "jwt_secret_key": JWT_SECRET,
        "wallet_encryption_key": "ab" * 32,
        "hot_wallet_private_key": HOT_KEY,
        "mongodb_uri": mongo_uri,
    }.items():
        (place / name).write_text(value)
        (place / name).chmod(0o600)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return (
        inherited
        | {
            "PYTHONPATH": str(Path(tron_payment.__file__).parent.parent),
            "SECRETS_DIR": str(place),
            "LUCID_ENV": "production",
            "TRON_NETWORK": "private",
            "VAR_DIR": str(folder / "var"),
        }
        | settings
    )


def key() -> str:
    """A fresh idempotency key."""
    return secrets.token_hex(16)
