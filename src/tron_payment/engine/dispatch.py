"""The way of an order to the network: funds set aside, bytes signed and stored, bytes sent.

Each step is one kind of effect and one commit; dying anywhere repeats the step. Nothing here
decides whether an order has succeeded: only blocks do (settle.py).
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from tron_payment import chain
from tron_payment.chain import BlockHeader, Nodes, Position, RawData
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.failpoints import failpoint
from tron_payment.db.cas import LostRace, Move
from tron_payment.db.ledger import Ledger
from tron_payment.engine import counters, left_out
from tron_payment.engine import documents as store
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import Attempt, OrderStatus
from tron_payment.engine.fees import Fees
from tron_payment.engine.holds import closing
from tron_payment.engine.idle import any_due
from tron_payment.engine.ports import Alarm, CannotSign, Gate, Signer, SigningDesk
from tron_payment.engine.reserving import Reserving
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.turns import TURNS, due, some, turns_after
from tron_payment.engine.waiting import JOURNAL_CLOSED, through, wait

BATCH_MAX: Final = 200
"""Orders reserved, signed or sent together by one step."""

BROADCASTS_AT_ONCE: Final = 32
REBROADCAST_S: Final = 30
"""The same bytes again, while they live: a node's SUCCESS is no inclusion."""

FOLLOWER_LAG_MAX_MS: Final = 15 * 60 * 1000
"""Do not sign while our view of the solidified chain is older than this against the head."""

HEAD_MAX_AGE_MS: Final = 1_000
ASKS_AT_ONCE: Final = 16
"""Each asks a node, for up to 15 s, who may sign; these together are one step."""

ASK_AGAIN_S: Final = 60
CALLED_BACK: Final = "called_back"
"""What an order waits for that takes no more signatures, until its bytes are proved dead."""

DETACHED_LIFETIME_S: Final = 12 * 3600
"""Long enough for a person; the chain allows 24 hours."""

DETACHED_LIFETIME_MAX_S: Final = 23 * 3600 + 1800

log = structlog.get_logger()


