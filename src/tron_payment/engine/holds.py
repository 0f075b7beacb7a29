"""What an order sets aside for what it spends and burns, and how the journal says it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from tron_payment.chain import (
    CancelAllUnfreezeV2,
    Undelegate,
    UnfreezeV2,
    WithdrawExpireUnfreeze,
    WithdrawReward,
)
from tron_payment.core.address import Address
from tron_payment.core.money import TRX
from tron_payment.db.ledger import Draft, LedgerEntry, Pocket, Posting, View
from tron_payment.engine.booking import merge, release
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import Spend
from tron_payment.engine.fees import FeeBound

GIVING_BACK: Final = frozenset(
    each.__name__
    for each in (
        UnfreezeV2,
        WithdrawExpireUnfreeze,
        CancelAllUnfreezeV2,
        WithdrawReward,
        Undelegate,
    )
)
"""Contracts that take nothing but their bandwidth, and by which a wallet gets TRX or a stake back:
one that has staked all its TRX could never pay for them first."""


def wanted_holds(order: Order, bound: FeeBound) -> list[Spend]:
    """What an order spends, and the most that its fee may be, in sun of its signer."""
    fee = Spend(Address(order.signer), TRX.code, bound.hold_sun)
    return merge([*order.wanted_spends, fee])


def fee_limit_within(order: Order, holds: Sequence[Spend], bound: FeeBound) -> int:
    """Never more than what is set aside for fees: the journal may hold an older bound."""
    return max(0, min(bound.fee_limit_sun, _held_for_fees(order, holds)))


def fee_limit_now(order: Order, bound: FeeBound) -> int | None:
    """The limit to sign with, within what was set aside: the one that was fixed with it, or, where
    that is too small by now, what its hold has room for; None when that is too small, too.

    Args:
        bound: As priced now, with as many signatures as there may be.
    """
    if order.contract["type"] in GIVING_BACK:
        return order.fee_limit_sun
    room = _held_for_fees(order, order.held) - (bound.hold_sun - bound.fee_limit_sun)
    is_enough = order.fee_limit_sun >= bound.floor_sun
    limit = min(order.fee_limit_sun if is_enough else bound.fee_limit_sun, room)
    return limit if limit >= bound.floor_sun else None


def _held_for_fees(order: Order, holds: Sequence[Spend]) -> int:
    """Sun of its signer that are set aside beside what the order spends."""
    signer = Address(order.signer)
    held = sum(h.units for h in holds if h.holder == signer and h.asset == TRX.code)
    spent = sum(s.units for s in order.wanted_spends if s.holder == signer and s.asset == TRX.code)
    return held - spent


async def without_books(
    view: View, orders: Sequence[Order], wanted: Mapping[str, Sequence[Spend]]
) -> set[Address]:
    """Signers for whom nothing is set aside and no books are kept: blocks are searched for the
    addresses in the books, so what such a one signed would not be found."""
    signers = {
        Address(order.signer)
        for order in orders
        if all(hold.holder != order.signer for hold in wanted[order.id])
    }
    return signers - (await view.holders(signers)).keys() if signers else set()


def holds_of_entry(entry: LedgerEntry) -> dict[str, list[Spend]]:
    """What an entry has set aside, by order."""
    postings: dict[str, list[Posting]] = defaultdict(list)
    for posting in entry.postings:
        postings[posting.ref].append(posting)
    return {order_id: holds_of_postings(each) for order_id, each in postings.items()}


def holds_of_postings(postings: Sequence[Posting]) -> list[Spend]:
    """What postings into the reserved pocket have set aside."""
    holds = []
    for posting in postings:
        holder, _, pocket = posting.destination.rpartition(":")
        assert pocket == Pocket.RESERVED.value, posting
        holds.append(Spend(Address(holder), posting.asset, posting.units))
    return holds


async def closing(view: View, order: Order) -> Draft | None:
    """The entry that ends an order for ever and gives back what it held; None when it has ended.

    What the books have no room for stays set aside, and is told.
    """
    if await view.finished([order.id]):
        return None
    cause = f"close:{order.id}"
    if postings := await view.reservation(order.id):
        back = release(order.id, holds_of_postings(postings))
        fitting = await view.fitting(back)
        left = (order.id,) if len(fitting) < len(back) else ()
        return Draft(cause, tuple(fitting), finals=(order.id,), left_out=left)
    known = await view.reserved([order.id])  # with nothing, as what only gives back may be
    return Draft(cause, reserves=() if known else (order.id,), finals=(order.id,))
