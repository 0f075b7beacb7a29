"""What a command says at its end, for people or for programs, and its exit code."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from tron_payment.core.terminal import printable

SAID: Final = {"signed": "signed or broadcast"}
"""Sums do not tell whether what is signed was sent already."""


class Exit(IntEnum):
    """Documented in docs/operations.md."""

    OK = 0
    FAILED = 1
    """Done, and the answer is bad: a check failed, a difference was found, a refusal."""

    USAGE = 2
    """The arguments or the configuration are wrong; nothing was done."""

    UNAVAILABLE = 3
    """The store or the nodes are away; nothing was done, or it is safe to repeat."""

    UNFINISHED = 4
    """The time is over while the work goes on; the same command again takes it up."""

    PARTLY = 5
    """A batch has ended: some rows were paid, others were refused or not paid."""


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a command. `data` has only JSON's types; nothing in `lines` reaches a terminal
    that it would obey, nor ends its line."""

    data: Mapping[str, Any]
    lines: Sequence[str] = field(default_factory=tuple)
    exit: Exit = Exit.OK

    def show(self, *, as_json: bool) -> int:
        """Print it; the exit code."""
        good = self.exit is Exit.OK
        text = json.dumps({"ok": good, **self.data}, indent=2) if as_json else None
        out = sys.stdout if good or as_json else sys.stderr
        try:
            shown = "\n".join(map(printable, self.lines)) if text is None else text
            print(shown, file=out, flush=True)
        except BrokenPipeError:  # whoever reads has seen enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return int(self.exit)


def counted(counts: Mapping[str, int]) -> str:
    """How many are in which status, as text."""
    said = (f"{n} {SAID.get(name) or name.replace('_', ' ')}" for name, n in counts.items())
    return ", ".join(said) or "none"


def failure(code: str, detail: str, exit: Exit) -> Report:
    """A command that could not do its work."""
    return Report({"error": {"code": code, "detail": detail}}, (f"{code}: {detail}",), exit)


def misconfigured(problems: Sequence[str]) -> Report:
    """A command that found its configuration wrong; one problem a line."""
    data = {"error": {"code": "configuration", "detail": "\n".join(problems)}}
    return Report(data, ("configuration:", *problems), Exit.USAGE)
