"""The chain's rules of Stake 2.0, asked before the chain refuses. Pure.

Each function takes facts of the newest block and raises the problem that java-tron would answer
with (its actuators: FreezeBalanceV2 and the others). What the chain counts in sun is in sun here;
times are chain milliseconds.
"""

from collections.abc import Collection, Sequence
from typing import Final

from tron_payment.chain import Account, Delegation, Resource, Unfreezing
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import Conflict, Refused
from tron_payment.core.money import SUN_PER_TRX, trx_text

AMOUNT_MIN_SUN: Final = SUN_PER_TRX
PENDING_UNSTAKES_MAX: Final = 32
VOTES_MAX: Final = 30
CLAIM_PAUSE_MS: Final = 24 * 3600 * 1000
BLOCK_MS: Final = 3_000
LOCK_DEFAULT_BLOCKS: Final = 86_400
"""Three days: what a lock without a period means."""


class AmountBelowMinimum(Refused, code="amount_below_minimum"):
    """The chain stakes and lends 1 TRX or more."""


class NotActivated(Conflict, code="account_not_activated"):
    """The account does not exist on the chain yet: send it some TRX first."""


class BalanceTooLow(Conflict, code="balance_too_low"):
    """The account has less TRX than it would stake."""


class StakeTooLow(Conflict, code="stake_too_low"):
    """The account has less staked for this resource, what it lends apart."""


class TooManyUnstakes(Conflict, code="too_many_unstakes"):
    """32 unstakings are pending; wait for the next to end, or cancel them."""


class NothingToWithdraw(Conflict, code="nothing_to_withdraw"):
    """No unstaking has ended."""


class NothingToCancel(Conflict, code="nothing_to_cancel"):
    """No unstaking is pending."""


class ReceiverIsOwner(Refused, code="receiver_is_owner"):
    """A resource is lent to another account."""


class ReceiverNotActivated(Conflict, code="receiver_not_activated"):
    """The receiver does not exist on the chain yet: send it some TRX first."""


class ReceiverIsContract(Refused, code="receiver_is_contract"):
    """Resources cannot be lent to contracts."""


class DelegationTooHigh(Conflict, code="delegation_too_high"):
    """Less stake than this can be lent now: some is lent, or its resource is in use."""


class InvalidLock(Refused, code="invalid_lock_period"):
    """A lock lasts from one block to the chain's maximum."""


class LockTooShort(Conflict, code="lock_too_short"):
    """A new lock must not end before the one that there is."""


class NothingDelegated(Conflict, code="nothing_delegated"):
    """Nothing of this resource is lent to the receiver."""


class DelegationLocked(Conflict, code="delegation_locked"):
    """This much of the delegation is locked."""


class InvalidVotes(Refused, code="invalid_votes"):
    """A vote has 1 to 30 representatives, each once, and whole numbers above zero."""


class UnknownWitness(Refused, code="unknown_representative"):
    """This is not a super representative or candidate."""


class VotingPowerTooLow(Conflict, code="voting_power_too_low"):
    """There are fewer TRX staked than votes."""


class ClaimTooEarly(Conflict, code="claim_too_early"):
    """Rewards are claimed once in 24 hours."""


class NoReward(Conflict, code="no_reward"):
    """There is no reward to claim."""


def check_amount(amount_sun: int) -> None:
    """Raises AmountBelowMinimum."""
    if amount_sun < AMOUNT_MIN_SUN:
        raise AmountBelowMinimum(param="amount")


def existing(account: Account | None) -> Account:
    """Raises NotActivated."""
    if account is None:
        raise NotActivated(param="wallet_id")
    return account


def check_stake(account: Account, amount_sun: int) -> None:
    """Raises BalanceTooLow."""
    if amount_sun > account.balance_sun:
        raise BalanceTooLow(param="amount", extra={"available_trx": trx_text(account.balance_sun)})


def check_unstake(account: Account, resource: Resource, amount_sun: int, now_ms: int) -> None:
    """Raises StakeTooLow, TooManyUnstakes."""
    staked = account.frozen[resource]
    if amount_sun > staked:
        extra = {"staked_trx": trx_text(staked), "lent_trx": trx_text(account.delegated[resource])}
        raise StakeTooLow(param="amount", extra=extra)
    pending = [each for each in account.unfrozen if each.expires_ms > now_ms]
    if len(pending) >= PENDING_UNSTAKES_MAX:
        raise TooManyUnstakes(extra={"next_expires_at": _next_expiry(pending)})


def check_withdraw_unstaked(account: Account, now_ms: int) -> None:
    """Raises NothingToWithdraw."""
    if withdrawable_sun(account, now_ms) <= 0:
        extra = {"next_expires_at": _next_expiry(account.unfrozen)}
        raise NothingToWithdraw(extra=extra)


def check_cancel_unstake(account: Account) -> None:
    """Raises NothingToCancel."""
    if not account.unfrozen:
        raise NothingToCancel


