"""The way of an order to the network: funds set aside, bytes signed and stored, bytes sent.

Each step is one kind of effect and one commit; dying anywhere repeats the step. Nothing here
decides whether an order has succeeded: only blocks do (settle.py).
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from tron_payment import chain
from tron_payment.chain import BlockHeader, NodeRefused, Nodes, Position, RawData
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.failpoints import failpoint
from tron_payment.db.cas import LostRace, Move
from tron_payment.db.ledger import (
    AlreadyReserved,
    Draft,
    Ledger,
    Pocket,
    View,
    account,
)
from tron_payment.engine import counters
from tron_payment.engine import documents as store
from tron_payment.engine.booking import reserve
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import Attempt, OrderStatus, Spend
from tron_payment.engine.fees import FeeBound, Fees, MustWait
from tron_payment.engine.holds import (
    closing,
    fee_limit_within,
    holds_of_entry,
    holds_of_postings,
    wanted_holds,
    without_books,
)
from tron_payment.engine.idle import any_due
from tron_payment.engine.ports import CannotSign, Gate, Signer, SigningDesk
from tron_payment.engine.safe_mode import SafeModes

BATCH_MAX: Final = 200
"""Orders reserved, signed or sent together by one step."""

ITEMS_MAX: Final = 2_000
"""Payments in the orders reserved or signed together: each is looked at once more before."""

BROADCASTS_AT_ONCE: Final = 32
REBROADCAST_S: Final = 30
"""The same bytes again, while they live: a node's SUCCESS is no inclusion."""

WAIT_S: Final = 5
"""Before an order that has to wait is looked at again."""

FOLLOWER_LAG_MAX_MS: Final = 15 * 60 * 1000
"""Do not sign while our view of the solidified chain is older than this against the head."""