class Dispatcher:
    """Takes due orders one step further."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        nodes: Nodes,
        fees: Fees,
        signer: Signer,
        cursors: chain.Cursors,
        safe_mode: SafeModes,
        alarm: Alarm,
        lifetime_s: int,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._nodes = nodes
        self._reserving = Reserving(clock=clock, ledger=ledger, fees=fees)
        self._signer = signer
        self._cursors = cursors
        self._safe_mode = safe_mode
        self._alarm = alarm
        self._lifetime_s = lifetime_s
        self.gates: list[Gate] = []
        self.desk: SigningDesk | None = None
        self._last = TURNS[-1]
        self._head: BlockHeader | None = None
        self._head_at_ms = 0

    async def step(self) -> bool:
        """Do the next single thing for one batch; False when nothing is due.

        The kinds take turns: however long one takes, the others go on.
        """
        now = self._clock.now()
        if not await any_due(now):
            return False
        for kind in turns_after(self._last):
            limit = ASKS_AT_ONCE if kind is OrderStatus.AWAITING_SIGNATURE else BATCH_MAX
            if orders := await due(kind, now, limit=limit):
                self._last = kind  # also when it fails: the others have their turn
                await self._take_further(kind, orders)
                return True
        return False

    async def _take_further(self, kind: OrderStatus, orders: Sequence[Order]) -> None:
        if kind is OrderStatus.SIGNED:
            await self.broadcast(orders)
        elif kind is OrderStatus.AWAITING_SIGNATURE:
            await self.ask(orders)
        elif kind is OrderStatus.RESERVED:
            await self.sign(some(orders))
        else:
            await self.reserve(some(orders))

    async def reserve(self, orders: Sequence[Order]) -> None:
        """Set aside what each order may spend and burn, all in one journal entry."""
        ready = await through(self.gates, orders, self._clock)
        await self._reserving.reserve(ready, self.desk)

    async def sign(self, orders: Sequence[Order]) -> None:
        """Build, check and sign one transaction for each order, and store the bytes."""
        orders = await self._not_called_back(orders)
        ready = await through(self.gates, orders, self._clock)
        ready = await self._reserving.look_again(ready, self.desk)
        if not ready:
            return
        cursor = await self._cursors.load()
        head = await self.head()
        if cursor is None:
            await wait(ready, "follower", self._clock)
            return
        if reason := await self._safe_mode.why_not_sign(cursor) or _unfit(cursor, head):
            await wait(ready, reason, self._clock)
            return
        ready = await self._not_finished(ready)
        reference = chain.reference(cursor.number, cursor.block_id)
        built: list[tuple[Order, bytes]] = []
        for signer, mine in _by_signer(ready).items():
            first_ms = await counters.next_timestamps(signer, len(mine), self._clock.now())
            for offset, order in enumerate(mine):
                raw = chain.encode(
                    RawData(
                        contract=order.wanted_contract,
                        ref_block_bytes=reference[0],
                        ref_block_hash=reference[1],
                        expiration_ms=head.timestamp_ms + self._lifetime_ms(order),
                        timestamp_ms=first_ms + offset,
                        fee_limit_sun=order.fee_limit_sun,
                        permission_id=order.permission_id,
                    )
                )
                said = chain.decode(raw)
                if (said.contract, said.fee_limit_sun) != (
                    order.wanted_contract,
                    order.fee_limit_sun,
                ):
                    raise RuntimeError(f"{order.id}: the bytes do not say what the order wants")
                built.append((order, raw))
        moves = [
            self._attempted(order, raw, (), cursor.number) for order, raw in built if order.detached
        ]
        hot = [(order, raw) for order, raw in built if not order.detached]
        answers = await self._signer.sign_many(hot) if hot else []
        for (order, raw), answer in zip(hot, answers, strict=True):
            if isinstance(answer, CannotSign):
                await wait([order], f"signer: {answer.detail}", self._clock)
            else:
                moves.append(self._attempted(order, raw, (answer,), cursor.number))
        failpoint("sign:signed")
        moved = await store.apply_moves(moves)
        failpoint("sign:stored")
        for move in moves:
            if move.doc_id in moved:
                log.info("order.signed", order_id=move.doc_id, txid=move.set["live_txid"])

    async def _not_called_back(self, orders: Sequence[Order]) -> list[Order]:
        """Those that nobody has called back. The others end: their last bytes died while a
        restored store had still to read whether others were paid (`Settler`). They wait for
        that alone, not for what else keeps an order from being signed.

        Raises:
            Unavailable: Some were, and too few nodes tell whether the store was restored.
        """
        called_back = [order for order in orders if order.cancel_requested]
        if called_back and (back := await self._not_finished(called_back, in_block=True)):
            cursor = await self._cursors.load()
            reason = "follower" if cursor is None else await self._safe_mode.why_not_sign(cursor)
            if reason:
                await wait(back, reason, self._clock)
            else:
                now, ended = self._clock.now(), {"books_open": True, "reason": "canceled"}
                moves = [store.move(each, OrderStatus.CANCELED, now, set=ended) for each in back]
                await store.apply_moves(moves)
        return [order for order in orders if not order.cancel_requested]

    async def _not_finished(
        self, orders: Sequence[Order], *, in_block: bool = False
    ) -> list[Order]:
        """Those whose funds were neither spent nor released. The others wait: parts of the store
        may be older than the journal, which knows that they were paid or have ended.

        Args:
            in_block: Only those wait that a block has ended: who wants no other end than theirs
                minds no release.
        """
        view, ids = await self._ledger.view(), [order.id for order in orders]
        finished = set(await view.ended_in(ids)) if in_block else await view.finished(ids)
        await wait([order for order in orders if order.id in finished], JOURNAL_CLOSED, self._clock)
        return [order for order in orders if order.id not in finished]

    def _attempted(
        self, order: Order, raw: bytes, signatures: tuple[bytes, ...], ref_block_number: int
    ) -> Move:
        """The move that stores an attempt: signed, or waiting for signatures from elsewhere."""
        said = chain.decode(raw)
        now = self._clock.now()
        attempt = Attempt(
            number=len(order.attempts) + 1,
            txid=chain.txid(raw),
            raw=raw,
            signatures=signatures,
            fee_limit_sun=said.fee_limit_sun,
            timestamp_ms=said.timestamp_ms,
            expiration_ms=said.expiration_ms,
            ref_block_number=ref_block_number,
            signed_at=now,
        )
        return store.move(
            order,
            OrderStatus.SIGNED if signatures else OrderStatus.AWAITING_SIGNATURE,
            now,
            set={
                "live_txid": attempt.txid,
                "live_expiration_ms": attempt.expiration_ms,
                "fee_limit_sun": attempt.fee_limit_sun,
                "due_at": store.AT_ONCE,
                "waiting_for": "",
            },
            push={"attempts": store.stored(attempt)},
            quiet=bool(signatures),  # sending them follows at once, and is told
        )

    async def ask(self, orders: Sequence[Order]) -> None:
        """Show stored bytes to those who have the keys; again now and then, which is harmless.

        The desk is asked for what was called back, too: to take back what it still shows.
        """
        await chain.all_of(self._ask(order) for order in orders)

    async def _ask(self, order: Order) -> None:
        waiting_for = "signature"
        try:
            if self.desk is None:
                raise CannotSign("nobody can be asked to sign")
            await self.desk.ask(order)
        except CannotSign as refusal:
            waiting_for = f"signature: {refusal.detail}"
        if order.cancel_requested:
            waiting_for = CALLED_BACK
        until = self._clock.now() + timedelta(seconds=ASK_AGAIN_S)
        await store.postpone([order], until, waiting_for=waiting_for)

    async def take(self, order: Order, txid: str, signatures: tuple[bytes, ...]) -> None:
        """Store the signatures that came for an order's live attempt.

        Raises:
            LostRace: The order has other live bytes by now, or none, or was called back.
        """
        live = order.live
        if order.cancel_requested:
            raise LostRace("the order was called back")
        if order.status is not OrderStatus.AWAITING_SIGNATURE or order.live_txid != txid:
            raise LostRace("the order does not wait for these signatures")
        assert live is not None and signatures, order.id
        changes = {
            f"attempts.{live.number - 1}.signatures": list(signatures),
            "due_at": store.AT_ONCE,
            "waiting_for": "",
        }
        now = self._clock.now()
        here = {"live_txid": txid, "cancel_requested": {"$ne": True}}
        await store.apply_move(store.move(order, OrderStatus.SIGNED, now, set=changes, where=here))

    async def broadcast(self, orders: Sequence[Order]) -> None:
        """Send the stored bytes to every node. Whatever they answer changes nothing."""
        gate = asyncio.Semaphore(BROADCASTS_AT_ONCE)

        async def send(order: Order) -> None:
            attempt = order.live
            assert attempt is not None, order.id
            async with gate:
                answers = await self._nodes.broadcast(chain.signed(attempt.raw, attempt.signatures))
            codes = [f"{answer.node}={answer.code}" for answer in answers]
            if not any(answer.accepted for answer in answers):
                log.warning("order.broadcast", order_id=order.id, txid=attempt.txid, answers=codes)

        await chain.all_of(send(order) for order in orders)
        failpoint("broadcast:sent")
        now = self._clock.now()
        await store.mark_sent(orders, now, now + timedelta(seconds=REBROADCAST_S))
        failpoint("broadcast:marked")

    async def close_books(self) -> bool:
        """Release what canceled and failed orders had set aside; they can never be reserved."""
        orders = await store.with_open_books(limit=BATCH_MAX)
        for order in orders:
            entry = await self._ledger.append(lambda view, order=order: closing(view, order))  # type: ignore[misc]
            if entry is not None:
                await left_out.tell(self._alarm, entry)
        await store.close_books([order.id for order in orders])
        return bool(orders)

    async def head(self) -> BlockHeader:
        """The newest block that a node shows, at most a second old: chain time for expirations."""
        now = to_ms(self._clock.now())
        if self._head is None or not 0 <= now - self._head_at_ms < HEAD_MAX_AGE_MS:
            self._head = await self._nodes.head()
            self._head_at_ms = now
        return self._head

    def _lifetime_ms(self, order: Order) -> int:
        usual_s = DETACHED_LIFETIME_S if order.detached else self._lifetime_s
        seconds = order.lifetime_s or usual_s
        return min(seconds, DETACHED_LIFETIME_MAX_S) * 1000


def _unfit(cursor: Position, head: BlockHeader) -> str:
    """Why nothing may be signed on this view of the chain; empty when it may."""
    if cursor.halted:
        return "chain_contradiction"
    if head.timestamp_ms < cursor.timestamp_ms:
        return "node_behind"  # an expiration counted from there is over before it begins
    if head.timestamp_ms - cursor.timestamp_ms > FOLLOWER_LAG_MAX_MS:
        return "follower"
    return ""


def _by_signer(orders: Sequence[Order]) -> dict[Address, list[Order]]:
    groups: dict[Address, list[Order]] = defaultdict(list)
    for order in orders:
        groups[Address(order.signer)].append(order)
    return groups
