"""Keccak-256 as Ethereum and TRON use it (the padding from before SHA-3 was standardised)."""

from functools import lru_cache
from typing import Final

from Crypto.Hash import keccak as _keccak

SHORT: Final = 128
_DIGESTS_KEPT: Final = 65_536
"""Of short data: places of mapping entries, asked for again when a call that was simulated runs."""


def keccak(data: bytes) -> bytes:
    """The 32-byte digest."""
    return _kept(bytes(data)) if len(data) <= SHORT else _digest(data)


@lru_cache(_DIGESTS_KEPT)
def _kept(data: bytes) -> bytes:
    return _digest(data)


def _digest(data: bytes) -> bytes:
    digest: bytes = _keccak.new(digest_bits=256, data=data).digest()
    return digest
