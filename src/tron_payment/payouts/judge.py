"""Whether and how payouts may be made: one judge for single requests, dry runs and batches.

Nothing is stored here. Many wishes are judged together, so that ten thousand rows cost a handful
of queries; each gets its own answer: a payout ready to be stored, or its refusal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.ids import derived_id
from tron_payment.engine import fee_cap
from tron_payment.http.principals import Principal
from tron_payment.payouts.documents import SWEEP_AFTER, Payout
from tron_payment.payouts.domain import (
    Limits,
    MerchantReferenceTaken,
    PayoutStatus,
    Route,
    RouteDecision,
    decide_route,
)
from tron_payment.payouts.known import Known, Learner, PayoutWish
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.payee_documents import look_of
from tron_payment.payouts.policy import Facts, Verdict, evaluate, intent_hash
from tron_payment.payouts.recipients import Recipient
from tron_payment.payouts.screen import REFUSALS, ScreeningAway
from tron_payment.wallets import WalletForSigning

REFUSAL_ORDER: Final = (422, 404, 409, 503)
"""Which of several refusals is told."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A wish that may be carried out: the document, and why it goes which way."""

    payout: Payout
    decision: RouteDecision
    verdict: Verdict


class Judge:
    """Decides about payouts."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        learner: Learner,
        orders: OrderMaker,
        limits: Limits,
        max_fee_sun: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._learner = learner
        self._orders = orders
        self._limits = limits
        self._max_fee_sun = max_fee_sun

    async def one(self, principal: Principal, wish: PayoutWish, payout_id: str) -> Judged:
        """Judge a single payout.

        Raises:
            Refused: Amount, address, KYC, currency, recipient or policy.
            NotFound, Conflict: Wallet, merchant reference.
            Unavailable: The chain cannot be asked about the recipient.
        """
        known = await self._learner.one(principal, wish)
        answer = self._judge(principal, payout_id, wish, known, {}, ask_now=True)
        if isinstance(answer, AppError):
            raise answer
        return answer

    async def many(
        self,
        principal: Principal,
        wishes: Sequence[tuple[str, PayoutWish]],
    ) -> list[Judged | AppError]:
        """Judge the payouts of a batch by their future ids; the answers in the same order.

        Recipients about whom the chain was not asked, or did not answer, are looked at by the
        engine's gate before anything is signed.
        """
        known = await self._learner.many(principal, [wish for _, wish in wishes], ask_now=False)
        answers: list[Judged | AppError] = []
        used: dict[str, str] = {}
        for payout_id, wish in wishes:
            answer = self._judge(principal, payout_id, wish, known, used, ask_now=False)
            if isinstance(answer, Judged) and wish.merchant_reference is not None:
                used[wish.merchant_reference] = payout_id
            answers.append(answer)
        return answers

    def _judge(
        self,
        principal: Principal,
        payout_id: str,
        wish: PayoutWish,
        known: Known,
        used: Mapping[str, str],
        *,
        ask_now: bool,
    ) -> Judged | AppError:
        try:
            recipient = parse_address(wish.recipient_address, param="recipient_address")
            self._limits.check(wish.amount)
            max_fee_sun = fee_cap(wish.max_fee_sun, self._max_fee_sun)
            decision = decide_route(
                wish.route,
                wish.kyc_verified,
                _verified_by(principal, known.book.get(wish.user_id), recipient, known.now),
                wish.amount,
            )
            if decision.route is not Route.DIRECT:
                self._orders.router(decision.route)
        except AppError as refusal:
            return refusal
        refusals: list[AppError] = []
        if recipient not in known.verdicts:
            assert ask_now
            refusals.append(ScreeningAway(retry_after_s=2))
        elif (code := known.verdicts[recipient]) is not None:
            refusals.append(REFUSALS[code](param="recipient_address"))
        verdict = evaluate(known.policy, _facts(recipient, wish, known))
        if verdict.refusal is not None:
            refusals.append(verdict.refusal)
        wallet = known.wallets[(principal, wish.wallet_id)]
        if isinstance(wallet, AppError):
            refusals.append(wallet)
        if (taken := _taken(wish, payout_id, known, used)) is not None:
            refusals.append(taken)
        if refusals:
            return min(refusals, key=lambda each: REFUSAL_ORDER.index(each.status))
        assert isinstance(wallet, WalletForSigning)
        payout = self._payout(
            principal, payout_id, wish, recipient, decision, verdict, wallet, max_fee_sun, known
        )
        return Judged(payout, decision, verdict)

    def _payout(
        self,
        principal: Principal,
        payout_id: str,
        wish: PayoutWish,
        recipient: Address,
        decision: RouteDecision,
        verdict: Verdict,
        wallet: WalletForSigning,
        max_fee_sun: int,
        known: Known,
    ) -> Payout:
        waits = verdict.approvals_needed > 0
        intent = (
            *(payout_id, recipient, wish.amount.asset.code, wish.amount.units),
            *(decision.route, wallet.wallet_id, wallet.address, max_fee_sun, wish.user_id),
        )
        return Payout(
            id=payout_id,
            principal=principal.id,
            user_id=wish.user_id,
            recipient_address=recipient,
            currency=wish.amount.asset.code,
            units=wish.amount.units,
            route=decision.route,
            decision_rule=decision.rule,
            decisions=verdict.stored(),
            policy_version=verdict.version,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            detached=wallet.detached,
            priority=wish.priority,
            max_fee_sun=max_fee_sun,
            merchant_reference=wish.merchant_reference,
            metadata=wish.metadata,
            flags=list(verdict.flags),
            quote_id=wish.quote_id,
            order_id=derived_id("ord", self._secret, payout_id),
            status=PayoutStatus.AWAITING_APPROVAL if waits else PayoutStatus.QUEUED,
            approvals_needed=verdict.approvals_needed,
            approvers=list(verdict.approvers),
            intent_hash=intent_hash(*intent),
            approval_until=known.now + known.policy.approval_lifetime if waits else None,
            sweep_at=None if waits else known.now + SWEEP_AFTER,
            created_at=known.now,
            updated_at=known.now,
        )


def _verified_by(
    principal: Principal, entry: Recipient | None, recipient: Address, now: datetime
) -> str | None:
    if principal.kyc:
        return "claim"
    if entry is not None and entry.vouches_for(recipient, now):
        return "attestation"
    return None


def _facts(recipient: Address, wish: PayoutWish, known: Known) -> Facts:
    alike = known.payees.get(look_of(recipient), set())
    entry = known.book.get(wish.user_id)
    return Facts(
        currency=wish.amount.asset.code,
        units=wish.amount.units,
        recipient=recipient,
        now=known.now,
        paid_before=recipient in alike,
        look_alikes=tuple(sorted(alike - {recipient})),
        recent_payouts=known.recent,
        allowed_at=known.allowed.get(recipient),
        booked_address=None if entry is None else entry.recipient_address,
        address_changed_at=None if entry is None else entry.address_changed_at,
    )


def _taken(
    wish: PayoutWish, payout_id: str, known: Known, used: Mapping[str, str]
) -> MerchantReferenceTaken | None:
    reference = wish.merchant_reference
    if reference is None:
        return None
    earlier = known.references.get(reference) or used.get(reference)
    if earlier is None or earlier == payout_id:
        return None
    return MerchantReferenceTaken(param="merchant_reference", extra={"payout_id": earlier})