HEAD_MAX_AGE_MS: Final = 1_000
ASK_AGAIN_S: Final = 60
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
        lifetime_s: int,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._nodes = nodes
        self._fees = fees
        self._signer = signer
        self._cursors = cursors
        self._safe_mode = safe_mode
        self._lifetime_s = lifetime_s
        self.gates: list[Gate] = []
        self.desk: SigningDesk | None = None
        self._head: BlockHeader | None = None
        self._head_at_ms = 0

    async def step(self) -> bool:
        """Do the next single thing for one batch; False when nothing is due."""
        now = self._clock.now()
        if not await any_due(now):
            return False
        if orders := await store.due(OrderStatus.SIGNED, now, limit=BATCH_MAX):
            await self.broadcast(orders)
            return True
        if orders := await store.due(OrderStatus.AWAITING_SIGNATURE, now, limit=BATCH_MAX):
            await self.ask(orders)
            return True
        if orders := await store.due(OrderStatus.RESERVED, now, limit=BATCH_MAX):
            await self.sign(_some(orders))
            return True
        if orders := await store.due(OrderStatus.QUEUED, now, limit=BATCH_MAX):
            await self.reserve(_some(orders))
            return True
        return False

    async def reserve(self, orders: Sequence[Order]) -> None:
        """Set aside what each order may spend and burn, all in one journal entry."""
        ready = await self._through_gates(orders)
        bounds = await self._price(ready)
        ready = [order for order in ready if order.id in bounds]
        if not ready:
            return
        wanted = {order.id: wanted_holds(order, bounds[order.id]) for order in ready}
        try:
            entry = await self._ledger.append(lambda view: self._draft(view, ready, wanted))
        except AlreadyReserved as taken:
            await self._recover([o for o in ready if o.id in taken.order_ids], bounds)
            return
        reserved = set(entry.reserves or ()) if entry is not None else set()
        if entry is not None:
            failpoint("reserve:journaled")
            held = holds_of_entry(entry)
            await self._mark_reserved(
                [(order, held[order.id]) for order in ready if order.id in reserved], bounds
            )
            failpoint("reserve:marked")
        poor = [order for order in ready if order.id not in reserved]
        await self._wait(poor, "funds")

    async def _draft(
        self, view: View, orders: Sequence[Order], wanted: dict[str, list[Spend]]
    ) -> Draft | None:
        keys = {
            (account(hold.holder, Pocket.AVAILABLE), hold.asset)
            for order in orders
            for hold in wanted[order.id]
        }
        left = await view.balances(keys)
        chosen, strangers = [], await without_books(view, orders, wanted)
        for order in (each for each in orders if each.signer not in strangers):
            needs = [(account(h.holder, Pocket.AVAILABLE), h) for h in wanted[order.id]]
            if all(left[(name, hold.asset)] >= hold.units for name, hold in needs):
                chosen.append(order.id)
                for name, hold in needs:
                    left[(name, hold.asset)] -= hold.units
        if not chosen:
            return None
        digest = hashlib.sha256("".join(chosen).encode()).hexdigest()
        postings = [p for order_id in chosen for p in reserve(order_id, wanted[order_id])]
        return Draft(f"reserve:{digest}", tuple(postings), reserves=tuple(chosen))

    async def _recover(self, orders: Sequence[Order], bounds: dict[str, FeeBound]) -> None:
        """Somebody has set their funds aside already: take what the journal says."""
        view = await self._ledger.view()
        finished = await view.finished([order.id for order in orders])
        pairs = []
        for order in orders:
            if order.id not in finished:
                postings = await view.reservation(order.id)
                pairs.append((order, holds_of_postings(postings)))
        await self._mark_reserved(pairs, bounds)
        gone = [order for order in orders if order.id in finished]
        await self._wait(gone, "the journal has closed this order")

    async def _mark_reserved(
        self, pairs: Sequence[tuple[Order, list[Spend]]], bounds: dict[str, FeeBound]
    ) -> None:
        now = self._clock.now()
        await store.apply_moves(
            [
                store.move(
                    order,
                    OrderStatus.RESERVED,
                    now,
                    set={
                        "holds": store.stored(holds),
                        "fee_limit_sun": fee_limit_within(order, holds, bounds[order.id]),
                        "due_at": store.AT_ONCE,
                        "waiting_for": "",
                    },
                    quiet=not order.waiting_for,  # to its module it is queued as before
                )
                for order, holds in pairs
            ]
        )

    async def sign(self, orders: Sequence[Order]) -> None:
        """Build, check and sign one transaction for each order, and store the bytes."""
        ready = await self._through_gates(orders)
        if not ready:
            return
        cursor = await self._cursors.load()
        head = await self.head()
        if cursor is None:
            await self._wait(ready, "follower")
            return
        if reason := await self._safe_mode.why_not_sign(cursor) or _unfit(cursor, head):
            await self._wait(ready, reason)
            return
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
                await self._wait([order], f"signer: {answer.detail}")
            else:
                moves.append(self._attempted(order, raw, (answer,), cursor.number))
        failpoint("sign:signed")
        moved = await store.apply_moves(moves)
        failpoint("sign:stored")
        for move in moves:
            if move.doc_id in moved:
                log.info("order.signed", order_id=move.doc_id, txid=move.set["live_txid"])

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
                "due_at": store.AT_ONCE,
                "waiting_for": "",
            },
            push={"attempts": store.stored(attempt)},
            quiet=bool(signatures),  # sending them follows at once, and is told
        )

    async def ask(self, orders: Sequence[Order]) -> None:
        """Show stored bytes to those who have the keys; again now and then, which is harmless."""
        for order in orders:
            waiting_for = "signature"
            try:
                if self.desk is None:
                    raise CannotSign("nobody can be asked to sign")
                await self.desk.ask(order)
            except CannotSign as refusal:
                waiting_for = f"signature: {refusal.detail}"
            until = self._clock.now() + timedelta(seconds=ASK_AGAIN_S)
            await store.postpone([order], until, waiting_for=waiting_for)

    async def take(self, order: Order, txid: str, signatures: tuple[bytes, ...]) -> None:
        """Store the signatures that came for an order's live attempt.

        Raises:
            LostRace: The order has other live bytes by now, or none.
        """
        live = order.live
        if order.status is not OrderStatus.AWAITING_SIGNATURE or order.live_txid != txid:
            raise LostRace("the order does not wait for these signatures")
        assert live is not None and signatures, order.id
        changes = {
            f"attempts.{live.number - 1}.signatures": list(signatures),
            "due_at": store.AT_ONCE,
            "waiting_for": "",
        }
        now = self._clock.now()
        await store.apply_move(
            store.move(order, OrderStatus.SIGNED, now, set=changes, where={"live_txid": txid})
        )

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

        await asyncio.gather(*(send(order) for order in orders))
        failpoint("broadcast:sent")
        now = self._clock.now()
        await store.mark_sent(orders, now, now + timedelta(seconds=REBROADCAST_S))
        failpoint("broadcast:marked")

    async def close_books(self) -> bool:
        """Release what canceled and failed orders had set aside; they can never be reserved."""
        orders = await store.with_open_books(limit=BATCH_MAX)
        for order in orders:
            await self._ledger.append(lambda view, order=order: closing(view, order))  # type: ignore[misc]
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

    async def _through_gates(self, orders: Sequence[Order]) -> list[Order]:
        waiting: dict[str, str] = {}
        for gate in self.gates:
            waiting |= await gate([order for order in orders if order.id not in waiting])
        for reason in set(waiting.values()):
            await self._wait([o for o in orders if waiting.get(o.id) == reason], reason)
        return [order for order in orders if order.id not in waiting]

    async def _price(self, orders: Sequence[Order]) -> dict[str, FeeBound]:
        """A bound for each order that can be priced now and whose maximum allows it."""

        async def one(order: Order) -> FeeBound | str:
            try:
                signatures = 1
                if order.detached and self.desk is not None:
                    signatures = await self.desk.signatures_max(order)
                bound = await self._fees.bound(order.wanted_contract, signatures=signatures)
            except MustWait as wait:
                return wait.waiting_for
            except CannotSign as refusal:
                return f"cannot_sign: {refusal.detail}"
            except NodeRefused as refused:  # this order's trouble, not that of all behind it
                return f"node_refused: {refused.message}"
            return bound if bound.hold_sun <= order.max_fee_sun else bound.above_maximum

        priced = await asyncio.gather(*(one(order) for order in orders))
        answers = {order.id: answer for order, answer in zip(orders, priced, strict=True)}
        for reason in {answer for answer in answers.values() if isinstance(answer, str)}:
            await self._wait([o for o in orders if answers[o.id] == reason], reason)
        return {key: bound for key, bound in answers.items() if isinstance(bound, FeeBound)}

    async def _wait(self, orders: Sequence[Order], waiting_for: str) -> None:
        until = self._clock.now() + timedelta(seconds=WAIT_S)
        await store.postpone(orders, until, waiting_for=waiting_for)


def _some(orders: Sequence[Order]) -> list[Order]:
    """The first of them, with at most `ITEMS_MAX` payments together; at least one."""
    items = 0
    for index, order in enumerate(orders):
        items += max(1, len(order.expects))
        if items > ITEMS_MAX and index:
            return list(orders[:index])
    return list(orders)


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
