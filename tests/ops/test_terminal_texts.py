"""What others wrote is shown by the commands and never obeyed by the terminal."""

import io
import sys
from typing import Any

import httpx
import pytest
from rich.console import Console

from tron_payment.core.terminal import printable, printable_lines
from tron_payment.operator import calling, monitor, remote
from tron_payment.operator.report import Exit, Report, failure, misconfigured

ESCAPES = "a\x1b[2K\r\n\u202e\u2028\x9b8m\ud800\x00z"
TAMED = "a?[2K?????8m??z"


class Typing(io.StringIO):
    """A terminal at which somebody says yes."""

    def isatty(self) -> bool:
        return True


def obeyed(shown: str) -> list[str]:
    """What in a text would do something but be seen; our own line feeds may."""
    return [each for each in shown if not each.isprintable() and each != "\n"]


def test_nothing_but_words_is_left_of_a_text() -> None:
    assert printable(ESCAPES) == TAMED
    assert printable("12.5 USDT → Jürgen 王…") == "12.5 USDT → Jürgen 王…"
    assert printable_lines("a\n\tb\x1b") == "a\n        b?"


@pytest.mark.parametrize("exit_code", [Exit.OK, Exit.FAILED])
def test_a_report_has_as_many_lines_as_it_says(
    exit_code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    Report({"label": ESCAPES}, ("first", f"wallet {ESCAPES}", "last"), exit_code).show(
        as_json=False
    )
    printed = capsys.readouterr()
    shown = printed.out + printed.err
    assert len(shown.splitlines()) == 3 and obeyed(shown) == []
    failure("x", f"the service says\n{ESCAPES}", Exit.FAILED).show(as_json=False)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and obeyed(shown) == []
    Report({"label": ESCAPES}, (), exit_code).show(as_json=True)
    shown = capsys.readouterr().out
    assert shown.isascii() and obeyed(shown) == []


def test_every_problem_of_the_configuration_has_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert misconfigured(["PORT: no\x1b", "HOST: no"]).show(as_json=False) == Exit.USAGE
    assert capsys.readouterr().err == "configuration:\nPORT: no?\nHOST: no\n"


def test_what_one_agrees_to_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calling.tell(["row 1: recipient", f"row 2: {ESCAPES}"])
    monkeypatch.setattr(sys, "stdin", Typing("yes\n"))
    assert calling.agreed(f"Pay 1 USDT to {ESCAPES}?")
    shown = capsys.readouterr().err
    assert obeyed(shown) == [] and shown.count("\n") == 2


async def test_a_batchs_progress_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hostile(_: httpx.Request) -> httpx.Response:
        batch: dict[str, Any] = {"batch_id": ESCAPES.replace("\ud800", ""), "status": "completed"}
        more = {"accepted": 1, "refused": [], "counts": {"x\x1b[8m": 1}, "totals": {}}
        return httpx.Response(200, json=batch | more)

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    options = type("Options", (), {"watch_seconds": 1, "result": None})
    transport = httpx.MockTransport(hostile)
    async with httpx.AsyncClient(transport=transport, base_url="https://x") as http:
        report = await remote._watched(http, "bat_x", options)  # type: ignore[arg-type]
    report.show(as_json=False)
    printed = capsys.readouterr()
    assert obeyed((printed.err + printed.out).replace("\r[", "[")) == []
    assert "1 x?[8m" in printed.err


def test_the_monitor_draws_texts_and_no_markup() -> None:
    data: dict[str, Any] = {
        "at": "2026-11-22T00:00:00Z",
        "follower": {"block": 1, "lag_blocks": 0, "halted": ESCAPES},
        "nodes": [{"node": ESCAPES, "solid_block": 1, "circuit": "closed", "apart": False}],
        "orders": {},
        "payouts": {},
        "waiting": {ESCAPES: 1},
        "oldest_payouts": [
            {
                "payout_id": "pay_1",
                "status": "queued",
                "amount": "1",
                "currency": "USDT",
                "age_seconds": 1,
                "attempts": 0,
                "waiting_for": "[/red]\x1b[8m",
            }
        ],
        "deposits": [
            {
                "at": "2026-11-22T00:00:00Z",
                "payment_id": "inv_1",
                "units": "1",
                "asset": "[bold]\x1b]0;t\x07",
                "outcome": "booked",
                "block_number": 1,
            }
        ],
    }
    out = io.StringIO()
    Console(file=out, width=200).print(monitor._screen(data, ESCAPES))
    shown = out.getvalue()
    assert obeyed(shown) == [] and "[/red]?[8m" in shown and "[bold]?]0;t?" in shown


@pytest.mark.parametrize(
    "url", ["http://pay.example:8090", "http://127.0.0.1.evil.io", "http://10.0.0.7/api/v1"]
)
async def test_a_token_goes_over_https_or_stays_here(url: str) -> None:
    with pytest.raises(calling.NoAddress, match="use https"):
        async with calling.connected(url, "s3cret"):
            pass


@pytest.mark.parametrize(
    "url", ["https://pay.example/api/v1", "http://127.0.0.1:8090", "http://[::1]:8090/"]
)
async def test_these_take_a_token(url: str) -> None:
    async with calling.connected(url, "s3cret") as http:
        assert not str(http.base_url).rstrip("/").endswith("v1")
