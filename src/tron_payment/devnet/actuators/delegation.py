"""Lending stake to another account, locked or not (DelegateResourceActuator and its inverse)."""

import copy
from typing import Final

import msgspec

from tron_payment.devnet import ledger, params, resources
from tron_payment.devnet.config import SLOT_MS
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import BANDWIDTH, ENERGY, Account, Delegation, Usage
from tron_payment.devnet.resources import TRX
from tron_payment.devnet.state import ACCOUNT, DELEGATES, DELEGATION, DELEGATORS, Get, Overlay

DEFAULT_LOCK_BLOCKS: Final = 86_400
UNLOCKED: Final = b"\1"
LOCKED: Final = b"\2"
_NAMES: Final = ("BANDWIDTH", "ENERGY")


def key(lock: bytes, owner: bytes, receiver: bytes) -> bytes:
    return DELEGATION + lock + owner + receiver


def _now(get: Get) -> int:
    return params.read(get, params.HEAD_TIME)


def usage_of(account: Account, resource: int) -> Usage:
    return account.net if resource == BANDWIDTH else account.energy


def set_usage(account: Account, resource: int, usage: Usage) -> None:
    if resource == BANDWIDTH:
        account.net = usage
    else:
        account.energy = usage


def _rates(get: Get, resource: int) -> tuple[int, int]:
    """(total limit, total weight) of a resource."""
    if resource == BANDWIDTH:
        return params.read(get, "getTotalNetLimit"), params.read(get, params.TOTAL_NET_WEIGHT)
    limit = params.read(get, "getTotalEnergyCurrentLimit")
    return limit, params.read(get, params.TOTAL_ENERGY_WEIGHT)


def delegatable(get: Get, account: Account, resource: int) -> int:
    """Own stake minus the part whose resource is in use (``getcandelegatedmaxsize``), sun."""
    used = resources.recovered(usage_of(account, resource), resources.slot_of(get))
    limit, weight = _rates(get, resource)
    in_use = int(used * TRX * (weight / limit)) - account.acquired[resource]
    return max(account.frozen[resource] - max(in_use, 0), 0)


def _part(delegation: Delegation | None, resource: int) -> tuple[int, int]:
    """(sun, expiry) of one resource in a record."""
    if delegation is None:
        return 0, 0
    if resource == BANDWIDTH:
        return delegation.bandwidth, delegation.bandwidth_expires
    return delegation.energy, delegation.energy_expires


def _with_part(
    delegation: Delegation | None, resource: int, amount: int, expires: int
) -> Delegation:
    delegation = delegation or Delegation()
    if resource == BANDWIDTH:
        return msgspec.structs.replace(
            delegation, bandwidth=amount, bandwidth_expires=expires if amount else 0
        )
    return msgspec.structs.replace(
        delegation, energy=amount, energy_expires=expires if amount else 0
    )


def lock_blocks(message: Message) -> int:
    return int(message.lock_period) or DEFAULT_LOCK_BLOCKS


def validate_delegate(get: Get, message: Message) -> None:
    owner, receiver = bytes(message.owner_address), bytes(message.receiver_address)
    resource, amount = message.resource, message.balance
    account = ledger.owner_of(get, owner)
    if amount < TRX:
        raise ContractInvalid("delegateBalance must be greater than or equal to 1 TRX")
    if resource not in (BANDWIDTH, ENERGY):
        raise ContractInvalid("Unknown ResourceCode, valid ResourceCode[BANDWIDTH、ENERGY]")
    if delegatable(get, account, resource) < amount:
        shown = ("Bandwidth", "Energy")[resource]
        raise ContractInvalid(
            f"delegateBalance must be less than or equal to available Freeze{shown}V2 balance"
        )
    other = _receiver(owner, receiver)
    account_to = ledger.account(get, other)
    if account_to is None:
        raise ContractInvalid(f"Account[{receiver.hex()}] not exists")
    if message.lock:
        _check_lock(get, message, owner, receiver)
    if account_to.is_contract:
        raise ContractInvalid("Do not allow delegate resources to contract addresses")


