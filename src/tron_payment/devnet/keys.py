"""Keys, hashes and addresses, in bytes. An address here is 21 bytes, 0x41 first."""

import hashlib
from functools import lru_cache
from typing import Final

import base58
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak as _keccak

PREFIX: Final = b"\x41"
ADDRESS_BYTES: Final = 21
ZERO_ADDRESS: Final = PREFIX + bytes(20)
_CACHE_ENTRIES: Final = 65_536


def keccak(data: bytes) -> bytes:
    """Ethereum's Keccak-256."""
    return _keccak.new(digest_bits=256, data=data).digest()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@lru_cache(_CACHE_ENTRIES)
def base58check(raw: bytes) -> str:
    """Any bytes with their four bytes of checksum, as java-tron's encode58Check."""
    return base58.b58encode(raw + sha256(sha256(raw))[:4]).decode()


def from_base58check(text: str) -> bytes | None:
    """The payload, or None when the text is not base58check of a TRON address."""
    try:
        raw = base58.b58decode(text)
    except ValueError:
        return None
    if len(raw) != 25 or sha256(sha256(raw[:21]))[:4] != raw[21:] or raw[:1] != PREFIX:
        return None
    return raw[:21]


@lru_cache(_CACHE_ENTRIES)
def _address_of_public(public: bytes) -> bytes:
    return PREFIX + keccak(public[1:])[12:]


def address_of_key(key: bytes) -> bytes:
    return _address_of_public(PrivateKey(key).public_key.format(compressed=False))


def sign(key: bytes, digest: bytes) -> bytes:
    """65 bytes r, s, v with v 0 or 1, over the digest as it is."""
    return PrivateKey(key).sign_recoverable(digest, hasher=None)


def recover(digest: bytes, signature: bytes) -> bytes:
    """The address that signed; v may be 0, 1, 27 or 28, bytes after the 65th are ignored.

    Raises:
        ValueError: No public key belongs to this signature.
    """
    v = signature[64]
    recovery = v - 27 if v >= 27 else v
    if not 0 <= recovery <= 3:
        raise ValueError("Header byte out of range: " + str(v + 27 if v < 27 else v))
    try:
        public = PublicKey.from_signature_and_message(
            signature[:64] + bytes((recovery,)), digest, hasher=None
        )
    except Exception as error:  # coincurve raises bare Exception and ValueError alike
        raise ValueError("Could not recover public key from signature") from error
    return _address_of_public(public.format(compressed=False))


def dev_key(name: str) -> bytes:
    """The well-known private key of a role of the devnet, such as ``faucet``. Worth nothing."""
    return sha256(b"tron-payment devnet key: " + name.encode())
