"""Setting funds aside: what orders may spend and burn, in one journal entry for all of them.

The journal decides what is set aside; dying after its entry is harmless, for the next look takes
over what it says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from tron_payment.chain import NodeRefused, NodesUnavailable, all_of
from tron_payment.core.clock import Clock
from tron_payment.core.failpoints import failpoint
from tron_payment.db.cas import LostRace, compare_and_set
from tron_payment.db.ledger import AlreadyReserved, Draft, Ledger, Posting, Room, View, sides
from tron_payment.engine import documents as store
from tron_payment.engine.booking import reserve
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import OrderStatus, Spend
from tron_payment.engine.fees import FeeBound, Fees, MustWait
from tron_payment.engine.holds import (
    GIVING_BACK,
    fee_limit_now,
    fee_limit_within,
    holds_of_entry,
    holds_of_postings,
    wanted_holds,
    without_books,
)
from tron_payment.engine.ports import CannotSign, SigningDesk
from tron_payment.engine.waiting import JOURNAL_CLOSED, wait

FEE_LIMIT_OUTDATED: Final = "fee_limit_outdated"
"""What a reserved order waits for whose fee limit is too small by now, and its hold for a larger
one: prices have risen since. They may fall again; else it has to be called back and asked anew."""


class Reserving:
    """Takes queued orders to reserved, where they can be paid for."""

    def __init__(self, *, clock: Clock, ledger: Ledger, fees: Fees) -> None:
        self._clock = clock
        self._ledger = ledger
        self._fees = fees

    async def reserve(self, orders: Sequence[Order], desk: SigningDesk | None) -> None:
        """Set aside what each order may spend and burn; the others wait, and say why.

        Args:
            desk: Knows how many signatures make a detached order's bytes longer.
        """
        bounds = await self._price(orders, desk)
        ready = [order for order in orders if order.id in bounds]
        if not ready:
            return
        wanted = {order.id: wanted_holds(order, bounds[order.id]) for order in ready}
        try:
            entry = await self._ledger.append(lambda view: setting_aside(view, ready, wanted))
        except AlreadyReserved as taken:
            await self._recover([o for o in ready if o.id in taken.order_ids], bounds)
            return
        reserved = set(entry.reserves or ()) if entry is not None else set()
        if entry is not None:
            failpoint("reserve:journaled")
            held = holds_of_entry(entry)
            await self._mark_reserved(
                [(order, held.get(order.id, [])) for order in ready if order.id in reserved], bounds
            )
            failpoint("reserve:marked")
        poor = [order for order in ready if order.id not in reserved]
        await wait(poor, "funds", self._clock)

    async def look_again(self, orders: Sequence[Order], desk: SigningDesk | None) -> list[Order]:
        """Reserved orders that can be signed as things are now; the others wait, and say why.

        A fee limit is fixed with its hold, and that may be long ago. The limit of what is given
        back is within what was set aside.
        """
        orders = [order for order in orders if await self._is_permitted(order, desk)]
        answers = {}
        for order, bound in zip(orders, await self._bounds(orders, desk), strict=True):
            limit = fee_limit_now(order, bound) if isinstance(bound, FeeBound) else None
            if limit is not None:
                order.fee_limit_sun = limit
            else:
                answers[order.id] = bound if isinstance(bound, str) else FEE_LIMIT_OUTDATED
        await self._wait(orders, answers)
        return [order for order in orders if order.id not in answers]

    async def _is_permitted(self, order: Order, desk: SigningDesk | None) -> bool:
        """Whether it names the permission by which its wallet signs now.

        If not, it takes that one, and is looked at anew by all who agree to what it says.
        """
        if not order.detached or desk is None:
            return True
        permission_id = await desk.permission(order.wallet_id, order.wanted_contract)
        if permission_id == order.permission_id:
            return True
        with suppress(LostRace):  # somebody has moved it, and sees to it
            await compare_and_set(
                Order,
                order.id,
                version=order.version,
                where={"status": OrderStatus.RESERVED.value},
                set={"permission_id": permission_id, "due_at": store.AT_ONCE},
            )
        return False

    async def _price(
        self, orders: Sequence[Order], desk: SigningDesk | None
    ) -> dict[str, FeeBound]:
        """A bound for each order that can be priced now and whose maximum allows it."""

        answers: dict[str, FeeBound | str] = {}
        for order, bound in zip(orders, await self._bounds(orders, desk), strict=True):
            if isinstance(bound, FeeBound) and bound.hold_sun > order.max_fee_sun:
                answers[order.id] = bound.above_maximum
            else:
                answers[order.id] = bound
        await self._wait(orders, {k: each for k, each in answers.items() if isinstance(each, str)})
        return {key: bound for key, bound in answers.items() if isinstance(bound, FeeBound)}

    async def _bounds(
        self, orders: Sequence[Order], desk: SigningDesk | None
    ) -> list[FeeBound | str]:
        """What each order may burn as prices are now, or why that cannot be said."""

        async def one(order: Order) -> FeeBound | str:
            try:
                signatures = 1
                if order.detached and desk is not None:
                    signatures = await desk.signatures_max(order)
                return await self._fees.bound(
                    order.wanted_contract,
                    expects=order.wanted_expects,
                    spends=order.wanted_spends,
                    signatures=signatures,
                )
            except MustWait as delay:
                return delay.waiting_for
            except CannotSign as refusal:
                return f"cannot_sign: {refusal.detail}"
            except NodeRefused as refused:  # this order's trouble, not that of all behind it
                return f"node_refused: {refused.message}"
            except NodesUnavailable as away:  # perhaps for its contract alone: the others go on
                return f"node: {away.detail}"

        return await all_of(one(order) for order in orders)

    async def _wait(self, orders: Sequence[Order], reasons: Mapping[str, str]) -> None:
        for reason in set(reasons.values()):
            await wait([o for o in orders if reasons.get(o.id) == reason], reason, self._clock)

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
        await wait(gone, JOURNAL_CLOSED, self._clock)

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


def _what_there_is(needs: Sequence[Posting], left: Mapping[tuple[str, str], int]) -> list[Posting]:
    """No more than is available, of accounts of which nothing is set aside yet."""
    less = []
    for each in needs:
        has = max(0, left[(each.source, each.asset)])
        alone = not left[(each.destination, each.asset)]
        less.append(replace(each, units=min(each.units, has)) if alone else each)
    return [each for each in less if each.units]


async def setting_aside(
    view: View, orders: Sequence[Order], wanted: Mapping[str, Sequence[Spend]]
) -> Draft | None:
    """The entry that sets aside what is wanted for as many of the orders as there is money for,
    and room in the books, in their order; None when for none.

    What only gives back waits for nothing: free bytes may be enough for it, and if they are not,
    no node takes it and nothing is lost. But it takes nothing that is set aside for others.
    """
    moved = {order.id: reserve(order.id, wanted[order.id]) for order in orders}
    left = await view.balances(sides(p for order in orders for p in moved[order.id]))
    room, postings = Room(dict(left)), list[Posting]()
    giving = {order.id for order in orders if order.contract["type"] in GIVING_BACK}
    nothing: dict[str, Sequence[Spend]] = dict.fromkeys(giving, ())
    chosen, strangers = [], await without_books(view, orders, {**wanted, **nothing})
    for order in (each for each in orders if each.signer not in strangers):
        needs = moved[order.id]
        if order.id in giving:
            needs = _what_there_is(needs, left)
        enough = all(left[(each.source, each.asset)] >= each.units for each in needs)
        if enough and room.take_all(needs):
            chosen.append(order.id)
            postings += needs
            for each in needs:
                left[(each.source, each.asset)] -= each.units
                left[(each.destination, each.asset)] += each.units
    if not chosen:
        return None
    digest = hashlib.sha256("".join(chosen).encode()).hexdigest()
    return Draft(f"reserve:{digest}", tuple(postings), reserves=tuple(chosen))
