"""Whether and how payouts may be made: one judge for single requests, dry runs and batches.

Nothing is stored here. Many wishes are judged together, so that ten thousand rows cost a handful
of queries; each gets its own answer: a payout ready to be stored, or its refusal.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.ids import derived_id
from tron_payment.core.money import Amount
from tron_payment.http.principals import Principal
from tron_payment.payouts import documents as store
from tron_payment.payouts.batch_documents import is_unexpanded_left
from tron_payment.payouts.documents import SWEEP_AFTER, Payout
from tron_payment.payouts.domain import (
    Limits,
    MerchantReferenceTaken,
    PayoutStatus,
    Route,
    RouteDecision,
    decide_route,
    fee_cap,
)
from tron_payment.payouts.limits import (
    Breach,
    Hold,
    RollingLimits,
    Window,
    fresh_hold,
    scopes_of,
)
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.policy import (
    BURST_COUNT,
    BURST_WINDOW,
    Facts,
    Policy,
    Verdict,
    evaluate,
    intent_hash,
)
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.payouts.recipients import Recipient, Recipients
from tron_payment.payouts.screen import (
    REFUSALS,
    ROWS_AT_ACCEPTANCE_MAX,
    Screen,
    ScreeningAway,
)
from tron_payment.wallets import WalletForSigning, Wallets

REFUSAL_ORDER: Final = (422, 404, 409, 503)
"""Which of several refusals is told."""

PAYOUT_PREFIX: Final = "pay_"
PRINCIPALS_MAX: Final = 10_000
"""Whose recent requests are remembered for the burst flag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutWish:
    """A payout as a caller asks for it, read and typed, not yet judged."""

    user_id: str
    recipient_address: str
    amount: Amount
    route: Route | None = None
    kyc_verified: bool | None = None
    merchant_reference: str | None = None
    wallet_id: str | None = None
    priority: str = "normal"
    max_fee_sun: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    quote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A wish that may be carried out: the document, and why it goes which way."""

    payout: Payout
    decision: RouteDecision
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Known:
    """What the store and the chain say about all wishes of one call."""

    policy: Policy
    now: datetime
    book: Mapping[str, Recipient]
    verdicts: Mapping[Address, str | None]
    wallets: Mapping[str | None, WalletForSigning | AppError]
    references: Mapping[str, str]
    payees: Mapping[str, set[str]]
    allowed: Mapping[str, datetime]
    recent: int


class Judge:
    """Decides about payouts."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        wallets: Wallets,
        screen: Screen,
        orders: OrderMaker,
        desk: PolicyDesk,
        recipients: Recipients,
        limits: Limits,
        rolling: RollingLimits,
        max_fee_sun: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._wallets = wallets
        self._screen = screen
        self._orders = orders
        self._desk = desk
        self._recipients = recipients
        self._limits = limits
        self._rolling = rolling
        self._max_fee_sun = max_fee_sun
        self._recent: dict[str, deque[datetime]] = {}

    async def one(self, principal: Principal, wish: PayoutWish, payout_id: str) -> Judged:
        """Judge a single payout.

        Raises:
            Refused: Amount, address, KYC, currency, recipient or policy.
            NotFound, Conflict: Wallet, merchant reference.
            Unavailable: The chain cannot be asked about the recipient.
        """
        (answer,) = await self.many(principal, [(payout_id, wish)], ask_now=True)
        if isinstance(answer, AppError):
            raise answer
        return answer

    async def many(
        self,
        principal: Principal,
        wishes: Sequence[tuple[str, PayoutWish]],
        *,
        ask_now: bool = False,
    ) -> list[Judged | AppError]:
        """Judge payouts by their future ids; the answers in the same order.

        Args:
            ask_now: A recipient about whom the chain does not answer is refused (503); otherwise
                the engine's gate asks again before anything is signed.
        """
        known = await self._learn(principal, [wish for _, wish in wishes], ask_now)
        answers: list[Judged | AppError] = []
        used: dict[str, str] = {}
        for payout_id, wish in wishes:
            answer = self._judge(principal, payout_id, wish, known, used, ask_now)
            if isinstance(answer, Judged) and wish.merchant_reference is not None:
                used[wish.merchant_reference] = payout_id
            answers.append(answer)
        return answers

    async def count(self, payouts: Sequence[Payout]) -> dict[str, Breach]:
        """Count payouts against the rolling limits; the breaches by payout id.

        Those that fit carry their hold from here on.
        """
        policy = await self._desk.current()
        if not policy.ceilings:
            return {}
        now = self._clock.now()
        holds = [
            fresh_hold(p.id, p.currency, p.units, now, scopes_of(p.principal, r, p.wallet_id))
            for p in payouts
            for r in (p.recipient_address,)
        ]
        breaches = await self._rolling.hold(holds, policy.ceilings)
        for payout, hold in zip(payouts, holds, strict=True):
            if hold.hold_id not in breaches:
                payout.hold_id = hold.hold_id
        names = {hold.hold_id: hold.payout_id for hold in holds}
        return {names[hold_id]: breach for hold_id, breach in breaches.items()}

    async def uncount(self, payouts: Sequence[Payout]) -> None:
        """They were not accepted after all."""
        await self._rolling.release([p.hold_id for p in payouts if p.hold_id is not None])

    async def count_earlier(self, policy: Policy) -> None:
        """Before a policy with limits: count what was promised within the longest window."""
        if not policy.ceilings:
            return
        since = self._clock.now().timestamp() - Window.MONTH.length_s
        holds: list[Hold] = []
        async for p in store.promised_since(
            datetime.fromtimestamp(since, self._clock.now().tzinfo)
        ):
            scopes = scopes_of(p.principal, p.recipient_address, p.wallet_id)
            hold = fresh_hold(p.id, p.currency, p.units, p.created_at, scopes)
            holds.append(
                Hold(p.hold_id or p.id, p.id, hold.currency, hold.units, hold.at_ms, hold.scopes)
            )
        await self._rolling.open(holds)

    async def uncount_abandoned(self) -> bool:
        """Release what died between being counted and becoming a payout; False when none is old.

        Rows of a batch that is not carried out yet are no payouts yet: then nothing is judged.
        """
        if await is_unexpanded_left():
            return False
        old = [h for h in await self._rolling.abandoned() if h.payout_id.startswith(PAYOUT_PREFIX)]
        kept = await store.holds_of([hold.payout_id for hold in old])
        await self._rolling.release(
            [h.hold_id for h in old if h.hold_id not in (kept.get(h.payout_id), h.payout_id)]
        )
        return bool(old)

    def note(self, principal_id: str, count: int = 1) -> None:
        """Remember that a principal has made payouts, for the burst flag."""
        if len(self._recent) > PRINCIPALS_MAX:
            self._recent.clear()
        times = self._recent.setdefault(principal_id, deque(maxlen=BURST_COUNT + 1))
        times.extend([self._clock.now()] * min(count, BURST_COUNT + 1))

    async def _learn(
        self, principal: Principal, wishes: Sequence[PayoutWish], ask_now: bool
    ) -> Known:
        now, policy = self._clock.now(), await self._desk.current()
        addresses = list({a: None for wish in wishes if (a := _address(wish)) is not None})
        verdicts = dict(await self._screen.local_many(addresses))
        clean = [address for address, code in verdicts.items() if code is None]
        if ask_now or len(clean) <= ROWS_AT_ACCEPTANCE_MAX:
            answered = await self._screen.verdicts(clean, young=not ask_now)
            for address in clean:
                if address in answered:
                    verdicts[address] = answered[address]
                elif ask_now:
                    del verdicts[address]
        references = [w.merchant_reference for w in wishes if w.merchant_reference is not None]
        return Known(
            policy=policy,
            now=now,
            book=await self._recipients.of_users([wish.user_id for wish in wishes]),
            verdicts=verdicts,
            wallets=await self._wallets_of(principal, {wish.wallet_id for wish in wishes}),
            references=await store.taken_references(references) if references else {},
            payees=await store.payees_like(addresses),
            allowed=await self._desk.allowed_at(addresses) if policy.allow_list else {},
            recent=self._recently(principal.id, now),
        )

    async def _wallets_of(
        self, principal: Principal, wallet_ids: Iterable[str | None]
    ) -> dict[str | None, WalletForSigning | AppError]:
        found: dict[str | None, WalletForSigning | AppError] = {}
        for wallet_id in wallet_ids:
            try:
                found[wallet_id] = await self._wallets.signing_wallet(wallet_id, principal)
            except AppError as refusal:
                found[wallet_id] = refusal
        return found

    def _judge(
        self,
        principal: Principal,
        payout_id: str,
        wish: PayoutWish,
        known: Known,
        used: Mapping[str, str],
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
        wallet = known.wallets[wish.wallet_id]
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

    def _recently(self, principal_id: str, now: datetime) -> int:
        times = self._recent.get(principal_id, ())
        return sum(1 for at in times if now - at < BURST_WINDOW)


def _address(wish: PayoutWish) -> Address | None:
    try:
        return parse_address(wish.recipient_address)
    except AppError:
        return None


def _verified_by(
    principal: Principal, entry: Recipient | None, recipient: Address, now: datetime
) -> str | None:
    if principal.kyc:
        return "claim"
    if entry is not None and entry.vouches_for(recipient, now):
        return "attestation"
    return None


def _facts(recipient: Address, wish: PayoutWish, known: Known) -> Facts:
    alike = known.payees.get(store.look_of(recipient), set())
    return Facts(
        currency=wish.amount.asset.code,
        units=wish.amount.units,
        recipient=recipient,
        now=known.now,
        paid_before=recipient in alike,
        look_alikes=tuple(sorted(alike - {recipient})),
        recent_payouts=known.recent,
        allowed_at=known.allowed.get(recipient),
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
