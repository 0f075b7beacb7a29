"""No type that carries a secret shows it, whatever module it is in and whoever adds it."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from pydantic import BaseModel, SecretStr

import tron_payment
from tron_payment.wallets.keys import Secret

REDACTED: Final = (Secret, SecretStr)
"""Types of fields that show nothing themselves."""

SECRET: Final = re.compile(
    r"password|private_key|mnemonic|secret|passphrase|otpauth|entropy|^seed$|^backup$",
    re.IGNORECASE,
)
"""Names of fields that hold one."""

TOLD_ELSEWHERE: Final = frozenset({"tron_payment.devnet", "tron_payment.__main__"})
"""The devnet's keys are play money."""


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(tron_payment.__path__, "tron_payment."):
        if not any(found.name.startswith(each) for each in TOLD_ELSEWHERE):
            yield importlib.import_module(found.name)


def types() -> list[type[Any]]:
    found = {
        each
        for module in modules()
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__
    }
    return sorted(found, key=lambda each: (each.__module__, each.__qualname__))


def secret_fields(kind: type[Any]) -> dict[str, Any]:
    """Names of fields that hold a secret, with a value of the kind that a careless repr shows."""
    names: list[str] = []
    if issubclass(kind, msgspec.Struct):
        names = [field.name for field in msgspec.structs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.type not in REDACTED]
    return {name: f"the secret of {name}" for name in names if SECRET.search(name)}


CARRIERS: Final = [kind for kind in types() if secret_fields(kind)]


def test_there_are_types_to_look_at() -> None:
    names = {kind.__name__ for kind in CARRIERS}
    assert {"CreateWallet", "ImportWallet", "BackUp", "Restore", "VerifyPassword"} <= names


@pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_a_repr_shows_no_secret(kind: type[Any]) -> None:
    planted = secret_fields(kind)
    if issubclass(kind, msgspec.Struct):
        everything = {field.name: "x" for field in msgspec.structs.fields(kind)}
        made = kind(**everything | planted)
    else:
        made = kind.__new__(kind)
        for field in dataclasses.fields(kind):
            object.__setattr__(made, field.name, planted.get(field.name, "x"))
    for text in (repr(made), str(made), f"{made}"):
        assert not any(value in text for value in planted.values()), text


def test_no_document_shows_one() -> None:
    """Stored secrets are sealed or hashed; what is sealed is not shown either."""
    wrong = [
        f"{kind.__module__}.{kind.__name__}.{name}"
        for kind in types()
        if issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
        if SECRET.search(name) and field.repr and field.annotation not in (SecretStr, bool)
    ]
    assert wrong == []
