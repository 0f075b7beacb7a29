"""Every command line that a document shows is one that `tron-payment` takes."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from tron_payment import cli

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"(?:^|[`$ ])tron-payment ([a-z][^`\n|#&>]*)", re.MULTILINE)


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(text: str) -> list[str]:
    """Command lines in code spans and code blocks, without the program's name."""
    spans = [f"`{span}`" for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    joined = "\n".join(re.sub(r"\s+", " ", span) for span in spans) + "\n" + "\n".join(blocks)
    return [line.strip() for line in SHOWN.findall(joined)]


def refused(line: str) -> str:
    """Why the command line is none; empty when it is one, or the beginning of one."""
    words = shlex.split(line)
    parser = cli.build_parser()
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    if words[0] not in commands.choices:
        return f"no command {words[0]}"
    if words[0] in cli.OWN_ARGUMENTS:
        return ""
    command = commands.choices[words[0]]
    options = {option: action for action in command._actions for option in action.option_strings}
    places = [a for a in command._actions if not a.option_strings]
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("--"):
            if word not in options:
                return f"{words[0]} has no {word}"
            if options[word].nargs != 0:
                next(rest, None)
        elif not places:
            return f"{words[0]} takes no {word}"
        else:
            place = places.pop(0)
            if place.choices and word not in place.choices:
                return f"{words[0]} has no action {word}"
    return ""


def test_the_reader_of_documents_finds_what_it_should() -> None:
    text = "Do `tron-payment audit\nverify --known X`:\n```\n$ tron-payment serve   # runs\n```\n"
    assert shown(text) == ["audit verify --known X", "serve"]
    assert refused("audit forget") and refused("doctor --loud") and refused("nothing")
    assert not refused("audit verify --known 1:ab --json")


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(path: Path) -> None:
    wrong = {line: why for line in shown(path.read_text()) if (why := refused(line))}
    assert not wrong


def test_every_command_is_in_the_operators_manual() -> None:
    manual = shown((ROOT / "docs" / "operations.md").read_text())
    told = {line.split()[0] for line in manual}
    assert told >= {*cli.COMMANDS, *cli.operator.COMMANDS}
