"""What is under way, at one look and live at a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

from tests.ops.installation import until
from tests.ops.live import COMMAND_S, RECIPIENT, Live
from tron_payment.operator.report import Exit


def test_one_look_shows_what_waits_and_for_what(live: Live) -> None:
    answer = live.call(
        "POST",
        "/api/v1/payouts/direct",
        user_id="alice",
        recipient_address=RECIPIENT,
        amount="12.5",
        currency="USDT",
        max_fee_trx="0.1",
    )
    assert answer.status_code == 202, answer.text
    waiting = answer.json()["payout_id"]
    path = f"/api/v1/payouts/{waiting}"
    try:
        until(lambda: live.call("GET", path).json()["waiting_for"], "it waits")
        code, data = live.command_json("monitor")
        assert code == Exit.OK and data["sound"], data
        (payout,) = [p for p in data["oldest_payouts"] if p["payout_id"] == waiting]
        assert payout["amount"] == "12.5" and payout["status"] == "queued"
        assert data["waiting"][payout["waiting_for"].partition(":")[0]] >= 1
        assert data["orders"]["queued"] >= 1 and data["payouts"]["queued"] >= 1
        assert data["follower"]["block"] and data["follower"]["lag_blocks"] is not None
        assert data["nodes"][0]["solid_block"]
        code, out, _ = live.command("monitor", "--once")
        assert code == Exit.OK and waiting in out and "wait for" in out
    finally:
        live.call("POST", f"{path}/cancel")
    code, data = live.command_json("monitor", "--every", "0")
    assert code == Exit.USAGE


def test_it_is_drawn_anew_until_somebody_leaves(live: Live) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "tron_payment.cli", "monitor", "--every", "1"]
    environment = live.environment | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    child = subprocess.Popen(argv, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        seen = read_until(ours, b"Longest under way", 2)
        assert seen.count(b"Longest under way") >= 2, seen
        child.send_signal(signal.SIGINT)
        last = read_until(ours, b"payouts under way: ", 1)
        assert child.wait(COMMAND_S) == Exit.OK, last
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def read_until(terminal: int, words: bytes, times: int) -> bytes:
    """What the terminal shows until it has shown the words so often, or it ends."""
    seen, deadline = b"", time.monotonic() + COMMAND_S
    while seen.count(words) < times and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:  # the other end is closed
                return seen
    return seen
