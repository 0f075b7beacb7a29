"""Of two processes one works and one stands by; when the worker freezes, the other goes on."""

import signal
from typing import Any

import httpx

from tests import plain
from tests.ops.installation import key, token, until
from tests.ops.live import RECIPIENT, Live
from tron_payment.assembly import SHARED, VITAL


def ask(port: int, method: str, path: str, role: str = "operator", **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token(role)}", "Idempotency-Key": key()}
    url = f"http://127.0.0.1:{port}{path}"
    return plain.request(method, url, json=body or None, headers=headers, timeout=30)


def steps(port: int) -> dict[str, int]:
    """Of the loops that one process does for all."""
    loops = ask(port, "GET", "/status").json()["loops"]
    return {loop["name"]: loop["steps"] for loop in loops if loop["name"] in SHARED}


def works(port: int) -> bool:
    """Whether a block is followed here: the heart beats."""
    before = steps(port)["chain.follow"]
    until(lambda: ask(port, "GET", "/status").json()["follower"]["block"], "a block known")
    return bool(until(lambda: steps(port)["chain.follow"] > before + 1, "a beat"))


def settled(port: int) -> None:
    """A payout that is asked for here."""
    body = {"user_id": "alice", "recipient_address": RECIPIENT, "amount": "12.5"}
    answer = ask(port, "POST", "/api/v1/payouts/direct", currency="USDT", **body)
    assert answer.status_code == 202, answer.text
    path = f"/api/v1/payouts/{answer.json()['payout_id']}"
    until(lambda: ask(port, "GET", path).json()["status"] == "settled", "settled")


def test_one_works_and_the_other_goes_on_when_it_freezes(live: Live) -> None:
    first = next(iter(live.services))
    assert works(first)
    second = live.start()
    worker, other = live.services[first], live.services[second]
    try:
        settled(second)
        assert set(steps(second).values()) == {0}, "it stands by, and its payouts are paid"
        assert ask(second, "GET", "/status").json()["follower"]["block"] > 0
        for port in (first, second):
            said = ask(port, "GET", "/status").json()
            assert said["process"].endswith(f":{port}")
            assert said["has_turn"] == (port == first), "a gateway may ask either of them"
        anew = ask(second, "POST", "/restart/tron-client", role="admin").json()
        assert anew["process"] == said["process"] and not anew["has_turn"]

        worker.send_signal(signal.SIGSTOP)
        assert works(second), "nobody has heard of the first for long enough"
        settled(second)

        worker.send_signal(signal.SIGCONT)
        settled(first)
        at = steps(first)
        assert works(second) and steps(first)["chain.follow"] <= at["chain.follow"] + 1
    finally:
        worker.send_signal(signal.SIGCONT)
        other.send_signal(signal.SIGTERM)
        other.wait(timeout=60)
        del live.services[second]
    assert works(first), "given back, and taken at once"
    settled(first)
    code, report = live.command_json("reconcile")
    assert code == 0 and set(report["difference"].values()) <= {"0"}, report


def test_what_is_shared_includes_what_is_vital() -> None:
    assert set(VITAL) <= SHARED
