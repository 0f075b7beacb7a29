"""In namespaces: with the proxy all works by name; without it nothing leaves and money waits.

There is a way out past the proxy (tests/ops/netns.py): it must not be taken."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import plain
from tests.ops import netns
from tests.ops.installation import (
    NeverHappened,
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
from tests.ops.netns import INSIDE_ADDRESS, OUTSIDE_ADDRESS

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason := netns.why_not()), reason=reason or "all is here"),
]

NODE = "node.tron.example"
NODE_PORT, SOCKS_PORT, MONGO_PORT, SERVICE_PORT = 18190, 19050, 17017, 18090
DEADLINE_S = 2.0
SLACK_S = 10.0
"""For answering the request itself on a busy machine."""

RECIPIENT = "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC"


@dataclass
class Installation:
    """The service inside, its node outside, the proxy between them."""

    world: netns.World
    folder: Path
    processes: Processes
    proxy: subprocess.Popen[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    service: subprocess.Popen[bytes] | None = None

    def start_proxy(self) -> None:
        self.proxy = self.world.outside.spawn(
            *("microsocks", "-i", OUTSIDE_ADDRESS, "-p", str(SOCKS_PORT)),
            *("-u", "node-1", "-P", "x"),
            stderr=subprocess.DEVNULL,
        )

    def kill_proxy(self) -> None:
        assert self.proxy is not None
        self.proxy.kill()
        self.proxy.wait()

    def outside(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask the devnet itself."""

        def call() -> dict[str, Any]:
            url = f"http://{OUTSIDE_ADDRESS}:{NODE_PORT}{path}"
            answer = plain.request("POST" if body else "GET", url, json=body or None, timeout=10)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

        return self.world.outside.do(call)

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Ask the service, as an operator."""
        headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": key()}
        url = f"http://127.0.0.1:{SERVICE_PORT}{path}"
        return self.world.inside.do(
            lambda: plain.request(method, url, json=body or None, headers=headers, timeout=30)
        )

    def ask(self) -> httpx.Response:
        """Ask for a payout; its recipient is screened on the chain, so it needs the node."""
        return self.call(
            "POST",
            "/api/v1/payouts/direct",
            user_id="alice",
            recipient_address=RECIPIENT,
            amount="12.5",
            currency="USDT",
        )

    def pay(self) -> str:
        answer = self.ask()
        assert answer.status_code == 202, answer.text
        return str(answer.json()["payout_id"])

    def unanswered(self) -> list[str]:
        """Calls that need the node end by their deadline; everything else goes on.

        Answers the payouts that were accepted all the same: a screening is kept for a moment.
        """
        started = time.monotonic()
        asked, height = (
            self.ask(),
            self.call("GET", "/api/v1/tron/network/transactions/" + "0" * 64),
        )
        seconds = time.monotonic() - started
        assert asked.status_code in (202, 503), asked.text
        assert height.status_code == 503 and height.json()["retryable"], height.text
        assert seconds < 2 * DEADLINE_S + SLACK_S, seconds
        assert self.call("GET", "/health/live").status_code == 200
        assert self.call("GET", "/api/v1/payouts/history").status_code == 200
        return [asked.json()["payout_id"]] if asked.status_code == 202 else []

    def status(self, payout_id: str) -> str:
        return str(self.call("GET", f"/api/v1/payouts/{payout_id}").json()["status"])

    def settled(self, payout_id: str) -> None:
        try:
            until(lambda: self.status(payout_id) == "settled", f"{payout_id} settled")
        except NeverHappened:
            print(self.call("GET", f"/api/v1/payouts/{payout_id}").text)
            print((self.folder / "service.log").read_text()[-3000:])
            raise


@pytest.fixture
def installation() -> Iterator[Installation]:
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-netns-"))
    processes = Processes(folder)
    try:
        with netns.world(folder, {NODE: "127.0.0.1"}) as world:
            yield _start(Installation(world, folder, processes))
    except BaseException:
        print((folder / "service.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        processes.end()
        shutil.rmtree(folder)


def furnished(here: Installation) -> Installation:
    """Store, node, proxy and configuration; the service has not begun."""
    processes = here.processes
    inside, outside = ("ip", "netns", "exec"), ("ip", "netns", "exec", here.world.outside.name)
    inside = (*inside, here.world.inside.name)
    argv, env = mongod_argv(here.folder / "mongo", MONGO_PORT)
    processes.spawn([*inside, *argv], "mongod.log", env)
    devnet = devnet_argv(here.folder, NODE_PORT, 250, "0.0.0.0")
    processes.spawn([*outside, *devnet], "devnet.log")
    here.start_proxy()
    uri = here.world.inside.do(lambda: initiate([MONGO_PORT]))
    info = until(lambda: (i := here.outside("/devnet/info")).get("usdt_contract") and i, "USDT")
    for currency in ("TRX", "USDT"):
        body = {"address": hot_address(), "amount": "100000", "currency": currency}
        here.outside("/devnet/faucet", **body)
    here.environment = service_environment(
        here.folder,
        uri,
        TRON_NODE_URL=f"http://{NODE}:{NODE_PORT}",
        TOR_PROXY=f"socks5://{OUTSIDE_ADDRESS}:{SOCKS_PORT}",
        USDT_CONTRACT_ADDRESS=info["usdt_contract"],
        NODE_DEADLINE_S=str(DEADLINE_S),
        PORT=str(SERVICE_PORT),
    )
    return here


def _start(here: Installation) -> Installation:
    furnished(here)
    argv = ["ip", "netns", "exec", here.world.inside.name, sys.executable, "-m", "tron_payment"]
    here.service = here.processes.spawn(argv, "service.log", here.environment)
    until(lambda: here.call("GET", "/health").status_code == 200, "the service")
    return here


def test_all_by_name_through_the_proxy_or_not_at_all(installation: Installation) -> None:
    here = installation
    here.settled(here.pay())

    assert here.proxy is not None
    waiting = [here.pay() for _ in range(5)]
    here.proxy.send_signal(signal.SIGSTOP)
    waiting += here.unanswered()
    assert {here.status(each) for each in waiting} & {"queued", "signed", "broadcast"}
    here.proxy.send_signal(signal.SIGCONT)
    for each in waiting:
        here.settled(each)

    waiting = [here.pay() for _ in range(5)]
    here.kill_proxy()
    waiting += here.unanswered()
    assert {here.status(each) for each in waiting} & {"queued", "signed", "broadcast"}
    here.start_proxy()
    for each in waiting:
        here.settled(each)

    proxy = f"ip 6 {OUTSIDE_ADDRESS} {SOCKS_PORT}"
    assert here.world.left() - {netns.ARP} == {proxy}, "only ARP and the proxy"
    assert INSIDE_ADDRESS not in (here.folder / "devnet.log").read_text()
