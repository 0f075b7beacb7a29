"""A running installation on this machine's loopback: what a test asks it, by HTTP and command."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests import plain
from tests.ops.installation import (
    HOT_KEY,
    Processes,
    devnet_argv,
    hot_address,
    initiate,
    key,
    mongod_argv,
    service_environment,
    token,
    until,
)
from tests.ports import free_port
from tron_payment.wallets import SigningKey

BLOCK_MS: Final = 250
COMMAND_S: Final = 120
FUNDS: Final = "1000000"
RECIPIENT: Final = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


@dataclass
class Live:
    """Processes of one installation."""

    folder: Path
    processes: Processes
    environment: dict[str, str]
    devnet_url: str
    services: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    """By port."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{next(iter(self.services))}"

    def start(self, **settings: str) -> int:
        """Run one more service; its port once it is ready."""
        port = free_port()
        environment = self.environment | {"PORT": str(port)} | settings
        argv = [sys.executable, "-m", "tron_payment"]
        child = self.processes.spawn(argv, f"service-{port}.log", environment)
        self.services[port] = child
        try:
            until(
                lambda: plain.get(f"http://127.0.0.1:{port}/health").status_code == 200,
                f"the service on {port}",
            )
        except AssertionError:
            print((self.folder / f"service-{port}.log").read_text()[-4000:])
            raise
        return port

    def log(self, port: int | None = None) -> str:
        port = port or next(iter(self.services))
        return (self.folder / f"service-{port}.log").read_text()

    def call(self, method: str, path: str, role: str = "operator", **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token(role)}", "Idempotency-Key": key()}
        url = self.url + path
        return plain.request(method, url, json=body or None, headers=headers, timeout=30)

    def pay(self, amount: str = "12.5") -> str:
        answer = self.call(
            "POST",
            "/api/v1/payouts/direct",
            user_id="alice",
            recipient_address=RECIPIENT,
            amount=amount,
            currency="USDT",
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["payout_id"])

    def settled(self, payout_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            view: dict[str, Any] = self.call("GET", f"/api/v1/payouts/{payout_id}").json()
            return view if view["status"] == "settled" else None

        view: dict[str, Any] = until(found, f"{payout_id} settled")
        return view

    def stolen(self) -> str:
        """Somebody else with the hot wallet's key moves a TRX; the txid."""
        made: dict[str, Any] = self.devnet(
            "/wallet/createtransaction",
            owner_address=hot_address(),
            to_address=RECIPIENT,
            amount=1_000_000,
            visible=True,
        )
        thief, _ = SigningKey.parse(HOT_KEY)
        made["signature"] = [thief.sign(bytes.fromhex(made["txID"])).hex()]
        sent = self.devnet("/wallet/broadcasttransaction", **made)
        assert sent.get("result"), sent
        return str(made["txID"])

    def command(self, *argv: str, **environ: str) -> tuple[int, str, str]:
        """Run `tron-payment ...` with the installation's configuration."""
        done = subprocess.run(
            [sys.executable, "-m", "tron_payment.cli", *argv],
            env=self.environment | environ,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def command_json(self, *argv: str, **environ: str) -> tuple[int, Any]:
        code, out, err = self.command(*argv, "--json", **environ)
        try:
            return code, json.loads(out)
        except ValueError:
            raise AssertionError(f"{argv}: {code}\n{out}\n{err}") from None

    def devnet(self, path: str, **body: Any) -> dict[str, Any]:
        return _devnet(self.devnet_url, path, **body)

    def end(self) -> None:
        self.processes.end()


def begin(folder: Path, **settings: str) -> Live:
    """A store, a chain with money for the hot wallet, and a configuration; no service yet."""
    processes = Processes(folder)
    mongo_port, node_port = free_port(), free_port()
    argv, env = mongod_argv(folder / "mongo", mongo_port)
    processes.spawn(argv, "mongod.log", env)
    processes.spawn(devnet_argv(folder, node_port, BLOCK_MS), "devnet.log")
    try:
        uri = initiate([mongo_port])
        return configured(folder, processes, uri, node_port, **settings)
    except BaseException:
        processes.end()
        raise


def configured(
    folder: Path, processes: Processes, mongo_uri: str, node_port: int, **settings: str
) -> Live:
    """The configuration for a running store and chain; the hot wallet gets money."""
    devnet_url = f"http://127.0.0.1:{node_port}"
    info = until(
        lambda: (found := _devnet(devnet_url, "/devnet/info")).get("usdt_contract") and found,
        "the test USDT",
    )
    for currency in ("TRX", "USDT"):
        body = {"address": hot_address(), "amount": FUNDS, "currency": currency}
        _devnet(devnet_url, "/devnet/faucet", **body)
    environment = service_environment(
        folder,
        mongo_uri,
        TRON_NODE_URL=devnet_url,
        USDT_CONTRACT_ADDRESS=info["usdt_contract"],
        RATE_READ="100000",
        RATE_WRITE="100000",
        RATE_PAYOUT="100000",
        HOST="127.0.0.1",
        **settings,
    )
    return Live(folder, processes, environment, devnet_url)


def _devnet(base: str, path: str, **body: Any) -> dict[str, Any]:
    answer = plain.request("POST" if body else "GET", base + path, json=body or None, timeout=10)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
