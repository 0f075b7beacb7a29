"""Reads the headers that decide who is calling, and refuses them when two readers could differ.

A gateway in front of us and we must see the same request. So a header that names the caller, the
key or the length comes once, spelt plainly: duplicates, underscore spellings and control
characters are 400 before anything is believed.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from tron_payment.core.errors import Malformed
from tron_payment.core.ids import new_id

RawHeaders = Iterable[tuple[bytes, bytes]]
Headers = Mapping[bytes, bytes]
"""What `read_headers` has found unambiguous: lower-case names, and the first value of each."""

SINGLE: Final = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"x-user-id",
        b"x-user-role",
        b"x-request-id",
        b"idempotency-key",
        b"x-totp-code",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"host",
    }
)
"""Headers that may come once at most."""

_SQUEEZED: Final = frozenset(name.replace(b"-", b"") for name in SINGLE)

_HEADER_NAME: Final = re.compile(rb"[a-z0-9!#$%&'*+.^`|~-]+")
_HEADER_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_PLAIN_VALUE: Final = re.compile(rb"[\x20-\x7e]*")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")


class OddHeader(Malformed, code="odd_header"):
    """A header is repeated, or spelt so that two readers could understand it differently."""


def read_headers(raw: RawHeaders) -> Headers:
    """The headers by name; refuses a request whose headers are ambiguous.

    Raises:
        OddHeader: A duplicate, an underscore or other look-alike, or an unreadable value.
    """
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        name = name.lower()
        if name not in SINGLE:
            _check_other(name, value)
            found.setdefault(name, value)
            continue
        if name in found:
            raise OddHeader(f"{name.decode()} came more than once", param=name.decode())
        if _PLAIN_VALUE.fullmatch(value) is None or value != value.strip():
            raise OddHeader(
                f"{name.decode()} holds characters that do not belong there", param=name.decode()
            )
        found[name] = value
    length = found.get(b"content-length")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise OddHeader("content-length is not a number", param="content-length")
    if b"content-length" in found and b"transfer-encoding" in found:
        raise OddHeader("content-length and transfer-encoding exclude each other")
    return found


def _check_other(name: bytes, value: bytes) -> None:
    """
    Raises:
        OddHeader: A look-alike of one that may come once, or unreadable.
    """
    plain = name.replace(b"_", b"-").strip()
    if plain in SINGLE:
        raise OddHeader(f"write {plain.decode()} with hyphens", param=plain.decode())
    if plain.replace(b"-", b"") in _SQUEEZED:
        raise OddHeader("a header looks like one that decides something, and is not it")
    if _HEADER_NAME.fullmatch(name) is None and _HEADER_NAME.fullmatch(plain) is None:
        raise OddHeader("a header's name is not a token")
    if _HEADER_VALUE.fullmatch(value) is None:
        raise OddHeader("a header's value holds control characters")


def header(headers: Headers, name: bytes) -> str | None:
    """The value of a header as text; None when absent."""
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def request_id_of(headers: RawHeaders) -> str:
    """The caller's id of this request when it is safe to log, else a new one."""
    given = None
    for name, value in headers:
        if name.lower() == b"x-request-id":
            if given is not None:
                return new_id("req")
            given = value.decode("latin-1")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_id("req")
