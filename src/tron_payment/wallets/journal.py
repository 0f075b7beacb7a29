"""What the signer has signed: its own memory, append only, one open line for each order.

It stands in a database of its own (`SIGNER_JOURNAL_URI`), which is not restored together with the
orders. A line is written before its signature is given out. The next line of an order can be
written only when the one before is closed:

    the order knows the transaction    closed by the engine's proof that it is dead
    it does not                        open until solidified blocks are past its expiration

An order that does not know it may never have stored it, and then the bytes have not left; or it
comes from a backup and has forgotten it, perhaps under this very process, and then they have. The
two look the same, so that nothing but the chain is believed, and an order whose process died
between signing and storing waits as long.

By then the follower has read every block that could hold it, and the engine has made it the order's
attempt. An order that came back only after that block was read has none: its line stays open for
ever when the chain has the transaction, as nobody's (`engine.Unexplained`) or as that of an equal
order which was signed itself, and a human cancels the order.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import insert_each
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument
from tron_payment.engine import Order, Unexplained

Solid = Callable[[], Awaitable[int]]
"""Up to which chain time all solidified blocks were applied, in ms; 0 when that is not known."""


class SigningJournal(LeanDocument):
    """One line. Written once; nothing ever updates it."""

    id: str  # type: ignore[assignment]  # "<order>:<number>", and "...:end" for the line's end
    order_id: str
    number: int
    txid: str
    wallet_id: str
    signer: str
    expiration_ms: int
    why: str = ""
    """Of an end: ``dead`` with the engine's proof, ``expired`` when the chain is past it."""

    at: datetime

    class Settings:
        name = "signing_journal"
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("order_id", ASCENDING), ("number", ASCENDING)], name="order")
        ]


@dataclass(frozen=True, slots=True)
class Line:
    """What is about to be signed."""

    order: Order
    txid: str
    wallet_id: str
    expiration_ms: int


async def write(lines: Sequence[Line], at: datetime, *, solid: Solid) -> list[bool]:
    """Write a line for each; True when it may be signed, False when another one is open.

    Raises:
        StoreUnavailable: Nothing may be signed now.
    """
    assert len({line.order.id for line in lines}) == len(lines), "one line per order"
    first = [_row(line, len(line.order.attempts) + 1, at) for line in lines]
    fast = [row for row in first if row.number == 1]
    outcomes = dict(zip([row.id for row in fast], await insert_each(fast), strict=True))
    return [
        outcomes.get(row.id) is True or await _write_next(line, at, solid)
        for row, line in zip(first, lines, strict=True)
    ]


async def _write_next(line: Line, at: datetime, solid: Solid) -> bool:
    """Close what may be closed and write the order's next line."""
    with store_errors():
        rows = await SigningJournal.find({"order_id": line.order.id}).sort("+number").to_list()
    ended = {row.number for row in rows if row.why}
    opened = [row for row in rows if not row.why]
    if any(row.txid == line.txid and row.number not in ended for row in opened):
        return True  # the very same bytes again
    still_open = [row for row in opened if row.number not in ended]
    for row in still_open:
        why = await _why_closed(row, solid)
        if not why:
            return False
        end = row.model_copy(update={"id": f"{row.id}:end", "why": why, "at": at})
        await insert_each([end])
    number = max((row.number for row in opened), default=0) + 1
    (written,) = await insert_each([_row(line, number, at)])
    return written is True


async def _why_closed(row: SigningJournal, solid: Solid) -> str:
    """Why this line is closed, by the order as it is stored now; empty when it is open.

    How far the chain was applied is read before the order, so that the order has what was in those
    blocks; and after it, so that both are of the same store when it is restored in between.
    """
    before_ms = await solid()
    with store_errors():
        order = await Order.find_one({"_id": row.order_id})
    assert order is not None, row.order_id
    for attempt in order.tried:
        if attempt.txid == row.txid:
            return "" if attempt.death is None else "dead"
    with store_errors():
        paid = await Unexplained.find_one({"_id": row.txid})
    if paid is not None or await _paid_another(row.txid):
        return ""
    return "expired" if row.expiration_ms <= min(before_ms, await solid()) else ""


async def _paid_another(txid: str) -> bool:
    """Whether this transaction was given to an equal order, after a restore, that may have one of
    its own as well.

    If that one had never been signed, they have merely changed places, and one payment is missing.
    """
    with store_errors():
        other = await Order.find_one({"attempts.txid": txid})
        if other is None:
            return False
        if any(each.txid == txid and each.death is not None for each in other.tried):
            return False
        rows = await SigningJournal.find({"order_id": other.id}).to_list()
    ended = {row.number for row in rows if row.why}
    return any(row.number not in ended for row in rows)


def _row(line: Line, number: int, at: datetime) -> SigningJournal:
    return SigningJournal(
        id=f"{line.order.id}:{number}",
        order_id=line.order.id,
        number=number,
        txid=line.txid,
        wallet_id=line.wallet_id,
        signer=line.order.signer,
        expiration_ms=line.expiration_ms,
        at=at,
    )
