"""`docs/security.md` names tests as proof: each of them exists."""

import re
from pathlib import Path

import pytest

from tron_payment.http.principals import Role

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
FILES = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
ROLES = [role.value for role in Role]


def test_every_file_that_is_named_exists() -> None:
    paths = set(re.findall(r"`(tests/[a-z_/]+(?:\.py)?)`", PAGE))
    names = set(re.findall(r"`(test_[a-z_]+\.py)`", PAGE))
    assert len(paths) >= 10 and len(names) >= 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [name for name in names if name not in FILES] == []


def test_every_test_that_is_named_exists() -> None:
    known = {
        name
        for path in FILES.values()
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    named = set(re.findall(r"`((?:test_|\.\.\.)[a-z_]+(?:\.\.\.)?)`", PAGE))
    assert len(named) >= 15
    for text in named:
        pattern = re.escape(text).replace(re.escape("..."), r"\w*")
        assert any(re.fullmatch(pattern, name) for name in known), text


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_its_row(role: str) -> None:
    assert f"\n| {role} |" in PAGE
