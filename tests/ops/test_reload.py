"""What may change while the service runs takes effect; the rest waits for a new start."""

from pathlib import Path

import httpx
import pytest

from tests import plain
from tests.ops.installation import key, token, until
from tests.ops.live import Live
from tron_payment.configuration import load
from tron_payment.settings import ConfigurationError


def test_a_settings_file_stands_behind_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text('# limits\nRATE_READ=7\nPORT="8091"\n\n')
    environ = {"LUCID_ENV": "development", "SETTINGS_FILE": str(path), "PORT": "8092"}
    assert (load(environ).rate_read, load(environ).port) == (7, 8092)
    path.write_text("RATE_RAED=7\nwhat\n")
    with pytest.raises(ConfigurationError, match="line 1") as refused:
        load(environ)
    assert "line 2" in str(refused.value)
    with pytest.raises(ConfigurationError, match="SETTINGS_FILE"):
        load(environ | {"SETTINGS_FILE": str(tmp_path / "nothing")})


def test_secrets_do_not_hide_in_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text(f"JWT_SECRET_KEY={'x' * 40}\n")
    with pytest.raises(ConfigurationError, match="JWT_SECRET_KEY is in the environment"):
        load({"SETTINGS_FILE": str(path)})


def test_levels_and_rates_change_in_the_running_service(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "settings.env"
    path.write_text("LOG_LEVEL=INFO\n")
    port = live.start(SETTINGS_FILE=str(path))
    url = f"http://127.0.0.1:{port}"

    def reload() -> httpx.Response:
        headers = {"Authorization": f"Bearer {token('admin')}", "Idempotency-Key": key()}
        return plain.post(url + "/config/reload", headers=headers, timeout=10)

    try:
        path.write_text("LOG_LEVEL=ERROR\nMIN_PAYOUT_AMOUNT=11\n")
        answer = reload()
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "reloaded": ["LOG_LEVEL"],
            "restart_needed": ["MIN_PAYOUT_AMOUNT"],
        }
        length = len(live.log(port))
        until(lambda: plain.get(url + "/health").status_code == 200, "an answer")
        assert len(live.log(port)) == length, "requests are no longer logged"
        path.write_text("LOG_LEVEL=LOUD\n")
        answer = reload()
        assert answer.status_code == 422 and answer.json()["code"] == "configuration_refused"
    finally:
        live.services.pop(port).terminate()