def _receiver(owner: bytes, receiver: bytes) -> bytes:
    if not ledger.is_address(receiver):
        raise ContractInvalid("Invalid receiverAddress")
    if receiver == owner:
        raise ContractInvalid("receiverAddress must not be the same as ownerAddress")
    return receiver


def _check_lock(get: Get, message: Message, owner: bytes, receiver: bytes) -> None:
    blocks, longest = lock_blocks(message), params.read(get, "getMaxDelegateLockPeriod")
    if not 0 <= blocks <= longest:
        raise ContractInvalid(
            "The lock period of delegate resource cannot be less than 0 and cannot exceed "
            f"{longest}!"
        )
    _, expires = _part(get(key(LOCKED, owner, receiver)), message.resource)
    rest = expires - _now(get)
    if blocks * SLOT_MS < rest:
        name = _NAMES[message.resource]
        raise ContractInvalid(
            f"The lock period for {name} this time cannot be less than the remaining time[{rest}ms]"
            f" of the last lock period for {name}!"
        )


def _unlock_expired(state: Overlay, owner: bytes, receiver: bytes, now: int) -> None:
    """Move locked parts whose time is over to the unlocked record."""
    locked: Delegation | None = state.get(key(LOCKED, owner, receiver))
    if locked is None:
        return
    unlocked: Delegation | None = state.get(key(UNLOCKED, owner, receiver))
    for resource in (BANDWIDTH, ENERGY):
        amount, expires = _part(locked, resource)
        if amount and expires < now:
            held, _ = _part(unlocked, resource)
            unlocked = _with_part(unlocked, resource, held + amount, 0)
            locked = _with_part(locked, resource, 0, 0)
    _store(state, key(LOCKED, owner, receiver), locked)
    _store(state, key(UNLOCKED, owner, receiver), unlocked)


def _store(state: Overlay, where: bytes, delegation: Delegation | None) -> None:
    empty = delegation is None or (not delegation.bandwidth and not delegation.energy)
    state.put(where, None if empty else delegation)


