"""The message of each contract type: one writer and one reader, by java-tron's field numbers."""

from collections.abc import Callable
from typing import Any, Final

from tron_payment.chain import contracts as c
from tron_payment.chain.abi_json import encode_abi, read_abi
from tron_payment.chain.wire import (
    INT64_MAX,
    Fields,
    MalformedWire,
    bytes_field,
    each_bytes,
    int_field,
    last_bytes,
    last_int,
    last_int32,
    merged,
    message_field,
    read_fields,
)
from tron_payment.core.address import Address, InvalidAddress, address_bytes, address_of

ADDRESS_BYTES: Final = 21

_RESOURCES: Final = (c.Resource.BANDWIDTH, c.Resource.ENERGY)
_OWNER_FIELD: Final = {2: 2, 10: 2, 19: 2}
"""TransferAsset, AccountUpdate and SetAccountId keep their owner in field 2, all others in 1."""


def encode_contract(contract: c.Contract) -> tuple[int, str, bytes]:
    """Type number, message name and the message's canonical bytes."""
    if isinstance(contract, c.OtherContract):
        return contract.type_number, contract.type_name, contract.value
    number = c.TYPE_NUMBERS[type(contract)]
    return number, c.TYPE_NAMES[number], _WRITERS[number](contract)


def decode_contract(number: int, name: str, value: bytes) -> c.Contract:
    """The contract in a message; an `OtherContract` when the type is not one of ours.

    Raises:
        MalformedWire, InvalidAddress, InvalidAbi: Not a message of this type as we write it.
    """
    reader = _READERS.get(number)
    if reader is None or name != c.TYPE_NAMES[number]:
        return c.OtherContract(owner_or_nobody(number, value), number, name, value)
    return reader(read_fields(value))


def owner_or_nobody(number: int, value: bytes) -> Address:
    """The owner of a message of any type."""
    try:
        return address_of(read_owner(number, value))
    except InvalidAddress:
        return c.NOBODY


def read_owner(number: int, value: bytes) -> bytes:
    """The 21 bytes of the owner of a contract's message; empty when it has none."""
    try:
        return last_bytes(read_fields(value), _OWNER_FIELD.get(number, 1))
    except MalformedWire:
        return b""


def _address(number: int, address: Address) -> bytes:
    return bytes_field(number, address_bytes(address))


def _amount(number: int, amount: int) -> bytes:
    assert 0 <= amount <= INT64_MAX, "amounts are zero or more and fit an int64"
    return int_field(number, amount)


def _resource(number: int, resource: c.Resource) -> bytes:
    return int_field(number, _RESOURCES.index(resource))


def _read_address(fields: Fields, number: int) -> Address:
    raw = last_bytes(fields, number)
    if len(raw) != ADDRESS_BYTES:
        raise InvalidAddress("an address of another length")
    return address_of(raw)


def _read_resource(fields: Fields, number: int) -> c.Resource:
    value = last_int32(fields, number)
    if not 0 <= value < len(_RESOURCES):
        raise MalformedWire("a resource that no stake of ours has")
    return _RESOURCES[value]


def _write_transfer(x: c.Transfer) -> bytes:
    return _address(1, x.owner) + _address(2, x.to) + _amount(3, x.amount_sun)


def _read_transfer(f: Fields) -> c.Transfer:
    return c.Transfer(_read_address(f, 1), _read_address(f, 2), last_int(f, 3))


def _write_trigger(x: c.TriggerContract) -> bytes:
    head = _address(1, x.owner) + _address(2, x.contract) + _amount(3, x.call_value_sun)
    return head + bytes_field(4, x.data)


def _read_trigger(f: Fields) -> c.TriggerContract:
    return c.TriggerContract(
        _read_address(f, 1), _read_address(f, 2), last_bytes(f, 4), last_int(f, 3)
    )


def _write_create_account(x: c.CreateAccount) -> bytes:
    return _address(1, x.owner) + _address(2, x.account)


def _read_create_account(f: Fields) -> c.CreateAccount:
    return c.CreateAccount(_read_address(f, 1), _read_address(f, 2))


def _write_create_contract(x: c.CreateContract) -> bytes:
    abi = encode_abi(x.abi_json)
    body = (
        _address(1, x.owner)
        + bytes_field(3, abi)
        + bytes_field(4, x.bytecode)
        + _amount(5, x.call_value_sun)
        + _amount(6, x.consume_user_resource_percent)
        + bytes_field(7, x.name.encode())
        + _amount(8, x.origin_energy_limit)
    )
    return _address(1, x.owner) + message_field(2, body)


def _read_create_contract(f: Fields) -> c.CreateContract:
    body = read_fields(merged(f, 2))
    return c.CreateContract(
        owner=_read_address(f, 1),
        name=last_bytes(body, 7).decode(errors="replace"),
        abi_json=read_abi(merged(body, 3)),
        bytecode=last_bytes(body, 4),
        call_value_sun=last_int(body, 5),
        consume_user_resource_percent=last_int(body, 6),
        origin_energy_limit=last_int(body, 8),
    )


