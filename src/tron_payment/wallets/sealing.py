"""Closes secrets that are no wallet's in the envelopes that close wallets' keys.

One set of key-encryption keys, one way to rotate them. The owner's name, such as
``second-factor:alice`` or ``webhook:whk_...``, is part of the bond; no wallet's id has a colon.
"""

from collections.abc import Mapping
from typing import Any

from tron_payment.core.address import Address
from tron_payment.settings import Settings
from tron_payment.wallets.keys import Secret
from tron_payment.wallets.keystore import Bond, Envelope, Keystore, parse_keks, stored_envelope


class Sealing:
    """`http.step_up.Sealer` on the keystore."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    @property
    def current(self) -> str:
        """The id of the key that closes new envelopes."""
        return self._keystore.current

    def seal(self, owner: str, secret: bytes) -> dict[str, Any]:
        """The envelope as MongoDB keeps it."""
        return stored_envelope(self._keystore.seal(Secret(secret), _bond(owner)))

    def open(self, owner: str, sealed: Mapping[str, Any]) -> bytes:
        """The secret.

        Raises:
            KeyUnreadable: Unknown or wrong key, another owner's, or changed bytes.
        """
        return self._keystore.open(Envelope(**sealed), _bond(owner)).reveal()

    def reseal(self, owner: str, sealed: Mapping[str, Any]) -> dict[str, Any]:
        """The same secret under the current key.

        Raises:
            KeyUnreadable: As for `open`.
        """
        return stored_envelope(self._keystore.rewrap(Envelope(**sealed), _bond(owner)))


def build_sealing(settings: Settings) -> Sealing:
    """With the keys of WALLET_ENCRYPTION_KEY.

    Raises:
        ConfigurationError: They cannot be read.
    """
    return Sealing(Keystore(parse_keks(settings.wallet_encryption_key.get_secret_value())))


def _bond(owner: str) -> Bond:
    assert ":" in owner, "an owner that could be a wallet's id"
    return Bond(owner, Address(""))
