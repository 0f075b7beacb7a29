"""JSON objects that have a name twice: decoders take the last one and say nothing of the others."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final


class _Repeated(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


def repeated(body: bytes, *, inside: bool = True) -> str | None:
    """A name that an object of well-formed JSON has more than once; None when none has.

    Whoever asks has seen that it is not too deep (`depth.too_deep`).

    It takes microseconds for a payout, and some ten milliseconds for ten thousand.

    Args:
        inside: Look at the objects in it as well, not only at the outermost.
    """
    decoder = _ANYWHERE if inside else _OUTERMOST
    try:
        found: Any = decoder.decode(body.decode(errors="surrogateescape"))
    except _Repeated as at:
        return at.name
    except ValueError:  # a part that nobody has decoded yet is no JSON
        return None
    return found.name if isinstance(found, _Repeated) else None


def _looked_at(pairs: Sequence[tuple[str, Any]]) -> _Repeated | None:
    if len(dict(pairs)) == len(pairs):
        return None
    (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
    return _Repeated(name)


def _refused(pairs: Sequence[tuple[str, Any]]) -> None:
    if (found := _looked_at(pairs)) is not None:
        raise found


_OUTERMOST: Final = json.JSONDecoder(
    object_pairs_hook=_looked_at, parse_int=str, parse_float=str, strict=False
)
_ANYWHERE: Final = json.JSONDecoder(
    object_pairs_hook=_refused, parse_int=str, parse_float=str, strict=False
)
