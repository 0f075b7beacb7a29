"""What a staking operation is and which way it goes. Pure."""

from enum import StrEnum
from typing import Final

from tron_payment.core.errors import NotFound
from tron_payment.core.lifecycle import Lifecycle
from tron_payment.engine import OrderStatus


class Operation(StrEnum):
    """One system contract each."""

    STAKE = "stake"
    UNSTAKE = "unstake"
    DELEGATE = "delegate"
    UNDELEGATE = "undelegate"
    VOTE = "vote"
    WITHDRAW_UNSTAKED = "withdraw_unstaked"
    WITHDRAW_REWARDS = "withdraw_rewards"
    CANCEL_UNSTAKE = "cancel_unstake"


class StakeStatus(StrEnum):
    """As stored. The view says `broadcast` for `signed` once a send time is known."""

    QUEUED = "queued"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELED = "canceled"
    QUARANTINED = "quarantined"


S = StakeStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.QUEUED: {S.AWAITING_SIGNATURE, S.SIGNED, S.CANCELED, S.FAILED},
        S.AWAITING_SIGNATURE: {S.QUEUED, S.SIGNED, S.CANCELED, S.FAILED},
        S.SIGNED: {S.QUEUED, S.SETTLED, S.FAILED, S.CANCELED, S.QUARANTINED},
        S.QUARANTINED: {S.SETTLED, S.FAILED, S.QUEUED},
        S.SETTLED: set(),
        S.FAILED: set(),
        S.CANCELED: set(),
    }
)


class StakeNotFound(NotFound, code="stake_not_found"):
    """There is no such staking operation, or it is not yours."""


def status_of(order_status: OrderStatus) -> StakeStatus:
    """What an order's status means for the operation in it."""
    if order_status in (OrderStatus.QUEUED, OrderStatus.RESERVED):
        return StakeStatus.QUEUED
    return StakeStatus(order_status.value)
