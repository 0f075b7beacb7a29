"""Keys at rest: an envelope for each wallet, and the key-encryption keys that close them.

The secret is sealed with a data key of its own (AES-256-GCM), the data key is wrapped with a
key-encryption key, a KEK. Both are bound to wallet, address and path, so that a row copied to
another wallet does not open. Several KEKs are alive at once; the first one closes new envelopes,
and rotating wraps data keys anew without touching what they seal.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tron_payment.core.address import Address
from tron_payment.core.errors import AppError
from tron_payment.settings import ConfigurationError
from tron_payment.settings_checks import KEK_ID_DEFAULT, KEKS_MAX
from tron_payment.wallets.keys import Secret

SCHEME: Final = "tronpay/v1"
DATA_KEY_BYTES: Final = 32
KEK_BYTES: Final = 32
NONCE_BYTES: Final = 12


class KeyUnreadable(AppError, code="key_unreadable"):
    """A stored key does not open: another key-encryption key, or it was tampered with."""


@dataclass(frozen=True, slots=True)
class Bond:
    """What an envelope belongs to; it opens nowhere else. The path is empty for a single key."""

    wallet_id: str
    address: Address
    path: str = ""

    def associated(self, kek_id: str) -> bytes:
        return "|".join((SCHEME, self.wallet_id, self.address, self.path, kek_id)).encode()


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """An encrypted secret. `sealed` and `wrapped_key` are nonce, ciphertext and tag in a row."""

    kek_id: str
    """The KEK that wraps the data key now."""

    wrapped_key: bytes
    sealed: bytes
    sealed_under: str
    """The KEK that was first when the secret was sealed; part of its bond for ever."""

    def __repr__(self) -> str:
        return f"Envelope({self.kek_id})"


def stored_envelope(envelope: Envelope) -> dict[str, Any]:
    """As MongoDB keeps it."""
    return asdict(envelope)


class Keystore:
    """Opens and closes envelopes with the KEKs of this process.

    Args:
        keks: By id, at least one; the first closes new envelopes.
    """

    def __init__(self, keks: Mapping[str, Secret]) -> None:
        assert 0 < len(keks) <= KEKS_MAX
        self._ciphers = {name: AESGCM(kek.reveal()) for name, kek in keks.items()}
        self.current = next(iter(keks))

    def seal(self, secret: Secret, bond: Bond) -> Envelope:
        """Close a new envelope under the current KEK."""
        data_key = secrets.token_bytes(DATA_KEY_BYTES)
        bound = bond.associated(self.current)
        return Envelope(
            kek_id=self.current,
            wrapped_key=_encrypt(self._ciphers[self.current], data_key, bound),
            sealed=_encrypt(AESGCM(data_key), secret.reveal(), bound),
            sealed_under=self.current,
        )

    def open(self, envelope: Envelope, bond: Bond) -> Secret:
        """The secret of an envelope.

        Raises:
            KeyUnreadable: Unknown KEK, wrong KEK, another bond or changed bytes.
        """
        data_key = self._data_key(envelope, bond)
        bound = bond.associated(envelope.sealed_under)
        return Secret(_decrypt(AESGCM(data_key), envelope.sealed, bound))

    def rewrap(self, envelope: Envelope, bond: Bond) -> Envelope:
        """The same secret, its data key wrapped by the current KEK; the secret stays sealed.

        Raises:
            KeyUnreadable: As for `open`.
        """
        data_key = self._data_key(envelope, bond)
        cipher = self._ciphers[self.current]
        wrapped = _encrypt(cipher, data_key, bond.associated(self.current))
        return replace(envelope, kek_id=self.current, wrapped_key=wrapped)

    def _data_key(self, envelope: Envelope, bond: Bond) -> bytes:
        cipher = self._ciphers.get(envelope.kek_id)
        if cipher is None:
            raise KeyUnreadable(f"the key-encryption key {envelope.kek_id} is not configured")
        return _decrypt(cipher, envelope.wrapped_key, bond.associated(envelope.kek_id))


def parse_keks(text: str) -> dict[str, Secret]:
    """Read ``WALLET_ENCRYPTION_KEY``: 64 hex digits, or ``id:hex,id:hex`` with the newest first.

    Raises:
        ConfigurationError: Another form; no digit of it is in the message.
    """
    keks: dict[str, Secret] = {}
    for part in text.strip().split(","):
        name, colon, digits = part.strip().rpartition(":")
        name = name if colon else KEK_ID_DEFAULT
        try:
            raw = bytes.fromhex(digits)
        except ValueError:
            raw = b""
        if len(raw) != KEK_BYTES or not name.isalnum() or name in keks or len(keks) == KEKS_MAX:
            raise ConfigurationError(
                ["WALLET_ENCRYPTION_KEY: 64 hex digits, or id:hex,id:hex with different ids"]
            )
        keks[name] = Secret(raw)
    return keks


def _encrypt(cipher: AESGCM, plain: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise KeyUnreadable from None
