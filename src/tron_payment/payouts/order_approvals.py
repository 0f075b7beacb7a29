"""People approve orders that are no payouts, where the policy's bands ask for it.

asked       before the order is accepted: a record under the order's id
gate        holds the order back, before funds are set aside and again before it is signed
approved    enough others have approved the hash of the order as it is; the gate lets it go
rejected    or not approved in time: the order fails, unpaid, and its module hears of it
"""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict, NotFound
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.engine import Engine, Order, contract_document
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts import order_approval_documents as store
from tron_payment.payouts.calls import CallReader
from tron_payment.payouts.order_approval_documents import (
    ApprovalState,
    OrderApproval,
    content_hash,
    order_hash,
)
from tron_payment.payouts.orders import MODULE
from tron_payment.payouts.policy import (
    ApprovalExpired,
    IntentChanged,
    NotAwaitingApproval,
    Policy,
    RecipientNotAllowed,
    Verdict,
    check_approver,
)
from tron_payment.payouts.policy_desk import PolicyDesk, was_listed
from tron_payment.usdt import Outgoing

WAITING_FOR: Final = "approval"
REJECTED: Final = "rejected"
CHANGE_ATTEMPTS_MAX: Final = 5

log = structlog.get_logger()


class ApprovalNotFound(NotFound, code="approval_not_found"):
    """No such order needs approvals."""


