"""What becomes of the payouts in an order: the engine tells, this takes it over.

One transaction may carry many payouts. When it stands in the chain each has its own proof. When it
was reverted, or called back before it was signed, its payouts part and go on in new orders:

    the order ended            its payouts
    failed (one payout)        failed
    failed (several)           the first half and the second half each get an order of their own
    canceled (several)         those marked to leave are final; the rest get one new order
    canceled (one)             canceled

Parting is safe to repeat after any crash: ids of new orders are derived from the old one; the
halves from the old order's own list, which never changes; each payout moves in one atomic update;
and a new order is placed only when no payout is left behind, so its content can be one thing only.
A payout that was proved paid never moves, because its order has not failed.

A mark to leave may come or go until the very moment: the update that moves or ends a payout looks
at it, and what has ended is told afterwards (telling.py), of exactly those.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from tron_payment.chain import Transfer
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.errors import Conflict
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import LostRace
from tron_payment.db.events import Event
from tron_payment.engine import (
    SIMULATION_REVERTED,
    Attempt,
    Engine,
    Order,
    OrderFinished,
    OrderSigned,
    OrderStatus,
    Proof,
    Result,
)
from tron_payment.payouts import batch_documents as batches
from tron_payment.payouts import documents as store
from tron_payment.payouts import following_documents as following
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.apart import Apart, wish_of
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.documents import LEFT, Payout
from tron_payment.payouts.domain import LIFECYCLE, POISONS, PayoutStatus, status_of
from tron_payment.payouts.orders import MODULE, OrderMaker
from tron_payment.payouts.payee_documents import remember_payees
from tron_payment.payouts.policy import RecipientNotAllowed
from tron_payment.payouts.policy_desk import PolicyDesk, was_listed
from tron_payment.payouts.screen import Screen
from tron_payment.payouts.telling import Telling

SKIPPED_REASON: Final = "the router has closed this payment's reference before: look at the chain"
UNSIGNED: Final = frozenset({OrderStatus.QUEUED, OrderStatus.RESERVED})
"""No bytes of it can be on the chain."""

FIRST, SECOND, REST = "first half", "second half", "rest"

log = structlog.get_logger()


class Outcomes:
    """Follows the orders of payouts."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        engine: Engine,
        orders: OrderMaker,
        screen: Screen,
        desk: PolicyDesk,
        counting: Counting,
        announcer: Announcer,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._engine = engine
        self._orders = orders
        self._screen = screen
        self._desk = desk
        self._counting = counting
        self._announcer = announcer
        self._telling = telling

    async def follow(self, orders: Sequence[Order]) -> None:
        """Take over what became of orders. The engine calls this, again after a crash.

        Raises:
            AppError: Those of one order cannot go on; all the others were taken over.
            StoreUnavailable, NodesUnavailable
        """
        apart = Apart("order.not_followed")
        for order in orders:
            if parts(order):
                with apart.one(order_id=order.id):
                    await self._part(order)
        carried = await store.of_orders([o.id for o in orders if not parts(o)])
        await self._take_over(orders, carried)
        for order in orders:
            if order.status in UNSIGNED and _is_poisoned(order.waiting_for):
                with apart.one(order_id=order.id):
                    await self._end_poisoned(order)
        apart.end()

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Look at the recipients once more before money is set aside and before it is signed.

        A recipient who may not be paid leaves the transaction; the others go on without. So does
        who was taken off the allow-list that the payout was accepted by.
        """
        ours = {order.id: recipients(order) for order in orders if order.module == MODULE}
        unlisted = await self._unlisted(ours)
        verdicts = await self._screen.verdicts({a for each in ours.values() for a in each.values()})
        waiting: dict[str, str] = {}
        for order in orders:
            by_ref = ours.get(order.id, {})
            unknown = {a for a in by_ref.values() if a not in verdicts}
            bad = {ref: code for ref, a in by_ref.items() if (code := verdicts.get(a)) is not None}
            bad |= {ref: RecipientNotAllowed.code for ref in by_ref if ref in unlisted}
            if bad:
                waiting[order.id] = "screening"
                await self._eject(order, bad)
            elif unknown:
                waiting[order.id] = "screening"
                self._screen.want(unknown)
        return waiting

    async def _unlisted(self, ours: Mapping[str, Mapping[str, Address]]) -> set[str]:
        """The payouts whose recipients the allow-list had when they were accepted, and not now."""
        off = await self._desk.off_the_list({a for each in ours.values() for a in each.values()})
        named = [order_id for order_id, each in ours.items() if not off.isdisjoint(each.values())]
        carried = await store.of_orders(named) if named else {}
        return {
            payout.id
            for each in carried.values()
            for payout in each
            if payout.recipient_address in off and was_listed(payout.decisions)
        }

    async def _eject(self, order: Order, bad: Mapping[str, str]) -> None:
        try:
            if len(order.expects) > 1:
                await following.mark_ejected(order.id, bad)
                await self._engine.cancel(order.id)
            else:
                await self._engine.refuse(order.id, next(iter(bad.values())))
        except Conflict:
            return  # somebody moved it; the gate will see it again if it may still be signed
        log.warning("payout.recipient_refused", order_id=order.id, payouts=len(bad))

    async def _end_poisoned(self, order: Order) -> None:
        """The simulation names an error that stays: find the payment that is wrong."""
        reason = order.waiting_for.removeprefix(f"{SIMULATION_REVERTED}: ")
        try:
            await self._engine.refuse(order.id, reason)
        except Conflict:
            return
        log.warning("order.poisoned", order_id=order.id, reason=reason)

    async def _take_over(
        self, orders: Sequence[Order], carried: Mapping[str, Sequence[Payout]]
    ) -> None:
        now = self._clock.now()
        changes: list[following.Taken] = []
        events: list[Event] = []
        unpaid: list[Payout] = []
        settled: list[Payout] = []
        for order in orders:
            story = Story.of(order)
            places = {ref: index for index, ref in enumerate(refs(order))}
            for payout in carried.get(order.id, []):
                if payout.order_version > order.version:
                    continue
                if order.expects and payout.id not in places:
                    continue  # it had ended before the order was made: nothing pays it
                share = Share(places.get(payout.id, 0), max(1, len(places)))
                fields = story.told_to(payout, share, now)
                status = PayoutStatus(fields["status"])
                changes.append(following.Taken(payout.id, order.id, order.version, fields))
                if status is not payout.status:
                    events.append(
                        self._announcer.event(
                            payout,
                            status.value,
                            f"{order.id}:{order.version}",
                            payout.version + 1,
                            now,
                            txid=fields.get("txid"),
                            reason=fields["reason"] or None,
                        )
                    )
                    if status is PayoutStatus.SETTLED:
                        settled.append(payout)
                    elif LIFECYCLE.is_final(status):
                        unpaid.append(payout)
        await self._announcer.tell(events)
        await self._counting.end(unpaid)
        await remember_payees(settled, now)
        await following.follow_orders(changes)
        await batches.touch(
            {p.batch_id for each in carried.values() for p in each if p.batch_id is not None}, now
        )

    async def _part(self, order: Order) -> None:
        """Give the payouts of an order that ended unpaid an order each, or by halves."""
        names = refs(order)
        half = (len(names) + 1) // 2
        failed = order.status is OrderStatus.FAILED
        children = {
            ref: self._child(order.id, (FIRST if index < half else SECOND) if failed else REST)
            for index, ref in enumerate(names)
        }
        now = self._clock.now()
        moves = [
            following.Parting(ref, children[ref], Share(index, len(names)).of(_cost(order)))
            for index, ref in enumerate(names)
        ]
        remaining = await following.part(order.id, moves, now)
        gone = [payout for payout in await store.in_order(order.id) if payout.untold == LEFT]
        await self._telling.tell(*gone)
        await batches.touch({order.subject}, now)
        if remaining:
            raise LostRace(f"{remaining} payouts are still in {order.id}")  # told again
        for child in dict.fromkeys(children.values()):
            if await self._engine.find(child) is None:
                payouts = await store.in_order(child)
                if payouts:
                    await self._engine.place(await wish_of(self._orders, payouts))
        log.info("order.parted", order_id=order.id, payouts=len(names), gone=len(gone))

    def _child(self, order_id: str, part: str) -> str:
        return derived_id("ord", self._secret, order_id, part)


@dataclass(frozen=True, slots=True)
class Share:
    """One payout's part of what its transaction cost; the parts add up to the whole."""

    index: int
    count: int

    def of(self, total: int) -> int:
        return total * (self.index + 1) // self.count - total * self.index // self.count


