"""Follows payments that were handed over until they have ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from tron_payment.core.clock import Clock
from tron_payment.db.cas import LostRace
from tron_payment.engine import Engine, Order
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.domain import (
    ENDED,
    OWN_KINDS,
    PaymentKind,
    PaymentStatus,
    status_of_order,
)
from tron_payment.gateway.rounds import Round
from tron_payment.gateway.transfers import wish_of_own
from tron_payment.gateway.views import Viewer
from tron_payment.payouts import Payout, PayoutStatus
from tron_payment.usdt import TokenRegistry

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a payment is, as its owner says. `version` only grows."""

    version: int
    status: PaymentStatus
    waiting_for: str
    reason: str
    txid: str | None
    block_number: int | None
    fee_paid_sun: int | None


class Tracking:
    """Looks at what became of payments of other kinds."""

    def __init__(
        self, *, clock: Clock, engine: Engine, tokens: TokenRegistry, viewer: Viewer
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._tokens = tokens
        self._viewer = viewer
        self._round = Round()

    async def step(self) -> bool:
        """Look at what became of payments that have not ended; True when one had news."""
        moved = False
        payments = await store.tracked(self._round.skip)
        self._round.took(len(payments), store.TRACKED_AT_ONCE)
        for payment in payments:
            progress = await self._progress(payment)
            if progress is not None:
                moved |= await self._follow(payment, progress)
        return moved

    async def _progress(self, payment: Payment) -> Progress | None:
        """What the owner of a payment knows of it; None when there is nothing yet."""
        if payment.kind is PaymentKind.TRX:
            payout = await Payout.find_one({"_id": payment.subject})
            return None if payout is None else _of_payout(payout)
        assert payment.order_id is not None, payment.id
        order = await self._engine.find(payment.order_id)
        if order is None:
            if payment.kind in OWN_KINDS:
                log.warning("payment.order_missing", payment_id=payment.id)
                await self._engine.place(wish_of_own(payment, self._tokens))
            return None
        return _of_order(order)

    async def _follow(self, payment: Payment, progress: Progress) -> bool:
        known = (payment.status, payment.waiting_for, payment.txid, payment.reason)
        if known == (progress.status, progress.waiting_for, progress.txid, progress.reason):
            return False
        if payment.order_version > progress.version:
            return False
        changes: dict[str, Any] = {
            "status": progress.status.value,
            "order_version": progress.version,
            "waiting_for": progress.waiting_for,
            "reason": progress.reason,
        }
        optional = {
            "txid": progress.txid,
            "block_number": progress.block_number,
            "fee_paid_sun": progress.fee_paid_sun,
        }
        changes |= {name: value for name, value in optional.items() if value is not None}
        after = payment.model_copy(update=changes | {"status": progress.status})
        happenings = []
        if progress.status is not payment.status:
            kind = f"payment.{progress.status.value}"
            happenings.append((kind, self._viewer.describe(after)))
        unset: Sequence[str] = ("tracked",) if progress.status in ENDED else ()
        try:
            await store.change(payment, self._clock.now(), changes, happenings, unset)
        except LostRace:
            return False
        return True


def _of_order(order: Order) -> Progress:
    tried, outcome = order.tried, order.outcome
    return Progress(
        version=order.version,
        status=status_of_order(order.status),
        waiting_for=order.waiting_for,
        reason=order.reason,
        txid=tried[-1].txid if tried else None,
        block_number=outcome.block_number if outcome else None,
        fee_paid_sun=outcome.fee_sun if outcome else None,
    )


def _of_payout(payout: Payout) -> Progress:
    """An approval that is waited for is a payment that is queued."""
    waiting_for, reason = payout.waiting_for, payout.reason
    match payout.status:
        case PayoutStatus.AWAITING_APPROVAL:
            status, waiting_for = PaymentStatus.QUEUED, "approval"
        case PayoutStatus.REJECTED:
            status, reason = PaymentStatus.CANCELED, reason or "rejected"
        case other:
            status = PaymentStatus(other.value)
    return Progress(
        version=payout.version,
        status=status,
        waiting_for=waiting_for,
        reason=reason,
        txid=payout.txid,
        block_number=payout.block_number,
        fee_paid_sun=payout.fee_paid_sun,
    )
