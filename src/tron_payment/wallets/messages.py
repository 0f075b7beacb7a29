"""Signed messages, as TronLink's `signMessageV2`, the Ledger app and TronWeb make them. Pure.

digest = keccak256("\\x19TRON Signed Message:\\n" + length in decimal + message) (TIP-191).
"""

from typing import Final

from Crypto.Hash import keccak

from tron_payment.core.address import Address
from tron_payment.wallets.signer import recovered_address

PREFIX: Final = b"\x19TRON Signed Message:\n"
MESSAGE_BYTES_MAX: Final = 225
"""Above this the Ledger app signs something else."""


def message_digest(message: bytes) -> bytes:
    """32 bytes to sign."""
    whole = PREFIX + str(len(message)).encode() + message
    return keccak.new(digest_bits=256, data=whole).digest()


def message_signer(message: bytes, signature: bytes) -> Address:
    """Whose signature this is; v is 0 or 1.

    Raises:
        ValueError: It is nobody's.
    """
    return recovered_address(signature, message_digest(message))
