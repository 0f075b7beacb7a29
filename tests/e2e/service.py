"""The real service as a process of its own, with its MongoDB and its devnet as children.

Started as an operator starts it, in a folder and on ports that nobody else has; everything that
it prints and answers is kept, so that a test can search it.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from pymongo import AsyncMongoClient

from tests.ports import free_port
from tron_payment import configuration
from tron_payment.development import with_secrets
from tron_payment.settings import Settings
from tron_payment.welcome import make_token

MEMORY: Final = Path("/dev/shm")
BLOCK_MS: Final = 200
READY_S: Final = 240.0
STOP_S: Final = 120.0
CALL_S: Final = 60.0
POLL_S: Final = 0.1
SETTLE_S: Final = 300.0
FINAL: Final = frozenset({"settled", "failed", "canceled", "rejected", "quarantined"})
OURS: Final = ("LUCID_", "TRON_", "DEVNET_", "MONGO", "JWT_", "PAYMENT_", "RATE_")
"""Variables of the outer environment that would change what is tested."""

_numbers = count(1)


class Service:
    """One installation: a folder, two ports, and a process while it runs."""

    def __init__(self, **environment: str) -> None:
        memory = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="tron-payment-e2e-", dir=memory))
        self.port, self.devnet_port = free_port(), free_port()
        kept = {n: v for n, v in os.environ.items() if not n.startswith(OURS)}
        self.environment = {
            **kept,
            "LUCID_ENV": "development",
            "TRON_NETWORK": "devnet",
            "PORT": str(self.port),
            "DEVNET_PORT": str(self.devnet_port),
            "DEVNET_BLOCK_MS": str(BLOCK_MS),
            "VAR_DIR": str(self.folder),
            **environment,
        }
        self.answers: list[str] = []
        """The body of every answer that a client of `client` got."""

        self.tokens: list[str] = []
        self.launcher: tuple[str, ...] = ("-m", "tron_payment")
        """What the interpreter is told; a profiler comes between by changing it."""

        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def devnet_url(self) -> str:
        return f"http://127.0.0.1:{self.devnet_port}"

    @property
    def settings(self) -> Settings:
        """As the process sees them, with the secrets that it made."""
        return with_secrets(configuration.load(self.environment))

    def start(self) -> None:
        """Start the process; its output goes to files in the folder."""
        assert self.process is None or self.process.poll() is not None
        with (
            (self.folder / "stdout").open("ab") as out,
            (self.folder / "stderr").open("ab") as err,
        ):
            self.process = subprocess.Popen(
                [sys.executable, *self.launcher],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    async def ready(self, path: str = "/health", within_s: float = READY_S) -> float:
        """Seconds until `path` answers 200."""
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=self.url, verify=False, trust_env=False) as http:
            while True:
                assert self.process is not None and self.process.poll() is None, self.last_words()
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(path)).status_code == 200:
                        return time.monotonic() - began
                assert time.monotonic() - began < within_s, f"{path}: {self.last_words()}"
                await asyncio.sleep(POLL_S / 2)

    def last_words(self) -> str:
        """The end of what it printed."""
        return (self.folder / "stderr").read_text(errors="replace")[-2_000:]

    async def ended(self, within_s: float = STOP_S) -> int:
        """Wait for the process; its exit status."""
        assert self.process is not None
        async with asyncio.timeout(within_s):
            while (status := self.process.poll()) is None:
                await asyncio.sleep(POLL_S / 4)
        return status

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """End it as a supervisor would; its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sign)
        return await self.ended()

    async def kill_everything(self) -> None:
        """SIGKILL to the service and its children at once, children first stopped from acting."""
        assert self.process is not None
        family = [self.process.pid, *self.children()]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.ended()
        async with asyncio.timeout(STOP_S):
            while any(alive(pid) for pid in family):
                await asyncio.sleep(POLL_S / 4)

    def children(self) -> list[int]:
        """Everything that the process has started and that lives."""
        assert self.process is not None
        return list(descendants(self.process.pid))

    def destroy(self) -> None:
        """Whatever happened: nothing of it is left."""
        if self.process is not None and self.process.poll() is None:
            family = [self.process.pid, *self.children()]
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait(STOP_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def token(self, role: str = "operator", subject: str = "e2e", **claims: Any) -> str:
        """A token of the gateway for any role."""
        made = make_token(self.settings, subject, role, **claims)
        self.tokens.append(made)
        return made

    def client(
        self, role: str = "operator", subject: str = "e2e", **claims: Any
    ) -> httpx.AsyncClient:
        """A caller with a token; close it."""
        return self.caller({"Authorization": f"Bearer {self.token(role, subject, **claims)}"})

    def caller(self, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
        """Somebody with these headers only; close it."""

        async def keep(response: httpx.Response) -> None:
            self.answers.append(f"{response.headers} {(await response.aread()).decode()}")

        return httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=CALL_S,
            verify=False,  # nothing here is asked over TLS, and reading certificates takes 30 ms
            trust_env=False,
            event_hooks={"response": [keep]},
        )

    def devnet(self) -> httpx.AsyncClient:
        """The devnet's own HTTP API; close it."""
        return httpx.AsyncClient(
            base_url=self.devnet_url, timeout=CALL_S, verify=False, trust_env=False
        )

    @property
    def mongo_uri(self) -> str:
        """Where its MongoDB listens while it runs."""
        port = json.loads((self.folder / "mongodb" / "port.json").read_text())["port"]
        return f"mongodb://127.0.0.1:{port}/?directConnection=true"

    def mongo(self) -> AsyncMongoClient[dict[str, Any]]:
        """The service's own store, read behind its back; close it."""
        return AsyncMongoClient(self.mongo_uri)


def descendants(pid: int) -> Iterator[int]:
    """Children of a process, and theirs, by /proc."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from descendants(child)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return f"e2e-{os.getpid():08d}-{next(_numbers):08d}"


async def made(
    api: httpx.AsyncClient, path: str, body: Any, *, media_type: str = ""
) -> dict[str, Any]:
    """What a POST with a key of its own makes.

    Args:
        body: JSON; text as it stands, with its `media_type`.
    """
    headers = {"Idempotency-Key": new_key()}
    if isinstance(body, str):
        headers["Content-Type"] = media_type
        answer = await api.post(path, content=body, headers=headers)
    else:
        answer = await api.post(path, json=body, headers=headers)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def settled(api: httpx.AsyncClient, payout_ids: list[str]) -> list[dict[str, Any]]:
    """The payouts once all of them have ended."""
    found: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(SETTLE_S):
        while len(found) < len(payout_ids):
            for payout_id in payout_ids:
                if payout_id not in found:
                    answer = (await api.get(f"/api/v1/payouts/{payout_id}")).json()
                    if answer.get("status") in FINAL:
                        found[payout_id] = answer
            await asyncio.sleep(POLL_S)
    return [found[payout_id] for payout_id in payout_ids]


async def reconciled(service: Service) -> dict[str, Any]:
    """A reconciliation that was asked for now, finished at a later block than the last one."""
    async with service.client("auditor", "auditor") as api:
        before = (await api.get("/api/v1/payments/reconciliation")).json()["solid_block"]
        answer = await api.get("/api/v1/payments/reconciliation", params={"run": "true"})
        assert answer.status_code == 202, answer.text
        async with asyncio.timeout(SETTLE_S):
            while True:
                report: dict[str, Any] = (await api.get("/api/v1/payments/reconciliation")).json()
                if report["solid_block"] not in (None, before):
                    return report
                await asyncio.sleep(POLL_S)


async def transfers_to(service: Service, recipients: set[str]) -> dict[str, list[int]]:
    """Units of every USDT Transfer event to each recipient, from the devnet's solid blocks."""
    seen: dict[str, list[int]] = {address: [] for address in recipients}
    async with service.devnet() as devnet:
        token = (await devnet.get("/devnet/info")).json()["usdt_contract"]
        for address in recipients:
            page = await devnet.get(
                f"/v1/accounts/{address}/transactions/trc20",
                params={"only_confirmed": "true", "only_to": "true", "limit": "200"},
            )
            seen[address] = [
                int(row["value"])
                for row in page.json()["data"]
                if row["to"] == address and row["token_info"]["address"] == token
            ]
    return seen


async def trx_of(service: Service, address: str) -> int:
    """Solidified TRX balance in sun."""
    async with service.devnet() as devnet:
        answer = await devnet.post(
            "/walletsolidity/getaccount", json={"address": address, "visible": True}
        )
        return int(answer.json().get("balance", 0))
