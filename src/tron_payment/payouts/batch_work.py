"""Carrying batches out: rows become payouts, payouts are placed in orders, or called back.

    accepted   one insert of the batch with all its rows: the only thing a client waits for
    stored     every row is a payout (derived ids; inserted again after a crash)
    placed     every row is in an order: router rows by `PAYOUT_BATCH_SIZE`, direct ones alone

Each step may die anywhere and is done again by the loop, here or in another process, with the same
ids and the same content. A batch is called back by storing what is not placed as canceled and by
canceling the rest, so that no order can appear afterwards.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, NotFound
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import LostRace, insert_each
from tron_payment.db.faults import DuplicateValue
from tron_payment.engine import (
    EndedInBlock,
    Engine,
    OrderFinished,
    OrderShown,
    OrderSigned,
    PerhapsPaid,
    Wish,
)
from tron_payment.payouts import batch_documents as store
from tron_payment.payouts import batch_row_documents as rows_store
from tron_payment.payouts import documents as payouts_store
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.apart import Apart, Unmade, wish_of
from tron_payment.payouts.batch_documents import ENDS, Batch, BatchStatus, Calling, Stage
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import MerchantReferenceTaken, PayoutStatus, RouteUnavailable
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.policy import ApprovalExpired
from tron_payment.payouts.telling import ENDED, Telling

PIECE: Final = 500
"""Rows judged, stored or read at a time, so that other requests get their turn."""

STEPS_MAX: Final = 10
CALLS_AT_ONCE: Final = 16

T = TypeVar("T")

log = structlog.get_logger()


class BatchWork:
    """Carries out what was accepted."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        engine: Engine,
        orders: OrderMaker,
        counting: Counting,
        announcer: Announcer,
        batch_size: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._engine = engine
        self._orders = orders
        self._counting = counting
        self._announcer = announcer
        self._telling = Telling(announcer, counting)
        self._unmade = Unmade(engine, orders)
        self._batch_size = batch_size
        self._skip = 0
        self.wake = asyncio.Event()
        """Set when there is something to do for `step`."""

    async def step(self) -> bool:
        """Carry out what is left of some batches, and count those whose rows have moved.

        Raises:
            AppError: One batch was refused; all the others had their turn.
            StoreUnavailable, NodesUnavailable
        """
        apart, done = Apart("batch.not_carried_out"), False
        batches = await store.at_work(self._skip)
        self._skip = self._skip + len(batches) if len(batches) == store.WORK_MAX else 0
        for batch in batches:
            with apart.one(batch_id=batch.id):
                done |= await self.carry_out(batch.id)
        for batch in await store.overdue(self._clock.now()):
            with apart.one(batch_id=batch.id):
                await self._expire(batch)
        moved = await store.changed()
        await store.settle_touch([batch.id for batch in moved])
        for batch in moved:
            await self._count(batch.id)
        apart.end()
        return done or bool(moved)

    async def carry_out(self, batch_id: str) -> bool:
        """Do everything that is left; stops where people or the chain must act.

        Returns:
            Whether anything was done. What may not be called back yet is asked again by the loop.
        """
        done = False
        for _ in range(STEPS_MAX):
            batch = await store.by_id(batch_id, {})
            if batch is None or not batch.working:
                return done
            try:
                if not await self._advance(batch):
                    return done
            except LostRace:
                continue
            done = True
        self.wake.set()
        return done

    async def _expire(self, batch: Batch) -> None:
        try:
            await self.end_waiting(batch, PayoutStatus.REJECTED, ApprovalExpired.code)
        except LostRace:
            return  # approved in this moment
        except (PerhapsPaid, NodesUnavailable) as wait:
            log.info("batch.expires_later", batch_id=batch.id, reason=wait.detail)

    async def _advance(self, batch: Batch) -> bool:
        """Do the next thing; False when it cannot be done now, and the loop is to come back."""
        now = self._clock.now()
        if batch.stage is Stage.ACCEPTED:
            await self._store_rows(batch)
            await store.change(batch, now, stage=Stage.STORED)
        elif batch.status is BatchStatus.AWAITING_APPROVAL:
            await store.change(batch, now, working=False)
        elif batch.ending is not None:
            await self._end_rows(batch)
            await self._tell(batch, BatchStatus.CANCELED, now)
            await store.change(batch, now, stage=Stage.PLACED, working=False, finished_at=now)
        elif batch.stage is Stage.STORED:
            await rows_store.release_rows(batch.id, now)
            if batch.calling is not Calling.ASKED:
                await self._place(batch)
            elif not await self._forgo(batch):
                return False
            await store.change(batch, now, stage=Stage.PLACED)
        elif batch.calling is Calling.ASKED:
            if not await self._call_back(batch):
                return False
            await store.change(batch, now, calling=Calling.DONE, working=False, dirty=True)
        else:
            await store.change(batch, now, working=False, dirty=True)
        return True

    async def _store_rows(self, batch: Batch) -> None:
        for lines in pieces(store.unpack_payouts(batch.rows)):
            payouts = [Payout.model_validate_json(line) for line in lines]
            outcomes = await insert_each(payouts)
            late = [
                payout
                for payout, outcome in zip(payouts, outcomes, strict=True)
                if isinstance(outcome, DuplicateValue)
            ]
            holders = await payouts_store.taken_references(
                [payout.merchant_reference for payout in late if payout.merchant_reference]
            )
            for payout in late:  # another payout took the reference since the batch was judged
                payout.reference_taken_by = holders.get(payout.merchant_reference or "")
                payout.merchant_reference = None
                payout.status = PayoutStatus.FAILED
                payout.reason = MerchantReferenceTaken.code
            await insert_each(late)
            await self._counting.uncount(late)
            await self._announcer.made(payouts)
            await asyncio.sleep(0)

    async def _end_rows(self, batch: Batch) -> None:
        """End the rows that still wait, and tell of exactly those: others have ended otherwise."""
        assert batch.ending is not None
        status = PayoutStatus(batch.ending)
        now, reason = self._clock.now(), batch.ending_reason or ""
        await rows_store.end_rows(batch.id, status, reason, now, ENDED)
        while rows := await rows_store.untold_of(batch.id, limit=PIECE):
            await self._telling.tell(*rows)

    async def _place(self, batch: Batch) -> None:
        """Place every order; those that exist stay as they are.

        An order's rows leave the queue, or the order, only once it exists; so what is built here
        for one that does not exist is whole. Orders that rows have moved on to are not ours.
        """
        apart = Apart("order.not_placed")
        for some in await self._first_orders(batch):
            wishes: list[Wish] = []
            for mates in some:
                with apart.one(batch_id=batch.id, order_id=mates[0].order_id):
                    wishes.append(await wish_of(self._orders, mates))
            await self._engine.place_many(wishes)
            await asyncio.sleep(0)
        apart.end()

    async def _first_orders(self, batch: Batch) -> Iterator[Sequence[list[Payout]]]:
        """The queued rows that are in the orders which the batch was accepted with, by order."""
        first = set(self._first_ids(batch))
        groups: dict[str, list[Payout]] = {}
        for row in await self.every_row(batch):
            if row.status is PayoutStatus.QUEUED and row.order_id in first:
                groups.setdefault(row.order_id, []).append(row)
        return pieces(list(groups.values()), PIECE // self._batch_size + 1)

    def _first_ids(self, batch: Batch) -> list[str]:
        """Whichever orders it can have been accepted with."""
        return [derived_id("ord", self._secret, batch.id, str(i)) for i in range(batch.accepted)]

    async def _forgo(self, batch: Batch) -> bool:
        """Let no order be placed any more, whoever is about to; False when not all can be now.

        The marks come first: an order that was canceled so parts, and who is marked then leaves.
        While a restored store may have forgotten orders they are placed, to be found by who reads
        what it forgot; nothing is signed before that is over. So are those that a block has ended,
        of which nothing is signed either: the others are there as canceled by then, and stay so.
        """
        await rows_store.mark_rows_ejected(batch.id)
        forgotten = False
        for some in await self._first_orders(batch):
            try:
                await self._engine.forgo([self._orders.forgone(mates) for mates in some])
            except EndedInBlock:
                forgotten = True
            except PerhapsPaid:
                forgotten = True
                break
            await asyncio.sleep(0)
        if forgotten:
            with suppress(RouteUnavailable):  # its rows say so
                await self._place(batch)
                return True
            return False
        return True

    async def _call_back(self, batch: Batch) -> bool:
        """Call every order back; False when that of some is to be tried again: their rows keep
        their marks."""
        await rows_store.mark_rows_ejected(batch.id)
        gate = asyncio.Semaphore(CALLS_AT_ONCE)
        later: list[AppError] = []
        restored = False

        async def call(order_id: str) -> None:
            nonlocal restored
            async with gate:
                if restored:
                    return
                try:
                    await self._unmade.cancel(order_id)
                except OrderShown:
                    return  # its rows keep their marks and leave when the bytes have expired
                except OrderSigned:
                    await following.unmark_order(order_id)
                except OrderFinished:
                    return  # it has parted; its rows keep their marks and leave
                except PerhapsPaid as wait:
                    later.append(wait)
                    if not isinstance(wait, EndedInBlock):
                        restored = True  # of this store no order may end now
                except NotFound as wait:  # it is still to be made
                    later.append(wait)

        await asyncio.gather(*(call(each) for each in await rows_store.unsigned_orders(batch.id)))
        if later:
            reason = later[0].detail
            log.info("batch.called_back_later", batch_id=batch.id, orders=len(later), reason=reason)
        return not later

    async def _count(self, batch_id: str) -> None:
        """Write down how a batch stands; told when it ends."""
        batch = await store.by_id(batch_id, {})
        if batch is None or batch.stage is not Stage.PLACED or batch.ending is not None:
            return
        counts = await rows_store.counts_of_batch(batch_id)
        status = status_of(batch.stage, counts)
        if counts == batch.counts and status is batch.status:
            return
        now = self._clock.now()
        changes: dict[str, Any] = {"counts": counts}
        if status is not batch.status:
            changes["status"] = status
            changes["finished_at"] = now if status in ENDS else None
            await self._tell(batch, status, now)
        try:
            await store.change(batch, now, **changes)
        except LostRace:
            await store.touch([batch_id], now)

    async def _tell(self, batch: Batch, status: BatchStatus, now: datetime) -> None:
        seq = batch.version + 1
        event = self._announcer.batch_event(batch.id, batch.principal, status.value, seq, now)
        await self._announcer.tell([event])

    async def end_waiting(self, batch: Batch, status: PayoutStatus, reason: str) -> None:
        """End a batch that was never approved: no row of it has an order, or ever will.

        Raises:
            LostRace: Somebody else has changed it.
            PerhapsPaid, Unavailable: As `Engine.see_unpaid`; nothing has changed.
        """
        try:
            await self._see_unpaid(batch)
        except PerhapsPaid:
            again = await store.by_id(batch.id, {})
            if again is None or again.version != batch.version:
                raise LostRace("it has changed; try again") from None  # before its orders came
            raise
        await store.change(
            batch,
            self._clock.now(),
            where={"status": BatchStatus.AWAITING_APPROVAL.value},
            status=BatchStatus.CANCELED,
            working=True,
            ending=status.value,
            ending_reason=reason,
        )
        await self.carry_out(batch.id)

    async def _see_unpaid(self, batch: Batch) -> None:
        """In a restored store it may be older than its approval, its rows and their orders."""
        first = self._first_ids(batch)
        for some in pieces(first):
            await self._engine.see_unpaid(some)
        since = {row.order_id for row in await self._stored_rows(batch.id)} - set(first)
        for some in pieces(sorted(since)):
            await self._engine.see_unpaid(some)

    async def every_row(self, batch: Batch) -> list[Payout]:
        """All accepted rows, for an export."""
        if batch.stage is Stage.ACCEPTED:
            return [Payout.model_validate_json(line) for line in store.unpack_payouts(batch.rows)]
        return await self._stored_rows(batch.id)

    async def _stored_rows(self, batch_id: str) -> list[Payout]:
        found: list[Payout] = []
        while piece := await rows_store.of_batch(
            batch_id, after_row=found[-1].row or 0 if found else 0, limit=PIECE
        ):
            found += piece
        return found


def status_of(stage: Stage, counts: Mapping[str, int]) -> BatchStatus:
    """How a batch stands, by its rows. Pure.

        rows                                    status
        not all placed, or all still queued     queued
        some still to come                      processing
        all settled                             completed
        none settled, all canceled or rejected  canceled
        anything else                           completed_with_errors

    A quarantined row has ended as far as the batch goes: only people take it further.
    """
    there = {PayoutStatus(name): count for name, count in counts.items() if count}
    waiting = {
        PayoutStatus.QUEUED,
        PayoutStatus.AWAITING_APPROVAL,
        PayoutStatus.AWAITING_SIGNATURE,
    }
    if stage is not Stage.PLACED or (there and there.keys() <= waiting):
        return BatchStatus.QUEUED
    if there.keys() & (waiting | {PayoutStatus.SIGNED}):
        return BatchStatus.PROCESSING
    if there.keys() == {PayoutStatus.SETTLED}:
        return BatchStatus.COMPLETED
    if there.keys() <= {PayoutStatus.CANCELED, PayoutStatus.REJECTED}:
        return BatchStatus.CANCELED
    return BatchStatus.COMPLETED_WITH_ERRORS


def pieces(items: Sequence[T], size: int = PIECE) -> Iterator[Sequence[T]]:
    """So many at a time, in order."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
