"""Three processes on one store and one chain, restarted one after the other under load."""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from tests.ops.installation import token, until
from tests.ops.live import RECIPIENT, Live, begin

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROCESSES = 3
PAYOUTS = 600
CALLERS = 8
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
    """What stands in front: sends each request to a living process, and again when it failed.

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
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                with self.lock:
                    self.answers[202] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                return str(answer.json()["payout_id"])
            with self.lock:
                self.repeats += 1
                self.answers[answer.status_code if answer else 0] += 1
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
        until(lambda url=url: httpx.get(url).status_code == 200, f"{port} again", within_s=120)
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


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda how: how.name)
def test_a_rolling_restart_under_load_loses_and_doubles_nothing(
    here: Live, how: signal.Signals
) -> None:
    gateway = Gateway(list(here.services))
    restarts: list[float] = []
    started = time.monotonic()
    worker = threading.Thread(target=lambda: restarts.extend(restart_all(here, how)))
    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(gateway.pay, number) for number in range(PAYOUTS)]
        worker.start()
        ids = [future.result() for future in futures]
    asked_s = time.monotonic() - started
    worker.join()
    assert len(restarts) == PROCESSES
    assert len(set(ids)) == PAYOUTS

    until(lambda: all(p["status"] == "settled" for p in all_of(here)), "all settled", 300)
    settled_s = time.monotonic() - started
    rows = all_of(here)
    assert {row["_id"] for row in rows} == set(ids), "none lost, none invented"
    assert len({row["txid"] for row in rows}) == PAYOUTS
    assert paid_on_chain(here) == PAYOUTS * AMOUNT_UNITS, "none doubled"
    code, report = here.command_json("reconcile")
    assert code == 0 and set(report["difference"].values()) <= {"0"}, report
    for port in here.services:
        assert "order.contradiction" not in here.log(port)
    print(
        f"\n{how.name}: {PAYOUTS} payouts accepted in {asked_s:.1f} s ({PAYOUTS / asked_s:.0f}/s), "
        f"settled after {settled_s:.1f} s; {gateway.repeats} repeats, slowest answer "
        f"{gateway.slowest_s:.1f} s; answers {dict(gateway.answers)}; "
        f"away {', '.join(f'{s:.1f}' for s in restarts)} s"
    )
