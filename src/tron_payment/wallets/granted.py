"""What a change of permissions gives, and to which keys. Pure."""

import hashlib
from collections.abc import Collection

import msgspec

from tron_payment.chain import Permission, PermissionUpdate
from tron_payment.core.address import Address
from tron_payment.engine import contract_document


def update_hash(update: PermissionUpdate) -> str:
    """SHA-256 over everything that the update says, in hex."""
    text = msgspec.json.encode(contract_document(update), order="deterministic", enc_hook=int)
    return hashlib.sha256(text).hexdigest()


def outsiders_reach(update: PermissionUpdate, held: Collection[Address]) -> bool:
    """Whether keys other than these reach the threshold of any permission by themselves."""
    for permission in _granted(update):
        outside = sum(weight for key, weight in permission.keys if key not in held)
        if outside >= permission.threshold:
            return True
    return False


def _granted(update: PermissionUpdate) -> list[Permission]:
    every = (update.owner_permission, update.witness_permission, *update.actives)
    return [permission for permission in every if permission is not None]


def keys_of(update: PermissionUpdate) -> set[Address]:
    """Every key that it gives any power."""
    return {key for permission in _granted(update) for key, _ in permission.keys}
