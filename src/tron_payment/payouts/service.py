"""Use cases of single payouts: ask for one, look at it, approve, reject, cancel, try again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Conflict
from tron_payment.core.money import Amount
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, compare_and_set
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, OrderFinished, OrderShown, OrderSigned
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter, require
from tron_payment.http.principals import Principal
from tron_payment.payouts import documents as store
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.documents import CANCELED_BY_HAND, Payout
from tron_payment.payouts.domain import (
    CURRENCIES,
    LIFECYCLE,
    MerchantReferenceTaken,
    NotCancelable,
    NotRetryable,
    PayoutNotFound,
    PayoutStatus,
    Route,
)
from tron_payment.payouts.judge import Judge, Judged, PayoutWish
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.outcomes import Outcomes
from tron_payment.payouts.policy import (
    ApprovalExpired,
    IntentChanged,
    NotAwaitingApproval,
    check_approver,
    limit_exceeded,
)
from tron_payment.payouts.quotes import Quotes

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
        inserts: GroupInsert,
        audit: Audit,
        orders: OrderMaker,
        judge: Judge,
        quotes: Quotes,
        outcomes: Outcomes,
        announcer: Announcer,
    ) -> None:
        self._clock = clock
        self._idempotency = idempotency
        self._engine = engine
        self._inserts = inserts
        self._audit = audit
        self._orders = orders
        self._judge = judge
        self._quotes = quotes
        self._outcomes = outcomes
        self._announcer = announcer

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
        """
        payout_id = self._idempotency.object_id("pay", principal.id, key)
        payout = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            payout = await store.by_id(payout_id, {})
        fresh = payout is None
        if payout is None:
            payout = await self._accept(principal, wish, payout_id, retry_of)
        accepted = payout
        try:
            stored = await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=operation,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(accepted)),
                effect=lambda: self._store(accepted),
                object_ids=[payout_id],
            )
        except AppError as refusal:
            if fresh and refusal.status < 500:
                await self._judge.uncount([accepted])
            raise
        if fresh and stored.replayed and accepted.hold_id is not None:
            await self._uncount_twin(accepted)
        self._judge.note(principal.id)
        return stored

    async def _accept(
        self, principal: Principal, wish: PayoutWish, payout_id: str, retry_of: str | None
    ) -> Payout:
        quote = await self._quotes.binding(principal, wish)
        if quote is not None:
            wish = replace(wish, max_fee_sun=quote.max_fee_sun)
        payout = (await self._judge.one(principal, wish, payout_id)).payout
        payout.retry_of = retry_of
        if quote is not None:
            payout.quoted_fee_sun = quote.expected_sun
        breaches = await self._judge.count([payout])
        if breaches:
            raise limit_exceeded(breaches[payout_id])
        return payout

    async def _uncount_twin(self, ours: Payout) -> None:
        """The same request, a moment earlier, was counted and stored: ours counts no more."""
        stored = await store.by_id(ours.id, {})
        if stored is not None and stored.hold_id != ours.hold_id:
            await self._judge.uncount([ours])

    async def _store(self, payout: Payout) -> None:
        """Store a judged payout and its order. Safe to repeat, whatever happened in between.

        Raises:
            MerchantReferenceTaken, NotRetryable: Another payout was faster.
        """
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
        else:
            await self._announcer.made([payout])
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

        Raises:
            PayoutNotFound
            NotRetryable: It has not failed, or was tried again already.
            Refused, Conflict, Unavailable: As any payout.
        """
        old = await self.get(principal, payout_id)
        if old.route is Route.DIRECT:
            require(principal, "payout:direct")
        if old.status is not PayoutStatus.FAILED:
            raise NotRetryable(f"it is {old.status.value}")
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

    # ---- looking -----------------------------------------------------------------------------

    async def history(
        self,
        principal: Principal,
        page: PageRequest,
        view: Callable[[Payout], V],
        **where: str,
    ) -> Page[V]:
        """Payouts that the caller may see, newest first.

        Args:
            where: Fields that must have these values, such as `route`.

        Raises:
            InvalidStatus: An unknown status.
            InvalidCursor: Not from this list.
        """
        condition: dict[str, Any] = {**where, **owner_filter(principal, "payouts")}
        return await fetch_page(
            Payout, condition | store.showing(page.statuses), page, view, newest_first=True
        )

    async def get(self, principal: Principal, payout_id: str) -> Payout:
        """
        Raises:
            PayoutNotFound: No such payout, or another merchant's.
        """
        payout = await store.by_id(payout_id, owner_filter(principal, "payouts"))
        if payout is None:
            raise PayoutNotFound
        return payout

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
        return {"payouts": await store.counts()}

    # ---- approvals ---------------------------------------------------------------------------

    async def approve(
        self, principal: Principal, payout_id: str, order_hash: str | None = None
    ) -> Payout:
        """Approve what waits for it; the last approval needed queues the payout.

        Args:
            order_hash: What the approver has seen; must be what would be paid.

        Raises:
            PayoutNotFound
            OwnApproval, NotAnApprover
            NotAwaitingApproval, ApprovalExpired, IntentChanged
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            payout = await self._waiting(principal, payout_id)
            if principal.id in [each["by"] for each in payout.approvals]:
                return payout
            if payout.status is not PayoutStatus.AWAITING_APPROVAL:
                raise NotAwaitingApproval(f"it is {payout.status.value}")
            check_approver(principal.id, payout.principal, payout.approvers)
            now = self._clock.now()
            if payout.approval_until is not None and now >= payout.approval_until:
                raise ApprovalExpired
            if order_hash is not None and order_hash != payout.intent_hash:
                raise IntentChanged(param="order_hash", extra={"order_hash": payout.intent_hash})
            vote = {
                "by": principal.id,
                "role": principal.role.value,
                "at": now,
                "order_hash": payout.intent_hash,
            }
            enough = len(payout.approvals) + 1 >= payout.approvals_needed
            try:
                if enough:
                    changed = await store.move(
                        payout,
                        PayoutStatus.QUEUED,
                        now,
                        push={"approvals": vote},
                        sweep_at=now,
                    )
                else:
                    changed = await compare_and_set(
                        Payout,
                        payout.id,
                        version=payout.version,
                        where={"status": payout.status.value},
                        set={"updated_at": now},
                        push={"approvals": vote},
                    )
            except LostRace:
                continue
            await self._note(principal, "payout.approve", changed)
            if enough:
                await self._announce(changed, "approved")
                await self._engine.place(self._orders.wish([changed]))
            return changed
        raise LostRace("the payout keeps moving; try again")

    async def reject(self, principal: Principal, payout_id: str, reason: str) -> Payout:
        """Say no to a payout that waits for approval; saying it again changes nothing.

        Raises:
            PayoutNotFound, NotAwaitingApproval
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            payout = await self._waiting(principal, payout_id)
            if payout.status is PayoutStatus.REJECTED:
                return payout
            if payout.status is not PayoutStatus.AWAITING_APPROVAL:
                raise NotAwaitingApproval(f"it is {payout.status.value}")
            try:
                rejected = await self._end_waiting(
                    payout, PayoutStatus.REJECTED, reason or "rejected"
                )
            except LostRace:
                continue
            await self._note(principal, "payout.reject", rejected)
            return rejected
        raise LostRace("the payout keeps moving; try again")

    async def _waiting(self, principal: Principal, payout_id: str) -> Payout:
        payout = await self.get(principal, payout_id)
        if payout.batch_id is not None:
            raise NotAwaitingApproval(f"the batch {payout.batch_id} is approved as a whole")
        return payout

    async def _end_waiting(self, payout: Payout, target: PayoutStatus, reason: str) -> Payout:
        """End a payout that has no order yet."""
        ended = await store.move(payout, target, self._clock.now(), reason=reason)
        await self._announce(ended, "ended")
        await self._judge.uncount([ended])
        return ended

    # ---- calling back ------------------------------------------------------------------------

    async def cancel(self, principal: Principal, payout_id: str) -> Payout:
        """Cancel a payout that is not signed; canceling it again changes nothing.

        A payout of a batch leaves its transaction, and the others go on in a new one.

        Raises:
            PayoutNotFound: No such payout, or another merchant's.
            NotCancelable: Signed or finished.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            payout = await self.get(principal, payout_id)
            if payout.status is PayoutStatus.CANCELED:
                return payout
            try:
                if payout.status is PayoutStatus.AWAITING_APPROVAL:
                    return await self._end_waiting(payout, PayoutStatus.CANCELED, "canceled")
                if LIFECYCLE.is_final(payout.status):
                    raise NotCancelable(f"it is {payout.status.value}")
                await self._call_back(payout)
            except LostRace:
                continue
            await self._note(principal, "payout.cancel", payout)
            order = await self._engine.find(payout.order_id)
            assert order is not None
            await self._outcomes.follow([order])
            return await self.get(principal, payout_id)
        raise LostRace("the payout keeps moving; try again")

    async def _call_back(self, payout: Payout) -> None:
        """
        Raises:
            NotCancelable: Too late.
            LostRace: It has gone into another transaction meanwhile.
        """
        order = await self._engine.find(payout.order_id)
        if order is None:
            if payout.batch_id is not None:
                raise NotCancelable("its batch is still being put together; try again shortly")
            await self._engine.place(self._orders.wish([payout]))
            order = await self._engine.find(payout.order_id)
            assert order is not None
        several = len(order.expects) > 1
        if several:
            await store.mark_ejected(order.id, {payout.id: CANCELED_BY_HAND})
        try:
            await self._engine.cancel(order.id)
        except OrderShown as refusal:  # the mark stays: it leaves when the bytes have expired
            raise NotCancelable(refusal.detail) from None
        except (OrderSigned, OrderFinished) as refusal:
            if several:
                await store.unmark_ejected(order.id, [payout.id])
                again = await store.by_id(payout.id, {})
                if again is not None and again.order_id != order.id:
                    raise LostRace("it has moved on") from None
            raise NotCancelable(refusal.detail) from None

    # ---- background --------------------------------------------------------------------------

    async def sweep(self) -> bool:
        """Finish halves: queued payouts whose order was not stored before the process died."""
        now = self._clock.now()
        waiting = await store.unswept(now)
        for payout in waiting:
            assert payout.batch_id is None, payout.id
            if await self._engine.find(payout.order_id) is None:
                log.warning("payout.order_missing", payout_id=payout.id, order_id=payout.order_id)
                await self._announcer.made([payout])
                await self._engine.place(self._orders.wish([payout]))
        await store.swept([payout.id for payout in waiting])
        overdue = await store.approval_overdue(now)
        for payout in overdue:
            try:
                await self._end_waiting(payout, PayoutStatus.REJECTED, ApprovalExpired.code)
            except Conflict:
                continue  # approved or canceled in this moment
        uncounted = await self._judge.uncount_abandoned()
        return bool(waiting or overdue or uncounted)

    async def _announce(self, payout: Payout, cause: str) -> None:
        event = self._announcer.event(
            payout,
            payout.status.value,
            cause,
            payout.version,
            payout.updated_at,
            reason=payout.reason or None,
        )
        await self._announcer.tell([event])

    async def _note(self, principal: Principal, action: str, payout: Payout) -> None:
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action=action,
                object_id=payout.id,
                after={"status": payout.status.value, "order_hash": payout.intent_hash},
                policy_version=str(payout.policy_version),
            )
        )


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
