"""Paths of keys such as ``m/44'/195'/0'/0/0``. Pure."""

import re
from typing import Final

from tron_payment.devices.errors import PathRefused

HARDENED: Final = 0x80000000
LEVELS_MAX: Final = 10
LEVELS_OF_AN_ADDRESS: Final = 5
TRON: Final = (44 | HARDENED, 195 | HARDENED)
DEFAULT_PATH: Final = "m/44'/195'/0'/0/0"

_PATH: Final = re.compile(r"(m/)?[0-9]{1,10}['h]?(/[0-9]{1,10}['h]?){0,9}")

Path = tuple[int, ...]
"""Indices, hardened ones from 2**31 on."""


def parse_path(text: str) -> Path:
    """Read a path below ``44'/195'``.

    Raises:
        PathRefused: Another form, or keys of another coin.
    """
    if _PATH.fullmatch(text) is None:
        raise PathRefused(f"{text!r} is not a path such as {DEFAULT_PATH}")
    numbers = []
    for part in text.removeprefix("m/").split("/"):
        number = int(part.rstrip("'h"))
        if number >= HARDENED:
            raise PathRefused(f"{number} is too large for a path")
        numbers.append(number + HARDENED * part.endswith(("'", "h")))
    if tuple(numbers[:2]) != TRON:
        raise PathRefused(f"{text} is not a path of TRON keys: they begin with m/44'/195'")
    return tuple(numbers)


def ledger_path(path: Path) -> bytes:
    """Ledger's form: the number of levels, then four bytes for each, big-endian."""
    assert 1 <= len(path) <= LEVELS_MAX, path
    return bytes((len(path),)) + b"".join(number.to_bytes(4) for number in path)
