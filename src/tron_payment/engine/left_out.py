"""Tells what the books had no room for: it is on the chain, and in no balance of ours.

Only the contract of a token that has gone mad, or was made to, claims so much. Everything else in
the block is booked; what was left out stands in the journal's entry, and reconciliation shows the
difference.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine.movements import Movement
from tron_payment.engine.ports import Alarm

LEFT_OUT: Final = "transfer.left_out"
SHOWN_MAX: Final = 10
"""Of one block."""

REFS_MAX: Final = 10_000
"""Kept in one entry by their places; of more only the transactions are."""

log = structlog.get_logger()


def kept(refs: Sequence[str]) -> tuple[str, ...]:
    """As an entry has them: each once, and no more than it takes."""
    if len(refs) > REFS_MAX:
        refs = [ref.partition(":")[0] for ref in refs]
    return tuple(dict.fromkeys(refs))


async def tell(alarm: Alarm, entry: LedgerEntry, moves: Sequence[Movement] = ()) -> None:
    """Page somebody; again when what wrote the entry is repeated."""
    refs = entry.left_out or []
    if not refs:
        return
    by_ref = {f"{each.txid}:{each.index}": each for each in moves}
    shown = []
    for ref in refs[:SHOWN_MAX]:
        fact: dict[str, object] = {"ref": ref}
        if (move := by_ref.get(ref)) is not None:
            fact |= {
                "asset": move.asset,
                "units": str(move.units),
                "from": move.sender,
                "to": move.recipient,
            }
        shown.append(fact)
    facts = {"block": entry.block_number, "count": len(refs), "first": shown}
    log.error(LEFT_OUT, cause=entry.cause, **facts)
    await alarm(LEFT_OUT, {"cause": entry.cause, **facts})
