"""Staking on the wire: TRX as decimal strings, resources and votes as whole numbers."""

from typing import Annotated, Literal

import msgspec

from tron_payment.chain import AccountResources, Delegation, Resource
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import TRX, Amount, parse_units, trx_text
from tron_payment.staking.accounts import Lending, Staked, yield_of
from tron_payment.staking.documents import BROADCAST, Stake, Unstaking
from tron_payment.staking.domain import Operation, StakeStatus
from tron_payment.staking.facts import StakeWish
from tron_payment.staking.forecast import Forecast
from tron_payment.staking.plan import Cost, Way
from tron_payment.staking.rules import CLAIM_PAUSE_MS, VOTES_MAX, withdrawable_sun


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every staking request has."""

    wallet_id: str
    max_fee_trx: str | None = None
    dry_run: bool = False

    @property
    def max_fee_sun(self) -> int | None:
        """Raises InvalidAmount."""
        if self.max_fee_trx is None:
            return None
        return parse_units(TRX.decimals, self.max_fee_trx, param="max_fee_trx")


class StakeRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class UndelegateRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class DelegateRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class VoteRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class WithdrawRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


class CancelRequest(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All pending unstakings are staked again."""

    def wish(self) -> StakeWish:
        """The request, typed."""
        return StakeWish(
            operation=Operation.CANCEL_UNSTAKE,
            wallet_id=self.wallet_id,
            max_fee_sun=self.max_fee_sun,
        )


class FeeView(msgspec.Struct, frozen=True, kw_only=True):
    """In TRX. `paid_trx` is null until the block is solidified."""

    max_fee_trx: str
    paid_trx: str | None
    source: str


