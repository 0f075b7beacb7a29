"""Use cases of batches: accept one, look at it, approve or call it back (batch_work.py does it)."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Conflict, NotFound
from tron_payment.db.audit import Audit
from tron_payment.db.cas import LostRace
from tron_payment.http.idempotency import Idempotency, Promise, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.http.twins import counted_at, is_final
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts import batch_row_documents as rows_store
from tron_payment.payouts import documents as payouts_store
from tron_payment.payouts.batch_answers import Occurrence, recognise, say_the_same
from tron_payment.payouts.batch_documents import ENDS, Batch, BatchStatus, Calling, Stage
from tron_payment.payouts.batch_drafts import Draft, Drafts
from tron_payment.payouts.batch_drafts import NoGoodRow as NoGoodRow
from tron_payment.payouts.batch_rows import RefusedRow, Upload
from tron_payment.payouts.batch_work import BatchWork, status_of
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus
from tron_payment.payouts.judge import Judged
from tron_payment.payouts.known import Learner
from tron_payment.payouts.policy import (
    ApprovalExpired,
    IntentChanged,
    NotAwaitingApproval,
    check_approver,
)

INLINE_ROWS_MAX: Final = 500
"""A batch of up to this many rows is carried out before its request is answered."""

CHANGE_ATTEMPTS_MAX: Final = 8

V = TypeVar("V")


class BatchNotFound(NotFound, code="batch_not_found"):
    """There is no such batch, or it is not yours."""


class BatchNotCancelable(Conflict, code="not_cancelable"):
    """The batch has ended."""


class BatchDiffers(Conflict, code="batch_differs"):
    """The batch that was accepted was never stored, and today other rows would be accepted."""


class Batches:
    """The batches of this installation."""

    def __init__(
        self,
        *,
        clock: Clock,
        idempotency: Idempotency,
        audit: Audit,
        drafts: Drafts,
        learner: Learner,
        work: BatchWork,
    ) -> None:
        self._clock = clock
        self._idempotency = idempotency
        self._audit = audit
        self._drafts = drafts
        self._learner = learner
        self._work = work

    # ---- accepting ---------------------------------------------------------------------------

    async def judge(
        self, principal: Principal, upload: Upload, batch_id: str = ""
    ) -> tuple[list[Judged], list[RefusedRow]]:
        """Judge every row; stores nothing."""
        return await self._drafts.judge(principal, upload, batch_id)

    async def never_fitting(self, upload: Upload) -> list[RefusedRow]:
        """The rows that no limit would have room for, however long they waited."""
        return await self._drafts.never_fitting(upload)

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
            BatchDiffers: It was accepted by an earlier build that died, with other rows.
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
        fresh = asked.batch is None and asked.promised is None
        if asked.batch is not None:
            draft = Draft(asked.batch, b"")
        elif asked.promised is not None:
            draft = await self._drafts.again(asked.promised)
        else:
            draft = await self._drafts.make(principal, upload, asked.batch_id, asked.schedule_id)
            if asked.answered and not say_the_same(asked.answered, answer(draft.batch)):
                await self._drafts.uncount_unstored(draft)
                raise BatchDiffers
        try:
            with counted_at(draft.counted_at or self._clock.now()):
                stored = await self._idempotency.run(
                    principal_id=principal.id,
                    key=key,
                    operation=asked.operation,
                    content=asked.content,
                    answer=(HTTP_202_ACCEPTED, answer(draft.batch)),
                    effect=draft.store,
                    promise=None if asked.batch else Promise(draft.content, draft.store),
                    object_ids=[asked.batch_id],
                    act=draft.batch.act("batch.create", principal.id, principal.role.value),
                )
        except AppError as refusal:
            if is_final(refusal):  # else a twin may store it in this moment, with what we counted
                await self._drafts.uncount_unstored(draft)
            raise
        await self._drafts.uncount_unstored(draft)
        if fresh and draft.stored:
            self._learner.note(principal.id, draft.batch.accepted)
        return stored, draft.batch

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
