"""What the books say of TRX that contracts have sent to us: by that a proposal is decided."""

from collections.abc import Iterable

from tron_payment.chain import InternalTransfer, SolidBlock, late_internal
from tron_payment.core.address import Address
from tron_payment.core.money import TRX
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import WORLD, Holder, LedgerEntry, Posting
from tron_payment.engine import documents as store
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine.internal_documents import InternalVerdict
from tron_payment.engine.movements import INTERNAL


async def decide(verdict: InternalVerdict, *, unknown: bool = False) -> None:
    """By what the books say.

    Args:
        unknown: What holds when the books have none of its parties, and cannot say.
    """
    if await _is_booked(verdict, unknown=unknown):
        await verdicts.confirm(verdict)
    else:
        await verdicts.withdraw(verdict)


async def has_in_own_block(verdict: InternalVerdict) -> bool:
    """Whether it is booked with the block in which it stands, whatever was decided since."""
    return await _is_booked(
        verdict.model_copy(update={"counted_in": verdict.block_number}), unknown=False
    )


async def as_counted(block: SolidBlock) -> SolidBlock:
    """A block as the books are to have it: what contracts have moved stands in the block in which
    it counts for certain, and in no other."""
    txids = [each.txid for each in block.transactions if each.internal]
    gone = await verdicts.counted_elsewhere(txids, block.number)
    own = [e.without_internal() if e.txid in gone else e for e in block.transactions]
    rows = await verdicts.counted_in(block.number)
    late = [each for each in rows if each.is_late and not each.proposal]
    came = [late_internal(each.id, each.parts, block.number, at) for at, each in enumerate(late)]
    return block.only([*own, *came])


async def _is_booked(verdict: InternalVerdict, *, unknown: bool) -> bool:
    """Whether the block's entry has what contracts moved in it: all or nothing of it is there.

    Books may have been opened since: what was the world then may be a holder now.
    """
    assert verdict.counted_in is not None
    transaction = late_internal(verdict.id, verdict.parts, verdict.counted_in, 0)
    transfers = [each for each in transaction.internal if not each.rejected]
    with store_errors():
        entry = await LedgerEntry.find_one({"cause": f"block:{verdict.counted_in}"})
    orders = {each.id for each in await store.owning([verdict.id])}
    wanted = {
        (source, to, each.amount_sun)
        for each in transfers
        for source in (each.caller, WORLD)
        for to in (each.to, WORLD)
    }
    for posting in entry.postings if entry is not None else ():
        if posting.ref.startswith(f"{verdict.id}:{INTERNAL}:"):
            return True
        if posting.ref in orders and _moves(posting) in wanted:
            return True
    with store_errors():
        known = await Holder.find_one({"_id": {"$in": sorted(parties(transfers))}})
    return unknown and known is None


def _moves(posting: Posting) -> tuple[str, str, int]:
    """Whose it was, whose it is, and sun. What an order gives back to itself has one owner, and
    no contract pays itself."""
    source, to = (side.partition(":")[0] for side in (posting.source, posting.destination))
    return source, to, posting.units if posting.asset == TRX.code else 0


def parties(transfers: Iterable[InternalTransfer]) -> set[Address]:
    """Everybody who pays or gets."""
    return {side for each in transfers for side in (each.to, each.caller)}
