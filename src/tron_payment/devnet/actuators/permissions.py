"""Who may sign for an account: the whole set is replaced (AccountPermissionUpdateActuator)."""

import copy
from typing import Final

from tron_payment.devnet import ledger, params
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import Permission
from tron_payment.devnet.state import ACCOUNT, Get, Overlay

MAX_KEYS: Final = 5
MAX_ACTIVES: Final = 8
MAX_NAME: Final = 32
OPERATIONS_BYTES: Final = 32
_KINDS: Final = ("Owner", "Witness", "Active")
_KNOWN_TYPES: Final = frozenset(
    number
    for number in range(8 * OPERATIONS_BYTES)
    if ledger.ACTIVE_OPERATIONS[number // 8] >> number % 8 & 1
) | {46}
"""Contract types that an operations bitmap may name."""


def validate(get: Get, message: Message) -> None:
    owner = bytes(message.owner_address)
    if not ledger.is_address(owner):
        raise ContractInvalid("invalidate ownerAddress")
    account = ledger.account(get, owner)
    if account is None:
        raise ContractInvalid("ownerAddress account does not exist")
    if not message.HasField("owner"):
        raise ContractInvalid("owner permission is missed")
    if account.is_witness:
        if not message.HasField("witness"):
            raise ContractInvalid("witness permission is missed")
    elif message.HasField("witness"):
        raise ContractInvalid("account isn't witness can't set witness permission")
    if not message.actives:
        raise ContractInvalid("active permission is missed")
    if len(message.actives) > MAX_ACTIVES:
        raise ContractInvalid("active permission is too many")
    if message.owner.type != 0:
        raise ContractInvalid("owner permission type is error")
    _check(message.owner)
    if account.is_witness:
        if message.witness.type != 1:
            raise ContractInvalid("witness permission type is error")
        _check(message.witness)
    for active in message.actives:
        if active.type != 2:
            raise ContractInvalid("active permission type is error")
        _check(active)
    if account.balance < params.read(get, "getUpdateAccountPermissionFee"):
        raise ContractInvalid("no enough balance to update account permission")


def _check(permission: Message) -> None:
    kind = _KINDS[permission.type]
    if len(permission.keys) > MAX_KEYS:
        raise ContractInvalid(f"number of keys in permission should not be greater than {MAX_KEYS}")
    if not permission.keys:
        raise ContractInvalid("key's count should be greater than 0")
    if permission.type == 1 and len(permission.keys) != 1:
        raise ContractInvalid("Witness permission's key count should be 1")
    if permission.threshold <= 0:
        raise ContractInvalid("permission's threshold should be greater than 0")
    if len(permission.permission_name) > MAX_NAME:
        raise ContractInvalid("permission's name is too long")
    if permission.parent_id != 0:
        raise ContractInvalid("permission's parent should be owner")
    if len({bytes(key.address) for key in permission.keys}) != len(permission.keys):
        raise ContractInvalid(f"address should be distinct in permission {kind}")
    for key in permission.keys:
        if not ledger.is_address(bytes(key.address)):
            raise ContractInvalid("key is not a validate address")
        if key.weight <= 0:
            raise ContractInvalid("key's weight should be greater than 0")
    if sum(key.weight for key in permission.keys) < permission.threshold:
        raise ContractInvalid(
            f"sum of all key's weight should not be less than threshold in permission {kind}"
        )
    _check_operations(permission, kind)


def _check_operations(permission: Message, kind: str) -> None:
    operations = bytes(permission.operations)
    if permission.type != 2:
        if operations:
            raise ContractInvalid(f"{kind} permission needn't operations")
        return
    if len(operations) != OPERATIONS_BYTES:
        raise ContractInvalid("operations size must 32")
    for number in range(8 * OPERATIONS_BYTES):
        if allows(operations, number) and number not in _KNOWN_TYPES:
            raise ContractInvalid(f"{number} isn't a validate ContractType")


def allows(operations: bytes, contract_type: int) -> bool:
    """Whether the bitmap has this contract type's bit (byte n/8, lowest bit first)."""
    return bool(operations[contract_type // 8] >> contract_type % 8 & 1)


def _of(message: Message, number: int) -> Permission:
    return Permission(
        kind=message.type,
        id=number,
        name=message.permission_name,
        threshold=message.threshold,
        operations=bytes(message.operations),
        keys=tuple((bytes(key.address), int(key.weight)) for key in message.keys),
    )


def execute(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner = bytes(message.owner_address)
    account = copy.copy(state.get(ACCOUNT + owner))
    account.owner_permission = _of(message.owner, 0)
    if account.is_witness:
        account.witness_permission = _of(message.witness, 1)
    account.active_permissions = tuple(
        _of(active, ledger.FIRST_ACTIVE_ID + index) for index, active in enumerate(message.actives)
    )
    state.put(ACCOUNT + owner, account)
    fee_sun = params.read(state.get, "getUpdateAccountPermissionFee")
    ledger.charge(state, owner, fee_sun)
    receipt.fee += fee_sun