class StakeView(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as everybody sees it; only `settled` means done."""

    stake_id: str
    operation: str
    status: str
    wallet_id: str
    address: str
    amount: str | None
    currency: str
    resource: str | None
    receiver_address: str | None
    lock_period_s: int
    votes: list[VoteEntry]
    fee: FeeView
    txid: str | None
    attempts: int
    waiting_for: str
    reason: str
    block_number: int | None
    settled_at: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, stake: Stake) -> "StakeView":
        paid = stake.fee_paid_sun
        sent = stake.status is StakeStatus.SIGNED and stake.sent_at is not None
        return cls(
            stake_id=stake.id,
            operation=stake.operation.value,
            status=BROADCAST if sent else stake.status.value,
            wallet_id=stake.wallet_id,
            address=stake.signer,
            amount=trx_text(stake.amount_sun) if stake.amount_sun else None,
            currency=TRX.code,
            resource=stake.resource,
            receiver_address=stake.receiver,
            lock_period_s=stake.lock_blocks * 3,
            votes=[VoteEntry(address=v["address"], count=v["count"]) for v in stake.votes],
            fee=FeeView(
                max_fee_trx=trx_text(stake.max_fee_sun),
                paid_trx=None if paid is None else trx_text(paid),
                source="maximum" if paid is None else "receipt",
            ),
            txid=stake.txid,
            attempts=stake.attempts,
            waiting_for=stake.waiting_for,
            reason=stake.reason,
            block_number=stake.block_number,
            settled_at=None if stake.settled_at is None else rfc3339(stake.settled_at),
            created_at=rfc3339(stake.created_at),
            updated_at=rfc3339(stake.updated_at),
        )


class DryRunView(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen; nothing is stored."""

    decision: str
    would_be_status: str
    operation: str
    address: str
    fee: dict[str, str]


class UnstakingView(msgspec.Struct, frozen=True, kw_only=True):
    """TRX on its way back."""

    amount: str
    resource: str
    expires_at: str
    ended: bool


class TrackedUnstakingView(UnstakingView, frozen=True, kw_only=True):
    """One that our own follower has seen beginning."""

    address: str
    txid: str


class DelegationView(msgspec.Struct, frozen=True, kw_only=True):
    """A resource lent; the locked part is an entry of its own."""

    receiver_address: str
    resource: str
    amount: str
    locked_until: str | None


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an account's stakes on the newest block."""

    address: str
    block_number: int
    currency: str
    staked: dict[str, str]
    lent: dict[str, str]
    borrowed: dict[str, str]
    unstaking: list[UnstakingView]
    unstakes_left: int
    withdrawable: str
    voting_power: int
    votes: list[VoteEntry]
    reward: str
    next_claim_at: str
    delegations: list[DelegationView]
    borrowed_from: list[str]

    @classmethod
    def of(cls, staked: Staked, lending: Lending) -> "StatusView":
        account, now_ms = staked.account, staked.head.timestamp_ms
        return cls(
            address=account.address,
            block_number=staked.head.number,
            currency=TRX.code,
            staked={each.value: trx_text(sun) for each, sun in account.frozen.items()},
            lent={each.value: trx_text(sun) for each, sun in account.delegated.items()},
            borrowed={each.value: trx_text(sun) for each, sun in account.acquired.items()},
            unstaking=[
                UnstakingView(
                    amount=trx_text(each.amount_sun),
                    resource=each.resource.value,
                    expires_at=rfc3339(from_ms(each.expires_ms)),
                    ended=each.expires_ms <= now_ms,
                )
                for each in account.unfrozen
            ],
            unstakes_left=staked.unstakes_left,
            withdrawable=trx_text(withdrawable_sun(account, now_ms)),
            voting_power=account.staked_sun // 1_000_000,
            votes=votes_of(staked),
            reward=trx_text(staked.reward_sun),
            next_claim_at=next_claim(staked),
            delegations=delegations_of(lending.given),
            borrowed_from=list(lending.taken_from),
        )


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """An account's TRX by what it is doing, on the newest block."""

    address: str
    block_number: int
    currency: str
    available: str
    staked: str
    """With what is lent."""
    unstaking: str
    withdrawable: str
    reward: str
    total: str

    @classmethod
    def of(cls, staked: Staked) -> "BalanceView":
        account = staked.account
        free = withdrawable_sun(account, staked.head.timestamp_ms)
        total = account.balance_sun + account.staked_sun + account.unfreezing_sun
        return cls(
            address=account.address,
            block_number=staked.head.number,
            currency=TRX.code,
            available=trx_text(account.balance_sun),
            staked=trx_text(account.staked_sun),
            unstaking=trx_text(account.unfreezing_sun - free),
            withdrawable=trx_text(free),
            reward=trx_text(staked.reward_sun),
            total=trx_text(total + staked.reward_sun),
        )


class RewardsView(msgspec.Struct, frozen=True, kw_only=True):
    """Voting rewards."""

    address: str
    currency: str
    reward: str
    last_claim_at: str | None
    next_claim_at: str
    claimable: bool
    votes: list[VoteEntry]

    @classmethod
    def of(cls, staked: Staked) -> "RewardsView":
        last = staked.account.last_withdraw_ms
        pause_over = staked.head.timestamp_ms - last >= CLAIM_PAUSE_MS
        return cls(
            address=staked.account.address,
            currency=TRX.code,
            reward=trx_text(staked.reward_sun),
            last_claim_at=rfc3339(from_ms(last)) if last else None,
            next_claim_at=next_claim(staked),
            claimable=pause_over and staked.reward_sun > 0,
            votes=votes_of(staked),
        )


class ResourcesView(msgspec.Struct, frozen=True, kw_only=True):
    """Energy and bandwidth now, and what a TRX of stake gives each day."""

    address: str
    block_number: int
    energy_limit: int
    energy_used: int
    energy_left: int
    bandwidth_limit: int
    bandwidth_used: int
    bandwidth_left: int
    free_bandwidth_limit: int
    free_bandwidth_used: int
    free_bandwidth_left: int
    voting_power: int
    voting_power_used: int
    energy_per_1000_trx: int
    bandwidth_per_1000_trx: int

    @classmethod
    def of(cls, address: Address, block_number: int, said: AccountResources) -> "ResourcesView":
        thousand_trx = 1_000_000_000
        return cls(
            address=address,
            block_number=block_number,
            energy_limit=said.energy_limit,
            energy_used=said.energy_used,
            energy_left=said.energy_left,
            bandwidth_limit=said.net_limit,
            bandwidth_used=said.net_used,
            bandwidth_left=said.net_left,
            free_bandwidth_limit=said.free_net_limit,
            free_bandwidth_used=said.free_net_used,
            free_bandwidth_left=said.free_net_left,
            voting_power=said.voting_power,
            voting_power_used=said.voting_power_used,
            energy_per_1000_trx=yield_of(thousand_trx, Resource.ENERGY, said),
            bandwidth_per_1000_trx=yield_of(thousand_trx, Resource.BANDWIDTH, said),
        )


class TotalView(msgspec.Struct, frozen=True, kw_only=True):
    """All operations of one kind and status."""

    operation: str
    status: str
    count: int
    amount: str
    fee_trx: str


class StatisticsView(msgspec.Struct, frozen=True, kw_only=True):
    """What this installation has done, and what comes back when."""

    currency: str
    operations: list[TotalView]
    unstaking: list[TrackedUnstakingView]


class CostView(msgspec.Struct, frozen=True, kw_only=True):
    """One way to have the energy: its bill over the whole period, in TRX."""

    way: str
    """``burn``: everything. ``as_now``: with the stakes there are. ``stake``: stake more.
    ``rent``: borrow what is missing at the price that was given."""

    total_trx: str
    energy_burned_trx: str
    bandwidth_burned_trx: str
    rent_trx: str
    capital_trx: str
    stake_energy_trx: str
    """To be staked besides what is staked now; it is not spent."""

    stake_bandwidth_trx: str
    saved_trx: str
    """Against burning everything."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """What payouts will cost and the cheapest way to have the energy; cheapest first."""

    address: str
    days: int
    source: str
    transactions_per_day: int
    energy_per_day: int
    bandwidth_per_day: int
    energy_limit: int
    bandwidth_limit: int
    energy_price_sun: int
    bandwidth_price_sun: int
    cheapest: str
    full_stake_trx: str
    """What would have to be staked besides to burn nothing at all."""

    spare_trx: str
    costs: list[CostView]

    @classmethod
    def of(cls, address: Address, forecast: Forecast) -> "PlanView":
        plan, market = forecast.plan, forecast.market
        burn = plan.cost(Way.BURN)
        assert burn is not None
        return cls(
            address=address,
            days=plan.days,
            source=forecast.source,
            transactions_per_day=plan.need.transactions,
            energy_per_day=plan.need.energy,
            bandwidth_per_day=plan.need.transactions * plan.need.bytes_each,
            energy_limit=forecast.means.energy_limit,
            bandwidth_limit=forecast.means.bandwidth_limit,
            energy_price_sun=market.energy_price_sun,
            bandwidth_price_sun=market.bandwidth_price_sun,
            cheapest=plan.cheapest.way.value,
            full_stake_trx=trx_text(plan.full_stake_sun),
            spare_trx=trx_text(forecast.means.spare_sun),
            costs=[_cost_view(each, burn.total_sun) for each in plan.costs],
        )


def _cost_view(cost: Cost, burn_sun: int) -> CostView:
    return CostView(
        way=cost.way.value,
        total_trx=trx_text(cost.total_sun),
        energy_burned_trx=trx_text(cost.energy_burned_sun),
        bandwidth_burned_trx=trx_text(cost.bandwidth_burned_sun),
        rent_trx=trx_text(cost.rent_sun),
        capital_trx=trx_text(cost.capital_sun),
        stake_energy_trx=trx_text(cost.energy_stake_sun),
        stake_bandwidth_trx=trx_text(cost.bandwidth_stake_sun),
        saved_trx=trx_text(burn_sun - cost.total_sun),
    )


def tracked(row: Unstaking) -> TrackedUnstakingView:
    return TrackedUnstakingView(
        address=row.address,
        txid=row.id,
        amount=trx_text(row.amount_sun),
        resource=row.resource,
        expires_at=rfc3339(row.expires_at),
        ended=row.announced,
    )


def votes_of(staked: Staked) -> list[VoteEntry]:
    return [VoteEntry(address=address, count=count) for address, count in staked.account.votes]


def next_claim(staked: Staked) -> str:
    """When rewards may be claimed, at the earliest."""
    last = staked.account.last_withdraw_ms
    return rfc3339(from_ms(max(last + CLAIM_PAUSE_MS if last else 0, staked.head.timestamp_ms)))


def delegations_of(given: tuple[Delegation, ...]) -> list[DelegationView]:
    """One row for each resource of each entry."""
    rows = []
    for each in given:
        for resource, sun, until_ms in (
            (Resource.ENERGY, each.energy_sun, each.energy_locked_until_ms),
            (Resource.BANDWIDTH, each.bandwidth_sun, each.bandwidth_locked_until_ms),
        ):
            if sun:
                rows.append(
                    DelegationView(
                        receiver_address=each.receiver,
                        resource=resource.value,
                        amount=trx_text(sun),
                        locked_until=rfc3339(from_ms(until_ms)) if until_ms else None,
                    )
                )
    return rows
