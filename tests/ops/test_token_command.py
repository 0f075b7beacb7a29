"""`token`: for the development mode, in the folder of a service that was started there."""

import json
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from tron_payment import configuration, operator
from tron_payment.development import with_secrets
from tron_payment.http.principals import Role

RUN_S = 120.0


def run(*words: str) -> tuple[int, str]:
    """Exit code and output; a process of its own, because the command sets up its own logs."""
    argv = [sys.executable, "-m", "tron_payment.cli", "token", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=RUN_S, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUCID_ENV", "development")
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    return tmp_path


def test_a_token_is_what_the_service_of_this_folder_believes() -> None:
    ours = with_secrets(configuration.load())
    code, printed = run("--role", "approver")
    secret = ours.jwt_secret_key.get_secret_value()
    told = jwt.decode(
        printed.strip(),
        secret,
        algorithms=["HS256"],
        audience=ours.jwt_audience,
        issuer=ours.jwt_issuer,
    )
    assert code == 0 and (told["sub"], told["role"]) == ("demo-approver", "approver")
    code, printed = run("--subject", "ann", "--json")
    assert code == 0 and json.loads(printed)["subject"] == "ann"


def test_a_token_is_kept_where_nobody_else_reads_it(folder: Path) -> None:
    with_secrets(configuration.load())
    file = folder / "token"
    file.write_text("an older and much longer token, open to everybody" * 20)
    file.chmod(0o644)
    code, printed = run("--out", str(file))
    kept = file.read_text()
    assert code == 0 and kept.count(".") == 2 and kept.strip() not in printed
    assert file.stat().st_mode & 0o777 == 0o600
    assert jwt.decode(kept.strip(), options={"verify_signature": False})["role"] == "operator"
    code, printed = run("--out", str(folder / "nowhere" / "token"), "--json")
    assert code == 2 and json.loads(printed)["error"]["code"] == "file"


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    with_secrets(configuration.load())
    argv = [sys.executable, "-m", "tron_payment.cli", "token"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        try:
            code = child.wait(RUN_S)
        finally:
            child.kill()
        assert (code, child.stderr.read()) == (0, b"")


def test_where_nothing_was_started_no_secret_is_made(folder: Path) -> None:
    code, printed = run()
    assert code == 2 and "make run" in printed and not (folder / "var").exists()


def test_production_has_no_such_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("jwt_secret_key", "s" * 32),
        ("wallet_encryption_key", "ab" * 32),
        ("mongodb_uri", "mongodb://mongo-1/?replicaSet=rs0"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    monkeypatch.setenv("LUCID_ENV", "production")
    code, printed = run("--json")
    assert code == 2 and json.loads(printed)["error"]["code"] == "development_only"


def test_every_role_can_be_asked_for() -> None:
    assert set(operator.ROLES) == set(Role)
