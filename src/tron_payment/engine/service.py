"""The engine: the one door through which anything is put on the chain.

A module places an order whose id it derives from its own document; the engine sets the funds
aside, signs, stores, sends and settles; the module hears of it (`tell`). Nobody else may sign
or broadcast.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from tron_payment import chain
from tron_payment.chain import Nodes, SolidBlock
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import AppError, NotFound, Unavailable
from tron_payment.core.failpoints import failpoint
from tron_payment.db.acts import has_effect
from tron_payment.db.cas import LostRace, insert_many_once
from tron_payment.db.group import GroupInsert
from tron_payment.db.ledger import Ledger
from tron_payment.engine import documents as store
from tron_payment.engine import restored_documents as restored
from tron_payment.engine.dispatch import Dispatcher
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import LIFECYCLE, OrderStatus, rank_of
from tron_payment.engine.fees import Fees
from tron_payment.engine.idle import any_news
from tron_payment.engine.internal import IDLE_S as INTERNAL_IDLE_S
from tron_payment.engine.internal import InternalVerdicts
from tron_payment.engine.ports import Alarm, Gate, OrderHandler, Signer, SigningDesk, Tokens, Wish
from tron_payment.engine.quarantine import Quarantine
from tron_payment.engine.refusals import (
    EndedInBlock,
    OrderFinished,
    OrderShown,
    OrderSigned,
    PerhapsPaid,
)
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.settle import Settler
from tron_payment.engine.torn import tie
from tron_payment.engine.watched import Watched
from tron_payment.loops import Loop

CANCEL_ATTEMPTS_MAX: Final = 5
HELD_BY_PROOF: Final = frozenset({OrderStatus.QUARANTINED})
"""A contradicted order ends by what is found on the chain, never by a wish."""
IDLE_S: Final = 1.0
TELL_ROUNDS_MAX: Final = 10
"""Of `WORK_MAX` orders of a module, in one look; while fewer are refused others are told."""

PRIORITY_BONUS_MS: Final = {"high": 600_000, "normal": 0, "low": -600_000}
"""A priority is a head start of ten minutes in the queue, so that nobody waits for ever."""

log = structlog.get_logger()


class Engine:
    """Places, moves and ends orders."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        nodes: Nodes,
        signer: Signer,
        tokens: Tokens,
        cursors: chain.Cursors,
        inserts: GroupInsert,
        alarm: Alarm,
        lifetime_s: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._inserts = inserts
        self._ledger = ledger
        self.fees = Fees(nodes, clock, tokens)
        self.internal = InternalVerdicts(nodes=nodes, cursors=cursors, clock=clock)
        self.watched = Watched(self.internal)
        self.safe_mode = SafeModes(
            clock=clock,
            ledger=ledger,
            nodes=nodes,
            cursors=cursors,
            alarm=alarm,
            lifetime_s=lifetime_s,
            monotonic=monotonic,
        )
        tie(ledger, cursors)
        self.dispatcher = Dispatcher(
            clock=clock,
            ledger=ledger,
            nodes=nodes,
            fees=self.fees,
            signer=signer,
            cursors=cursors,
            safe_mode=self.safe_mode,
            alarm=alarm,
            lifetime_s=lifetime_s,
        )
        self.settler = Settler(
            clock=clock,
            ledger=ledger,
            tokens=tokens,
            cursors=cursors,
            alarm=alarm,
            safe_mode=self.safe_mode,
            watched=self.watched,
        )
        self.quarantine = Quarantine(clock=clock, nodes=nodes, cursors=cursors)
        self._handlers: dict[str, OrderHandler] = {}
        self._follow_detached: OrderHandler | None = None
        self._dispatch_loop = Loop("engine.dispatch", self.dispatcher.step, IDLE_S, "payout-router")
        self._tell_loop = Loop("engine.tell", self.tell, IDLE_S, "payout-router")
        self._close_loop = Loop(
            "engine.close_books", self.dispatcher.close_books, IDLE_S, "payout-router"
        )
        self._internal_loop = Loop(
            "engine.internal", self.internal.step, INTERNAL_IDLE_S, "payment-gateway", pulse=True
        )

    @property
    def loops(self) -> tuple[Loop, ...]:
        return (self._dispatch_loop, self._tell_loop, self._close_loop, self._internal_loop)

    def hear(self, module: str, handler: OrderHandler) -> None:
        """`handler` is told of every change of the orders that `module` placed."""
        assert module not in self._handlers, module
        self._handlers[module] = handler

    def gate(self, gate: Gate) -> None:
        """Orders pass every gate before their funds are set aside and before they are signed."""
        self.dispatcher.gates.append(gate)

    async def place(self, wish: Wish) -> bool:
        """Store an order; False when it was there already. Safe to repeat."""
        created = await self._inserts.insert(self._order(await self._permitted(wish)))
        self._dispatch_loop.wake.set()
        return created

    async def place_many(self, wishes: Sequence[Wish]) -> set[str]:
        """Store many orders; the ids of the new ones."""
        orders = [self._order(await self._permitted(wish)) for wish in wishes]
        created = await insert_many_once(orders)
        self._dispatch_loop.wake.set()
        return created

    async def forgo(self, wishes: Sequence[Wish]) -> None:
        """Store orders that have ended as canceled, so that nobody can place them any more; one
        that is there stays as it is. Safe to repeat.

        Raises:
            PerhapsPaid, Unavailable: As `cancel`; all the others were stored.
        """
        if await self.safe_mode.may_have_forgotten():
            raise PerhapsPaid
        blocks = await self._blocks_of(*(wish.order_id for wish in wishes))
        forgotten = {each for each in blocks if await store.by_id(each) is None}
        ended = {"status": OrderStatus.CANCELED, "reason": "canceled", "news": True}
        unpaid = [self._order(wish) for wish in wishes if wish.order_id not in forgotten]
        await insert_many_once([order.model_copy(update=ended) for order in unpaid])
        self._tell_loop.wake.set()
        if forgotten:
            raise EndedInBlock(min(blocks[each] for each in forgotten))

    async def see_unpaid(self, order_ids: Sequence[str]) -> None:
        """For whoever ends what was never placed: see that no order of these ids was ever paid.

        Raises:
            PerhapsPaid, Unavailable: As `cancel`, of any of them; also to the very end of safe
                mode, which a transaction that nothing explains puts off: no order is there to
                explain it. Or an order of that id is there, or was, as the journal says.
        """
        if await self.safe_mode.may_have_forgotten() or await self.safe_mode.is_on():
            raise PerhapsPaid
        if blocks := await self._blocks_of(*order_ids):
            raise EndedInBlock(min(blocks.values()))
        view = await self._ledger.view()
        known = await view.reserved(order_ids) or await view.finished(order_ids)
        if known or await restored.any_not_canceled(order_ids):
            raise PerhapsPaid("its order was placed, and is newer than what asked for it")

    async def _blocks_of(self, *order_ids: str) -> dict[str, int]:
        """Of these orders those that a block has ended, as the journal says, and the block."""
        return await (await self._ledger.view()).ended_in(order_ids)

    async def cancel(self, order_id: str) -> None:
        """Cancel an order that has no live bytes.

        Raises:
            NotFound: No such order.
            OrderSigned: Bytes that may still be paid exist.
            OrderFinished: It has ended.
            PerhapsPaid: It may have been paid since the backup that the store was restored from.
            Unavailable: Too few nodes answer to tell whether the store was restored.
        """
        await self._end(order_id, OrderStatus.CANCELED, "canceled")

    async def refuse(self, order_id: str, reason: str) -> None:
        """Let an order fail that has no live bytes: it must not be paid any more.

        Raises:
            NotFound, OrderSigned, OrderFinished, PerhapsPaid, Unavailable: As `cancel`.
        """
        await self._end(order_id, OrderStatus.FAILED, reason)

    async def _end(self, order_id: str, target: OrderStatus, reason: str) -> None:
        for _ in range(CANCEL_ATTEMPTS_MAX):
            order = await store.by_id(order_id)
            if order is None:
                raise NotFound("no such order")
            if order.status is target:
                return
            if order.status is OrderStatus.SIGNED:
                raise OrderSigned
            if order.status is OrderStatus.AWAITING_SIGNATURE:
                has_effect()
                try:
                    await self._call_back(order)
                except LostRace:
                    continue
                raise OrderShown
            if not LIFECYCLE.allows(order.status, target) or order.status in HELD_BY_PROOF:
                raise OrderFinished
            if await self.safe_mode.may_have_forgotten():
                raise PerhapsPaid
            if blocks := await self._blocks_of(order_id):
                if await store.by_id(order_id) == order:
                    raise EndedInBlock(blocks[order_id])
                continue  # it has ended meanwhile
            try:
                await store.apply_move(
                    store.move(
                        order,
                        target,
                        self._clock.now(),
                        set={"books_open": True, "reason": reason},
                    )
                )
            except LostRace:
                continue
            self._close_loop.wake.set()
            self._tell_loop.wake.set()
            return
        raise LostRace("the order keeps moving; try again")

    async def _call_back(self, order: Order) -> None:
        """Let an order that was shown take no more signatures, and end when its bytes are dead.

        The desk closes what it shows before the caller is answered; dying before that leaves news,
        and the desk hears of it then.

        Raises:
            LostRace: Somebody else has moved the order.
        """
        if not order.cancel_requested:
            order = await store.request_cancel(order)
        if order.detached and self._follow_detached is not None:
            await self._follow_detached([order])
        self._dispatch_loop.wake.set()
        self._tell_loop.wake.set()

    async def take_signatures(
        self, order_id: str, txid: str, signatures: tuple[bytes, ...]
    ) -> None:
        """Signatures from elsewhere for an order's live bytes. Safe to repeat.

        Raises:
            NotFound: No such order.
        """
        order = await store.by_id(order_id)
        if order is None:
            raise NotFound("no such order")
        try:
            await self.dispatcher.take(order, txid, signatures)
        except LostRace:
            return  # it has them already, those bytes are dead, or it was called back
        self._dispatch_loop.wake.set()

    def desk(self, desk: SigningDesk, follow: OrderHandler) -> None:
        """Who is asked for signatures from elsewhere, and told when they are not needed."""
        assert self.dispatcher.desk is None
        self.dispatcher.desk = desk
        self._follow_detached = follow

    async def find(self, order_id: str) -> Order | None:
        return await store.by_id(order_id)

    async def on_block(self, block: SolidBlock) -> None:
        """For the follower: apply one solidified block."""
        if await self.settler.on_block(block):
            self._tell_loop.wake.set()
        self._dispatch_loop.wake.set()

    async def tell(self) -> bool:
        """Tell each module what became of its orders; True when there was news.

        Raises:
            Unavailable: The store, or what a module asks, is away; all are told again.
            AppError: A module refused one order, which it is told of again. All others were told.
        """
        told, refused = False, list[AppError]()
        if not await any_news(self._handlers):
            return False
        for module, handler in self._handlers.items():
            untold: set[str] = set()
            for _ in range(TELL_ROUNDS_MAX):
                orders = await store.with_news(module, without=untold)
                if not orders:
                    break
                problems = await self._tell_some(handler, orders)
                heard = [order for order in orders if order.id not in problems]
                failpoint("tell:heard")
                await store.hush(heard)
                told = told or bool(heard)
                if not problems:
                    break
                untold |= problems.keys()
                refused += problems.values()
        if refused:
            raise refused[0]
        return told

    async def _tell_some(
        self, handler: OrderHandler, orders: Sequence[Order]
    ) -> dict[str, AppError]:
        """Tell of all together; where that is refused, of each alone. Which were refused, and why:
        one that cannot be told keeps nobody else from being told."""
        try:
            await self._tell_these(handler, orders)
        except Unavailable:
            raise
        except AppError as refusal:
            if len(orders) > 1:
                alone = [await self._tell_some(handler, [order]) for order in orders]
                return {order_id: each for found in alone for order_id, each in found.items()}
            log.error("order.untold", order_id=orders[0].id, reason=refusal.code)
            return {orders[0].id: refusal}
        return {}

    async def _tell_these(self, handler: OrderHandler, orders: Sequence[Order]) -> None:
        await handler(orders)
        detached = [order for order in orders if order.detached]
        if detached and self._follow_detached is not None:
            await self._follow_detached(detached)

    async def stats(self) -> Mapping[str, Any]:
        """Orders by status: reads as much of an index as there are orders."""
        return await store.counts()

    async def unfinished(self) -> Mapping[str, int]:
        """Orders that have not ended, by status: quick however many have."""
        return await store.counts([s for s in OrderStatus if not LIFECYCLE.is_final(s)])

    async def _permitted(self, wish: Wish) -> Wish:
        """The wish with the permission by which its wallet signs elsewhere."""
        desk = self.dispatcher.desk
        if not wish.detached or wish.permission_id or desk is None:
            return wish
        permission_id = await desk.permission(wish.wallet_id, wish.contract)
        return replace(wish, permission_id=permission_id)

    def _order(self, wish: Wish) -> Order:
        now = self._clock.now()
        return Order(
            id=wish.order_id,
            module=wish.module,
            kind=wish.kind,
            subject=wish.subject,
            wallet_id=wish.wallet_id,
            signer=wish.signer,
            contract=store.contract_document(wish.contract),
            permission_id=wish.permission_id,
            expects=[store.stored(each) for each in wish.expects],
            spends=[store.stored(each) for each in wish.spends],
            max_fee_sun=wish.max_fee_sun,
            rank=rank_of(to_ms(now), PRIORITY_BONUS_MS[wish.priority]),
            detached=wish.detached,
            lifetime_s=wish.lifetime_s,
            due_at=store.AT_ONCE,
            created_at=now,
            updated_at=now,
        )