def refs(order: Order) -> list[str]:
    """The payouts that an order was made for, in the order of its content."""
    return [each["ref"] for each in order.expects] or [order.subject]


def recipients(order: Order) -> dict[str, Address]:
    """Who is paid, by payout."""
    if order.expects:
        return {each.ref: each.recipient for each in order.wanted_expects}
    contract = order.wanted_contract
    return {order.subject: contract.to} if isinstance(contract, Transfer) else {}


def parts(order: Order) -> bool:
    """Whether its payouts go on without it: several of them, and it never pays any."""
    return len(order.expects) > 1 and order.status in (OrderStatus.FAILED, OrderStatus.CANCELED)


def _is_poisoned(waiting_for: str) -> bool:
    kind, _, error = waiting_for.partition(": ")
    return kind == SIMULATION_REVERTED and error in POISONS


def _cost(order: Order) -> int:
    return 0 if order.outcome is None else order.outcome.fee_sun


@dataclass(frozen=True, slots=True)
class Story:
    """What payouts are told of their order, read once for all of them."""

    order: Order
    outcome: Result | None
    newest: Attempt | None

    @classmethod
    def of(cls, order: Order) -> "Story":
        return cls(order, order.outcome, order.tried[-1] if order.attempts else None)

    def told_to(self, payout: Payout, share: Share, now: datetime) -> dict[str, Any]:
        """What a payout takes over."""
        order, outcome, newest = self.order, self.outcome, self.newest
        proof = outcome.proofs.get(payout.id) if outcome is not None else None
        status = status_of(order.status, proof)
        fields: dict[str, Any] = {
            "status": status.value,
            "waiting_for": order.waiting_for if not LIFECYCLE.is_final(status) else "",
            "reason": SKIPPED_REASON if proof == Proof.SKIPPED else order.reason,
            "attempts": len(order.attempts),
            "updated_at": now,
        }
        if newest is not None:
            fields |= {"txid": newest.txid, "sent_at": newest.sent_at}
        if outcome is not None:
            fields |= {
                "txid": outcome.txid,
                "fee_paid_sun": payout.fee_before_sun + share.of(outcome.fee_sun),
                "energy_used": share.of(outcome.energy_used),
                "energy_burned_sun": share.of(outcome.energy_burned_sun),
                "block_number": outcome.block_number,
                "block_id": outcome.block_id,
            }
            if status is PayoutStatus.SETTLED:
                fields["settled_at"] = from_ms(outcome.block_timestamp_ms)
        return fields


__all__ = ["OrderFinished", "OrderSigned", "Outcomes", "Share", "recipients", "refs"]