def execute_delegate(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner, receiver = bytes(message.owner_address), bytes(message.receiver_address)
    resource, amount, now = message.resource, message.balance, _now(state.get)
    _unlock_expired(state, owner, receiver, now)
    where = key(LOCKED if message.lock else UNLOCKED, owner, receiver)
    record: Delegation | None = state.get(where)
    held, _ = _part(record, resource)
    expires = now + lock_blocks(message) * SLOT_MS if message.lock else 0
    _store(state, where, _with_part(record, resource, held + amount, expires))
    _index(state, DELEGATES + owner, receiver)
    _index(state, DELEGATORS + receiver, owner)
    _move(state, owner, receiver, resource, amount)


def _index(state: Overlay, where: bytes, address: bytes) -> None:
    known: tuple[bytes, ...] = state.get(where) or ()
    if address not in known:
        state.put(where, (*known, address))


def _unindex(state: Overlay, where: bytes, address: bytes) -> None:
    rest = tuple(a for a in state.get(where) or () if a != address)
    state.put(where, rest or None)


def _move(state: Overlay, owner: bytes, receiver: bytes, resource: int, amount: int) -> None:
    """Shift stake from the owner's free part to what he delegates, and to the receiver."""
    giver = copy.copy(state.get(ACCOUNT + owner))
    giver.frozen = _plus(giver.frozen, resource, -amount)
    giver.delegated = _plus(giver.delegated, resource, amount)
    state.put(ACCOUNT + owner, giver)
    taker = copy.copy(state.get(ACCOUNT + receiver))
    taker.acquired = _plus(taker.acquired, resource, amount)
    state.put(ACCOUNT + receiver, taker)


def _plus(values: tuple[int, ...], index: int, delta: int) -> tuple[int, ...]:
    changed = list(values)
    changed[index] += delta
    return tuple(changed)


def validate_undelegate(get: Get, message: Message) -> None:
    owner, receiver = bytes(message.owner_address), bytes(message.receiver_address)
    resource, amount, now = message.resource, message.balance, _now(get)
    ledger.owner_of(get, owner, "Account[{}] does not exist")
    _receiver(owner, receiver)
    unlocked = get(key(UNLOCKED, owner, receiver))
    locked = get(key(LOCKED, owner, receiver))
    if unlocked is None and locked is None:
        raise ContractInvalid("delegated Resource does not exist")
    if amount <= 0:
        raise ContractInvalid("unDelegateBalance must be more than 0 TRX")
    if resource not in (BANDWIDTH, ENERGY):
        raise ContractInvalid("ResourceCode error.valid ResourceCode[BANDWIDTH、Energy]")
    available, _ = _part(unlocked, resource)
    held, expires = _part(locked, resource)
    if expires < now:
        available += held
    if available < amount:
        shown = ("delegatedFrozenBalance(BANDWIDTH)", "delegateFrozenBalance(Energy)")[resource]
        raise ContractInvalid(f"insufficient {shown}, request={amount}, unlock_balance={available}")


def execute_undelegate(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner, receiver = bytes(message.owner_address), bytes(message.receiver_address)
    resource, amount = message.resource, message.balance
    _unlock_expired(state, owner, receiver, _now(state.get))
    slot = resources.slot_of(state.get)
    moved, window = _take_back(state, receiver, resource, amount, slot)
    where = key(UNLOCKED, owner, receiver)
    record: Delegation | None = state.get(where)
    held, _ = _part(record, resource)
    _store(state, where, _with_part(record, resource, held - amount, 0))
    giver = copy.copy(state.get(ACCOUNT + owner))
    giver.frozen = _plus(giver.frozen, resource, amount)
    giver.delegated = _plus(giver.delegated, resource, -amount)
    if moved:
        usage = _merge_usage(usage_of(giver, resource), moved, window, slot)
        set_usage(giver, resource, usage)
    state.put(ACCOUNT + owner, giver)
    if state.get(where) is None and state.get(key(LOCKED, owner, receiver)) is None:
        _unindex(state, DELEGATES + owner, receiver)
        _unindex(state, DELEGATORS + receiver, owner)


def _take_back(
    state: Overlay, receiver: bytes, resource: int, amount: int, slot: int
) -> tuple[int, int]:
    """Take stake from the receiver; returns the use that goes with it and its fine window."""
    taker = copy.copy(state.get(ACCOUNT + receiver))
    usage = resources.increased(usage_of(taker, resource), 0, slot)
    limit, weight = _rates(state.get, resource)
    most = int(amount / TRX * (limit / weight)) if weight else 0
    moved = 0
    if taker.acquired[resource] >= amount:
        moved = min(most, int(usage.amount * (amount / taker.yielding(resource))))
        taker.acquired = _plus(taker.acquired, resource, -amount)
    else:
        taker.acquired = _plus(taker.acquired, resource, -taker.acquired[resource])
    set_usage(taker, resource, msgspec.structs.replace(usage, amount=usage.amount - moved))
    state.put(ACCOUNT + receiver, taker)
    return moved, resources.window_fine(usage)


def _merge_usage(usage: Usage, moved: int, window: int, slot: int) -> Usage:
    """The owner's use with the receiver's added (``unDelegateIncreaseV2``)."""
    own = resources.increased(usage, 0, slot)
    total = own.amount + moved
    full = resources.WINDOW * resources.WINDOW_PRECISION
    if total == 0:
        return Usage(0, slot, full, True)
    merged = resources.ceil_div(own.amount * resources.window_fine(own) + moved * window, total)
    return Usage(total, slot, min(merged, full), True)