def lock_blocks(lock_period_s: int | None, longest_blocks: int) -> int:
    """The lock in blocks of three seconds, rounded up: never shorter than asked for.

    Raises:
        InvalidLock: Zero, negative, or above the chain's maximum.
    """
    if lock_period_s is None:
        return 0
    blocks = -(-lock_period_s * 1000 // BLOCK_MS)
    if not 0 < blocks <= longest_blocks:
        longest_s = longest_blocks * BLOCK_MS // 1000
        raise InvalidLock(f"1 to {longest_s} seconds", param="lock_period_s")
    return blocks


def check_delegate(
    owner: Address,
    receiver: Account | None,
    receiver_address: Address,
    resource: Resource,
    amount_sun: int,
    lendable_sun: int,
    blocks: int,
    lent: Sequence[Delegation],
    now_ms: int,
) -> None:
    """
    Args:
        lendable_sun: What the node's getcandelegatedmaxsize says.
        blocks: The lock; 0 for none.
        lent: What the owner lends to the receiver already.

    Raises:
        ReceiverIsOwner, ReceiverNotActivated, ReceiverIsContract, DelegationTooHigh, LockTooShort
    """
    if owner == receiver_address:
        raise ReceiverIsOwner(param="receiver_address")
    if receiver is not None and receiver.is_contract:
        raise ReceiverIsContract(param="receiver_address")
    if receiver is None:
        raise ReceiverNotActivated(param="receiver_address")
    if amount_sun > lendable_sun:
        extra = {"lendable_trx": trx_text(lendable_sun)}
        raise DelegationTooHigh(param="amount", extra=extra)
    if blocks:
        until_ms = max((_locked_until(each, resource) for each in lent), default=0)
        if blocks * BLOCK_MS < until_ms - now_ms:
            extra = {"locked_until": rfc3339(from_ms(until_ms))}
            raise LockTooShort(param="lock_period_s", extra=extra)


def check_undelegate(
    lent: Sequence[Delegation], resource: Resource, amount_sun: int, now_ms: int
) -> None:
    """Raises NothingDelegated, DelegationLocked, DelegationTooHigh."""
    total = sum(_lent_sun(each, resource) for each in lent)
    if total == 0:
        raise NothingDelegated(param="receiver_address")
    free = sum(_lent_sun(each, resource) for each in lent if _locked_until(each, resource) < now_ms)
    if amount_sun <= free:
        return
    extra = {"free_trx": trx_text(free), "lent_trx": trx_text(total)}
    if amount_sun > total:
        raise DelegationTooHigh(param="amount", extra=extra)
    until_ms = max(_locked_until(each, resource) for each in lent)
    raise DelegationLocked(
        param="amount", extra={**extra, "locked_until": rfc3339(from_ms(until_ms))}
    )


def check_vote(
    account: Account, votes: Sequence[tuple[Address, int]], witnesses: Collection[Address]
) -> None:
    """Raises UnknownWitness, VotingPowerTooLow."""
    for address, _ in votes:
        if address not in witnesses:
            raise UnknownWitness(f"{address} is none", param="votes")
    power = account.staked_sun // SUN_PER_TRX
    if sum(count for _, count in votes) > power:
        raise VotingPowerTooLow(param="votes", extra={"voting_power": power})


def check_vote_form(votes: Sequence[tuple[Address, int]]) -> None:
    """Raises InvalidVotes."""
    if not 1 <= len(votes) <= VOTES_MAX:
        raise InvalidVotes(f"1 to {VOTES_MAX} representatives", param="votes")
    if len({address for address, _ in votes}) != len(votes):
        raise InvalidVotes("each representative once", param="votes")
    if any(count <= 0 for _, count in votes):
        raise InvalidVotes("whole numbers above zero", param="votes")


def check_claim(account: Account, reward_sun: int, now_ms: int) -> None:
    """Raises ClaimTooEarly, NoReward."""
    if now_ms - account.last_withdraw_ms < CLAIM_PAUSE_MS:
        again = rfc3339(from_ms(account.last_withdraw_ms + CLAIM_PAUSE_MS))
        raise ClaimTooEarly(extra={"next_claim_at": again})
    if reward_sun <= 0:
        raise NoReward


def withdrawable_sun(account: Account, now_ms: int) -> int:
    """Unstaked TRX that may be taken back now."""
    return sum(each.amount_sun for each in account.unfrozen if each.expires_ms <= now_ms)


def _next_expiry(unfrozen: Sequence[Unfreezing]) -> str | None:
    soonest = min((each.expires_ms for each in unfrozen), default=None)
    return None if soonest is None else rfc3339(from_ms(soonest))


def _lent_sun(each: Delegation, resource: Resource) -> int:
    return each.energy_sun if resource is Resource.ENERGY else each.bandwidth_sun


def _locked_until(each: Delegation, resource: Resource) -> int:
    if resource is Resource.ENERGY:
        return each.energy_locked_until_ms
    return each.bandwidth_locked_until_ms
