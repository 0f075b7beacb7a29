"""What the store and the chain say about payouts that are asked for, learnt for many at once.

Ten thousand rows of a batch, or fifty callers with one payout each at the same moment, cost the
same handful of queries. Every answer is younger than its question.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.money import Amount
from tron_payment.db.grouped import GroupRead
from tron_payment.http.principals import Principal
from tron_payment.payouts import documents as store
from tron_payment.payouts.domain import Route
from tron_payment.payouts.payee_documents import payees_like
from tron_payment.payouts.policy import BURST_COUNT, BURST_WINDOW, Policy
from tron_payment.payouts.policy_desk import PolicyDesk
from tron_payment.payouts.recipients import Recipient, Recipients
from tron_payment.payouts.screen import ROWS_AT_ACCEPTANCE_MAX, Screen
from tron_payment.wallets import WalletForSigning, Wallets

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


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A principal's wish about which everything must be known."""

    principal: Principal
    wish: PayoutWish


Paying = WalletForSigning | AppError
"""The wallet that would pay, or why none would."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store and the chain say about all wishes of one call."""

    policy: Policy
    now: datetime
    book: Mapping[str, Recipient]
    verdicts: Mapping[Address, str | None]
    wallets: Mapping[tuple[Principal, str | None], Paying]
    references: Mapping[str, str]
    payees: Mapping[str, set[str]]
    allowed: Mapping[str, datetime]
    recent: int


class Learner:
    """Asks our books and the chain."""

    def __init__(
        self,
        *,
        clock: Clock,
        wallets: Wallets,
        screen: Screen,
        desk: PolicyDesk,
        recipients: Recipients,
    ) -> None:
        self._clock = clock
        self._wallets = wallets
        self._screen = screen
        self._desk = desk
        self._recipients = recipients
        self._recent: dict[str, deque[datetime]] = {}
        self._together: GroupRead[Question, Known] = GroupRead(self._answer_all)

    async def one(self, principal: Principal, wish: PayoutWish) -> Known:
        """About a single payout, asked together with those of other callers."""
        question = Question(principal, wish)
        known = (await self._together.ask([question]))[question]
        return replace(known, recent=self._recently(principal.id, known.now))

    async def many(
        self, principal: Principal, wishes: Sequence[PayoutWish], *, ask_now: bool
    ) -> Known:
        """About the payouts of one caller.

        Args:
            ask_now: Ask the chain about every recipient now, however many they are; one about
                whom it does not answer is left out of the verdicts.
        """
        questions = [Question(principal, wish) for wish in wishes]
        known = await self._learn(questions, ask_now)
        return replace(known, recent=self._recently(principal.id, known.now))

    def note(self, principal_id: str, count: int = 1) -> None:
        """Remember that a principal has made payouts, for the burst flag."""
        if len(self._recent) > PRINCIPALS_MAX:
            self._recent.clear()
        times = self._recent.setdefault(principal_id, deque(maxlen=BURST_COUNT + 1))
        times.extend([self._clock.now()] * min(count, BURST_COUNT + 1))

    async def _answer_all(self, questions: Sequence[Question]) -> Mapping[Question, Known]:
        return dict.fromkeys(questions, await self._learn(questions, ask_now=True))

    async def _learn(self, questions: Sequence[Question], ask_now: bool) -> Known:
        now, policy = self._clock.now(), await self._desk.current()
        wishes = [question.wish for question in questions]
        addresses = list({a: None for wish in wishes if (a := address_of(wish)) is not None})
        verdicts = dict(await self._screen.local_many(addresses))
        clean = [address for address, code in verdicts.items() if code is None]
        if ask_now or len(clean) <= ROWS_AT_ACCEPTANCE_MAX:
            answered = await self._screen.verdicts(clean, young=False, local=verdicts)
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
            wallets=await self._wallets_of({(q.principal, q.wish.wallet_id) for q in questions}),
            references=await store.taken_references(references) if references else {},
            payees=await payees_like(addresses),
            allowed=await self._desk.allowed_at(addresses) if policy.allow_list else {},
            recent=0,
        )

    async def _wallets_of(
        self, wanted: Iterable[tuple[Principal, str | None]]
    ) -> dict[tuple[Principal, str | None], Paying]:
        found: dict[tuple[Principal, str | None], Paying] = {}
        default: Paying | None = None
        for principal, wallet_id in wanted:
            if wallet_id is None and default is not None:
                found[(principal, wallet_id)] = default  # the same one for everybody
                continue
            try:
                wallet: Paying = await self._wallets.signing_wallet(wallet_id, principal)
            except AppError as refusal:
                wallet = refusal
            found[(principal, wallet_id)] = wallet
            if wallet_id is None:
                default = wallet
        return found

    def _recently(self, principal_id: str, now: datetime) -> int:
        times = self._recent.get(principal_id, ())
        return sum(1 for at in times if now - at < BURST_WINDOW)


def address_of(wish: PayoutWish) -> Address | None:
    """Who shall be paid; None when that is no address."""
    try:
        return parse_address(wish.recipient_address)
    except AppError:
        return None
