"""Key material in types that do not tell it: not printed, not hashed, not pickled."""

import secrets
from typing import Any, Final, NoReturn, Self

from coincurve import PrivateKey
from Crypto.Hash import keccak

from tron_payment.core.address import Address, address_of
from tron_payment.wallets.domain import InvalidKey

KEY_BYTES: Final = 32
_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_KEY_HEX: Final = 64


class Secret:
    """Bytes that nobody shall see. Compared and hashed by identity only."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def reveal(self) -> bytes:
        """The bytes, for the one who encrypts or derives with them."""
        return self._raw

    def __repr__(self) -> str:
        return "<redacted>"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return "<redacted>"

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("a secret is not copied or pickled")


class SigningKey:
    """A private key of secp256k1 that signs, and tells its address and nothing else."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: Secret) -> None:
        raw = secret.reveal()
        if not self.fits(raw):
            raise InvalidKey
        self._key = PrivateKey(raw)
        self.address: Address = address_of_public_key(self._key.public_key.format(compressed=False))

    @staticmethod
    def fits(raw: bytes) -> bool:
        """Whether these bytes are a private key of the curve."""
        return len(raw) == KEY_BYTES and 0 < int.from_bytes(raw) < _ORDER

    @classmethod
    def parse(cls, text: str, *, param: str = "private_key") -> tuple[Self, Secret]:
        """Read 64 hex digits.

        Raises:
            InvalidKey: Another form; the text is not repeated in the error.
        """
        try:
            if len(text) != _KEY_HEX or not text.isascii():
                raise ValueError
            secret = Secret(bytes.fromhex(text))
            return cls(secret), secret
        except (ValueError, InvalidKey):
            raise InvalidKey(param=param) from None

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r, s, v (0 or 1) over a 32-byte digest; deterministic (RFC 6979), low s."""
        assert len(digest) == 32
        signature: bytes = self._key.sign_recoverable(digest, hasher=None)
        return signature

    def __repr__(self) -> str:
        return "<redacted>"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return "<redacted>"

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("a key is not copied or pickled")


def random_key() -> Secret:
    """32 bytes of the operating system's randomness that are a private key."""
    while True:
        raw = secrets.token_bytes(KEY_BYTES)
        if SigningKey.fits(raw):
            return Secret(raw)


def address_of_public_key(public_key: bytes) -> Address:
    """The address of 65 uncompressed bytes (0x04 first)."""
    assert len(public_key) == 65 and public_key[0] == 4
    return address_of(keccak.new(digest_bits=256, data=public_key[1:]).digest()[-20:])
