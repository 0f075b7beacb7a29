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
    try:
        return address_of(bytes.fromhex(text))
    except ValueError:
        raise InvalidAddress("the address is not hex") from None


def _checksum(raw: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
