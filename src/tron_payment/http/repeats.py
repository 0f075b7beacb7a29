"""JSON objects that have a name twice: decoders take the last one and say nothing of the others."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec


class _Repeated(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


class _Name(str):
    """Of a type of its own, so that each one is shown while it is decoded."""


def repeated(body: bytes) -> str | None:
    """A name that any object of well-formed JSON has more than once; None when none has.

    It takes microseconds for a payout, and some ten milliseconds for ten thousand. Whoever asks
    has seen that it is not too deep (`depth.too_deep`).
    """
    try:
        _DECODER.decode(body.decode(errors="surrogateescape"))
    except _Repeated as at:
        return at.name
    except ValueError:  # a part that nobody has decoded yet is no JSON
        return None
    return None


def repeated_outside(body: bytes) -> str | None:
    """A name that the outermost object has more than once; None when none has, or it is none.

    It takes milliseconds for eight megabytes: what is inside is passed over.

    Raises:
        msgspec.DecodeError: Not JSON.
        RecursionError: What is inside is nested very deep.
    """
    seen: set[str] = set()

    def look(kind: type, name: str) -> _Name:
        if name in seen:
            raise _Repeated(name)
        seen.add(name)
        return _Name(name)

    try:
        msgspec.json.decode(body, type=dict[_Name, msgspec.Raw], dec_hook=look)
    except _Repeated as at:
        return at.name
    except msgspec.ValidationError:
        return None
    return None


def _looked_at(pairs: Sequence[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _Repeated(name)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_looked_at, parse_int=str, parse_float=str, strict=False
)
