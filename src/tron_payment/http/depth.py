"""How deep JSON is nested and how much is in it, told before anything decodes it.

Decoders stop at the interpreter's recursion limit, each a few levels from where the other does:
between the two, one says that it is JSON and the other nothing. And what is a byte in JSON may be
two hundred when it is decoded.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

DEPTH_MAX: Final = 64
"""Levels of arrays and objects; what is asked here has five at most, a contract's ABI some ten."""

TOO_DEEP: Final = f"JSON is nested at most {DEPTH_MAX} levels deep here"

VALUES_MAX: Final = 400_000
"""Commas and brackets that open, in JSON or in all rows of an NDJSON, without those in texts. An
object of a single pair is two hundred bytes when it is read, so these are eighty megabytes at
most. Ten thousand rows of a batch with every field and twenty entries of metadata have 320,000."""

_PIECE: Final = 64 * 1024
_OPENED: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b'",[]{}'))
_STEPS: Final = {ord("["): 1, ord("]"): -1}


def too_deep(body: bytes) -> bool:
    """Whether JSON has more than `DEPTH_MAX` levels; what is no JSON may be told either.

    It takes nanoseconds for a payout, some thirty milliseconds for a batch of eight megabytes.
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for piece in _marks(body):
        brackets = piece.replace(b",", b"")
        *depths, depth = accumulate(map(_STEPS.__getitem__, brackets), initial=depth)
        if max(depths, default=0) > DEPTH_MAX or depth > DEPTH_MAX:
            return True
    return False


def too_many_values(*texts: bytes) -> bool:
    """Whether JSON, or the rows of an NDJSON together, have more than `VALUES_MAX` values.

    It takes nanoseconds for a payout, some fifty milliseconds for a batch of eight megabytes.
    """
    if sum(text.count(mark) for text in texts for mark in (b",", b"[", b"{")) <= VALUES_MAX:
        return False
    pieces = (piece for text in texts for piece in _marks(text))
    return sum(piece.count(b",") + piece.count(b"[") for piece in pieces) > VALUES_MAX


def _marks(body: bytes) -> Iterator[bytes]:
    """Commas and brackets outside of texts, all brackets as square ones, piece by piece."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside = 0
    for start in range(0, len(unescaped), _PIECE):
        piece = unescaped[start : start + _PIECE].translate(_OPENED, _OTHERS)
        parts = piece.split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) & 1
