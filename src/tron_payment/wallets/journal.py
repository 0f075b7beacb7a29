"""What the signer has signed: its own memory, append only, one open line for each order.

It stands in a database of its own (`SIGNER_JOURNAL_URI`), which is not restored together with the
orders. A line is written before its signature is given out. The next line of an order can be
written only when the one before is closed:

    the order knows the transaction    closed by the engine's proof that it is dead
    it does not, and this process      closed: the engine stores before it sends, so the bytes
    wrote the line                     have never left the process
    it does not, another process       open until solidified blocks are past its expiration: the
    wrote it                           orders may come from a backup and have forgotten it

By then the follower has read every block that could hold it, and the engine has made it the order's
attempt. An order that came back only after that block was read has none: its line stays open for
ever when the chain has the transaction (`engine.Unexplained`), and a human cancels the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from beanie import Document
from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import insert_each
from tron_payment.db.faults import store_errors
from tron_payment.engine import Order, Unexplained


class SigningJournal(Document):
    """One line. Written once; nothing ever updates it."""

    id: str  # type: ignore[assignment]  # "<order>:<number>", and "...:end" for the line's end
    order_id: str
    number: int
    txid: str
    wallet_id: str
    signer: str
    expiration_ms: int
    run: str = ""
    """The process that wrote it."""

    why: str = ""
    """Of an end: ``dead`` with the engine's proof, ``not taken`` when the order never had it,
    ``expired`` when the chain is past it."""

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


async def write(lines: Sequence[Line], at: datetime, *, run: str, solid_ms: int) -> list[bool]:
    """Write a line for each; True when it may be signed, False when another one is open.

    Args:
        run: This process.
        solid_ms: Up to which chain time all solidified blocks were applied.

    Raises:
        StoreUnavailable: Nothing may be signed now.
    """
    assert len({line.order.id for line in lines}) == len(lines), "one line per order"
    first = [_row(line, len(line.order.attempts) + 1, at, run) for line in lines]
    fast = [row for row in first if row.number == 1]
    outcomes = dict(zip([row.id for row in fast], await insert_each(fast), strict=True))
    return [
        outcomes.get(row.id) is True or await _write_next(line, at, run, solid_ms)
        for row, line in zip(first, lines, strict=True)
    ]


async def _write_next(line: Line, at: datetime, run: str, solid_ms: int) -> bool:
    """Close what may be closed and write the order's next line."""
    with store_errors():
        rows = await SigningJournal.find({"order_id": line.order.id}).sort("+number").to_list()
    ended = {row.number for row in rows if row.why}
    opened = [row for row in rows if not row.why]
    if any(row.txid == line.txid and row.number not in ended for row in opened):
        return True  # the very same bytes again
    still_open = [row for row in opened if row.number not in ended]
    for row in still_open:
        why = await _why_closed(row, run, solid_ms)
        if not why:
            return False
        end = row.model_copy(update={"id": f"{row.id}:end", "why": why, "at": at})
        await insert_each([end])
    number = max((row.number for row in opened), default=0) + 1
    (written,) = await insert_each([_row(line, number, at, run)])
    return written is True


async def _why_closed(row: SigningJournal, run: str, solid_ms: int) -> str:
    """Why this line is closed, by the order as it is stored now; empty when it is open."""
    with store_errors():
        order = await Order.find_one({"_id": row.order_id})
    assert order is not None, row.order_id
    for attempt in order.tried:
        if attempt.txid == row.txid:
            return "" if attempt.death is None else "dead"
    if row.run == run:
        return "not taken"
    if row.expiration_ms > solid_ms:
        return ""
    with store_errors():
        paid = await Unexplained.find_one({"_id": row.txid})
    return "expired" if paid is None else ""


def _row(line: Line, number: int, at: datetime, run: str) -> SigningJournal:
    return SigningJournal(
        id=f"{line.order.id}:{number}",
        order_id=line.order.id,
        number=number,
        txid=line.txid,
        wallet_id=line.wallet_id,
        signer=line.order.signer,
        expiration_ms=line.expiration_ms,
        run=run,
        at=at,
    )