class OrderApprovals:
    """Asks, counts votes, and holds back."""

    def __init__(
        self, clock: Clock, engine: Engine, audit: Audit, desk: PolicyDesk, calls: CallReader
    ) -> None:
        self.calls = calls
        self._desk = desk
        self._clock = clock
        self._engine = engine
        self._audit = audit

    async def ask(self, going: Outgoing, verdict: Verdict, policy: Policy) -> None:
        """Store what people are asked about, before the order is accepted.

        An earlier request with the same key may have left a record and been refused: it takes
        what is asked now.
        """
        now = self._clock.now()
        asked = OrderApproval(
            id=going.order_id,
            object_id=going.object_id,
            principal=going.principal,
            wallet_id=going.wallet_id,
            recipient=going.recipient,
            currency=going.currency,
            units=going.units,
            content=content_hash(contract_document(going.contract)),
            needed=verdict.approvals_needed,
            approvers=list(verdict.approvers),
            until=now + policy.approval_lifetime,
            policy_version=verdict.version,
            listed=was_listed(verdict.stored()),
            created_at=now,
        )
        if not await insert_once(asked) and await self._engine.find(going.order_id) is None:
            found = await store.by_id(going.order_id)
            assert found is not None, going.order_id
            await store.restate(found, asked)

    async def waiting(self, principal: Principal) -> list[tuple[OrderApproval, Order]]:
        """What waits for people, oldest first; what was never accepted is left out, and others'
        from who does not see their transfers."""
        found = []
        for each in await store.waiting(owner_filter(principal, "transfers")):
            order = await self._engine.find(each.id)
            if order is not None and not order.attempts and _is_about(each, order):
                found.append((each, order))
        return found

    async def approve(
        self, principal: Principal, order_id: str, seen_hash: str | None
    ) -> tuple[OrderApproval, Order]:
        """Approve an order; the last approval needed lets it go.

        Args:
            seen_hash: What the approver has seen; must be the order's hash.

        Raises:
            ApprovalNotFound, OwnApproval, NotAnApprover
            NotAwaitingApproval, ApprovalExpired, IntentChanged
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            found, order = await self._find(order_id)
            if principal.id in [each["by"] for each in found.approvals]:
                return found, order
            if found.status is not ApprovalState.WAITING:
                raise NotAwaitingApproval(f"it is {found.status.value}")
            check_approver(principal.id, found.principal, found.approvers)
            now, digest = self._clock.now(), order_hash(order)
            if now >= found.until:
                raise ApprovalExpired
            differs = seen_hash is not None and seen_hash != digest
            if differs or not _is_about(found, order):
                raise IntentChanged(param="order_hash", extra={"order_hash": digest})
            vote = {
                "by": principal.id,
                "role": principal.role.value,
                "at": now,
                "order_hash": digest,
            }
            enough = len(found.approvals) + 1 >= found.needed
            try:
                changed = await store.decide(
                    found, vote=vote, target=ApprovalState.APPROVED if enough else None
                )
            except LostRace:
                continue
            await self._note(principal, "order.approve", changed, digest)
            return changed, order
        raise LostRace("the approvals keep changing; try again")

    async def reject(
        self, principal: Principal, order_id: str, reason: str
    ) -> tuple[OrderApproval, Order]:
        """Say no; the order fails at the gate. Saying it again changes nothing.

        Raises:
            ApprovalNotFound, NotAwaitingApproval
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            found, order = await self._find(order_id)
            if found.status is ApprovalState.REJECTED:
                return found, order
            if found.status is not ApprovalState.WAITING:
                raise NotAwaitingApproval(f"it is {found.status.value}")
            try:
                changed = await store.decide(
                    found, target=ApprovalState.REJECTED, reason=reason or REJECTED
                )
            except LostRace:
                continue
            await self._note(principal, "order.reject", changed, order_hash(order))
            await self._fail(order, changed.reason)
            return changed, order
        raise LostRace("the approvals keep changing; try again")

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Hold back what people have not approved, or not as it is; what goes to somebody who was
        taken off the allow-list meanwhile fails."""
        others = [order for order in orders if order.module != MODULE]
        records = await store.of_orders([order.id for order in others]) if others else {}
        listed = {each.recipient for each in records.values() if each.listed}
        off = await self._desk.off_the_list(listed)
        waiting: dict[str, str] = {}
        for order in others:
            found = records.get(order.id)
            if found is None:
                continue
            if found.listed and found.recipient in off:
                waiting[order.id] = WAITING_FOR
                await self._fail(order, RecipientNotAllowed.code)
                continue
            if _is_let_go(found, order):
                continue
            waiting[order.id] = WAITING_FOR
            if not _is_about(found, order) or found.status is ApprovalState.APPROVED:
                await self._fail(order, IntentChanged.code)  # also by another permission: ask anew
            elif found.status is ApprovalState.REJECTED:
                await self._fail(order, found.reason)
            elif found.status is ApprovalState.WAITING and self._clock.now() >= found.until:
                await self._expire(found, order)
        return waiting

    async def _expire(self, found: OrderApproval, order: Order) -> None:
        try:
            await store.decide(found, target=ApprovalState.REJECTED, reason=ApprovalExpired.code)
        except LostRace:
            return  # approved in this moment
        await self._fail(order, ApprovalExpired.code)

    async def _fail(self, order: Order, reason: str) -> None:
        try:
            await self._engine.refuse(order.id, reason)
        except Conflict:
            return  # it has ended otherwise
        log.info("order.not_approved", order_id=order.id, reason=reason)

    async def _find(self, order_id: str) -> tuple[OrderApproval, Order]:
        found, order = await store.by_id(order_id), await self._engine.find(order_id)
        if found is None or order is None:
            raise ApprovalNotFound
        return found, order

    async def _note(
        self, principal: Principal, action: str, found: OrderApproval, digest: str
    ) -> None:
        await self._audit.append(
            Act(
                actor=principal.id,
                role=principal.role.value,
                action=action,
                object_id=found.id,
                after={"status": found.status.value, "order_hash": digest},
                policy_version=str(found.policy_version),
            )
        )


def _is_about(found: OrderApproval, order: Order) -> bool:
    """Whether the order says what people are shown and asked about.

    Two requests with one key at the same time may ask about two things; one becomes the order.
    """
    return found.content == content_hash(order.contract)


def _is_let_go(found: OrderApproval, order: Order) -> bool:
    """Approved by enough people, and what they approved is what the order says now."""
    if not _is_about(found, order):
        return False
    digest = order_hash(order)
    votes = {each["by"] for each in found.approvals if each["order_hash"] == digest}
    return found.status is ApprovalState.APPROVED and len(votes) >= found.needed
