"""Drawing batches up: judged, counted and ready to be stored; nothing of a batch is stored here.

The acceptance keeps a draft until its batch is there (`http.idempotency.Promise`): whoever repeats
the request of a process that died in between stores the rows that were accepted then, all of them,
though fewer would be accepted today. What may be judged when they are sent is judged then.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Refused
from tron_payment.core.ids import derived_id
from tron_payment.core.money import decimal_text
from tron_payment.http.principals import Principal
from tron_payment.http.twins import IN_FLIGHT_RETRY_S, InFlight
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts.batch_answers import insert_own, own_batch
from tron_payment.payouts.batch_documents import Batch, BatchStatus
from tron_payment.payouts.batch_rows import RefusedRow, Upload
from tron_payment.payouts.batch_work import pieces
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import MerchantReferenceTaken, PayoutStatus
from tron_payment.payouts.judge import Judge, Judged
from tron_payment.payouts.orders import group
from tron_payment.payouts.policy import (
    DECIMALS,
    ApproversDiffer,
    LimitExceeded,
    PayoutCapExceeded,
    Policy,
    approval_by,
    bands_of,
    intent_hash,
    limit_exceeded,
)
from tron_payment.payouts.policy_desk import PolicyDesk


class NoGoodRow(Refused, code="no_good_row"):
    """Every row of the batch was refused."""


@dataclass(slots=True)
class Draft:
    """A batch that is not stored yet."""

    batch: Batch
    content: bytes
    """What an acceptance promises: the batch as it was drawn up first."""

    counted: list[Payout] = field(default_factory=list)
    """Rows that this request has counted against the limits."""

    counted_at: datetime | None = None
    """When this request has begun to count."""

    stored: bool = False
    """It is the batch that was stored, and this request has stored it."""

    async def store(self, promised: bytes | None = None) -> None:
        """Store the batch that was promised: this one, or that of whoever was accepted first.

        Raises:
            KeyReused: What is there is another's.
            InFlight: It is not there, and whoever was accepted first drew up another: what that
                one counted may be released by now (`Drafts.again`).
        """
        if promised is None or promised == self.content:
            self.stored = await insert_own(self.batch)
        elif await own_batch(self.batch.id, self.batch.schedule_id) is None:
            raise InFlight(retry_after_s=IN_FLIGHT_RETRY_S)


class Drafts:
    """Draws batches up."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        judge: Judge,
        counting: Counting,
        desk: PolicyDesk,
        batch_size: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._judge = judge
        self._counting = counting
        self._desk = desk
        self._batch_size = batch_size

    async def judge(
        self, principal: Principal, upload: Upload, batch_id: str = ""
    ) -> tuple[list[Judged], list[RefusedRow]]:
        """Judge every row; counts nothing."""
        good, refused = list[Judged](), list(upload.refused)
        references: dict[str, str] = {}
        for piece in pieces(upload.rows):
            wishes = [(self._payout_id(batch_id, row), wish) for row, wish in piece]
            answers = await self._judge.many(principal, wishes)
            for (row, wish), answer in zip(piece, answers, strict=True):
                earlier = references.get(wish.merchant_reference or "")
                if isinstance(answer, Judged) and earlier is not None:
                    answer = MerchantReferenceTaken(
                        "another row of this batch has it",
                        param="merchant_reference",
                        extra={"payout_id": earlier},
                    )
                if isinstance(answer, AppError):
                    refused.append(RefusedRow.of(row, answer))
                    continue
                if wish.merchant_reference is not None:
                    references[wish.merchant_reference] = answer.payout.id
                answer.payout.row = row
                good.append(answer)
            await asyncio.sleep(0)
        return good, sorted(refused, key=lambda each: each.row)

    async def never_fitting(self, upload: Upload) -> list[RefusedRow]:
        """The rows that no limit would have room for, however long they waited."""
        policy = await self._desk.current()
        refused = [
            (row, _never_fits(policy, wish.amount.asset.code, wish.amount.units))
            for row, wish in upload.rows
        ]
        return [RefusedRow.of(row, refusal) for row, refusal in refused if refusal is not None]

    async def make(
        self, principal: Principal, upload: Upload, batch_id: str, schedule_id: str | None
    ) -> Draft:
        """Judge and count the rows of a new batch.

        Raises:
            NoGoodRow: With the refused rows in `extra`.
            ApproversDiffer: Nobody could approve all of its currencies; nothing is counted.
            InFlight: A twin of the request has counted the same.
        """
        judged, refused = await self.judge(principal, upload, batch_id)
        payouts = [each.payout for each in judged]
        for payout in payouts:
            payout.batch_id = batch_id
        counted_at = self._clock.now()
        breaches = await self._counting.count(payouts)
        policy = await self._desk.current()
        for payout in payouts:
            if payout.id in breaches:
                never = _never_fits(policy, payout.currency, payout.units) if schedule_id else None
                why = never or limit_exceeded(breaches[payout.id])
                refused.append(RefusedRow.of(payout.row or 0, why))
        refused.sort(key=lambda each: each.row)
        payouts = [payout for payout in payouts if payout.id not in breaches]
        if not payouts:
            raise NoGoodRow(extra={"refused": [row.told() for row in refused]})
        now = self._clock.now()
        totals: dict[str, int] = defaultdict(int)
        for payout in payouts:
            totals[payout.currency] += payout.units
        try:
            needed, approvers = approval_by(bands_of(policy, totals))
        except ApproversDiffer:
            await self._counting.uncount(payouts)
            raise ApproversDiffer("have each currency in a batch of its own") from None
        waits = needed > 0
        for index, mates in enumerate(group(payouts, self._batch_size)):
            order_id = derived_id("ord", self._secret, batch_id, str(index))
            for payout in mates:
                payout.order_id = order_id
                payout.sweep_at = payout.approval_until = None
                payout.approvals_needed, payout.approvers = 0, []
                payout.schedule_id = schedule_id
                payout.status = PayoutStatus.AWAITING_APPROVAL if waits else PayoutStatus.QUEUED
        status = BatchStatus.AWAITING_APPROVAL if waits else BatchStatus.QUEUED
        batch = Batch(
            id=batch_id,
            principal=principal.id,
            status=status,
            rows=store.pack_payouts(payouts),
            refused=store.pack_refused(upload.told(refused)),
            accepted=len(payouts),
            refused_count=len(refused),
            totals=dict(totals),
            counts={(payouts[0].status.value): len(payouts)},
            intent_hash=intent_hash(batch_id, [payout.intent_hash for payout in payouts]),
            policy_version=policy.version,
            approvals_needed=needed,
            approvers=list(approvers),
            approval_until=now + policy.approval_lifetime if waits else None,
            schedule_id=schedule_id,
            created_at=now,
            updated_at=now,
        )
        return Draft(batch, store.pack_batch(batch), payouts, counted_at)

    async def again(self, promised: bytes) -> Draft:
        """The batch that an earlier acceptance has promised and that is not there.

        What its rows count against the limits is released some time after its process has died.
        They are counted again then, all of them.

        Raises:
            LimitExceeded: There is no room for them all now; nothing was counted.
            PayoutCapExceeded: The same, and of a schedule's rows one never has room.
        """
        batch = store.unpack_batch(promised)
        payouts = [Payout.model_validate_json(line) for line in store.unpack_payouts(batch.rows)]
        counted_at = self._clock.now()
        try:
            counted = await self._counting.count_again(payouts)
        except LimitExceeded:
            policy = await self._desk.current()
            never = [_never_fits(policy, each.currency, each.units) for each in payouts]
            if batch.schedule_id is not None and (final := next(filter(None, never), None)):
                raise final from None
            raise
        if counted:
            batch.rows = store.pack_payouts(payouts)
        return Draft(batch, promised, counted, counted_at)

    async def uncount_unstored(self, draft: Draft) -> None:
        """What the draft has counted counts no more, unless a batch was stored that carries it."""
        counted = [payout for payout in draft.counted if payout.hold_id is not None]
        if draft.stored or not counted:
            return
        there = await store.by_id(draft.batch.id, {})
        kept = frozenset[str | None]()
        if there is not None and not there.nameless:
            rows = store.unpack_payouts(there.rows)
            kept = frozenset(Payout.model_validate_json(row).hold_id for row in rows)
        await self._counting.uncount([p for p in counted if p.hold_id not in kept])

    def _payout_id(self, batch_id: str, row: int) -> str:
        return derived_id("pay", self._secret, batch_id, str(row))


def _never_fits(policy: Policy, currency: str, units: int) -> PayoutCapExceeded | None:
    """The refusal of what is above a limit by itself: whoever waits for room waits for ever."""
    least = min(
        (each.units for each in policy.ceilings if each.currency == currency), default=units
    )
    if units <= least:
        return None
    most = decimal_text(least, DECIMALS)
    return PayoutCapExceeded(f"a limit has room for {most} {currency} at most", param="amount")
