"""What the chain says of an account that stakes: TRX as decimal strings, resources as numbers."""

import msgspec

from tron_payment.chain import AccountResources, Delegation, Resource
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import SUN_PER_TRX, TRX, trx_text
from tron_payment.staking.accounts import Lending, Staked, yield_of
from tron_payment.staking.requests import VoteEntry
from tron_payment.staking.rules import CLAIM_PAUSE_MS, withdrawable_sun


class UnstakingView(msgspec.Struct, frozen=True, kw_only=True):
    """TRX on its way back."""

    amount: str
    resource: str
    expires_at: str
    ended: bool


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
            voting_power=account.staked_sun // SUN_PER_TRX,
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
        thousand_trx = 1_000 * SUN_PER_TRX
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
