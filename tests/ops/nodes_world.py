"""A service that asks three nodes, two of which have to agree, and what a test does with it."""

import hashlib
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests import plain
from tests.e2e.addresses import fresh_address
from tests.ops.bad_nodes import BLOCK, RECEIPTS, BadNode, Invented, standing_before
from tests.ops.installation import devnet_argv, key, token, until
from tests.ops.live import Live, begin
from tests.ops.test_metrics import samples
from tests.ports import free_port
from tron_payment.core.address import address_bytes, parse_address

DEADLINE_S: Final = 4.0
"""Of a call to a node; a slow one costs so much."""

SETTLE_S: Final = 90
CALL_S: Final = 30
CALM_MS: Final = 3_000
RECOVER_S: Final = 120
TWO_OF_THREE: Final = {"NODE_AGREEMENT": "2", "NODE_DEADLINE_S": str(DEADLINE_S)}
UNITS_OF_USDT: Final = 1_000_000
FINISHED: Final = frozenset({"settled", "failed", "canceled", "rejected", "quarantined"})


@dataclass
class Round:
    """Payouts and a deposit that were asked for together."""

    payouts: dict[str, str]
    """Recipient by payout id."""

    invoice: str = ""
    invoice_address: str = ""


@dataclass
class World:
    """The installation, its bad nodes, and everything that was promised."""

    live: Live
    nodes: list[BadNode]
    promised: dict[str, int] = field(default_factory=dict)
    """Units by recipient."""

    invoices: dict[str, int] = field(default_factory=dict)
    """Units that arrived, by invoice."""

    copies: int = 0
    asked: int = 0

    # ---- money -------------------------------------------------------------------------------

    def ask(self, count: int = 2, deposit: bool = True) -> Round:
        """Place payouts to new recipients, and pay an invoice."""
        done = Round({})
        for _ in range(count):
            self.asked += 1
            recipient, amount = str(fresh_address()), 10 + self.asked
            answer = self._accepted(
                202,
                "/api/v1/payouts/direct",
                user_id="alice",
                recipient_address=recipient,
                amount=str(amount),
                currency="USDT",
            )
            done.payouts[answer.json()["payout_id"]] = recipient
            self.promised[recipient] = amount * UNITS_OF_USDT
        if deposit:
            self._deposit(done)
        return done

    def _accepted(self, status: int, path: str, **body: Any) -> httpx.Response:
        """As a client asks: again with the same key while the service says 503, come again."""
        headers = {"Authorization": f"Bearer {token('operator')}", "Idempotency-Key": key()}

        def answered() -> httpx.Response | None:
            url = self.live.url + path
            answer = plain.post(url, json=body, headers=headers, timeout=CALL_S)
            if answer.status_code == 503 and answer.json()["retryable"]:
                return None
            assert answer.status_code == status, answer.text
            return answer

        found: httpx.Response = until(answered, f"{path} is accepted", SETTLE_S)
        return found

    def invoice(self) -> Round:
        """An invoice that nobody has paid."""
        wish = {"kind": "invoice", "amount": "25", "currency": "USDT"}
        answer = self._accepted(201, "/api/v1/payments/process", **wish)
        return Round({}, answer.json()["payment_id"], answer.json()["address"])

    def _deposit(self, done: Round) -> None:
        made = self.invoice()
        done.invoice, done.invoice_address = made.invoice, made.invoice_address
        body = {"address": done.invoice_address, "amount": "25", "currency": "USDT"}
        self.live.devnet("/devnet/faucet", **body)
        self.invoices[done.invoice] = 25 * UNITS_OF_USDT

    def status(self, payout_id: str) -> str:
        return str(self.live.call("GET", f"/api/v1/payouts/{payout_id}").json()["status"])

    def payment(self, invoice: str) -> dict[str, Any]:
        found: dict[str, Any] = self.live.call("GET", f"/api/v1/payments/{invoice}").json()
        return found

    def finished(self, done: Round) -> bool:
        statuses = {self.status(payout_id) for payout_id in done.payouts}
        assert not statuses & (FINISHED - {"settled"}), statuses
        paid = not done.invoice or self.payment(done.invoice)["status"] == "paid"
        return paid and statuses <= {"settled"}

    def settles(self, done: Round, what: str) -> float:
        """Seconds until all of it is done."""
        began = time.monotonic()
        until(lambda: self.finished(done), f"{what}: settled", SETTLE_S)
        return time.monotonic() - began

    # ---- what the chain says -----------------------------------------------------------------

    @property
    def token(self) -> str:
        return self.live.environment["USDT_CONTRACT_ADDRESS"]

    def received(self, recipient: str, solid: bool = True) -> list[int]:
        """Units of each transfer to an address on the true chain."""
        answer = plain.get(
            f"{self.live.devnet_url}/v1/accounts/{recipient}/transactions/trc20",
            params={"only_confirmed": str(solid).lower(), "only_to": "true", "limit": "200"},
            timeout=20,
        )
        return [
            int(row["value"])
            for row in answer.json()["data"]
            if row["to"] == recipient and row["token_info"]["address"] == self.token
        ]

    def heights(self) -> tuple[int, int]:
        info = self.live.devnet("/devnet/info")
        return int(info["head"]), int(info["solid"])

    def balanced(self) -> None:
        """Each payout is one transfer, each deposit was credited once, books equal chain."""
        for recipient, units in self.promised.items():
            assert self.received(recipient) == [units], recipient
        for invoice, units in self.invoices.items():
            seen = self.payment(invoice)
            assert seen["status"] == "paid", seen
            assert parse_units(seen["received"]) == units, seen
        self.live.devnet("/devnet/pace", block_ms=CALM_MS)  # two nodes are read at one block
        code, report = self.live.command_json("reconcile")
        assert code == 0 and set(report["difference"].values()) <= {"0"}, report
        assert not report["unmatched"], report

    # ---- what an operator sees ---------------------------------------------------------------

    def figure(self, name: str, *labels: str) -> float | None:
        seen = samples(plain.get(self.live.url + "/metrics", timeout=30).text)
        return seen.get(f"tronpay_{name}", {}).get(labels)

    def shows(self, name: str, labels: tuple[str, ...], value: float, what: str) -> None:
        until(lambda: self.figure(name, *labels) == value, f"{what}: {name}{labels} is {value}", 60)

    def health(self) -> tuple[int, dict[str, Any]]:
        answer = self.live.call("GET", "/api/v1/tron/network/health", "viewer")
        return answer.status_code, answer.json()

    def network(self) -> dict[str, Any]:
        answer = self.live.call("GET", "/api/v1/tron/network/status", "viewer")
        found: dict[str, Any] = answer.json()
        return found

    def well(self, what: str) -> None:
        """All three are in use again and agree; asking gives a resting one its trial."""

        def healthy() -> bool:
            seen = self.network()
            in_use = all(node["state"] == "closed" for node in seen["nodes"])
            return in_use and seen["status"] == "healthy"

        until(healthy, f"{what}: well again", RECOVER_S)

    def halted(self, what: str) -> str:
        """Why following has stopped, once it has."""

        def reason() -> str | None:
            _, body = self.health()
            return body["detail"] if body.get("code") == "follower_halted" else None

        return str(until(reason, f"{what}: following stopped", SETTLE_S))

    def resumed(self) -> None:
        code, said = self.live.command_json("resume")
        assert code == 0 and said["resumed"], said

    def restart(self, *nodes: BadNode, **settings: str) -> None:
        """One process after the other with these nodes; not ready yet where following stopped."""
        self.live.environment |= {"TRON_NODE_URL": ",".join(each.url for each in nodes)}
        self.live.environment |= settings
        for port, child in list(self.live.services.items()):
            child.terminate()
            child.wait(timeout=60)
            argv = [sys.executable, "-m", "tron_payment"]
            environment = self.live.environment | {"PORT": str(port)}
            log = f"service-{port}.log"
            self.live.services[port] = self.live.processes.spawn(argv, log, environment)
            url = f"http://127.0.0.1:{port}/health/live"
            until(lambda url=url: plain.get(url).status_code == 200, f"{port} again", RECOVER_S)

    # ---- chains that are not ours ------------------------------------------------------------

    def copy(self, block_ms: int) -> str:
        """Another devnet with the true one's history until now; its URL.

        Args:
            block_ms: Its pace from here on; 0: it stands still for ever.
        """
        self.copies += 1
        name = f"copy{self.copies}"
        self.live.devnet("/devnet/snapshot", name=name)
        folder = self.live.folder / name / "devnet"
        folder.mkdir(parents=True)
        taken = self.live.folder / "devnet" / "snapshots" / f"{name}.sqlite3"
        shutil.copy(taken, folder / "chain.sqlite3")
        port = free_port()
        argv = devnet_argv(self.live.folder / name, port, block_ms)
        self.live.processes.spawn(argv, f"{name}.log")
        url = f"http://127.0.0.1:{port}"
        until(lambda: plain.get(f"{url}/devnet/info").status_code == 200, name)
        if block_ms:  # without a transaction of its own its blocks might be the same
            body = {"address": str(fresh_address()), "amount": "7", "currency": "USDT"}
            plain.post(f"{url}/devnet/faucet", json=body).raise_for_status()
        return url

    def invention(self, payout_id: str, recipient: str, account: str, honest: bool) -> Invented:
        """A transfer to `account` that never was, after the pattern of a payout's.

        Args:
            honest: Its id is the hash of its bytes.
        """
        view = self.live.call("GET", f"/api/v1/payouts/{payout_id}").json()
        block = self._solid(BLOCK, view["settled_block"])
        receipts = self._solid(RECEIPTS, view["settled_block"])
        (transaction,) = [t for t in block["transactions"] if t["txID"] == view["txid"]]
        (receipt,) = [r for r in receipts if r["id"] == view["txid"]]
        raw = transaction["raw_data_hex"].replace(hexed(recipient), hexed(account))
        assert raw != transaction["raw_data_hex"]
        digest = hashlib.sha256(bytes.fromhex(raw) + (b"" if honest else b"x")).hexdigest()

        def time_of(number: int) -> int | None:
            found = self._solid(BLOCK, number)
            return found["block_header"]["raw_data"]["timestamp"] if found else None

        return Invented(transaction, receipt, hexed(recipient), hexed(account), digest, time_of)

    def _solid(self, path: str, number: int) -> Any:
        return plain.post(self.live.devnet_url + path, json={"num": number}, timeout=20).json()


def hexed(address: str) -> str:
    return address_bytes(parse_address(address))[-20:].hex()


def parse_units(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(6, "0"))


@contextmanager
def three_nodes(folder: Path, block_ms: int, **settings: str) -> Iterator[World]:
    """mongod, devnet, three honest nodes before it and one service; all of it ends here."""
    live = begin(folder)
    try:
        live.devnet("/devnet/pace", block_ms=block_ms)
        with standing_before(live.devnet_url) as nodes:
            live.environment |= {"TRON_NODE_URL": ",".join(each.url for each in nodes)}
            live.environment |= TWO_OF_THREE | settings
            live.start()
            try:
                yield World(live, nodes)
            except BaseException:
                print(live.log()[-6000:])
                raise
    finally:
        live.end()
