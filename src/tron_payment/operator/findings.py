"""What the doctor finds: a level, a fact, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """A warning lets the service work; a failure does not, or endangers money."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    level: Level
    detail: str
    advice: str = ""


def good(check: str, detail: str) -> Finding:
    return Finding(check, Level.OK, detail)


def doubtful(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, Level.WARN, detail, advice)


def bad(check: str, detail: str, advice: str) -> Finding:
    return Finding(check, Level.FAIL, detail, advice)
