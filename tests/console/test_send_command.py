"""`payouts send` and `batch watch`: the real command against a real service."""

import csv
import json
import os
from pathlib import Path

import pytest

from tests.console.world import RECIPIENT
from tests.e2e import processes
from tests.e2e.service import Service
from tron_payment.operator.remote import ended, progress
from tron_payment.operator.report import Exit


async def command(service: Service, *words: str, **variables: str) -> tuple[int, str, str]:
    """Exit code, output, errors; there is no terminal."""
    environment = {**os.environ, "TOKEN": "", **variables}
    return await processes.command(*words, "--url", service.url, env=environment)


@pytest.fixture
def token(service: Service, tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(service.token("operator", "sender") + "\n")
    return file


async def test_a_file_is_shown_then_sent_once_and_told_row_by_row(
    service: Service, token: Path, tmp_path: Path
) -> None:
    file, result = tmp_path / "rows.csv", tmp_path / "result.csv"
    file.write_text(f"user_id,recipient_address,amount\nann,{RECIPIENT},11\nbob,nobody,12\n")
    words = ("payouts", "send", str(file), "--token-file", str(token))
    code, out, err = await command(service, *words)
    assert code == 1 and "Nothing was sent" in out + err
    assert "row 2: recipient_address" in err and "1 rows are good, 1 are refused" in err
    assert "to pay: 11 USDT" in err

    code, out, _ = await command(service, *words, "--yes", "--result", str(result), "--json")
    told = json.loads(out)
    assert code == 5 and told["counts"] == {"settled": 1}, "a refused row is no success"
    rows = list(csv.DictReader(result.read_text().splitlines()))
    assert [row["status"] for row in rows] == ["settled", "refused"]
    refused = [rows[1][name] for name in ("user_id", "recipient_address", "amount")]
    assert refused == ["bob", "nobody", "12"], "as it came"
    code, _, err = await command(service, *words, "--yes", "--result", str(result))
    assert code == 2 and "exists already" in err

    code, out, err = await command(service, *words, "--no-wait", "--json")
    assert code == 0 and json.loads(out)["batch_id"] == told["batch_id"], "the same file, once"
    assert json.loads(out)["status"] == "completed" and json.loads(out)["sent_before"] is True
    assert f"sent before: {told['batch_id']}, completed; nothing new is paid" in err
    file.write_text(f"user_id,recipient_address,amount\nann,{RECIPIENT},11\n")
    code, out, err = await command(service, *words)
    assert code == 1 and f"1 of these rows were sent before, in {told['batch_id']}" in err
    watch = ("batch", "watch", told["batch_id"], "--token-file", str(token))
    code, out, err = await command(service, *watch)
    assert code == 5 and "1 of 1: 1 settled" in out + err and "not sent: 1" in err


async def test_what_cannot_be_done_is_told_with_its_code(service: Service, token: Path) -> None:
    lost = ("batch", "watch", "bat_nobody", "--token-file", str(token))
    code, _, err = await command(service, *lost)
    assert code == 1 and "not_found" in err
    code, _, err = await command(service, "batch", "watch", "bat_nobody")
    assert code == 2 and "--token-file" in err and "export TOKEN" in err
    code, _, err = await command(service, "batch", "watch", "bat_nobody", TOKEN="s3cret\tx")
    assert code == 2 and "no token" in err and "s3cret" not in err
    said = token.read_text().strip()
    code, out, err = await command(service, "batch", "watch", "bat_nobody", TOKEN=said)
    assert code == 1 and "not_found" in err and said not in out + err
    code, _, err = await command(service, "payouts", "cancel", "pay_nobody", TOKEN=said)
    assert code == 1 and "not_found" in err


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::", "http://x:99999", "http://x:y", "http://xn--a", "ftp://x", "nowhere", ""),
        "http://pay.example:8090",
    ],
)
async def test_what_is_no_address_is_a_wrong_argument(url: str) -> None:
    words = ("batch", "watch", "bat_x", "--url", url, "--json")
    code, out, err = await processes.command(*words, env={**os.environ, "TOKEN": "t"})
    assert code == 2 and json.loads(out)["error"]["code"] == "usage" and "Traceback" not in err


@pytest.mark.parametrize(
    ("status", "refused", "counts", "code"),
    [
        ("completed", [], {"settled": 2}, Exit.OK),
        ("completed", [{"row": 2}], {"settled": 1}, Exit.PARTLY),
        ("completed_with_errors", [], {"settled": 1, "failed": 1}, Exit.PARTLY),
        ("completed_with_errors", [], {"failed": 2}, Exit.FAILED),
        ("canceled", [], {"canceled": 2}, Exit.FAILED),
    ],
)
def test_the_exit_code_says_whether_all_some_or_none_were_paid(
    status: str, refused: list[dict[str, int]], counts: dict[str, int], code: Exit
) -> None:
    assert ended({"status": status, "refused": refused, "counts": counts}) is code


def test_the_bar_is_as_long_as_what_has_ended() -> None:
    bar = progress({"counts": {"settled": 1, "signed": 3}, "accepted": 4})
    assert bar == f"[{'#' * 10}{'.' * 30}] 1 of 4: 1 settled, 3 signed or broadcast"
