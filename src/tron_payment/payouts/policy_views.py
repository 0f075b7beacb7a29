"""The policy, the allow-list and the kill switch as they are asked for and shown."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import Amount, decimal_text, parse_units
from tron_payment.http.fields import AddressText, MoneyText
from tron_payment.payouts.domain import CURRENCIES
from tron_payment.payouts.limits import Ceiling
from tron_payment.payouts.policy import (
    APPROVAL_LIFETIME,
    COOL_DOWN,
    DECIMALS,
    WINDOW_NAMES,
    Band,
    Cap,
    Policy,
    facts_stored,
    policy_of,
)
from tron_payment.payouts.policy_desk import (
    AllowedRecipient,
    KillSwitch,
    PolicyDocument,
)

Currency = Literal["USDT", "TRX"]
NAMES_OF_WINDOWS = {window: name for name, window in WINDOW_NAMES.items()}
DAY_S = 86_400


class CapView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No single payout above this."""

    amount: MoneyText
    currency: Currency = "USDT"


class LimitView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most this much within a rolling window, for each recipient, principal or wallet."""

    scope: Literal["recipient", "principal", "wallet", "all"]
    window: Literal["1h", "24h", "30d"]
    amount: MoneyText
    currency: Currency = "USDT"


class BandView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Amounts above this need approvals."""

    above: str
    approvals: Annotated[int, msgspec.Meta(ge=0, le=10)]
    currency: Currency = "USDT"
    approvers: Annotated[list[str], msgspec.Meta(max_length=50)] = []
    """Whose approval counts; empty means everybody with the permission."""


class PolicyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole policy; what is left out is not asked for."""

    caps: Annotated[list[CapView], msgspec.Meta(max_length=10)] = []
    limits: Annotated[list[LimitView], msgspec.Meta(max_length=50)] = []
    approval_bands: Annotated[list[BandView], msgspec.Meta(max_length=20)] = []
    allow_list: bool = False
    cool_down_s: Annotated[int, msgspec.Meta(ge=0, le=30 * DAY_S)] = int(COOL_DOWN.total_seconds())
    approval_lifetime_s: Annotated[int, msgspec.Meta(ge=60, le=30 * DAY_S)] = int(
        APPROVAL_LIFETIME.total_seconds()
    )
    user_cool_down_s: Annotated[int, msgspec.Meta(ge=0, le=30 * DAY_S)] = 0
    """Above zero, users of the recipient book are paid at the booked address only, and not for so
    long after it has changed."""

    def policy(self) -> Policy:
        """
        Raises:
            InvalidAmount
        """
        return Policy(
            caps=tuple(Cap(c.currency, _units(c.currency, c.amount)) for c in self.caps),
            ceilings=tuple(
                Ceiling(
                    each.scope,
                    WINDOW_NAMES[each.window],
                    each.currency,
                    _units(each.currency, each.amount),
                )
                for each in self.limits
            ),
            bands=tuple(
                Band(
                    b.currency,
                    parse_units(DECIMALS, b.above, param="above"),
                    b.approvals,
                    tuple(b.approvers),
                )
                for b in self.approval_bands
            ),
            allow_list=self.allow_list,
            cool_down=timedelta(seconds=self.cool_down_s),
            approval_lifetime=timedelta(seconds=self.approval_lifetime_s),
            user_cool_down=timedelta(seconds=self.user_cool_down_s),
        )


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """The rules; version 0 is the default, which only flags."""

    version: int
    caps: list[CapView]
    limits: list[LimitView]
    approval_bands: list[BandView]
    allow_list: bool
    cool_down_s: int
    approval_lifetime_s: int
    user_cool_down_s: int

    @classmethod
    def of(cls, policy: Policy) -> "PolicyView":
        stored = facts_stored(policy)
        return cls(
            version=policy.version,
            caps=[CapView(amount=_text(c.units), currency=_code(c.currency)) for c in policy.caps],
            limits=[
                LimitView(
                    scope=each.kind,  # type: ignore[arg-type]  # stored from this Literal
                    window=NAMES_OF_WINDOWS[each.window],  # type: ignore[arg-type]
                    amount=_text(each.units),
                    currency=_code(each.currency),
                )
                for each in policy.ceilings
            ],
            approval_bands=[
                BandView(
                    above=_text(b.above_units),
                    approvals=b.approvals,
                    currency=_code(b.currency),
                    approvers=list(b.approvers),
                )
                for b in policy.bands
            ],
            allow_list=policy.allow_list,
            cool_down_s=stored["cool_down_s"],
            approval_lifetime_s=stored["approval_lifetime_s"],
            user_cool_down_s=stored["user_cool_down_s"],
        )


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed policy and what became of it."""

    proposal_id: str
    status: str
    policy: PolicyView
    proposed_by: str
    decided_by: str | None
    created_at: str

    @classmethod
    def of(cls, found: PolicyDocument) -> "ProposalView":
        return cls(
            proposal_id=found.id,
            status=found.status,
            policy=PolicyView.of(policy_of(found.number or 0, found.content)),
            proposed_by=found.proposed_by,
            decided_by=found.decided_by,
            created_at=rfc3339(found.created_at),
        )


class AllowRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address for the allow-list."""

    recipient_address: AddressText
    label: Annotated[str, msgspec.Meta(max_length=64)] = ""


class AllowedView(msgspec.Struct, frozen=True, kw_only=True):
    """An address on the allow-list; it may be paid when approved and cooled down."""

    recipient_address: str
    label: str
    proposed_by: str
    approved_by: str | None
    approved_at: str | None

    @classmethod
    def of(cls, found: AllowedRecipient) -> "AllowedView":
        return cls(
            recipient_address=found.id,
            label=found.label,
            proposed_by=found.proposed_by,
            approved_by=found.approved_by,
            approved_at=None if found.approved_at is None else rfc3339(found.approved_at),
        )


class SwitchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop everything, or one wallet."""

    on: bool
    wallet_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    """Of one wallet; everything when it is left out."""

    reason: Annotated[str, msgspec.Meta(max_length=200)] = ""


class SwitchView(msgspec.Struct, frozen=True, kw_only=True):
    """A kill switch; `scope` is ``global`` or a wallet."""

    scope: str
    on: bool
    reason: str
    by: str
    at: str

    @classmethod
    def of(cls, found: KillSwitch) -> "SwitchView":
        return cls(
            scope=found.id, on=found.on, reason=found.reason, by=found.by, at=rfc3339(found.at)
        )


def _units(currency: str, text: str) -> int:
    return Amount.parse(CURRENCIES[currency], text).units


def _text(units: int) -> str:
    return decimal_text(units, DECIMALS)


def _code(currency: str) -> Currency:
    return "TRX" if currency == "TRX" else "USDT"
