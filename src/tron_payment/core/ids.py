"""Prefixed ids: random where nobody must find a thing twice, derived where a retry must find it.

Derived ids are HMACs with the installation's secret, so that nobody outside computes another's.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

_ID_BYTES: Final = 15
"""15 bytes are 24 base32 characters without padding."""

_ID_LENGTH: Final = 24
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz234567" * 8
"""A base32 character for each value of a byte; eight values share one, so all are as likely."""


def new_id(prefix: str) -> str:
    """A random id such as ``pay_3kq...``."""
    return f"{prefix}_{secrets.token_bytes(_ID_LENGTH).translate(_LETTERS).decode()}"


def derived_id(prefix: str, secret: bytes, *parts: str) -> str:
    """The same id for the same parts, under one installation secret."""
    message = b"\x1f".join(part.encode() for part in (prefix, *parts))
    return f"{prefix}_{_text(hmac.digest(secret, message, hashlib.sha256)[:_ID_BYTES])}"


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).decode().lower()
