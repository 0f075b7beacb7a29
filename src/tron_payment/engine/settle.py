"""What solidified blocks prove: the one place where orders end.

For each block, in this order: one journal entry (unique by block number), the moves of the
orders whose transactions stand in it, the proofs of death of those that can no longer come.
Dying anywhere repeats the block, and every part of it is harmless when repeated.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import structlog

from tron_payment import chain
from tron_payment.chain import Position, SolidBlock, SolidTransaction
from tron_payment.contracts import artifact
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.failpoints import failpoint
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import LostRace, Move
from tron_payment.db.ledger import Draft, Ledger, Room, View, sides
from tron_payment.engine import documents as store
from tron_payment.engine import left_out
from tron_payment.engine.adopting import adopt, claims, has_forgotten, was_adopted
from tron_payment.engine.booking import Booking, book, reserve
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import (
    LIFECYCLE,
    Attempt,
    Death,
    OrderStatus,
    Result,
    Verdict,
    judge,
    prove,
    settled_status,
)
from tron_payment.engine.movements import Movement, movements
from tron_payment.engine.ports import Alarm, Tokens
from tron_payment.engine.safe_mode import SafeModes
from tron_payment.engine.watched import Watched

DEATHS_AT_ONCE: Final = 500
CONCLUDE_ATTEMPTS_MAX: Final = 10
ADOPT_ATTEMPTS_MAX: Final = 5
ATTEMPTS_MAX: Final = 200
"""Of one order; at ten minutes each that is more than a day in which nothing came through."""

REBUILD_PAUSE_S: Final = 15
"""Longer by this after each dead attempt but the first, so that a document cannot grow fast."""

REBUILD_PAUSE_MAX_S: Final = 600
PAID_TOPIC: Final = artifact("PayoutRouterV0").topic("Paid")
SKIPPED_TOPIC: Final = artifact("PayoutRouterV0").topic("Skipped")

log = structlog.get_logger()


class Settler:
    """Applies solidified blocks to orders and books."""

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: Ledger,
        tokens: Tokens,
        cursors: chain.Cursors,
        alarm: Alarm,
        safe_mode: SafeModes,
        watched: Watched,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._watched = watched
        self._tokens = tokens
        self._cursors = cursors
        self._alarm = alarm
        self._safe_mode = safe_mode

    async def on_block(self, block: SolidBlock) -> bool:
        """Apply one solidified block; the follower calls this for every block, in order.

        Returns:
            Whether it did anything to an order.

        Raises:
            ChainContradiction: Another process has stopped the following, after ours had gone on.
            LostRace: The store has not had the block before this one: it has gone back. What is
                proved by having read every block would be proved wrongly.
        """
        cursor = await self._cursors.load()
        assert cursor is not None
        if cursor.halted:
            raise chain.ChainContradiction(cursor.halted)
        if cursor.number < block.number - 1:
            raise LostRace(f"block {block.number} on a store that stands at {cursor.number}")
        await self._safe_mode.look(cursor)
        orders = await self._apply(await self._watched.judge(block), cursor)
        buried = await self._bury(block)
        _die_at("settle:buried", orders)
        return buried or bool(orders)

    async def _apply(self, block: SolidBlock, cursor: Position) -> Mapping[str, Order]:
        """Book and end what the block did to us; the orders in it.

        Args:
            block: Those of its transactions in which an address of ours may be a party: every
                signer of an order is one.
        """
        if not block.transactions:
            return {}
        if await self._safe_mode.is_on():
            await self._adopt(block)
        moves = list(movements(block, self._tokens.by_contract))
        for _ in range(ADOPT_ATTEMPTS_MAX):
            orders = await self._orders_in(block)
            if await self._book(block, moves, orders):
                break
            await self._safe_mode.begin(cursor)
            await self._adopt(block)
        else:
            raise LostRace(f"orders that block {block.number} pays keep moving")
        block = await self._watched.booked(block)
        _die_at("settle:booked", orders)
        await self._conclude(block, orders)
        _die_at("settle:concluded", orders)
        return orders

    async def _adopt(self, block: SolidBlock) -> None:
        """The store is a restored one: what it has forgotten, the chain still knows. Not what
        others have passed meanwhile: they have booked it, as nobody's."""
        if not await self._is_behind_us(block):
            view = await self._ledger.view()
            await adopt(block, await self._orders_in(block), view, self._clock.now())

    async def _orders_in(self, block: SolidBlock) -> dict[str, Order]:
        """Orders by the txid of theirs that stands in the block."""
        txids = [transaction.txid for transaction in block.transactions]
        if not txids:
            return {}
        present = set(txids)
        return {
            attempt["txid"]: order
            for order in await store.owning(txids)
            for attempt in order.attempts
            if attempt["txid"] in present
        }

    async def _book(
        self, block: SolidBlock, moves: Sequence[Movement], orders: Mapping[str, Order]
    ) -> bool:
        """Write the block's entry; False, and nothing is written, when a transaction that no
        attempt explains does what an unsigned order wants: adopt it first."""
        touched = {a for m in moves for a in (m.sender, m.recipient) if a is not None}
        unmatched: list[Movement] = []
        forgotten: list[str] = []

        async def build(view: View) -> Draft | None:
            forgotten.clear()
            if await self._is_behind_us(block):
                unmatched.clear()
                return None
            booking = await self._booking(view, block, moves, orders, touched)
            unmatched[:] = booking.unmatched
            strange = {move.txid for move in unmatched}
            if strange and await has_forgotten(
                block, [each for each in block.transactions if each.txid in strange], orders, view
            ):
                forgotten[:] = sorted(strange)
                return None
            if not booking.postings and not booking.finals and not booking.left_out:
                return None
            return Draft(
                cause=f"block:{block.number}",
                postings=tuple(booking.postings),
                reserves=tuple(set(booking.finals) - await view.reserved(booking.finals)),
                finals=tuple(booking.finals),
                left_out=left_out.kept(booking.left_out_refs),
                block_number=block.number,
            )

        if touched or orders:
            entry = await self._ledger.append(build)
            if entry is not None:
                await self._cursors.booked(entry.id, entry.hash)
                await left_out.tell(self._alarm, entry, moves)
        if forgotten:
            log.warning("block.forgotten", txids=forgotten, block=block.number)
            return False
        for move in await self._watched.from_ours(unmatched):
            await self._safe_mode.note(move.txid, move.sender or "", block.number)
            await self._alarm("transaction.unmatched", unmatched_facts(move, block.number))
        return True

    async def _is_behind_us(self, block: SolidBlock) -> bool:
        """True when the cursor is past the block: somebody has applied it whole while we slept.

        A late entry would be double: an opening may have counted the block's movements since.
        The answer is as old as the view that the entry is built on; an opening in between takes
        the entry's number.
        """
        cursor = await self._cursors.load()
        return cursor is not None and cursor.number >= block.number

    async def _booking(
        self,
        view: View,
        block: SolidBlock,
        moves: Sequence[Movement],
        orders: Mapping[str, Order],
        touched: set[Address],
    ) -> Booking:
        holders = await view.holders(touched) if touched else {}
        claimed = await claims(view, orders)
        included = [tx.txid for tx in block.transactions if tx.txid in claimed]
        booking = book(moves, holders, claimed, block.number, included)
        held = [each for claim in claimed.values() for each in reserve(claim.order_id, claim.holds)]
        balances = await view.balances(sides([*booking.postings, *held]))
        if Room(balances).take_all(booking.postings):
            return booking
        return book(moves, holders, claimed, block.number, included, Room(balances))

    async def _conclude(self, block: SolidBlock, orders: Mapping[str, Order]) -> None:
        """Move every order whose transaction stands in the block to where it ends.

        A move that loses its race is decided anew on the order as it is now. The block is not left
        before all have ended: an order left behind would later be proved dead although it was paid.
        """
        for _ in range(CONCLUDE_ATTEMPTS_MAX):
            moves = []
            for txid, order in orders.items():
                transaction = block.find(txid)
                assert transaction is not None
                if order.status in store.WITH_LIVE_BYTES and order.live_txid == txid:
                    moves.append(self._conclusion(block, order, transaction))
                elif order.result is None or order.result["txid"] != txid:
                    await self._contradiction(block, order, txid)
            moved = await store.apply_moves(moves)
            for move in moves:
                if move.doc_id in moved:
                    log.info("order.concluded", order_id=move.doc_id, status=move.set["status"])
            lost = {move.doc_id for move in moves} - moved
            if not lost:
                return
            again = await self._orders_in(block)
            orders = {txid: order for txid, order in again.items() if order.id in lost}
        raise LostRace(f"orders in block {block.number} keep moving")

    def _conclusion(self, block: SolidBlock, order: Order, tx: SolidTransaction) -> Move:
        proofs: dict[str, Any] = {}
        if tx.succeeded:
            proofs = dict(prove(order.wanted_expects, tx, PAID_TOPIC, SKIPPED_TOPIC))
        status = settled_status(tx.result, proofs.values())
        result = Result(
            txid=tx.txid,
            block_number=block.number,
            block_id=block.block_id,
            block_timestamp_ms=block.timestamp_ms,
            receipt=tx.result,
            fee_sun=tx.fee_sun,
            energy_used=tx.energy_total,
            energy_burned_sun=tx.energy_fee_sun,
            bandwidth_used=tx.net_usage,
            bandwidth_burned_sun=tx.net_fee_sun,
            proofs={ref: str(proof) for ref, proof in proofs.items()},
        )
        changes: dict[str, Any] = {
            "result": store.stored(result),
            "live_txid": None,
            "live_expiration_ms": None,
            "reason": "" if status is OrderStatus.SETTLED else f"receipt: {tx.result}",
        }
        if was_adopted(order):
            changes["books_open"] = True  # the block may have been booked before it was ours
        if status is OrderStatus.FAILED:
            live = order.live
            assert live is not None
            death = _death(Verdict.REVERTED, live, block, tx.result)
            changes[f"attempts.{live.number - 1}.death"] = store.stored(death)
        return store.move(order, status, self._clock.now(), set=changes)

    async def _contradiction(self, block: SolidBlock, order: Order, txid: str) -> None:
        """A transaction that was proved dead, or a second one, stands in the chain."""
        await self._contradicted(block, order, txid)
        if LIFECYCLE.allows(order.status, OrderStatus.QUARANTINED):
            await store.apply_moves(
                [
                    store.move(
                        order,
                        OrderStatus.QUARANTINED,
                        self._clock.now(),
                        set={"reason": f"{txid}, proved dead before, is in block {block.number}"},
                    )
                ]
            )

    async def _contradicted(self, block: SolidBlock, order: Order, txid: str) -> None:
        facts = {"order_id": order.id, "txid": txid, "block": block.number, "status": order.status}
        await self._alarm("order.contradiction", facts)

    async def _bury(self, block: SolidBlock) -> bool:
        """Store the proof of death of every attempt that can no longer come into the chain; whether
        there was one."""
        any_dead = False
        while orders := await store.expired(block.timestamp_ms, limit=DEATHS_AT_ONCE):
            cursor = await self._cursors.load()
            assert cursor is not None
            for order in filter(was_adopted, orders):
                await self._contradicted(block, order, order.live_txid or "")
            first, forgot = cursor.started_at_number, await self._forgotten(orders)
            moves = [self._burial(block, each, first, forgot=each.id in forgot) for each in orders]
            moved = await store.apply_moves(moves)
            log.warning("attempt.expired", orders=len(moved), block=block.number)
            any_dead = True
        return any_dead

    async def _forgotten(self, orders: Sequence[Order]) -> set[str]:
        """Those of which a restored store may have forgotten that they were paid: all of them, or
        those that a block has ended, as the journal says, and the orders do not."""
        ids = [order.id for order in orders]
        if await self._safe_mode.may_have_forgotten():
            return set(ids)
        return set(await (await self._ledger.view()).ended_in(ids))

    def _burial(self, block: SolidBlock, order: Order, followed_from: int, *, forgot: bool) -> Move:
        """The move after an attempt's death; it holds only while the wish to cancel is what we saw.

        Where a later attempt may have been forgotten the order does not end: it is canceled when
        it is to be signed again (dispatch.py).

        A wish that comes in this moment leaves the version as it is, and must not be passed over:
        the order would be shown, and could be paid, once more.
        """
        seen = {"cancel_requested": order.cancel_requested}
        live = order.live
        assert live is not None, order.id
        if was_adopted(order):  # it stands in a block that others had passed before it was known
            reason = f"{live.txid} was found in a block, and not in those read since"
            changed = {"reason": reason}
            return store.move(order, OrderStatus.QUARANTINED, self._clock.now(), set=changed)
        assert live.ref_block_number >= followed_from, "blocks before our first are unknown to us"
        verdict = judge(live.txid, live.expiration_ms, block)
        assert verdict is Verdict.EXPIRED, (order.id, verdict)
        now = self._clock.now()
        changes: dict[str, Any] = {
            f"attempts.{live.number - 1}.death": store.stored(_death(verdict, live, block)),
            "live_txid": None,
            "live_expiration_ms": None,
            "due_at": store.AT_ONCE if live.number == 1 else now + _pause(live.number),
        }
        if order.cancel_requested and not forgot:
            changes |= {"books_open": True, "reason": "canceled"}
            return store.move(order, OrderStatus.CANCELED, now, set=changes, where=seen)
        if live.number >= ATTEMPTS_MAX and not forgot:
            changes |= {"books_open": True, "reason": "attempts_exhausted"}
            return store.move(order, OrderStatus.FAILED, now, set=changes, where=seen)
        return store.move(order, OrderStatus.RESERVED, now, set=changes, where=seen)


def unmatched_facts(move: Movement, block_number: int) -> dict[str, object]:
    """For the audit log, which has no integer of more than 64 bits; a contract may claim more."""
    return {
        "txid": move.txid,
        "block": block_number,
        "address": move.sender,
        "asset": move.asset,
        "units": move.units if move.units <= UNITS_MAX else str(move.units),
    }


def _die_at(label: str, orders: Mapping[str, Order]) -> None:
    if orders:
        failpoint(label)


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(REBUILD_PAUSE_S * (attempts - 1), REBUILD_PAUSE_MAX_S))


def _death(verdict: Verdict, attempt: Attempt, block: SolidBlock, result: str = "") -> Death:
    return Death(
        verdict=verdict,
        from_block=attempt.ref_block_number,
        to_block=block.number,
        block_id=block.block_id,
        block_timestamp_ms=block.timestamp_ms,
        result=result,
    )
