"""The operator's commands on an installation in the shape of production."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.ops.installation import hot_address, until
from tests.ops.live import Live
from tron_payment import cli, operator
from tron_payment.operator.report import Exit

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def findings(data: dict[str, object], check: str) -> list[dict[str, str]]:
    every: list[dict[str, str]] = data["findings"]  # type: ignore[assignment]
    return [each for each in every if each["check"] == check]


def test_the_doctor_finds_a_sound_installation_sound(live: Live) -> None:
    live.settled(live.pay())
    code, data = live.command_json("doctor")
    assert code == Exit.OK and data["ok"] and data["failed"] == 0, data
    looked = {each["check"] for each in data["findings"]}
    assert looked >= {"configuration", "store", "keys", "tor", "nodes", "clock", "follower"}
    assert looked >= {"contracts", "wallet", "permissions"}
    assert all(each["advice"] for each in data["findings"] if each["level"] != "ok")
    code, out, _ = live.command("doctor")
    assert code == 0 and "0 failed" in out and "deploy-contracts" in out


@pytest.mark.parametrize(
    ("wrong", "check", "word"),
    [
        ({"PORT": "0", "MIN_PAYOUT_AMOUNT": "x"}, "configuration", "MIN_PAYOUT_AMOUNT"),
        ({"TRON_NODE_URL": "http://127.0.0.1:9"}, "nodes", "genesis"),
        ({"USDT_CONTRACT_ADDRESS": hot_address()}, "contracts", "no contract"),
        ({"TOR_PROXY": "socks5://127.0.0.1:9"}, "tor", "does not answer"),
        ({"MONGODB_URI": "mongodb://127.0.0.1:9/?replicaSet=rs0"}, "store", "away"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_what_to_do(
    live: Live, wrong: dict[str, str], check: str, word: str
) -> None:
    code, data = live.command_json("doctor", **wrong)
    assert code == Exit.FAILED and not data["ok"]
    failed = [each for each in findings(data, check) if each["level"] == "fail"]
    assert any(word in each["detail"] and each["advice"] for each in failed), data


def test_a_key_that_does_not_open_is_found_before_money_waits_for_it(
    live: Live, tmp_path: Path
) -> None:
    for path in Path(live.environment["SECRETS_DIR"]).iterdir():
        (tmp_path / path.name).write_text(path.read_text())
        (tmp_path / path.name).chmod(0o600)
    (tmp_path / "wallet_encryption_key").write_text("cd" * 32)
    code, data = live.command_json("doctor", SECRETS_DIR=str(tmp_path))
    assert code == Exit.FAILED
    assert "do not open" in findings(data, "keys")[0]["detail"]


def test_keys_are_rotated_while_the_service_runs(live: Live, tmp_path: Path) -> None:
    for path in Path(live.environment["SECRETS_DIR"]).iterdir():
        (tmp_path / path.name).write_text(path.read_text())
        (tmp_path / path.name).chmod(0o600)
    hook = live.call("POST", "/api/v1/payments/webhook-endpoints", url="https://shop.example/hook")
    assert hook.status_code == 201
    old = "ab" * 32
    (tmp_path / "wallet_encryption_key").write_text(f"k2:{'ef' * 32},k1:{old}")
    code, data = live.command_json("doctor", SECRETS_DIR=str(tmp_path))
    assert code == Exit.OK and "older key" in findings(data, "keys")[0]["detail"]
    code, data = live.command_json("keys", "rotate", SECRETS_DIR=str(tmp_path))
    assert code == Exit.OK and data["rewrapped"] >= 1 and data["webhooks"] == 1
    (tmp_path / "wallet_encryption_key").write_text(f"k1:{old},k2:{'ef' * 32}")
    code, data = live.command_json("keys", "rotate", SECRETS_DIR=str(tmp_path))
    assert code == Exit.OK and data["rewrapped"] >= 1 and data["webhooks"] == 1
    live.settled(live.pay())


def test_contracts_are_deployed_once(live: Live) -> None:
    code, data = live.command_json("deploy-contracts", "--only", "v0")
    assert code == Exit.OK, data
    router = data["contracts"]["v0"]
    code, again = live.command_json("deploy-contracts", "--only", "v0")
    assert code == Exit.OK and again["contracts"] == data["contracts"]
    code, data = live.command_json("doctor", PAYOUT_ROUTER_V0_ADDRESS=router)
    assert code == Exit.OK
    assert any("holds 0 USDT" in each["detail"] for each in findings(data, "contracts"))
    code, data = live.command_json("deploy-contracts")
    assert code == Exit.OK and data["contracts"] == {"v0": router}, data
    assert data["left_out"] == ["kyc"]
    code, out, _ = live.command("deploy-contracts")
    assert code == Exit.OK and f"PAYOUT_ROUTER_V0_ADDRESS={router}" in out
    assert "KYC_ATTESTATION_PRIVATE_KEY is not set" in out
    code, data = live.command_json("deploy-contracts", "--only", "kyc")
    assert code == Exit.USAGE and "KYC_ATTESTATION_PRIVATE_KEY" in data["error"]["detail"]


def test_books_are_compared_and_the_audit_log_is_verified(live: Live) -> None:
    live.settled(live.pay())
    code, data = live.command_json("reconcile")
    assert code == Exit.OK, data
    assert set(data["difference"].values()) <= {"0"} and data["solid_block"]
    code, head = live.command_json("audit", "head")
    assert code == Exit.OK
    known = f"{head['head']['seq']}:{head['head']['hash']}"
    code, data = live.command_json("audit", "verify", "--known", known)
    assert code == Exit.OK and data["bad"] is None
    forged = f"{head['head']['seq']}:{'0' * 64}"
    code, data = live.command_json("audit", "verify", "--known", forged)
    assert code == Exit.FAILED and data["bad"]["fault"] == "rewritten"


def test_money_that_nobody_ordered_is_bad_until_somebody_acknowledges_it(live: Live) -> None:
    txid = live.stolen()
    waiting = f"/api/v1/policy/unexplained/{txid}/acknowledge"

    def seen() -> bool:
        listed = live.call("GET", "/api/v1/policy/unexplained", role="treasurer").json()
        return [each["txid"] for each in listed] == [txid]

    until(seen, "the theft is on a solidified block")
    code, data = live.command_json("reconcile")
    assert code == Exit.FAILED and data["unacknowledged"] == [txid], data
    assert live.call("POST", waiting, role="treasurer").status_code == 200
    code, data = live.command_json("reconcile")
    assert code == Exit.OK and data["unacknowledged"] == [] and txid in data["unmatched"], data


def test_a_payout_is_explained_with_its_proof(live: Live) -> None:
    payout = live.settled(live.pay())
    code, data = live.command_json("payouts", "explain", payout["payout_id"])
    assert code == Exit.OK
    assert data["proof"]["txid"] == payout["txid"] and data["proof"]["receipt"] == "SUCCESS"
    code, out, _ = live.command("payouts", "explain", payout["payout_id"])
    assert payout["txid"] in out and "What to do: nothing." in out.splitlines()
    assert not re.search(r"[{}\[\]]|None|': ", out), "for people, not Python's"
    code, data = live.command_json("payouts", "explain", "pay_nothing")
    assert code == Exit.FAILED and data["error"]["code"] == "not_found"


def test_payouts_are_listed_as_the_api_shows_them(live: Live) -> None:
    payout = live.settled(live.pay())
    code, data = live.command_json("payouts", "list", "--status", "settled,broadcast")
    assert code == Exit.OK and payout in data["data"]
    code, data = live.command_json("payouts", "list", "--user", payout["user_id"], "--limit", "1")
    assert code == Exit.OK and len(data["data"]) == 1
    code, out, _ = live.command("payouts", "list", "--limit", "1000")
    assert code == Exit.OK and f"{payout['payout_id']}  {payout['created_at']}  settled" in out
    code, out, _ = live.command("payouts", "list", "--user", "nobody-of-that-name")
    assert (code, out) == (Exit.OK, "There is no such payout.\n")
    code, data = live.command_json("payouts", "list", "--status", "paid")
    assert code == Exit.USAGE and "settled" in data["error"]["detail"]


def test_a_backup_is_written_once_and_comes_back(live: Live, tmp_path: Path) -> None:
    password, target = tmp_path / "password", tmp_path / "keys.backup"
    password.write_text("a long and quiet river 71\nignored")
    file = ("--password-file", str(password))
    code, data = live.command_json("backup", str(target), *file)
    assert code == Exit.OK, data
    assert target.stat().st_mode & 0o777 == 0o600
    assert "7" * 64 not in target.read_text()
    code, data = live.command_json("backup", str(target), *file)
    assert code == Exit.USAGE
    code, data = live.command_json("restore", str(target), *file)
    assert code == Exit.OK and hot_address() in {w["address"] for w in data["wallets"]}
    password.write_text("another password 1234")
    code, data = live.command_json("restore", str(target), *file)
    assert code == Exit.FAILED


def test_what_no_backup_can_be_written_with_is_a_wrong_argument(live: Live, tmp_path: Path) -> None:
    """And no key is noted as backed up then."""
    uri = (Path(live.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    password, missing = tmp_path / "password", str(tmp_path / "missing" / "keys.backup")
    password.write_text("a long and quiet river 71")
    began = datetime.now(UTC)
    here = str(tmp_path / "keys.backup")
    for target, file, problem in (
        (missing, str(password), "no_folder"),
        (here, str(tmp_path / "nothing"), "no_password"),
        (str(password), str(password), "exists"),
    ):
        code, data = live.command_json("backup", target, "--password-file", file)
        assert (code, data["error"]["code"]) == (Exit.USAGE, problem), data
    password.write_bytes(b"\xff\xfe")
    for argv in (("backup", here), ("restore", str(password))):
        code, data = live.command_json(*argv, "--password-file", str(password))
        assert code == Exit.USAGE, data
    with MongoClient[dict[str, Any]](uri) as client:
        noted = {"action": "wallet.backup", "at": {"$gte": began}}
        assert client["tron_payment"]["audit"].count_documents(noted) == 0


def test_nothing_is_done_without_a_store(live: Live, tmp_path: Path) -> None:
    for path in Path(live.environment["SECRETS_DIR"]).iterdir():
        (tmp_path / path.name).write_text(path.read_text())
        (tmp_path / path.name).chmod(0o600)
    (tmp_path / "mongodb_uri").write_text("mongodb://127.0.0.1:9/?replicaSet=rs0")
    code, data = live.command_json("audit", "verify", SECRETS_DIR=str(tmp_path))
    assert code == Exit.UNAVAILABLE, data


def test_every_command_and_exit_code_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    text = OPERATIONS.read_text()
    for name in (*operator.COMMANDS, *cli.COMMANDS):
        assert f"`tron-payment {name}" in text, name
    for code in Exit:
        assert f"| {int(code)} " in text, code
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in operator.COMMANDS)
