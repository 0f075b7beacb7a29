"""Keccak-256 as Ethereum and TRON use it (the padding from before SHA-3 was standardised)."""

from Crypto.Hash import keccak as _keccak


def keccak(data: bytes) -> bytes:
    """The 32-byte digest."""
    digest: bytes = _keccak.new(digest_bits=256, data=data).digest()
    return digest
