"""A little of Solidity's ABI: words in, and decoding of what contracts return.

eth_abi is imported when something is decoded for the first time: it takes longer to load than the
whole devnet takes to start, and only TronGrid's v1 needs it.
"""

from collections.abc import Sequence
from typing import Any, Final

WORD: Final = 32


def word(value: int | bytes) -> bytes:
    """A number, or the last 20 bytes of an address, as one word."""
    if isinstance(value, bytes):
        return value[-20:].rjust(WORD, b"\0")
    return value.to_bytes(WORD, "big")


def encode(values: Sequence[int | bytes | str]) -> bytes:
    """Arguments of a call: numbers, addresses as bytes, and strings."""
    heads: list[bytes] = []
    tail = b""
    for value in values:
        if isinstance(value, str):
            heads.append(word(WORD * len(values) + len(tail)))
            raw = value.encode()
            tail += word(len(raw)) + raw + b"\0" * (-len(raw) % WORD)
        else:
            heads.append(word(value))
    return b"".join(heads) + tail


def text(data: bytes) -> str:
    """The one string that these data hold; empty when they hold none."""
    values = decode(("string",), data)
    return str(values[0]) if values else ""


def decode(kinds: Sequence[str], data: bytes) -> tuple[Any, ...] | None:
    """Values of these types; None when the data do not hold them."""
    from eth_abi.abi import decode as decode_all
    from eth_abi.exceptions import DecodingError

    try:
        return tuple(decode_all(list(kinds), data))
    except (DecodingError, OverflowError):
        return None
