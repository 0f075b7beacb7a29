"""From a solidified block to one ledger entry: which pockets its movements empty and fill. Pure.

What an order set aside is spent first by the order's own transaction; what is left of it goes
back. The same block, orders and holders give the same entry in every process.

A stranger may move something to us many thousand times in one block. What one entry of the journal
does not take is booked in sums, for the block is booked whole or not at all.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tron_payment.core.address import Address
from tron_payment.db.ledger import (
    NETWORK_FEES,
    POSTINGS_MAX,
    SUM,
    WORLD,
    Pocket,
    Posting,
    Room,
    account,
)
from tron_payment.engine.domain import Spend
from tron_payment.engine.movements import INTERNAL, Movement, MovementKind

_WITHIN = {
    MovementKind.UNSTAKE: (Pocket.STAKED, Pocket.UNFREEZING),
    MovementKind.WITHDRAW_UNSTAKED: (Pocket.UNFREEZING, Pocket.AVAILABLE),
    MovementKind.CANCEL_UNSTAKE: (Pocket.UNFREEZING, Pocket.STAKED),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """An order that a transaction of the block belongs to, and what it still has set aside."""

    order_id: str
    holds: tuple[Spend, ...]
    """Empty when its funds were spent or released before: then nothing is taken from there."""

    open: bool
    """True while no entry has finished this order's funds."""


@dataclass(slots=True)
class Booking:
    """The postings of a block, the orders they finish, and what nobody here ordered."""

    postings: list[Posting] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    unmatched: list[Movement] = field(default_factory=list)
    """Movements out of a holder by a transaction that is no order's: page somebody."""

    left_out: list[Posting] = field(default_factory=list)
    """What the books have no room for: page somebody."""

    left_out_refs: list[str] = field(default_factory=list)
    """Where in the chain that is."""


def book(
    moves: Iterable[Movement],
    holders: Mapping[Address, int],
    claims: Mapping[str, Claim],
    block_number: int,
    included: Iterable[str],
    room: Room | None = None,
) -> Booking:
    """Book a block.

    Args:
        moves: The block's movements, in order.
        holders: Addresses we keep books for and the block each opened at.
        claims: Orders by the txid of the attempt that stands in the block.
        block_number: A holder's movements count from the block after its opening.
        included: Txids of `claims` that stand in the block, in order.
        room: What the books can take; None for everything.
    """
    booking = Booking()
    spent: dict[tuple[str, Address, str], int] = defaultdict(int)

    def ours(address: Address | None) -> bool:
        return address is not None and holders.get(address, block_number) < block_number

    for move in moves:
        claim = claims.get(move.txid)
        sender_ours, recipient_ours = ours(move.sender), ours(move.recipient)
        if not (sender_ours or recipient_ours):
            continue
        source, spends = WORLD, False
        if sender_ours:
            assert move.sender is not None
            moves_out = move.kind not in _WITHIN  # unstaking spends nothing of what is set aside
            spends = moves_out and claim is not None and _holds(claim, move.sender, move.asset)
            source = account(move.sender, Pocket.RESERVED if spends else Pocket.AVAILABLE)
        source, destination = _sides(move, source, recipient_ours)
        if source != destination:
            posting = Posting(source, destination, move.asset, move.units, _ref(move, claim))
            if room is not None and not room.take(posting):
                booking.left_out.append(posting)
                booking.left_out_refs.append(f"{move.txid}:{move.index}")
                continue
            booking.postings.append(posting)
        if spends:
            assert claim is not None and move.sender is not None
            spent[(claim.order_id, move.sender, move.asset)] += move.units
        if sender_ours and claim is None and move.kind is not MovementKind.FEE:
            booking.unmatched.append(move)
    for txid in included:
        claim = claims[txid]
        if not claim.open or claim.order_id in booking.finals:
            continue
        booking.finals.append(claim.order_id)
        for posting in _release(claim, spent):
            if room is None or room.take(posting):
                booking.postings.append(posting)
            else:
                booking.left_out.append(posting)
                booking.left_out_refs.append(claim.order_id)
    booking.postings = bounded(booking.postings)
    return booking


