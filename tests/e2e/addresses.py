"""Addresses that nobody has used before."""

import hashlib
import secrets

from tron_payment.core.address import Address, address_of


def fresh_address() -> Address:
    """A random account of the devnet; its key is nobody's."""
    return address_of(hashlib.sha256(secrets.token_bytes(32)).digest()[:20])
