"""The table of planted defects in the docs is the one that is tested; named tests exist."""

import os
import re
from pathlib import Path

from tests.simulation.defects import DEFECTS

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "exactly-once.md"
BEGIN, END = "<!-- defects: begin -->", "<!-- defects: end -->"


def rendered() -> str:
    lines = ["| defect | what it means | caught by |", "|---|---|---|"]
    for each in DEFECTS:
        test = each.caught_by[0].removeprefix("tests.").partition("::")[2]
        lines.append(f"| `{each.name}` | {each.means} | `{test}` |")
    return "\n".join(lines)


def test_the_page_has_every_planted_defect() -> None:
    """`DEFECTS_TABLE=write` writes it anew."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    shown, _, tail = rest.partition(END)
    if os.environ.get("DEFECTS_TABLE") == "write":
        PAGE.write_text(f"{head}{BEGIN}\n{rendered()}\n{END}{tail}")
        return
    assert shown.strip() == rendered()


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_[a-z0-9_]+)", PAGE.read_text()))
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"def (test_[a-z0-9_]+)", path.read_text())
    }
    assert named - there == set()