def _write_stake(x: c.FreezeV2 | c.UnfreezeV2) -> bytes:
    return _address(1, x.owner) + _amount(2, x.amount_sun) + _resource(3, x.resource)


def _read_freeze(f: Fields) -> c.FreezeV2:
    return c.FreezeV2(_read_address(f, 1), last_int(f, 2), _read_resource(f, 3))


def _read_unfreeze(f: Fields) -> c.UnfreezeV2:
    return c.UnfreezeV2(_read_address(f, 1), last_int(f, 2), _read_resource(f, 3))


def _write_owner(
    x: c.WithdrawExpireUnfreeze | c.CancelAllUnfreezeV2 | c.WithdrawReward,
) -> bytes:
    return _address(1, x.owner)


def _write_delegate(x: c.Delegate) -> bytes:
    head = _address(1, x.owner) + _resource(2, x.resource) + _amount(3, x.amount_sun)
    lock = int_field(5, x.lock) + _amount(6, x.lock_period_blocks)
    return head + _address(4, x.receiver) + lock


def _read_delegate(f: Fields) -> c.Delegate:
    return c.Delegate(
        owner=_read_address(f, 1),
        receiver=_read_address(f, 4),
        amount_sun=last_int(f, 3),
        resource=_read_resource(f, 2),
        lock=bool(last_int(f, 5)),
        lock_period_blocks=last_int(f, 6),
    )


def _write_undelegate(x: c.Undelegate) -> bytes:
    head = _address(1, x.owner) + _resource(2, x.resource) + _amount(3, x.amount_sun)
    return head + _address(4, x.receiver)


def _read_undelegate(f: Fields) -> c.Undelegate:
    return c.Undelegate(
        _read_address(f, 1), _read_address(f, 4), last_int(f, 3), _read_resource(f, 2)
    )


def _write_vote(x: c.Vote) -> bytes:
    votes = (message_field(2, _address(1, to) + _amount(2, count)) for to, count in x.votes)
    return _address(1, x.owner) + b"".join(votes)


def _read_vote(f: Fields) -> c.Vote:
    votes = (read_fields(each) for each in each_bytes(f, 2))
    return c.Vote(_read_address(f, 1), tuple((_read_address(v, 1), last_int(v, 2)) for v in votes))


def _write_permission_update(x: c.PermissionUpdate) -> bytes:
    parts = [_address(1, x.owner)]
    if x.owner_permission is not None:
        parts.append(message_field(2, _permission(x.owner_permission)))
    if x.witness_permission is not None:
        parts.append(message_field(3, _permission(x.witness_permission)))
    parts += (message_field(4, _permission(each)) for each in x.actives)
    return b"".join(parts)


def _read_permission_update(f: Fields) -> c.PermissionUpdate:
    return c.PermissionUpdate(
        owner=_read_address(f, 1),
        owner_permission=_read_permission(merged(f, 2)) if each_bytes(f, 2) else None,
        witness_permission=_read_permission(merged(f, 3)) if each_bytes(f, 3) else None,
        actives=tuple(_read_permission(each) for each in each_bytes(f, 4)),
    )


def _permission(x: c.Permission) -> bytes:
    return b"".join(
        (
            int_field(1, x.kind),
            int_field(2, x.id),
            bytes_field(3, x.name.encode()),
            _amount(4, x.threshold),
            int_field(5, x.parent_id),
            bytes_field(6, x.operations),
            *(message_field(7, _address(1, key) + _amount(2, weight)) for key, weight in x.keys),
        )
    )


def _read_permission(raw: bytes) -> c.Permission:
    f = read_fields(raw)
    kind = last_int32(f, 1)
    if not 0 <= kind <= 2:
        raise MalformedWire("a permission of an unknown kind")
    keys = (read_fields(each) for each in each_bytes(f, 7))
    return c.Permission(
        kind=c.PermissionKind(kind),
        threshold=last_int(f, 4),
        keys=tuple((_read_address(key, 1), last_int(key, 2)) for key in keys),
        name=last_bytes(f, 3).decode(errors="replace"),
        id=last_int32(f, 2),
        operations=last_bytes(f, 6),
        parent_id=last_int32(f, 5),
    )


_WRITERS: Final[dict[int, Callable[[Any], bytes]]] = {
    0: _write_create_account,
    1: _write_transfer,
    4: _write_vote,
    13: _write_owner,
    30: _write_create_contract,
    31: _write_trigger,
    46: _write_permission_update,
    54: _write_stake,
    55: _write_stake,
    56: _write_owner,
    57: _write_delegate,
    58: _write_undelegate,
    59: _write_owner,
}

_READERS: Final[dict[int, Callable[[Fields], c.Contract]]] = {
    0: _read_create_account,
    1: _read_transfer,
    4: _read_vote,
    13: lambda f: c.WithdrawReward(_read_address(f, 1)),
    30: _read_create_contract,
    31: _read_trigger,
    46: _read_permission_update,
    54: _read_freeze,
    55: _read_unfreeze,
    56: lambda f: c.WithdrawExpireUnfreeze(_read_address(f, 1)),
    57: _read_delegate,
    58: _read_undelegate,
    59: lambda f: c.CancelAllUnfreezeV2(_read_address(f, 1)),
}
