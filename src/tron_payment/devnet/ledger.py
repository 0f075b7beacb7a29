"""Small moves on accounts that many actuators share: create, credit, debit, look up."""

import copy
from typing import Final

from tron_payment.devnet import params
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.keys import ADDRESS_BYTES, PREFIX
from tron_payment.devnet.records import Account, Permission
from tron_payment.devnet.state import ACCOUNT, Get, Overlay

ACTIVE_OPERATIONS: Final = bytes.fromhex("7fff1fc0033efb0f").ljust(32, b"\0")
"""The contract types that a new account's active permission allows on the main net."""
FIRST_ACTIVE_ID: Final = 2


def is_address(raw: bytes) -> bool:
    return len(raw) == ADDRESS_BYTES and raw[:1] == PREFIX


def account(get: Get, address: bytes) -> Account | None:
    found: Account | None = get(ACCOUNT + address)
    return found


def owner_of(get: Get, address: bytes, missing: str = "Account[{}] not exists") -> Account:
    """The account that a contract is about.

    Raises:
        ContractInvalid: Not an address, or no such account.
    """
    if not is_address(address):
        raise ContractInvalid("Invalid address")
    found = account(get, address)
    if found is None:
        raise ContractInvalid(missing.format(address.hex()))
    return found


def default_owner_permission(address: bytes) -> Permission:
    return Permission(0, 0, "owner", 1, b"", ((address, 1),))


def default_active_permission(address: bytes, operations: bytes) -> Permission:
    return Permission(2, FIRST_ACTIVE_ID, "active", 1, operations, ((address, 1),))


def active_operations(get: Get) -> bytes:
    """A parameter of the devnet, because a node set up long ago has fewer bits."""
    found = get(b"l" + b"active_operations")
    return bytes(found[0]) if found else ACTIVE_OPERATIONS


def create(state: Overlay, address: bytes) -> Account:
    """Activate an ordinary account with default permissions."""
    get = state.get
    made = Account(
        address,
        create_time=params.read(get, params.HEAD_TIME),
        owner_permission=default_owner_permission(address),
        active_permissions=(default_active_permission(address, active_operations(get)),),
        number=params.read(get, params.HEAD_NUMBER) + 1,
    )
    state.put(ACCOUNT + address, made)
    return made


def add_balance(state: Overlay, address: bytes, delta_sun: int) -> None:
    """Add sun to an account that exists, or take it away.

    Raises:
        ContractInvalid: The balance would be negative.
    """
    changed = copy.copy(state.get(ACCOUNT + address))
    changed.balance += delta_sun
    if changed.balance < 0:
        raise ContractInvalid(f"{address.hex()} insufficient balance, balance: {changed.balance}")
    state.put(ACCOUNT + address, changed)


def charge(state: Overlay, address: bytes, fee_sun: int) -> None:
    """Burn the fee of a system contract."""
    add_balance(state, address, -fee_sun)
    params.add(state, params.BURNT, fee_sun)
