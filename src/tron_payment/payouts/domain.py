"""What a payout is and which route it takes. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.core.errors import Conflict, NotFound, Refused
from tron_payment.core.lifecycle import Lifecycle
from tron_payment.core.money import TRX, USDT, Amount, Asset
from tron_payment.engine import OrderStatus, Proof
from tron_payment.payouts.policy import RecipientNotAllowed

POLICY_VERSION: Final = 1
CURRENCIES: Final[dict[str, Asset]] = {TRX.code: TRX, USDT.code: USDT}
REFERENCE_PATTERN: Final = r"^[!-~]{1,64}$(?!\n)"
USER_ID_PATTERN: Final = r"^[!-~]{1,128}$(?!\n)"
METADATA_ENTRIES_MAX: Final = 20
METADATA_TEXT_MAX: Final = 200


class Route(StrEnum):
    V0 = "v0"
    KYC = "kyc"
    DIRECT = "direct"


class PayoutStatus(StrEnum):
    """As stored. The view says `broadcast` for `signed` once a send time is known."""

    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    AWAITING_SIGNATURE = "awaiting_signature"
    SIGNED = "signed"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


S = PayoutStatus
LIFECYCLE: Final = Lifecycle(
    {
        S.AWAITING_APPROVAL: {S.QUEUED, S.REJECTED, S.CANCELED},
        S.QUEUED: {S.AWAITING_SIGNATURE, S.SIGNED, S.CANCELED, S.FAILED},
        S.AWAITING_SIGNATURE: {S.QUEUED, S.SIGNED, S.CANCELED, S.FAILED},
        S.SIGNED: {S.QUEUED, S.SETTLED, S.FAILED, S.CANCELED, S.QUARANTINED},
        S.QUARANTINED: {S.SETTLED, S.FAILED, S.QUEUED, S.CANCELED},
        S.SETTLED: set(),
        S.FAILED: set(),
        S.CANCELED: set(),
        S.REJECTED: set(),
    }
)
ENDED: Final = tuple(status.value for status in S if LIFECYCLE.is_final(status))
ERASED: Final = "erased"
"""What stands for the `user_id` of somebody whose name was taken out."""


class AmountBelowMinimum(Refused, code="amount_below_minimum"):
    """The amount is below the smallest payout."""


class AmountAboveMaximum(Refused, code="amount_above_maximum"):
    """The amount is above the largest payout."""


class KycNotVerified(Refused, code="kyc_not_verified"):
    """Nothing proves that this recipient is verified."""


class RouteCurrency(Refused, code="route_currency"):
    """This route pays USDT only; TRX goes by the direct route."""


class RouteUnavailable(Refused, code="route_unavailable"):
    """No router contract is configured for this route."""


class RecipientRefused(Refused, code="recipient_refused"):
    """This address may not be paid."""


class RecipientBlacklisted(RecipientRefused, code="recipient_blacklisted"):
    """The token's issuer has blacklisted this recipient: the money could never move again."""


class RecipientIsContract(RecipientRefused, code="recipient_is_contract"):
    """The recipient is a contract."""


class RecipientIsOwn(RecipientRefused, code="recipient_is_own"):
    """The recipient is one of our own addresses."""


class MerchantReferenceTaken(Conflict, code="merchant_reference_taken"):
    """A payout with this merchant reference exists; a reference is used once, for ever."""


class PayoutWouldRevert(Conflict, code="payout_would_revert"):
    """The payout would fail now; it would wait until it can succeed."""


class PayoutNotFound(NotFound, code="payout_not_found"):
    """There is no such payout, or it is not yours."""


class InvalidSearch(Refused, code="invalid_parameter"):
    """A search's value is not acceptable."""


class InvalidStatus(Refused, code="invalid_parameter"):
    """A payout has no such status."""


class NotRetryable(Conflict, code="not_retryable"):
    """Only what has failed and is proved unpaid can be tried again, as a new payout, once."""


class NotCancelable(Conflict, code="not_cancelable"):
    """The payout can no longer be canceled."""


ROUTE_UNAVAILABLE: Final = RouteUnavailable.code
"""What a payout waits for whose router was taken out of the settings."""

FOR_SOMEBODY: Final = frozenset(
    {
        ROUTE_UNAVAILABLE,
        "funds",
        "kill_switch",
        "fee_above_maximum",
        "fee_limit_outdated",
        "simulation_reverted",
        "token_fee_active",
        "token_deprecated",
        "recipient_blacklisted",
        "node_refused",
        "chain_contradiction",
        "unexplained_transaction",
        "journal_closed",
        "cannot_sign",
        "signer",
    }
)
"""What a payout waits for that does not go away by itself; signatures have a list of their own."""


POISONS: Final = frozenset(
    {
        "InvalidRecipient",
        "InvalidAmount",
        "NotDelivered",
        "AttestationExpired",
        "AttestationInvalid",
    }
)
"""Errors of the routers that time does not mend: the payment itself is wrong."""

