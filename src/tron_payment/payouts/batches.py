"""Use cases of batches: accept one, look at it, approve or call it back (batch_work.py does it)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, TypeVar

from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Conflict, NotFound, Refused
from tron_payment.core.ids import derived_id
from tron_payment.db.audit import Audit
from tron_payment.db.cas import LostRace
from tron_payment.http.idempotency import Idempotency, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts import batch_row_documents as rows_store
from tron_payment.payouts import documents as payouts_store
from tron_payment.payouts.batch_answers import Occurrence, insert_own, recognise
from tron_payment.payouts.batch_documents import ENDS, Batch, BatchStatus, Calling, Stage
from tron_payment.payouts.batch_rows import RefusedRow, Upload
from tron_payment.payouts.batch_work import BatchWork, pieces, status_of
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import MerchantReferenceTaken, PayoutStatus
from tron_payment.payouts.judge import Judge, Judged
from tron_payment.payouts.known import Learner
from tron_payment.payouts.orders import group
from tron_payment.payouts.policy import (
    ApprovalExpired,
    IntentChanged,
    NotAwaitingApproval,
    band_of,
    check_approver,
    intent_hash,
    limit_exceeded,
)
from tron_payment.payouts.policy_desk import PolicyDesk

INLINE_ROWS_MAX: Final = 500
"""A batch of up to this many rows is carried out before its request is answered."""

CHANGE_ATTEMPTS_MAX: Final = 8

V = TypeVar("V")


class NoGoodRow(Refused, code="no_good_row"):
    """Every row of the batch was refused."""


class BatchNotFound(NotFound, code="batch_not_found"):
    """There is no such batch, or it is not yours."""


class BatchNotCancelable(Conflict, code="not_cancelable"):
    """The batch has ended."""


class Batches:
    """The batches of this installation."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        idempotency: Idempotency,
        audit: Audit,
        judge: Judge,
        learner: Learner,
        counting: Counting,
        desk: PolicyDesk,
        work: BatchWork,
        batch_size: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._idempotency = idempotency
        self._audit = audit
        self._judge = judge
        self._learner = learner
        self._counting = counting
        self._desk = desk
        self._work = work
        self._batch_size = batch_size

    # ---- accepting ---------------------------------------------------------------------------

    async def judge(
        self, principal: Principal, upload: Upload, batch_id: str = ""
    ) -> tuple[list[Judged], list[RefusedRow]]:
        """Judge every row; stores nothing."""
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

    async def request(
        self,
        principal: Principal,
        key: str,
        upload: Upload,
        answer: Callable[[Batch], bytes],
        *,
        occurrence: Occurrence | None = None,
    ) -> StoredAnswer:
        """Accept a batch once; a repeat gets the stored answer and never a second batch.

        Args:
            occurrence: Of the schedule that asks. It is the same whatever its rows are read as.

        Raises:
            NoGoodRow: With the refused rows in `extra`.
            KeyReused, InFlight: See `Idempotency.run`.
        """
        stored, batch = await self._idempotency.once(
            principal.id, key, lambda: self._request(principal, key, upload, answer, occurrence)
        )
        self._work.wake.set()
        if batch.accepted <= INLINE_ROWS_MAX:
            await self._work.carry_out(batch.id)
        return stored

    async def _request(
        self,
        principal: Principal,
        key: str,
        upload: Upload,
        answer: Callable[[Batch], bytes],
        occurrence: Occurrence | None,
    ) -> tuple[StoredAnswer, Batch]:
        asked = await recognise(self._idempotency, principal.id, key, upload, occurrence)
        batch, batch_id, payouts = asked.batch, asked.batch_id, list[Payout]()
        fresh, inserted = batch is None, False
        if batch is None:
            batch, payouts = await self._accept(principal, upload, batch_id, asked.schedule_id)
        accepted = batch

        async def insert() -> None:
            nonlocal inserted
            inserted = await insert_own(accepted)

        try:
            stored = await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=asked.operation,
                content=asked.content,
                answer=(HTTP_202_ACCEPTED, answer(accepted)),
                effect=insert,
                object_ids=[batch_id],
                act=accepted.act("batch.create", principal.id, principal.role.value),
            )
        except AppError as refusal:
            if fresh and refusal.status < 500:
                await self._counting.uncount(payouts)
            raise
        if fresh and not inserted:
            await self._counting.uncount(payouts)  # the same request, a moment earlier, was counted
        elif fresh:
            self._learner.note(principal.id, len(payouts))
        return stored, accepted

    async def _accept(
        self, principal: Principal, upload: Upload, batch_id: str, schedule_id: str | None
    ) -> tuple[Batch, list[Payout]]:
        judged, refused = await self.judge(principal, upload, batch_id)
        payouts = [each.payout for each in judged]
        for payout in payouts:
            payout.batch_id = batch_id
        breaches = await self._counting.count(payouts)
        refused += [
            RefusedRow.of(payout.row or 0, limit_exceeded(breaches[payout.id]))
            for payout in payouts
            if payout.id in breaches
        ]
        refused.sort(key=lambda each: each.row)
        payouts = [payout for payout in payouts if payout.id not in breaches]
        if not payouts:
            raise NoGoodRow(extra={"refused": [row.told() for row in refused]})
        policy, now = await self._desk.current(), self._clock.now()
        totals: dict[str, int] = defaultdict(int)
        for payout in payouts:
            totals[payout.currency] += payout.units
        bands = [b for c, units in totals.items() if (b := band_of(policy, c, units)) is not None]
        band = max(bands, key=lambda each: each.approvals, default=None)
        waits = band is not None and band.approvals > 0
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
            approvals_needed=band.approvals if band is not None else 0,
            approvers=list(band.approvers) if band is not None else [],
            approval_until=now + policy.approval_lifetime if waits else None,
            schedule_id=schedule_id,
            created_at=now,
            updated_at=now,
        )
        return batch, payouts

    def _payout_id(self, batch_id: str, row: int) -> str:
        return derived_id("pay", self._secret, batch_id, str(row))

    # ---- looking -----------------------------------------------------------------------------

    async def get(self, principal: Principal, batch_id: str) -> Batch:
        """The batch, its rows counted now.

        Raises:
            BatchNotFound: No such batch, or another merchant's.
        """
        batch = await self._find(principal, batch_id)
        if batch.stage is not Stage.ACCEPTED:
            batch.counts = await rows_store.counts_of_batch(batch.id)
            if batch.status not in (BatchStatus.AWAITING_APPROVAL, BatchStatus.CANCELED):
                batch.status = status_of(batch.stage, batch.counts)
        return batch

    async def page(
        self, principal: Principal, page: PageRequest, view: Callable[[Batch], V]
    ) -> Page[V]:
        """Batches that the caller may see, newest first."""
        where: dict[str, Any] = owner_filter(principal, "batches")
        if statuses := page.statuses_of(BatchStatus):
            where["status"] = {"$in": [each.value for each in statuses]}
        return await fetch_page(Batch, where, page, view, newest_first=True)

    async def rows(
        self, principal: Principal, batch_id: str, page: PageRequest, view: Callable[[Payout], V]
    ) -> Page[V]:
        """A batch's accepted rows, by their numbers.

        Raises:
            BatchNotFound, InvalidStatus
            InvalidCursor: Not from this list.
        """
        await self._find(principal, batch_id)
        found = await rows_store.of_batch(
            batch_id,
            after_row=rows_store.row_of(page.cursor),
            limit=page.limit + 1,
            where=payouts_store.showing(page.statuses) | page.times(),
        )
        shown, more = found[: page.limit], len(found) > page.limit
        cursor = f"{rows_store.ROW_CURSOR}{shown[-1].row}" if more else None
        return Page(data=[view(row) for row in shown], has_more=more, next_cursor=cursor)

    async def made_with(self, principal: Principal, key: str) -> Batch | None:
        """The batch that this caller's key has made; None when it has made none."""
        batch_id = self._idempotency.object_id("bat", principal.id, key)
        return await store.by_id(batch_id, owner_filter(principal, "batches"))

    async def every_row(self, batch: Batch) -> list[Payout]:
        """All accepted rows, for an export."""
        return await self._work.every_row(batch)

    async def _find(self, principal: Principal, batch_id: str) -> Batch:
        batch = await store.by_id(batch_id, owner_filter(principal, "batches"))
        if batch is None:
            raise BatchNotFound
        return batch

    # ---- deciding ----------------------------------------------------------------------------

    async def approve(
        self, principal: Principal, batch_id: str, order_hash: str | None = None
    ) -> Batch:
        """Approve a batch as a whole; the last approval needed lets it go.

        Raises:
            BatchNotFound, OwnApproval, NotAnApprover
            NotAwaitingApproval, ApprovalExpired, IntentChanged
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            batch = await self._find(principal, batch_id)
            if principal.id in [each["by"] for each in batch.approvals]:
                return await self.get(principal, batch_id)
            if batch.status is not BatchStatus.AWAITING_APPROVAL:
                raise NotAwaitingApproval(f"it is {batch.status.value}")
            check_approver(principal.id, batch.principal, batch.approvers)
            now = self._clock.now()
            if batch.approval_until is not None and now >= batch.approval_until:
                raise ApprovalExpired
            if order_hash is not None and order_hash != batch.intent_hash:
                raise IntentChanged(param="order_hash", extra={"order_hash": batch.intent_hash})
            vote = {
                "by": principal.id,
                "role": principal.role.value,
                "at": now,
                "order_hash": batch.intent_hash,
            }
            enough = len(batch.approvals) + 1 >= batch.approvals_needed
            changes: dict[str, Any] = {"status": BatchStatus.QUEUED, "working": True}
            try:
                await store.change(
                    batch,
                    now,
                    push={"approvals": vote},
                    where={"status": BatchStatus.AWAITING_APPROVAL.value},
                    **(changes if enough else {}),
                )
            except LostRace:
                continue
            await self._note(principal, "batch.approve", batch)
            if enough and batch.accepted <= INLINE_ROWS_MAX:
                await self._work.carry_out(batch_id)
            self._work.wake.set()
            return await self.get(principal, batch_id)
        raise LostRace("the batch keeps changing; try again")

    async def reject(self, principal: Principal, batch_id: str, reason: str) -> Batch:
        """Say no to a batch that waits for approval; saying it again changes nothing.

        Raises:
            BatchNotFound, NotAwaitingApproval
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            batch = await self._find(principal, batch_id)
            if batch.status is BatchStatus.CANCELED and batch.approvals_needed:
                return await self.get(principal, batch_id)
            if batch.status is not BatchStatus.AWAITING_APPROVAL:
                raise NotAwaitingApproval(f"it is {batch.status.value}")
            try:
                await self._work.end_waiting(batch, PayoutStatus.REJECTED, reason or "rejected")
            except LostRace:
                continue
            await self._note(principal, "batch.reject", batch)
            return await self.get(principal, batch_id)
        raise LostRace("the batch keeps changing; try again")

    async def cancel(self, principal: Principal, batch_id: str) -> Batch:
        """Call back every row that is not signed; the signed ones are paid.

        Raises:
            BatchNotFound
            BatchNotCancelable: It has ended otherwise.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            batch = await self._find(principal, batch_id)
            if batch.status is BatchStatus.CANCELED or batch.calling is Calling.ASKED:
                break
            if batch.status in ENDS:
                raise BatchNotCancelable(f"it is {batch.status.value}")
            try:
                if batch.status is BatchStatus.AWAITING_APPROVAL:
                    await self._work.end_waiting(batch, PayoutStatus.CANCELED, "canceled")
                else:
                    await store.change(
                        batch, self._clock.now(), calling=Calling.ASKED, working=True
                    )
            except LostRace:
                continue
            await self._note(principal, "batch.cancel", batch)
            break
        self._work.wake.set()
        if batch.accepted <= INLINE_ROWS_MAX:
            await self._work.carry_out(batch_id)
        return await self.get(principal, batch_id)

    async def _note(self, principal: Principal, action: str, batch: Batch) -> None:
        await self._audit.append(batch.act(action, principal.id, principal.role.value))
