"""Payouts on the wire: what is asked, what is answered. Money is a decimal string here only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeVar

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import TRX, Amount, decimal_text, parse_units, trx_text
from tron_payment.http.fields import AddressText, MoneyText
from tron_payment.http.limits import decode_json
from tron_payment.payouts.documents import BROADCAST, Payout
from tron_payment.payouts.domain import (
    CURRENCIES,
    METADATA_ENTRIES_MAX,
    METADATA_TEXT_MAX,
    REFERENCE_PATTERN,
    USER_ID_PATTERN,
    PayoutStatus,
    Route,
    fee_source,
)
from tron_payment.payouts.judge import Judged
from tron_payment.payouts.known import PayoutWish
from tron_payment.payouts.quotes import Cost

REASON_MAX = 200
S = TypeVar("S", bound=msgspec.Struct)
MetadataText = Annotated[str, msgspec.Meta(max_length=METADATA_TEXT_MAX)]


class PayoutRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payout as asked for."""

    ELSEWHERE: ClassVar[Mapping[str, str]] = {
        "route": "the endpoint says it: /payouts/initiate, /v0, /kyc or /direct"
    }
    """What is said in another way (`http.hints`)."""

    user_id: Annotated[str, msgspec.Meta(pattern=USER_ID_PATTERN)]
    recipient_address: AddressText
    amount: MoneyText
    currency: Literal["USDT", "TRX"] = "USDT"
    kyc_verified: bool | None = None
    merchant_reference: Annotated[str, msgspec.Meta(pattern=REFERENCE_PATTERN)] | None = None
    wallet_id: str | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    max_fee_trx: MoneyText | None = None
    metadata: Annotated[
        dict[MetadataText, MetadataText], msgspec.Meta(max_length=METADATA_ENTRIES_MAX)
    ] = {}
    quote_id: str | None = None
    """Of `POST /payouts/quote`: its maximum is then this payout's."""

    dry_run: bool = False

    @classmethod
    def read(cls, body: bytes) -> "PayoutRequest":
        """From JSON.

        Raises:
            MalformedBody, Refused
        """
        return _read(body, cls)

    def wish(self, route: Route | None) -> PayoutWish:
        """The request, typed.

        Raises:
            InvalidAmount: Of `amount` or `max_fee_trx`.
        """
        return PayoutWish(
            user_id=self.user_id,
            recipient_address=self.recipient_address,
            amount=Amount.parse(CURRENCIES[self.currency], self.amount),
            route=route,
            kyc_verified=self.kyc_verified,
            merchant_reference=self.merchant_reference,
            wallet_id=self.wallet_id,
            priority=self.priority,
            max_fee_sun=None
            if self.max_fee_trx is None
            else parse_units(TRX.decimals, self.max_fee_trx, param="max_fee_trx"),
            metadata=dict(self.metadata),
            quote_id=self.quote_id,
        )


def _read(body: bytes, kind: type[S]) -> S:
    """An optional JSON body; nothing is the empty object."""
    decoded: S = decode_json(body or b"{}", kind)
    return decoded


class ApproveRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An approval; it may name what was seen."""

    order_hash: str | None = None
    """Must be the payout's own hash: what would be paid is what you looked at."""

    @classmethod
    def read(cls, body: bytes) -> "ApproveRequest":
        return _read(body, cls)


class RejectRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rejection and its reason."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX)] = ""

    @classmethod
    def read(cls, body: bytes) -> "RejectRequest":
        return _read(body, cls)


class FeeView(msgspec.Struct, frozen=True, kw_only=True):
    """In TRX. `paid_trx` is null until the payout's block is solidified."""

    max_fee_trx: str
    paid_trx: str | None
    source: str | None
    """`own_energy`, `burn`, `mixed` or `bandwidth`; null like `paid_trx`."""

    quoted_trx: str | None = None
    """What the quote expected, when the payout named one."""


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule of the policy said."""

    rule: str
    version: int
    outcome: str
    detail: str


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """Who has approved, and what an approval is bound to."""

    needed: int
    given_by: list[str]
    order_hash: str
    until: str | None


class PayoutView(msgspec.Struct, frozen=True, kw_only=True):
    """A payout as everybody sees it."""

    payout_id: str
    status: str
    route: str
    user_id: str
    recipient_address: str
    amount: str
    currency: str
    fee: FeeView
    txid: str | None
    attempts: int
    merchant_reference: str | None
    wallet_id: str
    priority: str
    waiting_for: str | None
    reason: str | None
    settled_block: int | None
    settled_at: str | None
    """The block's own time; that it is solidified was known at `updated_at`."""

    batch_id: str | None
    flags: list[str]
    metadata: dict[str, str]
    decision: str
    decisions: list[DecisionView]
    approval: ApprovalView | None
    row: int | None
    retry_of: str | None
    quote_id: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, payout: Payout) -> "PayoutView":
        settled = payout.status is PayoutStatus.SETTLED
        decimals = CURRENCIES[payout.currency].decimals
        return cls(
            payout_id=payout.id,
            status=shown_status(payout),
            route=payout.route,
            user_id=payout.user_id,
            recipient_address=payout.recipient_address,
            amount=decimal_text(payout.units, decimals),
            currency=payout.currency,
            fee=FeeView(
                max_fee_trx=trx_text(payout.max_fee_sun),
                paid_trx=None if payout.fee_paid_sun is None else trx_text(payout.fee_paid_sun),
                source=_fee_source(payout),
                quoted_trx=None
                if payout.quoted_fee_sun is None
                else trx_text(payout.quoted_fee_sun),
            ),
            txid=payout.txid,
            attempts=payout.attempts,
            merchant_reference=payout.merchant_reference,
            wallet_id=payout.wallet_id,
            priority=payout.priority,
            waiting_for=payout.waiting_for or None,
            reason=payout.reason or None,
            settled_block=payout.block_number if settled else None,
            settled_at=None if payout.settled_at is None else rfc3339(payout.settled_at),
            batch_id=payout.batch_id,
            flags=payout.flags,
            metadata=payout.metadata,
            decision=payout.decision_rule,
            decisions=[DecisionView(**each) for each in payout.decisions],
            approval=_approval(payout),
            row=payout.row,
            retry_of=payout.retry_of,
            quote_id=payout.quote_id,
            created_at=rfc3339(payout.created_at),
            updated_at=rfc3339(payout.updated_at),
        )


