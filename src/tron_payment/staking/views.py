"""Staking operations on the wire, and the sums of all of them."""

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import TRX, trx_text
from tron_payment.ordered import OrderedView, order_part
from tron_payment.staking.account_views import UnstakingView
from tron_payment.staking.documents import Stake, Unstaking
from tron_payment.staking.domain import waits_at_most
from tron_payment.staking.requests import VoteEntry
from tron_payment.staking.rules import BLOCK_MS


class StakeView(OrderedView, frozen=True, kw_only=True):
    """An operation as everybody sees it; only `settled` means done.

    What is not signed at `waits_until` fails with the reason `expired`; sooner, ten minutes after
    it was asked for, what the chain would refuse by then (`expired: chain_would_refuse: ...`).
    """

    stake_id: str
    operation: str
    address: str
    amount: str | None
    currency: str
    resource: str | None
    receiver_address: str | None
    lock_period_s: int
    votes: list[VoteEntry]
    waits_until: str

    @classmethod
    def of(cls, stake: Stake) -> "StakeView":
        return cls(
            stake_id=stake.id,
            operation=stake.operation.value,
            address=stake.signer,
            amount=trx_text(stake.amount_sun) if stake.amount_sun else None,
            currency=TRX.code,
            resource=stake.resource,
            receiver_address=stake.receiver,
            lock_period_s=stake.lock_blocks * BLOCK_MS // 1000,
            votes=[VoteEntry(address=v["address"], count=v["count"]) for v in stake.votes],
            waits_until=rfc3339(stake.created_at + waits_at_most(stake.detached)),
            **order_part(stake),
        )


class DryRunView(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen; nothing is stored."""

    decision: str
    would_be_status: str
    operation: str
    address: str
    fee: dict[str, str]


class TrackedUnstakingView(UnstakingView, frozen=True, kw_only=True):
    """One that our own follower has seen beginning."""

    address: str
    txid: str


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


def tracked(row: Unstaking) -> TrackedUnstakingView:
    return TrackedUnstakingView(
        address=row.address,
        txid=row.id,
        amount=trx_text(row.amount_sun),
        resource=row.resource,
        expires_at=rfc3339(row.expires_at),
        ended=row.announced,
    )
