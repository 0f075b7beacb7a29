"""What a staking operation is. Pure."""

from enum import StrEnum

from tron_payment.core.errors import NotFound


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


class StakeNotFound(NotFound, code="stake_not_found"):
    """There is no such staking operation, or it is not yours."""
