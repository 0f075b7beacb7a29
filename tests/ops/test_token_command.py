"""`token`: for the development mode, in the folder of a service that was started there."""

import json
from pathlib import Path

import jwt
import pytest

from tron_payment import cli, operator, settings
from tron_payment.development import with_secrets
from tron_payment.http.permissions import Role


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int | str | None, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["token", *words])
    told = capsys.readouterr()
    return ended.value.code, told.out + told.err


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LUCID_ENV", "development")
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    return tmp_path


def test_a_token_is_what_the_service_of_this_folder_believes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = with_secrets(settings.load())
    code, printed = run(capsys, "--role", "approver")
    secret = ours.jwt_secret_key.get_secret_value()
    told = jwt.decode(
        printed.strip(),
        secret,
        algorithms=["HS256"],
        audience=ours.jwt_audience,
        issuer=ours.jwt_issuer,
    )
    assert code == 0 and (told["sub"], told["role"]) == ("demo-approver", "approver")
    code, printed = run(capsys, "--subject", "ann", "--json")
    assert code == 0 and json.loads(printed)["subject"] == "ann"


def test_where_nothing_was_started_no_secret_is_made(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, printed = run(capsys)
    assert code == 2 and "make run" in printed and not (folder / "var").exists()


def test_production_has_no_such_command(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (
        ("jwt_secret_key", "s" * 32),
        ("wallet_encryption_key", "ab" * 32),
        ("mongodb_uri", "mongodb://mongo-1/?replicaSet=rs0"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    monkeypatch.setenv("LUCID_ENV", "production")
    code, printed = run(capsys, "--json")
    assert code == 2 and json.loads(printed)["error"]["code"] == "development_only"


def test_every_role_can_be_asked_for() -> None:
    assert set(operator.ROLES) == set(Role)