def bounded(postings: Sequence[Posting], most: int = POSTINGS_MAX) -> list[Posting]:
    """No more than an entry takes, if sums can help it.

    Those of one transaction between the same two become one, under the first one's reference; and
    then those of all transactions, under the first one's txid and how many they are, but for what
    contracts have moved: the books are asked later whether they have that (engine/internal.py).
    What belongs to orders stays as it is.
    """
    found = list(postings)
    for alike in (_in_one_transaction, _between_the_same):
        if len(found) > most:
            found = _in_sum(found, alike)
    return found


def _in_sum(
    postings: Iterable[Posting], alike: Callable[[Posting], tuple[Hashable, ...]]
) -> list[Posting]:
    groups: dict[Hashable, list[Posting]] = defaultdict(list)
    for number, posting in enumerate(postings):
        of_order = ":" not in posting.ref
        groups[number if of_order else alike(posting)].append(posting)
    return [_sum(each) for each in groups.values()]


def _sum(group: Sequence[Posting]) -> Posting:
    first, units = group[0], sum(each.units for each in group)
    txids = {each.ref.partition(":")[0] for each in group}
    txid = first.ref.partition(":")[0]
    ref = first.ref if len(txids) == 1 else f"{txid}:{SUM}:{len(txids)}"
    return replace(first, units=units, ref=ref)


def _in_one_transaction(posting: Posting) -> tuple[Hashable, ...]:
    txid, kind, _ = (*posting.ref.split(":"), "")[:3]
    return txid, kind, posting.source, posting.destination, posting.asset


def _between_the_same(posting: Posting) -> tuple[Hashable, ...]:
    if f":{INTERNAL}:" in posting.ref:
        return _in_one_transaction(posting)
    return posting.source, posting.destination, posting.asset


def release(order_id: str, holds: Iterable[Spend]) -> list[Posting]:
    """Give everything back that an order had set aside and never spent."""
    return _release(Claim(order_id, tuple(holds), True), {})


def reserve(order_id: str, holds: Iterable[Spend]) -> list[Posting]:
    """Set aside what an order may spend at most."""
    return [
        Posting(
            account(hold.holder, Pocket.AVAILABLE),
            account(hold.holder, Pocket.RESERVED),
            hold.asset,
            hold.units,
            order_id,
        )
        for hold in merge(holds)
    ]


def merge(holds: Iterable[Spend]) -> list[Spend]:
    """One hold for each holder and asset; zero ones left out."""
    totals: dict[tuple[Address, str], int] = defaultdict(int)
    for hold in holds:
        totals[(hold.holder, hold.asset)] += hold.units
    return [Spend(holder, asset, units) for (holder, asset), units in totals.items() if units > 0]


def _release(claim: Claim, spent: Mapping[tuple[str, Address, str], int]) -> list[Posting]:
    postings = []
    for hold in claim.holds:
        rest = hold.units - spent.get((claim.order_id, hold.holder, hold.asset), 0)
        reserved = account(hold.holder, Pocket.RESERVED)
        available = account(hold.holder, Pocket.AVAILABLE)
        if rest > 0:
            postings.append(Posting(reserved, available, hold.asset, rest, claim.order_id))
        elif rest < 0:
            postings.append(Posting(available, reserved, hold.asset, -rest, claim.order_id))
    return postings


def _holds(claim: Claim, holder: Address, asset: str) -> bool:
    return claim.open and any(h.holder == holder and h.asset == asset for h in claim.holds)


def _sides(move: Movement, source: str, recipient_ours: bool) -> tuple[str, str]:
    if move.kind is MovementKind.FEE:
        return source, NETWORK_FEES
    assert move.recipient is not None
    if move.kind is MovementKind.STAKE:
        return source, account(move.recipient, Pocket.STAKED)
    if move.kind in _WITHIN:
        leaves, arrives = _WITHIN[move.kind]
        return account(move.recipient, leaves), account(move.recipient, arrives)
    if recipient_ours:
        return source, account(move.recipient, Pocket.AVAILABLE)
    return source, WORLD


def _ref(move: Movement, claim: Claim | None) -> str:
    return claim.order_id if claim is not None else f"{move.txid}:{move.index}"
