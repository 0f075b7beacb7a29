"""What a payment is and what its state means. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from tron_payment.core.errors import Conflict, NotFound, Refused
from tron_payment.core.money import UNITS_MAX
from tron_payment.engine import OrderStatus

EXPIRES_IN_DEFAULT_S: Final = 3_600
EXPIRES_IN_MAX_S: Final = 30 * 86_400
TOLERANCE_UNITS: Final = 0
"""How much less than asked still counts as paid."""

DUST_DECIMALS: Final = 3
"""Less than 0.001 is dust and not credited, unless no more than it is still asked for."""

METADATA_ENTRIES_MAX: Final = 20
METADATA_TEXT_MAX: Final = 200
URL_LENGTH_MAX: Final = 2_048
REFUNDS_MAX: Final = 50
"""Of one payment."""


class PaymentKind(StrEnum):
    INVOICE = "invoice"
    TRX = "trx"
    USDT = "usdt"
    CONTRACT = "contract"
    STAKING = "staking"
    FEE = "fee"


OWN_KINDS: Final = frozenset({PaymentKind.FEE, PaymentKind.CONTRACT})
"""Kinds whose order is the gateway's own."""


class PaymentStatus(StrEnum):
    """An invoice has the first nine, every other kind what becomes of its order."""

    AWAITING_PAYMENT = "awaiting_payment"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    OVERPAID = "overpaid"
    EXPIRED = "expired"
    PAID_LATE = "paid_late"
    CANCELED = "canceled"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    QUEUED = "queued"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class DepositOutcome(StrEnum):
    """What we made of money that arrived at an invoice's address."""

    CREDITED = "credited"
    WRONG_CURRENCY = "wrong_currency"
    """A currency that we know, and the invoice does not ask for."""

    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a name
    """A token that we do not know, whatever it calls itself."""

    DUST = "dust"
    NOT_BOOKED = "not_booked"
    """More of a token than the books have room for: whoever claims so much has made it up."""

    OWN_WALLET = "own_wallet"
    """Sent by ourselves, such as TRX for the fee of a sweep."""


class RefundState(StrEnum):
    """What a refund means for the money that a payment received."""

    HELD = "held"
    """It may leave at any moment."""

    PAID = "paid"
    RELEASED = "released"
    """It will never leave by this refund; another one may take it."""


class RefundStatus(StrEnum):
    """What became of a refund's order."""

    QUEUED = "queued"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELED = "canceled"
    QUARANTINED = "quarantined"


class PaymentNotFound(NotFound, code="payment_not_found"):
    """There is no such payment, or it is not yours."""


class InvoiceNotOpen(Conflict, code="invoice_not_open"):
    """Only an invoice that nothing was paid on can be canceled."""


class NotAnInvoice(Conflict, code="not_an_invoice"):
    """Only money that came in by an invoice can be refunded."""


class RefundExceedsReceived(Conflict, code="refund_exceeds_received"):
    """More than was received and not refunded yet."""


class TooManyRefunds(Conflict, code="too_many_refunds"):
    """This payment was refunded in too many parts already."""


class RecipientRefused(Refused, code="recipient_refused"):
    """This address may not be paid."""


class RecipientIsOwn(RecipientRefused, code="recipient_is_own"):
    """The recipient is one of our own addresses."""


class RecipientIsContract(RecipientRefused, code="recipient_is_contract"):
    """The recipient is a contract."""


class RecipientBlacklisted(RecipientRefused, code="recipient_blacklisted"):
    """The token's issuer has blacklisted this recipient: the money could never move again."""


class ContractRefused(Refused, code="contract_refused"):
    """This contract holds or moves our money; use the endpoints made for it."""


class NotOurAddress(Refused, code="recipient_not_own"):
    """Money for fees goes to addresses of our own wallets only."""


class InvalidUrl(Refused, code="invalid_url"):
    """This is not an address that we may send somebody to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that an invoice's status depends on. Units of its currency."""

    due: int
    received: int
    refunded: int
    expires_at: datetime
    completed_at: datetime | None
    """Time of the block that made it full."""

    now: datetime
    """Time of the newest solidified block that was applied."""

    canceled: bool = False
    tolerance: int = TOLERANCE_UNITS


