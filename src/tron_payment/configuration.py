"""Configuration: environment variables and secret files, checked at start, all problems at once.

In production secrets come from files in `/run/secrets` only; one found in the environment
refuses the start, because an environment leaks through /proc and crash reports.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator

from tron_payment.settings import CREDENTIAL_NAMES, SECRET_NAMES, ConfigurationError, Settings
from tron_payment.settings_checks import problems_of
from tron_payment.settings_files import SECRETS_DIR, secret_file, settings_file


def load(environ: dict[str, str] | None = None, *, secrets_dir: Path | None = None) -> Settings:
    """Read and check the configuration.

    Args:
        environ: Instead of the process's own.
        secrets_dir: Instead of SECRETS_DIR in the environment, or `/run/secrets`.

    Raises:
        ConfigurationError: With every problem found, one a line.
    """
    environ = dict(os.environ if environ is None else environ)
    problems: list[str] = []
    environ = {**settings_file(environ, Settings.model_fields, problems), **environ}
    secrets_dir = secrets_dir or Path(environ.get("SECRETS_DIR") or SECRETS_DIR)
    values: dict[str, Any] = {
        name.lower(): value
        for name, value in environ.items()
        if name.lower() in Settings.model_fields and value != ""
    }
    production = values.get("lucid_env", "production") == "production"
    for name in SECRET_NAMES:
        if name in values and production:
            problems.append(f"{name.upper()} is in the environment: move it to {secrets_dir}")
        if (secret := secret_file(secrets_dir, name, problems)) is not None:
            values[name] = secret
    for name in CREDENTIAL_NAMES:
        if (secret := secret_file(secrets_dir, name, problems)) is not None:
            values.setdefault(name, secret)
    if values.get("tron_network") == "testnet":
        values["tron_network"] = "nile"
    if production:
        values.setdefault("tron_network", "mainnet")
    if "port" not in values and "payment_gateway_port" in {n.lower() for n in environ}:
        values["port"] = next(v for n, v in environ.items() if n.lower() == "payment_gateway_port")
    try:
        settings = _build(values)
    except ConfigurationError as error:
        raise ConfigurationError([*problems, *error.problems, *_hint(values)]) from None
    if problems:
        raise ConfigurationError(problems)
    return settings


def _hint(values: Mapping[str, Any]) -> list[str]:
    """For who stands beside a `make run` and lacks what production needs."""
    if "lucid_env" in values or "mongodb_uri" in values:
        return []
    return ["LUCID_ENV is not set, so this is production; beside `make run`: LUCID_ENV=development"]


class _Checked(Settings):
    """Not made when a rule between settings is broken."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := problems_of(self):
            raise ConfigurationError(problems)
        return self


def _build(values: dict[str, Any]) -> Settings:
    try:
        return _Checked(**values)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        problems = [f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
    try:  # the rest is checked too, so that nobody mends one problem after the other
        _Checked(**{name: value for name, value in values.items() if name not in wrong})
    except ConfigurationError as more:
        problems += more.problems
    except ValidationError:
        pass
    raise ConfigurationError(problems)
