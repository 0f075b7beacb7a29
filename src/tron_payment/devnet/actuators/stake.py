"""Stake 2.0: freeze, unfreeze, withdraw, cancel (FreezeBalanceV2Actuator and its siblings)."""

import copy
from typing import Final

from tron_payment.devnet import ledger, params, rewards
from tron_payment.devnet.errors import ContractInvalid
from tron_payment.devnet.proto import Message
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import BANDWIDTH, ENERGY, RESOURCES, Account, Unfreezing, Votes
from tron_payment.devnet.resources import TRX
from tron_payment.devnet.state import ACCOUNT, VOTES, Get, Overlay

UNFREEZE_MAX: Final = 32
DAY_MS: Final = 86_400_000
_WEIGHTS: Final = (
    params.TOTAL_NET_WEIGHT,
    params.TOTAL_ENERGY_WEIGHT,
    params.TOTAL_POWER_WEIGHT,
)


def _now(get: Get) -> int:
    return params.read(get, params.HEAD_TIME)


def _stake(state: Overlay, account: Account, resource: int, delta_sun: int) -> None:
    """Change own stake and the chain's total weight, which counts whole TRX."""
    before = account.staked(resource) // TRX
    frozen = list(account.frozen)
    frozen[resource] += delta_sun
    account.frozen = (frozen[0], frozen[1], frozen[2])
    params.add(state, _WEIGHTS[resource], account.staked(resource) // TRX - before)


def validate_freeze(get: Get, message: Message) -> None:
    account = ledger.owner_of(get, bytes(message.owner_address))
    if message.frozen_balance <= 0:
        raise ContractInvalid("frozenBalance must be positive")
    if message.frozen_balance < TRX:
        raise ContractInvalid("frozenBalance must be greater than or equal to 1 TRX")
    if message.frozen_balance > account.balance:
        raise ContractInvalid("frozenBalance must be less than or equal to accountBalance")
    if message.resource not in (BANDWIDTH, ENERGY):
        raise ContractInvalid("ResourceCode error, valid ResourceCode[BANDWIDTH、ENERGY]")


def execute_freeze(state: Overlay, message: Message, receipt: Receipt) -> None:
    account = copy.copy(state.get(ACCOUNT + bytes(message.owner_address)))
    account.balance -= message.frozen_balance
    _stake(state, account, message.resource, message.frozen_balance)
    state.put(ACCOUNT + account.address, account)


def validate_unfreeze(get: Get, message: Message) -> None:
    account = ledger.owner_of(get, bytes(message.owner_address), "Account[{}] does not exist")
    resource, amount = message.resource, message.unfreeze_balance
    if resource not in (BANDWIDTH, ENERGY):
        raise ContractInvalid("ResourceCode error.valid ResourceCode[BANDWIDTH、Energy]")
    if account.frozen[resource] <= 0:
        shown = "BANDWIDTH" if resource == BANDWIDTH else "Energy"
        raise ContractInvalid(f"no frozenBalance({shown})")
    if not 0 < amount <= account.frozen[resource]:
        raise ContractInvalid(f"Invalid unfreeze_balance, [{amount}] is error")
    now = _now(get)
    if sum(entry.expires_ms > now for entry in account.unfreezing) >= UNFREEZE_MAX:
        raise ContractInvalid("Invalid unfreeze operation, unfreezing times is over limit")


def execute_unfreeze(state: Overlay, message: Message, receipt: Receipt) -> None:
    owner, now = bytes(message.owner_address), _now(state.get)
    rewards.settle(state, owner)
    account = copy.copy(state.get(ACCOUNT + owner))
    receipt.withdraw_expire_amount = _withdraw(account, now)
    expires_ms = now + params.read(state.get, "getUnfreezeDelayDays") * DAY_MS
    entry = Unfreezing(message.resource, message.unfreeze_balance, expires_ms)
    account.unfreezing = (*account.unfreezing, entry)
    _stake(state, account, message.resource, -message.unfreeze_balance)
    _reduce_votes(state, account)
    state.put(ACCOUNT + owner, account)


def _withdraw(account: Account, now: int) -> int:
    """Pay out what has expired; returns its sum."""
    amount = sum(entry.amount for entry in account.unfreezing if entry.expires_ms <= now)
    account.unfreezing = tuple(e for e in account.unfreezing if e.expires_ms > now)
    account.balance += amount
    return amount


def _reduce_votes(state: Overlay, account: Account) -> None:
    """Fewer votes in proportion, when the power no longer covers them."""
    total, power = sum(count for _, count in account.votes), account.power()
    if total == 0 or power >= total * TRX:
        return
    reduced = ((witness, int(count / total * power / TRX)) for witness, count in account.votes)
    votes = tuple((witness, count) for witness, count in reduced if count > 0)
    earlier: Votes | None = state.get(VOTES + account.address)
    old = account.votes if earlier is None else earlier.old
    account.votes = votes
    state.put(VOTES + account.address, Votes(old, votes))
    rewards.remember_voter(state, account.address)


def validate_withdraw(get: Get, message: Message) -> None:
    account = ledger.owner_of(get, bytes(message.owner_address))
    now = _now(get)
    if sum(e.amount for e in account.unfreezing if e.expires_ms <= now) <= 0:
        raise ContractInvalid("no unFreeze balance to withdraw ")


def execute_withdraw(state: Overlay, message: Message, receipt: Receipt) -> None:
    account = copy.copy(state.get(ACCOUNT + bytes(message.owner_address)))
    receipt.withdraw_expire_amount = _withdraw(account, _now(state.get))
    state.put(ACCOUNT + account.address, account)


def validate_cancel(get: Get, message: Message) -> None:
    account = ledger.owner_of(get, bytes(message.owner_address))
    if not account.unfreezing:
        raise ContractInvalid("No unfreezeV2 list to cancel")


def execute_cancel(state: Overlay, message: Message, receipt: Receipt) -> None:
    account, now = copy.copy(state.get(ACCOUNT + bytes(message.owner_address))), _now(state.get)
    receipt.withdraw_expire_amount = sum(
        entry.amount for entry in account.unfreezing if entry.expires_ms <= now
    )
    account.balance += receipt.withdraw_expire_amount
    back = [0, 0, 0]
    for entry in account.unfreezing:
        if entry.expires_ms > now:
            back[entry.resource] += entry.amount
            _stake(state, account, entry.resource, entry.amount)
    account.unfreezing = ()
    state.put(ACCOUNT + account.address, account)
    receipt.cancel_unfreeze = tuple(zip(RESOURCES, back, strict=True))
