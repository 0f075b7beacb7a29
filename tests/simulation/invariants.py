"""What the books must say, at any moment and in the end; read from the journal itself.

At any moment, also between two steps of a process that will die:

    L1  entries are numbered without a gap and linked by their hashes
    L2  no pocket of a holder was ever below zero, after any entry
    L3  an order's funds are set aside at most once, and end at most once, not before that
    L4  each cached balance is the sum of the postings up to the entry that it names

In the end:

    L5  every order's funds were set aside once and have ended once
    L6  what an order took from its holders is what it was to spend and its fee, to the sun, when it
        settled; its fee when it failed on the chain; nothing when it was canceled
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tron_payment.core.money import TRX
from tron_payment.db.ledger import Balance, Ledger, LedgerEntry, Pocket, Posting
from tron_payment.engine import Order, OrderStatus, Proof

POCKETS = frozenset(pocket.value for pocket in Pocket)
Totals = dict[tuple[str, str], int]


async def assert_journal(ledger: Ledger) -> None:
    """L1 to L4. Writes nothing, so it may look while everybody sleeps in the middle of a step."""
    assert await ledger.verify() is None, "L1: a number or a hash of the journal is wrong"
    entries = await LedgerEntry.find({}, sort="+_id").to_list()
    totals: Totals = defaultdict(int)
    up_to: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    reserved: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for entry in entries:
        touched = _add(totals, entry.postings)
        for key in touched:
            up_to[key].append((entry.id, totals[key]))
            below = _is_pocket(key[0]) and totals[key] < 0
            assert not below, f"L2: {key} is at {totals[key]} after entry {entry.id} {entry.cause}"
        reserved.update(entry.reserves or ())
        ended.update(entry.finals or ())
        early = [order_id for order_id in entry.finals or () if not reserved[order_id]]
        assert not early, f"L3: entry {entry.id} ends what was never set aside: {early}"
    twice = [order_id for seen in (reserved, ended) for order_id, n in seen.items() if n > 1]
    assert not twice, f"L3: set aside or ended twice: {twice}"
    async for row in Balance.find({}):
        past = [units for number, units in up_to[(row.account, row.asset)] if number <= row.seq]
        assert past and past[-1] == row.units, f"L4: {row.id} says {row.units} at {row.seq}"


async def assert_orders_booked(orders: Sequence[Order]) -> None:
    """L5 and L6, when every order is final and the books of all are closed."""
    entries = await LedgerEntry.find({}, sort="+_id").to_list()
    reserved = Counter(each for entry in entries for each in entry.reserves or ())
    ended = Counter(each for entry in entries for each in entry.finals or ())
    by_ref: dict[str, list[Posting]] = defaultdict(list)
    for entry in entries:
        for posting in entry.postings:
            by_ref[posting.ref].append(posting)
    for order in orders:
        assert (reserved[order.id], ended[order.id]) == (1, 1), f"L5: {order.id} {order.status}"
        took = _taken(by_ref[order.id])
        assert took == _due(order), f"L6: {order.id} {order.status} took {took}, not {_due(order)}"


def _add(totals: Totals, postings: Iterable[Posting]) -> set[tuple[str, str]]:
    touched = set()
    for posting in postings:
        totals[(posting.source, posting.asset)] -= posting.units
        totals[(posting.destination, posting.asset)] += posting.units
        touched |= {(posting.source, posting.asset), (posting.destination, posting.asset)}
    return touched


def _is_pocket(account: str) -> bool:
    return account.rpartition(":")[2] in POCKETS


def _taken(postings: Iterable[Posting]) -> Totals:
    """By holder and asset what has left all of its pockets."""
    totals: Totals = defaultdict(int)
    _add(totals, postings)
    taken: Totals = defaultdict(int)
    for (account, asset), units in totals.items():
        if _is_pocket(account):
            taken[(account.rpartition(":")[0], asset)] -= units
    return {key: units for key, units in taken.items() if units}


def _due(order: Order) -> Totals:
    """By holder and asset what the order's end says that it has cost."""
    due: Totals = defaultdict(int)
    outcome = order.outcome
    if outcome is None:
        return {}
    due[(order.signer, TRX.code)] += outcome.fee_sun
    if order.status is OrderStatus.SETTLED:
        for spend in order.wanted_spends:
            due[(spend.holder, spend.asset)] += spend.units
        for expect in order.wanted_expects:
            if outcome.proofs.get(expect.ref) == Proof.SKIPPED:
                (asset,) = {s.asset for s in order.wanted_spends if s.holder == expect.sender}
                due[(expect.sender, asset)] -= expect.units
    return {key: units for key, units in due.items() if units}
