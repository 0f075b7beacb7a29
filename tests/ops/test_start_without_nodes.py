"""A process that starts while no node answers is ready as those that run are, and works later."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.ops.installation import until
from tests.ops.live import RECIPIENT, Live
from tests.ops.test_turns import ask
from tests.ports import free_port


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def reached_by(port: int, url: str) -> Iterator[None]:
    """The node at the address is at this port of ours, too."""
    to = urlsplit(url)
    listening = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listening.accept()
                node = socket.create_connection((to.hostname, to.port))
                for pair in ((caller, node), (node, caller)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def asked(port: int) -> str:
    body = {"user_id": "alice", "recipient_address": RECIPIENT, "amount": "12.5"}
    answer = ask(port, "POST", "/api/v1/payouts/direct", currency="USDT", **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["payout_id"])


@pytest.mark.slow
def test_it_answers_without_a_node_and_pays_when_one_is_back(live: Live) -> None:
    first = next(iter(live.services))
    earlier = asked(first)
    path = f"/api/v1/payouts/{earlier}"
    until(lambda: ask(first, "GET", path).json()["status"] == "settled", "settled")
    live.services[first].send_signal(signal.SIGTERM)
    live.services[first].wait(timeout=60)
    del live.services[first]

    node = free_port()
    port = live.start(TRON_NODE_URL=f"http://127.0.0.1:{node}")
    assert "nodes.away" in live.log(port)
    assert ask(port, "GET", path).json()["status"] == "settled", "what it knows, it tells"

    def status() -> Any:
        return ask(port, "GET", "/status").json()

    assert status()["nodes"][0]["solid"] == 0
    with reached_by(node, live.devnet_url):
        until(lambda: status()["nodes"][0]["solid"], "the node")
        later = asked(port)
        path = f"/api/v1/payouts/{later}"
        until(lambda: ask(port, "GET", path).json()["status"] == "settled", "settled")
        code, report = live.command_json("reconcile")
        assert code == 0 and set(report["difference"].values()) <= {"0"}, report
