"""What people decide about single payouts: approve, reject, call back."""

from typing import Any, Final

import structlog

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, NotFound, Refused, Unavailable
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, compare_and_set
from tron_payment.db.grouped import GroupRead
from tron_payment.engine import (
    EndedInBlock,
    Engine,
    Order,
    OrderFinished,
    OrderShown,
    OrderSigned,
    PerhapsPaid,
)
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts import documents as store
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.apart import Unmade, wish_of
from tron_payment.payouts.documents import CANCELED_BY_HAND, Payout
from tron_payment.payouts.domain import (
    LIFECYCLE,
    ROUTE_UNAVAILABLE,
    NotCancelable,
    PayoutNotFound,
    PayoutStatus,
)
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.outcomes import Outcomes, parts
from tron_payment.payouts.policy import (
    ApprovalExpired,
    IntentChanged,
    NotAwaitingApproval,
    check_approver,
)
from tron_payment.payouts.telling import APPROVED, ENDED, Telling

CHANGE_ATTEMPTS_MAX: Final = 5
ENDINGS_READ_MAX: Final = 20
"""Audit entries that are looked at for who ended a payout; saying it again leaves some."""


log = structlog.get_logger()


async def who_ended(audit: Audit, payout: Payout) -> str:
    """Who called a payout back or said no to it; empty when nobody did, or it is not known.

    Raises:
        StoreUnavailable
    """
    verb = {PayoutStatus.CANCELED: "cancel", PayoutStatus.REJECTED: "reject"}.get(payout.status)
    if verb is None:
        return ""
    for kind, object_id in (("payout", payout.id), ("batch", payout.batch_id)):
        if object_id is None:
            continue
        where = {"object_id": object_id, "action": f"{kind}.{verb}"}
        entries = await audit.page(where, None, ENDINGS_READ_MAX)
        did = [each.actor for each in entries if "order_hash" in (each.after or {})]
        if did:
            return did[-1]  # the first who did it; the others changed nothing
    return ""


