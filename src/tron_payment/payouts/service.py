"""Use cases of single payouts: ask for one, look at it, try again (decisions.py has the rest)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.money import Amount
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, NotProved, OrderStatus
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter, require
from tron_payment.http.principals import Principal
from tron_payment.http.twins import counted_at
from tron_payment.payouts import day_documents
from tron_payment.payouts import documents as store
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.decisions import Decisions
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import (
    CURRENCIES,
    ERASED,
    InvalidSearch,
    MerchantReferenceTaken,
    NotRetryable,
    PayoutNotFound,
    PayoutStatus,
    Route,
    has_failed_in,
    is_retryable,
)
from tron_payment.payouts.explain import WAITS
from tron_payment.payouts.judge import Judge, Judged
from tron_payment.payouts.known import Learner, PayoutWish
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.policy import limit_exceeded
from tron_payment.payouts.proofs import RouterProofs
from tron_payment.payouts.quotes import Quotes
from tron_payment.payouts.telling import MADE, Telling

CHANGE_ATTEMPTS_MAX: Final = 5
TXID_LENGTH: Final = 64

V = TypeVar("V")

log = structlog.get_logger()


class Payouts:
    """The payouts of this installation."""

    def __init__(
        self,
        *,
        clock: Clock,
        idempotency: Idempotency,
        engine: Engine,
        proofs: RouterProofs,
        inserts: GroupInsert,
        orders: OrderMaker,
        judge: Judge,
        learner: Learner,
        counting: Counting,
        quotes: Quotes,
        decisions: Decisions,
        announcer: Announcer,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._idempotency = idempotency
        self._engine = engine
        self._proofs = proofs
        self._inserts = inserts
        self._orders = orders
        self._judge = judge
        self._learner = learner
        self._counting = counting
        self._quotes = quotes
        self._decisions = decisions
        self._announcer = announcer
        self._telling = telling

    # ---- asking for one ----------------------------------------------------------------------

    async def judge(self, principal: Principal, wish: PayoutWish) -> Judged:
        """Decide whether and how a payout may be made; stores nothing.

        Raises:
            Refused, NotFound, Conflict, Unavailable: See `Judge.one`.
        """
        return await self._judge.one(principal, wish, "")

    async def request(
        self,
        principal: Principal,
        key: str,
        wish: PayoutWish,
        *,
        operation: str,
        content: bytes,
        answer: Callable[[Payout], bytes],
        retry_of: str | None = None,
    ) -> StoredAnswer:
        """Accept a payout once; a repeat gets the stored answer and never a second payout.

        Args:
            key: The idempotency key; the payout's id is derived from it and the principal.
            operation: The endpoint's name, whatever path it was reached by.
            content: The canonical request, for telling a repeat from a reuse of the key.
            answer: Writes the body of the 202.

        Raises:
            Refused, NotFound, Conflict, Unavailable: See `Judge.one`; nothing was stored then.
            InFlight: The same request is under way.
        """
        return await self._idempotency.once(
            principal.id,
            key,
            lambda: self._request(principal, key, wish, operation, content, answer, retry_of),
        )

    async def _request(
        self,
        principal: Principal,
        key: str,
        wish: PayoutWish,
        operation: str,
        content: bytes,
        answer: Callable[[Payout], bytes],
        retry_of: str | None,
    ) -> StoredAnswer:
        payout_id = self._idempotency.object_id("pay", principal.id, key)
        payout = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            payout = await store.by_id(payout_id, {})
        fresh, counted = payout is None, self._clock.now()
        if payout is None:
            payout = await self._judged(principal, wish, payout_id, retry_of)
            counted = self._clock.now()
            if breaches := await self._counting.count([payout]):
                raise limit_exceeded(breaches[payout_id])
        accepted = payout
        try:
            with counted_at(counted):
                stored = await self._idempotency.run(
                    principal_id=principal.id,
                    key=key,
                    operation=operation,
                    content=content,
                    answer=(HTTP_202_ACCEPTED, answer(accepted)),
                    effect=lambda: self._store(accepted),
                    object_ids=[payout_id],
                    act=accepted.act(principal.role.value),
                )
        except AppError as refusal:
            if fresh and refusal.status < 500:
                await self._counting.uncount([accepted])
            raise
        if fresh and stored.replayed:
            await self._counting.uncount_twin(accepted)
        self._learner.note(principal.id)
        return stored

    async def _judged(
        self, principal: Principal, wish: PayoutWish, payout_id: str, retry_of: str | None
    ) -> Payout:
        quote = await self._quotes.binding(principal, wish)
        if quote is not None:
            wish = replace(wish, max_fee_sun=quote.max_fee_sun)
        payout = (await self._judge.one(principal, wish, payout_id)).payout
        payout.retry_of = retry_of
        if quote is not None:
            payout.quoted_fee_sun = quote.expected_sun
        return payout

    async def _store(self, payout: Payout) -> None:
        """Store a judged payout and its order. Safe to repeat, whatever happened in between.

        Raises:
            MerchantReferenceTaken, NotRetryable: Another payout was faster.
        """
        if payout.status is PayoutStatus.AWAITING_APPROVAL:
            payout.untold = MADE
        try:
            created = await self._inserts.insert(payout)
        except DuplicateValue as taken:
            await self._explain(payout, taken)
            raise
        if not created:
            stored = await store.by_id(payout.id, {})
            assert stored is not None
            if _content(stored) != _content(payout):
                raise KeyReused
            payout = stored
        elif payout.untold is None:
            await self._announcer.made([payout])
        await self._telling.tell(payout)
        if payout.status is PayoutStatus.QUEUED:
            await self._engine.place(self._orders.wish([payout]))

    async def _explain(self, payout: Payout, taken: DuplicateValue) -> None:
        """Say who has the value that must be unique."""
        if payout.retry_of is not None and "retry_of" in taken.key_value:
            earlier = await store.retried_by(payout.retry_of)
            extra = {} if earlier is None else {"payout_id": earlier.id}
            raise NotRetryable("it was tried again already", extra=extra)
        if payout.merchant_reference is not None:
            earlier = await store.by_reference(payout.merchant_reference)
            extra = {} if earlier is None else {"payout_id": earlier.id}
            raise MerchantReferenceTaken(param="merchant_reference", extra=extra)

    async def retry(
        self,
        principal: Principal,
        key: str,
        payout_id: str,
        *,
        content: bytes,
        answer: Callable[[Payout], bytes],
    ) -> StoredAnswer:
        """Pay what a failed payout did not, as a new payout that names it; once for each.

        A merchant reference stays with the failed payout; so nobody else can take it meanwhile.

        Raises:
            PayoutNotFound
            NotRetryable: It has not failed, was tried again already, is not proved unpaid, or
                nobody knows any more whose it was.
            Refused, Conflict, Unavailable: As any payout.
        """
        old = await self.get(principal, payout_id)
        if old.route is Route.DIRECT:
            require(principal, "payout:direct")
        made = await store.retried_by(old.id)
        if made is None:
            await self._check_unpaid(old)
        elif made.id != self._idempotency.object_id("pay", principal.id, key):
            raise NotRetryable("it was tried again already", extra={"payout_id": made.id})
        wish = PayoutWish(
            user_id=old.user_id,
            recipient_address=old.recipient_address,
            amount=Amount(CURRENCIES[old.currency], old.units),
            route=old.route,
            wallet_id=old.wallet_id,
            priority=old.priority,
            max_fee_sun=old.max_fee_sun,
            metadata=dict(old.metadata),
        )
        return await self.request(
            principal,
            key,
            wish,
            operation="payouts.retry",
            content=content,
            answer=answer,
            retry_of=old.id,
        )

    async def _check_unpaid(self, old: Payout) -> None:
        """See that a payout has failed for a reason that proves it unpaid, as its order says, too.

        Raises:
            NotRetryable
            NodesUnavailable: Its order has settled, and the chain cannot be asked.
        """
        if old.status is not PayoutStatus.FAILED:
            raise NotRetryable(f"it is {old.status.value}")
        if old.reference_taken_by is not None:
            raise NotRetryable(
                f"{old.reference_taken_by} has its merchant reference and pays it",
                extra={"payout_id": old.reference_taken_by},
            )
        if old.reason == MerchantReferenceTaken.code:
            raise NotRetryable("another payout has its merchant reference and pays it")
        if old.user_id == ERASED:
            raise NotRetryable("whose it was is erased, so the recipient book cannot be asked")
        if not is_retryable(old.reason):
            raise NotRetryable(f"it failed for: {old.reason}, which does not prove it unpaid")
        order = await self._engine.find(old.order_id)
        if order is None or not has_failed_in(order.status, old.reason):
            raise NotRetryable("its order does not say that it is unpaid")
        if order.status is OrderStatus.SETTLED:  # people said so: the order's own router must, too
            try:
                found = await self._proofs.look(old)
            except NotProved as missing:
                raise NotRetryable(f"nothing proves it unpaid: {missing.detail}") from None
            if found.status is not PayoutStatus.FAILED:
                raise NotRetryable("the router that its order named has paid it")

    # ---- looking -----------------------------------------------------------------------------

    async def history(
        self,
        principal: Principal,
        page: PageRequest,
        view: Callable[[Payout], V],
        **search: str | None,
    ) -> Page[V]:
        """Payouts that the caller may see, newest first.

        Args:
            search: At most one field with what is looked for; see `documents.searching`.

        Raises:
            InvalidStatus: An unknown status.
            InvalidSearch: More than one field, or a wait that does not exist.
            InvalidCursor: Not from this list.
        """
        word = search.get("waiting_for")
        if word and word != store.SOMEBODY and word not in WAITS:
            words = ", ".join([store.SOMEBODY, *sorted(WAITS)])
            raise InvalidSearch(f"a payout waits for one of {words}", param="waiting_for")
        condition = store.searching(**search) | owner_filter(principal, "payouts")
        return await fetch_page(
            Payout,
            condition | store.showing(page.statuses),
            page,
            view,
            newest_first=True,
            hint=store.WAITING_INDEX if word else None,
        )

    async def get(self, principal: Principal, payout_id: str) -> Payout:
        """
        Raises:
            PayoutNotFound: No such payout, or another merchant's.
        """
        return await self._decisions.get(principal, payout_id)

    async def find(self, principal: Principal, name: str) -> Payout:
        """A payout by its id, or the first one in the transaction of this txid.

        Raises:
            PayoutNotFound
        """
        if len(name) != TXID_LENGTH:
            return await self.get(principal, name)
        payout = await store.by_txid(name, owner_filter(principal, "payouts"))
        if payout is None:
            raise PayoutNotFound
        return payout

    async def stats(self) -> dict[str, Any]:
        """Payouts by status."""
        return {"payouts": await day_documents.counts()}


def _content(payout: Payout) -> tuple[object, ...]:
    return (
        payout.principal,
        payout.recipient_address,
        payout.currency,
        payout.units,
        payout.merchant_reference,
        payout.retry_of,
    )


__all__ = ["Payouts"]
