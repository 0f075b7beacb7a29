"""TRON addresses. Inside the service an address is its base58 text, checked once at the edge.

address bytes = 0x41 and the last 20 bytes of keccak256(public key); text = base58check of those
21 bytes, 34 characters beginning with T (java-tron, WalletUtil).
"""

import hashlib
from functools import lru_cache
from typing import Final, NewType

import base58

from tron_payment.core.errors import Refused

Address = NewType("Address", str)
"""Base58check text that has passed `parse_address`."""

PREFIX: Final = 0x41
ADDRESS_TEXT_LENGTH: Final = 34
_CACHE_ENTRIES: Final = 65_536
_BARE: Final = 20
_BARE_HEX: Final = 2 * _BARE
_PREFIX_HEX: Final = f"{PREFIX:02x}"
_DIGITS: Final = bytes.maketrans(base58.BITCOIN_ALPHABET, bytes(range(58)))


class InvalidAddress(Refused, code="invalid_address"):
    """This is not a TRON address."""


def parse_address(text: str, *, param: str | None = None) -> Address:
    """Read a base58check address such as ``TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t``.

    Raises:
        InvalidAddress: Wrong length, alphabet, checksum or prefix.
    """
    if not isinstance(text, str) or len(text) != ADDRESS_TEXT_LENGTH or not text.isascii():
        raise InvalidAddress("an address has 34 characters and begins with T", param=param)
    if wrong := _what_is_wrong(text):
        raise InvalidAddress(wrong, param=param)
    return Address(text)


@lru_cache(_CACHE_ENTRIES)
def _what_is_wrong(text: str) -> str:
    """With 34 ASCII characters; empty when they are an address."""
    try:
        raw = base58.b58decode(text)
    except ValueError:
        return "the address is not base58"
    if len(raw) != 25 or _checksum(raw[:21]) != raw[21:]:
        return "the checksum of the address is wrong"
    if raw[0] != PREFIX or base58.b58encode(raw).decode() != text:
        return "the address is not of the TRON network"
    return ""


@lru_cache(_CACHE_ENTRIES)
def address_of(raw: bytes) -> Address:
    """The text of 21 address bytes (0x41 first) or of the bare 20 bytes."""
    if len(raw) == 20:
        raw = bytes((PREFIX,)) + raw
    if len(raw) != 21 or raw[0] != PREFIX:
        raise InvalidAddress("address bytes are 21 long and begin with 0x41")
    return Address(base58.b58encode(raw + _checksum(raw)).decode())


@lru_cache(_CACHE_ENTRIES)
def address_bytes(address: Address) -> bytes:
    """The 21 bytes, 0x41 first."""
    return base58.b58decode(address)[:21]


def bare_bytes(text: str) -> bytes:
    """The last 20 bytes of an address that was checked before; a million take two seconds."""
    number = 0
    for digit in text.encode().translate(_DIGITS):
        number = number * 58 + digit
    return number.to_bytes(25)[1:21]


def address_hex(address: Address) -> str:
    """The 42 hex digits that java-tron prints with ``visible: false``: ``41...``."""
    return address_bytes(address).hex()


def address_of_hex(text: str) -> Address:
    """The address of ``41...`` (42 digits) or of a log's bare 20 bytes (40 digits).

    Raises:
        InvalidAddress: Not hex, or of another length.
    """
    bare = bare_of_hex(text)
    if bare is None:
        raise InvalidAddress("the address is not hex")
    return address_of(bare)


def bare_digits(text: str) -> str:
    """The last 40 of an address's 40 or 42 characters; empty when it has neither, or another
    prefix. Whether they are hex is for `bare_of_hex` to say."""
    if len(text) == _BARE_HEX:
        return text
    has_prefix = len(text) == len(_PREFIX_HEX) + _BARE_HEX and text.startswith(_PREFIX_HEX)
    return text[len(_PREFIX_HEX) :] if has_prefix else ""


def bare_of_hex(text: str) -> bytes | None:
    """The last 20 bytes of an address in 40 hex digits, or 42 beginning with 41; else None. One
    reader for all, so that nobody finds an address where another finds none."""
    try:
        raw = bytes.fromhex(bare_digits(text))
    except ValueError:
        return None
    return raw if len(raw) == _BARE else None  # blanks between digits are passed over there


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