class Decisions:
    """Approvals, refusals and cancelations."""

    def __init__(
        self,
        *,
        clock: Clock,
        engine: Engine,
        audit: Audit,
        orders: OrderMaker,
        outcomes: Outcomes,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._audit = audit
        self._orders = orders
        self._unmade = Unmade(engine, orders)
        self._outcomes = outcomes
        self._telling = telling
        self._asked: GroupRead[str, dict[str, Any]] = GroupRead(store.raw_by_ids)

    async def get(self, principal: Principal, payout_id: str) -> Payout:
        """A payout as it is after it was asked for; who asks meanwhile shares the next query.

        Raises:
            PayoutNotFound: No such payout, or another merchant's.
            ReadsBusy, StoreUnavailable
        """
        raw = (await self._asked.ask([payout_id])).get(payout_id)
        owner = owner_filter(principal, "payouts")
        if raw is None or any(raw[name] != value for name, value in owner.items()):
            raise PayoutNotFound
        payout: Payout = Payout.model_validate(raw)  # each caller has one of its own
        return payout

    async def who_ended(self, payout: Payout) -> str:
        """As `who_ended` of this file."""
        return await who_ended(self._audit, payout)

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
            await self._telling.tell(payout)
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
                        untold=APPROVED,
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
                await self._telling.tell(changed)
                await self._engine.place(self._orders.wish([changed]))
            return changed
        raise LostRace("the payout keeps moving; try again")

    async def reject(self, principal: Principal, payout_id: str, reason: str) -> Payout:
        """Say no to a payout that waits for approval; saying it again changes nothing.

        Raises:
            PayoutNotFound, NotAwaitingApproval
            PerhapsPaid, Unavailable: As `Engine.see_unpaid`.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            payout = await self._waiting(principal, payout_id)
            await self._telling.tell(payout)
            if payout.status is PayoutStatus.REJECTED:
                return payout
            if payout.status is not PayoutStatus.AWAITING_APPROVAL:
                raise NotAwaitingApproval(f"it is {payout.status.value}")
            try:
                rejected = await self.end_waiting(
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

    async def end_waiting(self, payout: Payout, target: PayoutStatus, reason: str) -> Payout:
        """End a payout that has no order yet.

        Raises:
            LostRace: It was approved or ended in this moment.
            PerhapsPaid, Unavailable: As `Engine.see_unpaid`: in a restored store it may be older
                than its approval and its order. Nothing has changed.
        """
        try:
            await self._engine.see_unpaid([payout.order_id])
        except PerhapsPaid:
            again = await store.by_id(payout.id, {})
            if again is None or again.version != payout.version:
                raise LostRace("it has moved on; try again") from None  # before its order was there
            raise
        await self._telling.tell(payout)  # of what was done before, if nobody has
        now = self._clock.now()
        ended = await store.move(payout, target, now, reason=reason, untold=ENDED)
        await self._telling.tell(ended)
        return ended

    # ---- calling back ------------------------------------------------------------------------

    async def cancel(self, principal: Principal, payout_id: str) -> Payout:
        """Cancel a payout that is not signed; canceling it again changes nothing.

        A payout of a batch leaves its transaction, and the others go on in a new one.

        Raises:
            PayoutNotFound: No such payout, or another merchant's.
            NotCancelable: Signed or finished.
            LostRace: It keeps moving, and stays as it is: to be asked again.
            PerhapsPaid, Unavailable: As `Engine.cancel`.
        """
        lost, is_noted = LostRace("the payout keeps moving; try again"), False
        for _ in range(CHANGE_ATTEMPTS_MAX):
            payout = await self.get(principal, payout_id)
            await self._telling.tell(payout)
            if payout.status is PayoutStatus.CANCELED:
                return payout
            try:
                if payout.status is PayoutStatus.AWAITING_APPROVAL:
                    ended = await self.end_waiting(payout, PayoutStatus.CANCELED, "canceled")
                    await self._note(principal, "payout.cancel", ended)
                    return ended
                if LIFECYCLE.is_final(payout.status):
                    raise NotCancelable(f"it is {payout.status.value}")
                await self._call_back(payout)
            except LostRace as race:
                lost = race
                continue
            if not is_noted:
                await self._note(principal, "payout.cancel", payout)
                is_noted = True
            order = await self._engine.find(payout.order_id)
            assert order is not None
            try:
                await self._outcomes.follow([order])
            except (Conflict, NotFound, Refused) as refusal:  # told again by the engine: see below
                log.info("payout.follows_later", order_id=order.id, reason=refusal.detail)
        payout = await self.get(principal, payout_id)
        if payout.status is PayoutStatus.CANCELED:
            return payout
        raise lost

    async def _call_back(self, payout: Payout) -> None:
        """Cancel its order, or mark it to leave one that it shares.

        A mark stays while it can still come true: a shared order that has ended unpaid parts, and
        what is marked then leaves.

        Raises:
            NotCancelable: Too late.
            LostRace: It has gone into another transaction meanwhile, or cannot be told now.
        """
        order = await self._engine.find(payout.order_id)
        if order is None:
            order = await self._never_made(payout)
        several = len(order.expects) > 1
        if several:
            await following.mark_ejected(order.id, {payout.id: CANCELED_BY_HAND})
            await self._check_still_in(payout, order.id)
        try:
            await self._engine.cancel(order.id)
        except OrderShown as refusal:  # the mark stays: it leaves when the bytes have expired
            raise NotCancelable(refusal.detail) from None
        except (Conflict, Unavailable) as refusal:
            if several:
                ended = await self._engine.find(order.id)
                if ended is not None and parts(ended):
                    return
                await following.unmark_ejected(order.id, [payout.id])
                await self._check_still_in(payout, order.id)
            if isinstance(refusal, OrderSigned | OrderFinished):
                raise NotCancelable(refusal.detail) from None
            raise

    async def _never_made(self, payout: Payout) -> Order:
        """The order that was not made yet: as canceled, or as another made it in this moment.

        Raises:
            NotCancelable: It is still being put together.
            LostRace: It has gone into another transaction meanwhile.
        """
        if payout.batch_id is None:
            try:
                await self._engine.forgo([self._orders.forgone([payout])])
            except EndedInBlock:  # nobody signs it, and who reads that block once more finds it
                await self._engine.place(await wish_of(self._orders, [payout]))
                raise
        elif payout.waiting_for == ROUTE_UNAVAILABLE:
            await following.mark_ejected(payout.order_id, {payout.id: CANCELED_BY_HAND})
            await self._check_still_in(payout, payout.order_id)
            try:
                await self._unmade.forgo(payout.order_id)
            except (Conflict, Unavailable):
                await following.unmark_ejected(payout.order_id, [payout.id])
                raise
        order = await self._engine.find(payout.order_id)
        if order is None:
            raise NotCancelable("its batch is still being put together; try again shortly")
        return order

    async def _check_still_in(self, payout: Payout, order_id: str) -> None:
        """
        Raises:
            LostRace: It has left this order, or ended.
        """
        again = await store.by_id(payout.id, {})
        if again is None or again.order_id != order_id or LIFECYCLE.is_final(again.status):
            raise LostRace("it has moved on; try again")

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
