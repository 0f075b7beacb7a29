"""Payments of other kinds: accepted once, handed to the module that owns them (handovers.py)."""

from collections.abc import Callable
from typing import Any

from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.domain import OWN_KINDS
from tron_payment.gateway.handovers import Handover, Handovers, nothing
from tron_payment.gateway.transfers import outgoing_of, wish_of_own
from tron_payment.gateway.views import OtherRequest
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.principals import Principal
from tron_payment.usdt import Rules, TokenRegistry


class Processing:
    """Accepts payments of other kinds."""

    def __init__(
        self,
        *,
        idempotency: Idempotency,
        inserts: GroupInsert,
        engine: Engine,
        tokens: TokenRegistry,
        rules: Rules,
        handovers: Handovers,
    ) -> None:
        self._idempotency = idempotency
        self._inserts = inserts
        self._engine = engine
        self._tokens = tokens
        self._rules = rules
        self._handovers = handovers

    async def request(
        self,
        principal: Principal,
        key: str,
        asked: OtherRequest,
        *,
        operation: str,
        content: bytes,
        answer: Callable[[Payment], bytes],
    ) -> StoredAnswer:
        """Accept a payment once; a repeat gets the stored answer.

        Raises:
            MissingPermission: The kind's own.
            AppError: What the owning module refuses; nothing was stored then.
            InFlight: The same request is under way.
        """

        async def attempt() -> StoredAnswer:
            return await self._request(principal, key, asked, operation, content, answer)

        return await self._idempotency.once(principal.id, key, attempt)

    async def _request(
        self,
        principal: Principal,
        key: str,
        asked: OtherRequest,
        operation: str,
        content: bytes,
        answer: Callable[[Payment], bytes],
    ) -> StoredAnswer:
        payment_id = self._idempotency.object_id("inv", principal.id, key)
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        known = await store.by_id(payment_id) if earlier is not None else None
        handover = (
            Handover(known, nothing)
            if known is not None
            else await self._handovers.judge(principal, asked, payment_id)
        )

        async def accept() -> StoredAnswer:
            return await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=operation,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(handover.payment)),
                effect=lambda: self._accept(handover),
                object_ids=[payment_id],
                act=handover.payment.act(principal.role.value),
            )

        if known is not None or handover.payment.kind not in OWN_KINDS:
            return await accept()  # the owner counts its own
        return await self._rules.admit(outgoing_of(handover.payment, self._tokens), accept)

    async def _accept(self, handover: Handover) -> None:
        """Hand over, then store; the other way round where the object is our own."""
        payment = handover.payment
        if payment.kind not in OWN_KINDS:
            await handover.hand()
        if not await self._inserts.insert(payment):
            earlier = await store.by_id(payment.id)
            assert earlier is not None, payment.id
            if _content(earlier) != _content(payment):
                raise KeyReused
        if payment.kind in OWN_KINDS:
            await self._engine.place(wish_of_own(payment, self._tokens))


def _content(payment: Payment) -> tuple[Any, ...]:
    return (
        payment.kind,
        payment.currency,
        payment.units,
        payment.to_address,
        payment.call_data,
    )
