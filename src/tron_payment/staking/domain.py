"""What a staking operation is, and how long it may wait. Pure."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

from tron_payment.core.errors import NotFound

REFUSED_MAX: Final = timedelta(minutes=10)
"""The chain took an operation when it was asked for. One that it would refuse by now waits until
it is this old, and fails: what it was about has changed."""

WAIT_MAX: Final = timedelta(hours=24)
"""So old an operation fails that is not signed, whatever it waits for."""

WAIT_DETACHED_MAX: Final = timedelta(days=7)
"""The same where the key is elsewhere: somebody has to come and sign."""


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


def waits_at_most(detached: bool) -> timedelta:
    """How old an operation may be that is not signed."""
    return WAIT_DETACHED_MAX if detached else WAIT_MAX


def is_over(age: timedelta, detached: bool, would_be_refused: bool) -> bool:
    """Whether an operation that is not signed has waited too long.

    Args:
        would_be_refused: By the chain as it is now.
    """
    return age >= (REFUSED_MAX if would_be_refused else waits_at_most(detached))