class QuotedFeeView(msgspec.Struct, frozen=True, kw_only=True):
    """What a payout costs: the promise, and the bill as it would be now. TRX, energy, bytes."""

    max_fee_trx: str
    expected_trx: str
    energy: int
    energy_penalty: int
    """The part of it that is the token's dynamic penalty."""

    energy_own: int
    energy_delegated: int
    energy_burned: int
    bandwidth: int
    bandwidth_burned_trx: str
    activation_trx: str
    fee_limit_trx: str
    source: str
    expires_at: str

    @classmethod
    def of(cls, costs: Sequence[Cost], expires_at: datetime) -> "QuotedFeeView":
        """One payout's fee, or the sum of several."""

        def total(name: str) -> int:
            return sum(getattr(cost, name) for cost in costs)

        sources = {cost.source for cost in costs}
        return cls(
            max_fee_trx=trx_text(total("max_fee_sun")),
            expected_trx=trx_text(total("expected_sun")),
            energy=total("energy"),
            energy_penalty=total("energy_penalty"),
            energy_own=total("energy_own"),
            energy_delegated=total("energy_delegated"),
            energy_burned=total("energy_burned"),
            bandwidth=total("bandwidth"),
            bandwidth_burned_trx=trx_text(total("bandwidth_burned_sun")),
            activation_trx=trx_text(total("activation_sun")),
            fee_limit_trx=trx_text(total("fee_limit_sun")),
            source=next(iter(sources)) if len(sources) == 1 else "mixed",
            expires_at=rfc3339(expires_at),
        )


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """What a payout would do and cost; no payout was stored."""

    route: str
    decision: str
    decisions: list[DecisionView]
    flags: list[str]
    would_be_status: str
    recipient_address: str
    recipient: str
    """`hot`, `cold` or `unactivated`: why it costs what it costs."""

    amount: str
    currency: str
    wallet_id: str
    fee: QuotedFeeView
    quote_id: str | None = None
    dry_run: bool = False

    @classmethod
    def of(
        cls,
        judged: Judged,
        cost: Cost,
        expires_at: datetime,
        *,
        quote_id: str | None = None,
        dry_run: bool = False,
    ) -> "QuoteView":
        payout = judged.payout
        return cls(
            dry_run=dry_run,
            quote_id=quote_id,
            route=payout.route,
            decision=payout.decision_rule,
            decisions=[DecisionView(**each) for each in payout.decisions],
            flags=payout.flags,
            would_be_status=payout.status.value,
            recipient_address=payout.recipient_address,
            recipient=cost.recipient,
            amount=decimal_text(payout.units, CURRENCIES[payout.currency].decimals),
            currency=payout.currency,
            wallet_id=payout.wallet_id,
            fee=QuotedFeeView.of([cost], expires_at),
        )


def shown_status(payout: Payout) -> str:
    """`signed` and `broadcast` are one stored state; a send time tells them apart."""
    if payout.status is PayoutStatus.SIGNED and payout.sent_at is not None:
        return BROADCAST
    return payout.status.value


def _approval(payout: Payout) -> ApprovalView | None:
    if not payout.approvals_needed:
        return None
    until = payout.approval_until
    return ApprovalView(
        needed=payout.approvals_needed,
        given_by=[each["by"] for each in payout.approvals],
        order_hash=payout.intent_hash,
        until=None if until is None else rfc3339(until),
    )


def _fee_source(payout: Payout) -> str | None:
    if payout.fee_paid_sun is None:
        return None
    energy, burned = payout.energy_used or 0, payout.energy_burned_sun or 0
    return fee_source(payout.fee_paid_sun, energy, burned)
