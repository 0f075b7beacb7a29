"""Staking operations as they are asked for: TRX as decimal strings, votes as whole numbers."""

from typing import Annotated, Literal

import msgspec

from tron_payment.chain import Resource
from tron_payment.core.address import parse_address
from tron_payment.core.money import TRX, Amount
from tron_payment.ordered import MoneyRequest
from tron_payment.staking.domain import Operation
from tron_payment.staking.facts import StakeWish
from tron_payment.staking.rules import VOTES_MAX


class StakeRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TRX to stake or unstake."""

    amount: str
    resource: Resource

    def wish(self, operation: Operation) -> StakeWish:
        """The request, typed. Raises InvalidAmount."""
        return StakeWish(
            operation=operation,
            wallet_id=self.wallet_id,
            amount_sun=Amount.parse(TRX, self.amount).units,
            resource=self.resource,
            max_fee_sun=self.max_fee_sun,
        )


class UndelegateRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lent resource to take back; the amount is the stake behind it."""

    amount: str
    resource: Resource
    receiver_address: str

    def wish(self) -> StakeWish:
        """The request, typed. Raises InvalidAmount, InvalidAddress."""
        return StakeWish(
            operation=Operation.UNDELEGATE,
            wallet_id=self.wallet_id,
            amount_sun=Amount.parse(TRX, self.amount).units,
            resource=self.resource,
            receiver=parse_address(self.receiver_address, param="receiver_address"),
            max_fee_sun=self.max_fee_sun,
        )


class DelegateRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource to lend; without `lock_period_s` it can be taken back at any time."""

    amount: str
    resource: Resource
    receiver_address: str
    lock_period_s: int | None = None

    def wish(self) -> StakeWish:
        """The request, typed. Raises InvalidAmount, InvalidAddress."""
        return StakeWish(
            operation=Operation.DELEGATE,
            wallet_id=self.wallet_id,
            amount_sun=Amount.parse(TRX, self.amount).units,
            resource=self.resource,
            receiver=parse_address(self.receiver_address, param="receiver_address"),
            lock_period_s=self.lock_period_s,
            max_fee_sun=self.max_fee_sun,
        )


class VoteEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Votes for one representative."""

    address: str
    count: int


class VoteRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All votes of the account: the chain replaces the earlier ones."""

    votes: Annotated[list[VoteEntry], msgspec.Meta(max_length=VOTES_MAX)]

    def wish(self) -> StakeWish:
        """The request, typed. Raises InvalidAddress."""
        return StakeWish(
            operation=Operation.VOTE,
            wallet_id=self.wallet_id,
            votes=tuple(
                (parse_address(each.address, param="votes"), each.count) for each in self.votes
            ),
            max_fee_sun=self.max_fee_sun,
        )


class WithdrawRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to take back: TRX whose unstaking has ended, or voting rewards."""

    what: Literal["unstaked", "rewards"] = "unstaked"

    def wish(self) -> StakeWish:
        """The request, typed."""
        rewards = self.what == "rewards"
        return StakeWish(
            operation=Operation.WITHDRAW_REWARDS if rewards else Operation.WITHDRAW_UNSTAKED,
            wallet_id=self.wallet_id,
            max_fee_sun=self.max_fee_sun,
        )


class CancelRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pending unstakings are staked again."""

    def wish(self) -> StakeWish:
        """The request, typed."""
        return StakeWish(
            operation=Operation.CANCEL_UNSTAKE,
            wallet_id=self.wallet_id,
            max_fee_sun=self.max_fee_sun,
        )