RETRYABLE_REASONS: Final = POISONS | {
    "attempts_exhausted",
    RecipientRefused.code,
    RecipientIsContract.code,
    RecipientIsOwn.code,
    RecipientBlacklisted.code,
    RecipientNotAllowed.code,
}
"""Why a payout has failed that was never signed, or each of whose transactions is proved dead."""

RETRYABLE_KINDS: Final = ("receipt: ", "quarantine: ")
"""The same by beginnings: its own transaction stands in a solidified block and moved nothing; two
people closed it, and the chain proved that it was not paid."""


def is_retryable(reason: str) -> bool:
    """Whether a payout that failed for this reason may be paid anew.

    Only reasons are named here that prove by themselves that its money did not move and that
    nothing else stands for it. Where another payout took its merchant reference, that one pays it.
    A reason that is not known here proves nothing.
    """
    return reason in RETRYABLE_REASONS or reason.startswith(RETRYABLE_KINDS)


def has_failed_in(order: OrderStatus, reason: str) -> bool:
    """Whether an order in this status bears out that a payout in it failed for this reason.

    Who left a transaction that was called back finds it canceled; whom two people judged by the
    router's state finds the transaction settled, which paid the others.
    """
    match order:
        case OrderStatus.FAILED | OrderStatus.CANCELED:
            return True
        case OrderStatus.SETTLED:
            return reason.startswith("quarantine: ")
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a payout in the currency's smallest unit; both inclusive."""

    min_units: int
    max_units: int

    def check(self, amount: Amount) -> None:
        """
        Raises:
            AmountBelowMinimum, AmountAboveMaximum
        """
        if amount.units < self.min_units:
            raise AmountBelowMinimum(
                f"the smallest payout is {Amount(amount.asset, self.min_units)}", param="amount"
            )
        if amount.units > self.max_units:
            raise AmountAboveMaximum(
                f"the largest payout is {Amount(amount.asset, self.max_units)}", param="amount"
            )


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Which route and why; stored with the payout."""

    route: Route
    rule: str
    policy_version: int = POLICY_VERSION


def decide_route(
    asked: Route | None, body_says: bool | None, verified_by: str | None, amount: Amount
) -> RouteDecision:
    """Choose the route of a payout.

        asked    body says   proof of KYC   route
        none     true        yes            kyc
        none     true        no             422 kyc_not_verified
        none     false       any            v0
        none     nothing     yes / no       kyc / v0
        v0       any         any            v0
        kyc      any         yes / no       kyc / 422 kyc_not_verified
        direct   any         any            direct

    Args:
        asked: The route that the endpoint names; none for `initiate`, which never goes direct.
        body_says: `kyc_verified` of the request.
        verified_by: What proves the recipient's KYC (``claim`` or ``attestation``), if anything.

    Raises:
        KycNotVerified, RouteCurrency
    """
    if asked is Route.DIRECT:
        return RouteDecision(Route.DIRECT, "asked")
    if amount.asset == TRX:
        raise RouteCurrency(param="currency")
    if asked is Route.V0:
        return RouteDecision(Route.V0, "asked")
    wants_kyc = asked is Route.KYC or body_says is True
    if wants_kyc and verified_by is None:
        raise KycNotVerified(param="kyc_verified")
    if verified_by is None:
        return RouteDecision(Route.V0, "not verified")
    if body_says is False and asked is None:
        return RouteDecision(Route.V0, "the request says not verified")
    return RouteDecision(Route.KYC, f"verified by {verified_by}")


def status_of(order_status: OrderStatus, proof: str | None) -> PayoutStatus:
    """What an order's status means for a payout in it.

    A SKIPPED item found its on-chain reference taken (paid before, or canceled), and of a MISSING
    one the receipt says nothing: a human looks.
    """
    match order_status:
        case OrderStatus.QUEUED | OrderStatus.RESERVED:
            return PayoutStatus.QUEUED
        case OrderStatus.SETTLED if proof in (Proof.SKIPPED, Proof.MISSING):
            return PayoutStatus.QUARANTINED
        case _:
            return PayoutStatus(order_status.value)


def fee_source(fee_sun: int, energy_used: int, energy_burned_sun: int) -> str:
    """Where a payout's cost came from, by its receipt.

    TRX burned for   energy of the wallet   source
    energy           any                    burn
    anything else    yes                    mixed       energy was there, bandwidth was not
    nothing          yes                    own_energy  staked, or delegated to the wallet
    anything else    no                     burn        a TRX transfer, an activation
    nothing          no                     bandwidth   free or staked
    """
    if energy_burned_sun:
        return "burn"
    if energy_used:
        return "mixed" if fee_sun else "own_energy"
    return "burn" if fee_sun else "bandwidth"
