"""Who pays for energy, up to how much, and the payment itself.

Source: VMActuator.getTotalEnergyLimit and ReceiptCapsule.payEnergyBill of java-tron 4.8.0.
"""

import copy
from dataclasses import dataclass

from tron_payment.devnet import params, resources
from tron_payment.devnet.errors import ContractFailed
from tron_payment.devnet.keys import base58check
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.records import Account, Contract
from tron_payment.devnet.state import ACCOUNT, Get, Overlay


@dataclass(slots=True)
class Payers:
    """Who pays energy, how much of it, and what their stakes had left before the run."""

    caller: bytes
    caller_left: int
    limit: int
    creator: bytes
    creator_percent: int = 0
    creator_limit: int = 0


def caller_energy(
    get: Get, caller: bytes, fee_limit_sun: int, call_value_sun: int
) -> tuple[int, int]:
    """(staked energy left, limit) of the caller."""
    account: Account = get(ACCOUNT + caller)
    price = params.read(get, "getEnergyFee")
    left = resources.energy_left(get, account, resources.slot_of(get))
    bought = max(account.balance - call_value_sun, 0) // price
    return left, min(left + bought, fee_limit_sun // price)


def payers(
    get: Get, caller: bytes, contract: Contract, fee_limit_sun: int, call_value_sun: int
) -> Payers:
    left, limit = caller_energy(get, caller, fee_limit_sun, call_value_sun)
    creator: Account | None = get(ACCOUNT + contract.origin)
    percent = contract.consume_user_percent
    if creator is None or contract.origin == caller or percent >= 100:
        return Payers(caller, left, limit, caller)
    creator_left = resources.energy_left(get, creator, resources.slot_of(get))
    share = min(creator_left, contract.origin_energy_limit)
    if percent > 0:
        share = min(limit * (100 - percent) // percent, share)
    return Payers(
        caller, left, limit + share, contract.origin, 100 - percent, contract.origin_energy_limit
    )


def pay(state: Overlay, payers: Payers, used: int, receipt: Receipt) -> None:
    """Charge the energy: the creator's share from his stake, then the caller's stake, then TRX."""
    if used <= 0:
        return
    now = resources.slot_of(state.get)
    if payers.creator_percent and payers.creator != payers.caller:
        creator: Account = state.get(ACCOUNT + payers.creator)
        left = resources.energy_left(state.get, creator, now)
        share = min(used * payers.creator_percent // 100, left, payers.creator_limit)
        resources.use_energy(state, payers.creator, share, now)
        receipt.origin_energy_usage = share
        used -= share
    staked = min(payers.caller_left, used)
    resources.use_energy(state, payers.caller, staked, now)
    receipt.energy_usage = staked
    if used == staked:
        return
    fee_sun = (used - staked) * params.read(state.get, "getEnergyFee")
    caller = copy.copy(state.get(ACCOUNT + payers.caller))
    if caller.balance < fee_sun:
        raise ContractFailed(base58check(payers.caller) + " insufficient balance")
    caller.balance -= fee_sun
    state.put(ACCOUNT + payers.caller, caller)
    params.add(state, params.BURNT, fee_sun)
    receipt.energy_fee = fee_sun
    receipt.fee += fee_sun