def status_of(facts: Facts) -> PaymentStatus:
    """The status of an invoice; the first row that fits.

        refunded          received          full              time         status
        all received      any               any               any          REFUNDED
        some              any               any               any          PARTIALLY_REFUNDED
        none              due or more       after expiry, or  any          PAID_LATE
                                            on a canceled one
        none              more than due     in time           any          OVERPAID
        none              due               in time           any          PAID
        none              less than due     canceled          any          CANCELED
        none              less than due     -                 expired      EXPIRED
        none              something         -                 before       PARTIALLY_PAID
        none              nothing           -                 before       AWAITING_PAYMENT

    "Due" gives way by the tolerance on both sides. What was received on an EXPIRED or CANCELED
    invoice stays visible in `received` and can be refunded. Time is the chain's.
    """
    assert 0 <= facts.refunded <= facts.received, facts
    if facts.refunded:
        whole = facts.refunded == facts.received
        return PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED
    if facts.received >= facts.due - facts.tolerance:
        assert facts.completed_at is not None, facts
        if facts.canceled or facts.completed_at > facts.expires_at:
            return PaymentStatus.PAID_LATE
        if facts.received > facts.due + facts.tolerance:
            return PaymentStatus.OVERPAID
        return PaymentStatus.PAID
    if facts.canceled:
        return PaymentStatus.CANCELED
    if facts.now >= facts.expires_at:
        return PaymentStatus.EXPIRED
    return PaymentStatus.PARTIALLY_PAID if facts.received else PaymentStatus.AWAITING_PAYMENT


def dust_units(decimals: int) -> int:
    """The least that counts of a currency, in its units."""
    least: int = 10 ** max(0, decimals - DUST_DECIMALS)
    return least


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an invoice asks for, as a transfer finds it. Units of its currency."""

    currency: str
    decimals: int
    due: int
    received: int = 0
    """Before this transfer."""


def outcome_of(
    asset: str | None, units: int, asked: Asked, *, own: bool = False, booked: bool = True
) -> DepositOutcome:
    """What a transfer to an invoice's address counts as.

    Args:
        asset: Code of the currency; None for a token that is not registered.
        own: The sender is one of our own addresses.
        booked: The books have it.
    """
    if own:
        return DepositOutcome.OWN_WALLET
    if asset is None:
        return DepositOutcome.UNKNOWN_TOKEN
    if not booked or asked.received + units > UNITS_MAX:
        return DepositOutcome.NOT_BOOKED
    if asset != asked.currency:
        return DepositOutcome.WRONG_CURRENCY
    least = dust_units(asked.decimals)
    remaining = asked.due - asked.received
    if units < (min(least, remaining) if remaining > 0 else least):
        return DepositOutcome.DUST
    return DepositOutcome.CREDITED


def status_of_order(status: OrderStatus) -> PaymentStatus:
    """What an order's status means for the payment that it carries out."""
    if status in (OrderStatus.QUEUED, OrderStatus.RESERVED):
        return PaymentStatus.QUEUED
    return PaymentStatus(status.value)


def refund_status_of(status: OrderStatus) -> RefundStatus:
    if status in (OrderStatus.QUEUED, OrderStatus.RESERVED):
        return RefundStatus.QUEUED
    return RefundStatus(status.value)


def state_of(status: RefundStatus) -> RefundState:
    """Only a settled refund has left, only a dead one never will."""
    match status:
        case RefundStatus.SETTLED:
            return RefundState.PAID
        case RefundStatus.FAILED | RefundStatus.CANCELED:
            return RefundState.RELEASED
        case _:
            return RefundState.HELD


def refundable(received: int, parts: Mapping[str, tuple[int, RefundState]]) -> int:
    """Units that no refund has taken or may still take."""
    taken = sum(units for units, state in parts.values() if state is not RefundState.RELEASED)
    assert 0 <= taken <= received, (received, parts)
    return received - taken


ENDED: Final = frozenset({PaymentStatus.SETTLED, PaymentStatus.FAILED, PaymentStatus.CANCELED})
"""Of the kinds that are no invoice: nothing comes after."""

OPEN: Final = (PaymentStatus.AWAITING_PAYMENT, PaymentStatus.PARTIALLY_PAID)
"""Invoices that expire."""
