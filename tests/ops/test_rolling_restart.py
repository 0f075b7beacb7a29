"""Three processes on one store and one chain, restarted one after the other under load."""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests import plain
from tests.ops.installation import token, until
from tests.ops.live import RECIPIENT, Live, begin
from tests.ops.pace import ALLOWED, CLOSED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROCESSES = 3
PER_SECOND = 100.0
PER_SECOND_LEAST = 80.0
"""Asked for and accepted, restarts included; what is lost to a busy machine may be a fifth."""

PAYOUTS_MAX = 8_000
AROUND_S = 3.0
"""Load before the first restart and after the last."""

ACCEPT_S = 120
SETTLE_S = 480
RETRIES_MAX = 60
AMOUNT_UNITS = 10_500_000


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Live]:
    installation = begin(tmp_path)
    try:
        for _ in range(PROCESSES):
            installation.start()
        yield installation
    finally:
        installation.end()


@dataclass
class Gateway:
    """What stands in front: sends each request to a living process, and again when it met a closed
    door or was told to (503); any other answer is a fault.

    The key stays the same, as a gateway or client that repeats has to.
    """

    ports: list[int]
    turn: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=20))
    answers: Counter[int] = field(default_factory=Counter)
    repeats: int = 0
    slowest_s: float = 0.0

    def pay(self, number: int) -> str:
        body = {
            "user_id": f"user-{number}",
            "recipient_address": RECIPIENT,
            "amount": "10.5",
            "currency": "USDT",
            "merchant_reference": f"rolling-{number}",
        }
        headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": f"rolling-{number:020}"}
        started = time.monotonic()
        for _ in range(RETRIES_MAX):
            with self.lock:
                self.turn += 1
                port = self.ports[self.turn % len(self.ports)]
            try:
                url = f"http://127.0.0.1:{port}/api/v1/payouts/direct"
                answer = self.http.post(url, json=body, headers=headers)
            except httpx.TimeoutException:
                raise AssertionError(f"payout {number} got no answer in time") from None
            except httpx.TransportError:
                answer = None
            status = CLOSED if answer is None else str(answer.status_code)
            assert status in ALLOWED, f"{status}: {answer.text if answer is not None else None}"
            if answer is not None and answer.status_code == 202:
                with self.lock:
                    self.answers[202] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                return str(answer.json()["payout_id"])
            with self.lock:
                self.repeats += 1
                self.answers[0 if answer is None else answer.status_code] += 1
            time.sleep(0.25)
        raise AssertionError(f"payout {number} was never accepted: {self.answers}")


def restart_all(here: Live, how: signal.Signals) -> list[float]:
    """Each process once, the next when the one before is ready again; seconds each was away."""
    away = []
    for port in list(here.services):
        child = here.services[port]
        started = time.monotonic()
        child.send_signal(how)
        child.wait(timeout=60)
        environment = here.environment | {"PORT": str(port)}
        argv = [sys.executable, "-m", "tron_payment"]
        here.services[port] = here.processes.spawn(argv, f"service-{port}.log", environment)
        url = f"http://127.0.0.1:{port}/health"
        until(lambda url=url: plain.get(url).status_code == 200, f"{port} again", within_s=120)
        away.append(time.monotonic() - started)
    return away


def all_of(here: Live) -> list[dict[str, Any]]:
    uri = (Path(here.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    with MongoClient(uri) as client:
        rows: list[dict[str, Any]] = list(client["tron_payment"]["payouts"].find({}))
        return rows


def paid_on_chain(here: Live) -> int:
    """The recipient's USDT by the token contract itself."""
    word = "0" * 24 + _hex(RECIPIENT)
    body = {
        "owner_address": RECIPIENT,
        "contract_address": here.environment["USDT_CONTRACT_ADDRESS"],
        "function_selector": "balanceOf(address)",
        "parameter": word,
        "visible": True,
    }
    answer = here.devnet("/walletsolidity/triggerconstantcontract", **body)
    return int(answer["constant_result"][0], 16)


def _hex(address: str) -> str:
    from tron_payment.core.address import address_bytes, parse_address

    return address_bytes(parse_address(address))[-20:].hex()


@dataclass
class Paced:
    """`tests.ops.pace` as a process of its own."""

    here: Live
    per_second: float
    count_max: int = PAYOUTS_MAX

    def __enter__(self) -> "Paced":
        self.out = self.here.folder / "pace.json"
        ports = [str(port) for port in self.here.services]
        argv = [sys.executable, "-m", "tests.ops.pace", str(self.out)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.child = self.here.processes.spawn(
            [*argv, str(self.per_second), str(self.count_max), *ports], "pace.log", environment
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait()

    def said(self, stop: bool = True) -> dict[str, Any]:
        """What became of everything that was asked for."""
        if stop:
            self.child.send_signal(signal.SIGTERM)
        self.child.wait(timeout=ACCEPT_S)
        log = (self.here.folder / "pace.log").read_text()
        assert self.child.returncode == 0, log[-2000:]
        found: dict[str, Any] = json.loads(self.out.read_text())
        return found


def checked(here: Live, ids: list[str]) -> None:
    """Every promised payout is settled once, and nothing else; the books are the chain."""
    rows = all_of(here)
    assert {row["_id"] for row in rows} == set(ids), "none lost, none invented"
    assert len({row["txid"] for row in rows}) == len(ids) == len(set(ids))
    assert paid_on_chain(here) == len(ids) * AMOUNT_UNITS, "none doubled"
    code, report = here.command_json("reconcile")
    assert code == 0 and set(report["difference"].values()) <= {"0"}, report
    for port in here.services:
        assert "order.contradiction" not in here.log(port)


def unsettled(here: Live) -> int:
    uri = (Path(here.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    with MongoClient(uri) as client:
        count: int = client["tron_payment"]["payouts"].count_documents(
            {"status": {"$ne": "settled"}}
        )
        return count


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_rolling_restart_under_load_loses_and_doubles_nothing(
    here: Live, how: signal.Signals
) -> None:
    started = time.monotonic()
    with Paced(here, PER_SECOND) as paced:
        time.sleep(AROUND_S)
        away = restart_all(here, how)
        time.sleep(AROUND_S)
        said = paced.said()
    ids = said["ids"]
    assert not said["never"] and len(away) == PROCESSES
    assert set(said["answers"]) <= ALLOWED, said["answers"]
    assert len(ids) / said["asked_s"] >= PER_SECOND_LEAST, "the load was there"
    until(lambda: unsettled(here) == 0, "all settled", SETTLE_S)
    settled_s = time.monotonic() - started
    checked(here, ids)
    refused = {code: n for code, n in said["answers"].items() if code != "202"}
    print(
        f"\n{how.name}: {len(ids)} payouts asked for in {said['asked_s']:.1f} s "
        f"({len(ids) / said['asked_s']:.0f}/s of {PER_SECOND:.0f}/s), settled after "
        f"{settled_s:.1f} s; {said['repeated']} repeats {refused}; p50 {said['p50_ms']:.0f} "
        f"p99 {said['p99_ms']:.0f} max {said['max_ms']:.0f} ms; "
        f"away {', '.join(f'{s:.1f}' for s in away)} s"
    )
