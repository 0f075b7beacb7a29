"""From a staking operation to the order that carries it; the same one always gives the same."""

from typing import Final

from tron_payment.chain import (
    CancelAllUnfreezeV2,
    Contract,
    Delegate,
    FreezeV2,
    Resource,
    Undelegate,
    UnfreezeV2,
    Vote,
    WithdrawExpireUnfreeze,
    WithdrawReward,
)
from tron_payment.core.address import Address
from tron_payment.core.money import TRX
from tron_payment.engine import Spend, Wish
from tron_payment.staking.documents import Stake
from tron_payment.staking.domain import Operation

MODULE: Final = "staking"


def wish_of(stake: Stake) -> Wish:
    """The order of an operation. Only a stake takes TRX from the balance, fees apart."""
    signer = Address(stake.signer)
    spends: tuple[Spend, ...] = ()
    if stake.operation is Operation.STAKE:
        spends = (Spend(signer, TRX.code, stake.amount_sun),)
    return Wish(
        order_id=stake.order_id,
        module=MODULE,
        kind=f"staking.{stake.operation}",
        subject=stake.id,
        wallet_id=stake.wallet_id,
        signer=signer,
        contract=contract_of(stake),
        spends=spends,
        max_fee_sun=stake.max_fee_sun,
        detached=stake.detached,
    )


def contract_of(stake: Stake) -> Contract:
    """What the transaction says."""
    owner, amount = Address(stake.signer), stake.amount_sun
    match stake.operation:
        case Operation.STAKE:
            return FreezeV2(owner, amount, _resource(stake))
        case Operation.UNSTAKE:
            return UnfreezeV2(owner, amount, _resource(stake))
        case Operation.DELEGATE:
            return Delegate(
                owner,
                _receiver(stake),
                amount,
                _resource(stake),
                stake.lock_blocks > 0,
                stake.lock_blocks,
            )
        case Operation.UNDELEGATE:
            return Undelegate(owner, _receiver(stake), amount, _resource(stake))
        case Operation.VOTE:
            votes = tuple((Address(each["address"]), int(each["count"])) for each in stake.votes)
            return Vote(owner, votes)
        case Operation.WITHDRAW_UNSTAKED:
            return WithdrawExpireUnfreeze(owner)
        case Operation.WITHDRAW_REWARDS:
            return WithdrawReward(owner)
        case Operation.CANCEL_UNSTAKE:
            return CancelAllUnfreezeV2(owner)


def _resource(stake: Stake) -> Resource:
    assert stake.resource is not None, stake.id
    return Resource(stake.resource)


def _receiver(stake: Stake) -> Address:
    assert stake.receiver is not None, stake.id
    return Address(stake.receiver)
