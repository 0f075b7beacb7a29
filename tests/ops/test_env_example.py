"""`.env.example` is what the settings are: every name, its default, a word about it."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from tron_payment.configuration import load
from tron_payment.settings import SECRET_NAMES, Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINES = EXAMPLE.read_text().splitlines()
VALUES = dict(line.split("=", 1) for line in LINES if re.match(r"^[A-Z0-9_]+=", line))
FORMER = ("TRON_CLIENT_PORT", "WALLET_MANAGER_PORT", "USDT_MANAGER_PORT", "PAYOUT_ROUTER_PORT")
ELSEWHERE = {"TRON_NETWORK", "LOG_LEVEL"}
"""Their defaults depend on others."""


def test_every_setting_is_there_and_no_other() -> None:
    assert set(VALUES) == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(set(VALUES) - ELSEWHERE))
def test_the_value_shown_is_the_default(name: str) -> None:
    default = Settings.model_fields[name.lower()].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    shown = {"true": True, "false": False}.get(VALUES[name], VALUES[name])
    assert str(shown) == str(getattr(default, "value", default))


@pytest.mark.parametrize("name", [name.upper() for name in SECRET_NAMES])
def test_secrets_are_marked_and_empty(name: str) -> None:
    at = LINES.index(f"{name}=")
    assert LINES[at - 1].startswith("# (secret)")


def test_names_of_the_former_services_are_accepted_and_ignored_but_the_last() -> None:
    environ = {"LUCID_ENV": "development", "PAYMENT_GATEWAY_PORT": "8095"}
    settings = load(environ | dict.fromkeys(FORMER, "1"))
    assert settings.port == 8095
    assert load(environ | {"PORT": "8096"}).port == 8096
    assert all(f"# {name}=" in EXAMPLE.read_text() for name in FORMER)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Exception, match="PORT") as refused:
        load({"LUCID_ENV": "development", "PORT": "x", "MIN_PAYOUT_AMOUNT": "y", "TOR_PROXY": "z"})
    assert all(name in str(refused.value) for name in ("MIN_PAYOUT_AMOUNT", "TOR_PROXY"))
