"""TRX that contracts have sent to us: counted once, and alike by everybody who applies a block.

It stands in a receipt's internal transactions, which many nodes do not keep. So what is told of
it depends on who answers at that moment: another node, or the same block read again after a death
between two handlers, may tell less or more. Therefore the first look at a block writes down what
it found, before any handler acts, and all who come after go by that:

- what enough nodes told (`SolidTransaction.internal`) counts in its own block;
- what too few told (`SolidTransaction.unproved`) does not. It is asked for again until enough
  nodes say the same, and then counts in a later block, as if it had come in that one.

Only evidence is looked at in this way (`SolidBlock.is_evidence`): what one node shows of a block
that may go away is never written down. A proposal bears the id of the block that proves it, and
counts in that one only. One that bears none is an older build's: it counts if the block at hand
tells the same, as evidence, and is asked for again if not.

Somebody else may be applying the block at this very moment, and not know. So it is proposed first,
and certain only when nobody can have passed it by. The cursor is noted (`Cursors.note`): who has
looked at the block before that cannot leave it, and looks again. In its own block, the block's
entry in the journal says whether it was booked with it, for there is only one such entry, ever. In
a later block, nobody may have begun with that block when the cursor is noted. A proposal that did
not become certain is withdrawn by whoever meets it, and made again for another block.

An opening balance may hold it as well. It is proposed before the openings are looked at, and an
opening that finds a proposal waits. So one that was asked for before that look is seen by it, and
nothing counts; one that was asked for after it sees the proposal. Who wrote down too late which
books were open names none of them, for he has looked at the cursor after them: no opening whose
balance is of that block or a later one is booked before the cursor is there.

What counts nowhere decides nothing. So it may be left out where there is too much of it, and who
meets the block again writes it down as it is told then.
"""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Final

import structlog

from tron_payment.chain import (
    INTERNAL_MAX,
    ChainContradiction,
    Cursors,
    NodeRefused,
    Nodes,
    SolidBlock,
    SolidTransaction,
    late_internal,
)
from tron_payment.core.address import bare_bytes
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Holder
from tron_payment.engine import documents as store
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine.internal_booked import decide, has_in_own_block, parties
from tron_payment.engine.internal_documents import InternalVerdict
from tron_payment.engine.internal_told import Told, fitting, told_in
from tron_payment.engine.openings import being_opened, opened_with_balance

AHEAD_BLOCKS: Final = 10
"""So far ahead of the cursor lies the block in which a late one counts: half a minute of main net.
When somebody is faster all the same it is withdrawn and proposed again."""

LAG_MAX_BLOCKS: Final = 20
"""Further behind, blocks are applied many at a time, and nothing is put ahead of them."""

ASKED_FOR: Final = timedelta(days=30)
LATE_PER_BLOCK_MAX: Final = 50
SIDES_MAX: Final = 5_000
"""Pairs of who pays and who gets, one of them ours, that count in one block of what came in it, and
as many of what comes late: each may be a posting, and an entry takes `POSTINGS_MAX`. The rest
waits for a later block; a transaction with more of them is a person's to judge."""

LISTED_MAX: Final = 1_000
OPENED_MAX: Final = 1_000
LOGGED_PER_BLOCK_MAX: Final = 20

IDLE_S: Final = 15.0
"""One block is read again in a step: whatever nodes tell, that is at most a fifth of the calls
which following takes."""

log = structlog.get_logger()


class InternalVerdicts:
    """Writes the verdicts, keeps to them, and asks again."""

    def __init__(self, *, nodes: Nodes, cursors: Cursors, clock: Clock) -> None:
        self._nodes = nodes
        self._cursors = cursors
        self._clock = clock
        self._asked = ""
        """Whose telling had its turn last."""

    async def judged(
        self, block: SolidBlock, part: SolidBlock, ours: AbstractSet[bytes]
    ) -> SolidBlock:
        """The part of a block that concerns us, with the internal transfers that count in it. Who
        has booked them asks `booked` what of them is certain.

        Args:
            block: Evidence: solidified, and shown by as many nodes as have to agree.
            part: The transactions of the block in which an address of ours may be a party.
            ours: Those addresses, the last 20 bytes of each.

        Raises:
            LostRace: The store is further behind than the block before this one.
        """
        if not block.is_evidence:
            raise AssertionError(f"block {block.number} is no evidence: nothing is decided by it")
        found = await _found(part, ours)
        if found:
            await self._write_down(block, found, ours)
        counted = await self._counted_in(block)
        if not counted and not found:
            return part
        changed = {each.txid: each for each in part.transactions}
        for each in found:
            changed[each.txid] = each.transaction.without_internal()
        late: list[SolidTransaction] = []
        for verdict in counted:
            if verdict.is_late:
                late.append(late_internal(verdict.id, verdict.parts, block.number, len(late)))
            elif (told := block.find(verdict.id)) is not None:
                changed[verdict.id] = told.with_internal(verdict.parts)
        own = sorted(changed.values(), key=lambda each: each.index)
        return block.only([*own, *late])

    async def booked(self, part: SolidBlock) -> SolidBlock:
        """What `judged` gave, when the books have the block: with what the books have of it."""
        if not any(each.internal for each in part.transactions):
            return part
        for verdict in await verdicts.counted_in(part.number):
            if verdict.proposal:
                await decide(verdict, unknown=part.find(verdict.id) is not None)
        # somebody else may have decided it, and may have withdrawn what we were given
        rows = await verdicts.counted_in(part.number)
        certain = {each.id for each in rows if not each.proposal}
        return part.only(
            each if each.txid in certain or not each.internal else each.without_internal()
            for each in part.transactions
        )

    async def first_within(self, first: int, last: int) -> int | None:
        """The first of these blocks in which any of it counts."""
        return await verdicts.first_within(first, last)

    async def unproved(self) -> int:
        """How many transactions are asked for again."""
        return await verdicts.waiting_count(self._clock.now() - ASKED_FOR)

    async def listed(self) -> list[InternalVerdict]:
        """Those that are asked for again, oldest block first."""
        found = await verdicts.waiting(self._clock.now() - ASKED_FOR, LISTED_MAX)
        return sorted(found, key=lambda each: each.block_number)

    async def accept(self, txid: str, by: str, reason: str) -> bool:
        """A human has looked at it: it counts nowhere, for ever, and is not asked for any more.
        False when it counts by now, or nobody waits for it."""
        return await verdicts.accept(txid, by, reason)

    async def step(self) -> bool:
        """Ask again for a block of which too few nodes have told something; True when some of it
        counts now.

        Who has told alike has its turn after another, each with its most valuable first, and each
        transaction has longer and longer pauses: neither small gifts nor who invents large ones
        keep the others waiting.
        """
        await self._withdraw_left_behind()
        now = self._clock.now()
        tellers = await verdicts.tellers(now - ASKED_FOR, now)
        if not tellers:
            return False
        self._asked = next((each for each in tellers if each > self._asked), tellers[0])
        rows = await verdicts.due(self._asked, now - ASKED_FOR, now, LATE_PER_BLOCK_MAX)
        for verdict in rows:  # before they are asked for: one that fails is not always the next
            await verdicts.asked(verdict, now)
        try:
            return await self._ask_again(rows)
        except (ChainContradiction, NodeRefused, Unavailable) as problem:
            txids = [each.id for each in rows]
            log.warning("transfer.unproved", txids=txids, problem=problem.detail)
            return False

    async def _counted_in(self, block: SolidBlock) -> list[InternalVerdict]:
        """What counts in a block that is being applied: what is certain, and what is proposed for
        its own block, if this very block is its proof and nobody can leave it without having seen
        that."""
        rows = await verdicts.counted_in(block.number)
        proposed = [each for each in rows if each.proposal]
        if not proposed:
            return rows
        # a fork's block may have had what this one has not: nobody would ever decide that
        own = [each for each in proposed if _is_proved_by(block, each)]
        noted = bool(own) and await self._cursors.note(block.number)
        tentative = {each.proposal for each in own} if noted else set()
        for each in proposed:
            if each.proposal not in tentative:
                await decide(each)
        return [
            each
            for each in await verdicts.counted_in(block.number)
            if not each.proposal or each.proposal in tentative
        ]

    async def _write_down(
        self, block: SolidBlock, found: Sequence[Told], ours: AbstractSet[bytes]
    ) -> None:
        now = self._clock.now()
        fits = fitting(found, SIDES_MAX)
        known = {each.txid: each.own(ours) for each in found}
        opened = await opened_with_balance({side for sides in known.values() for side in sides})
        at = await self._cursors.load()  # after the openings: one at this block is not among them
        if at is None or at.number < block.number - 1:
            raise LostRace(f"block {block.number} on a store that stands at {at and at.number}")
        if at.number >= block.number:
            opened = {}
        rows = [
            InternalVerdict(
                id=each.txid,
                opened=sorted({*opened} & known[each.txid])[:OPENED_MAX],
                block_number=block.number,
                block_id=block.block_id,
                counted_in=block.number if each.txid in fits else None,
                proposal=verdicts.a_name() if each.txid in fits else "",
                parts=each.transaction.internal_parts() if each.txid in fits else [],
                sides=fits.get(each.txid, 0),
                told=each.texts(),
                told_by=",".join(each.transaction.internal_told_by),
                amount_sun=each.amount_sun(ours),
                seen_at=now,
                looked_at=now,
            )
            for each in found
        ]
        for elsewhere in await verdicts.elsewhere([each.id for each in rows], block.number):
            await self._stands_here(elsewhere, next(e for e in rows if e.id == elsewhere.id))
        unproved = [each for each in rows if not each.proposal]
        if unproved:
            unproved, left = await verdicts.with_room(unproved, now - ASKED_FOR)
            if left:
                log.error("transfer.unproved_left_out", block=block.number, transactions=left)
        new = await verdicts.write_down([*[e for e in rows if e.proposal], *unproved])
        fresh = [each for each in unproved if each.id in new]
        for each in fresh[:LOGGED_PER_BLOCK_MAX]:
            log.error("transfer.unproved", txid=each.id, block=block.number, told=each.told)
        if more := fresh[LOGGED_PER_BLOCK_MAX:]:
            log.error("transfer.unproved", block=block.number, more_in_block=len(more))

    async def _stands_here(self, elsewhere: InternalVerdict, here: InternalVerdict) -> None:
        """An older build has written it down by what one node showed, of a block that went away:
        nobody finds it there. Unless the books have it, it is what this block says."""
        if elsewhere.proposal:
            await decide(elsewhere)
        if await verdicts.replace(elsewhere, here):
            log.warning("transfer.stands_elsewhere", txid=here.id, block=here.block_number)

    async def _withdraw_left_behind(self) -> None:
        """Who has passed a block has decided all that he knew of: nobody has counted the rest,
        but for an older build, which knows of no proposals. The books say so."""
        at = await self._cursors.load()
        if at is not None:
            for verdict in await verdicts.left_behind(at.number, LATE_PER_BLOCK_MAX):
                await decide(verdict)

    async def _ask_again(self, rows: Sequence[InternalVerdict]) -> bool:
        """Let those of one block count in a later one that enough nodes tell now."""
        block = await self._nodes.solid_block(rows[0].block_number)
        told = [(each, block.find(each.id)) for each in rows]
        proved = [(each, t) for each, t in told if t is not None and t.internal]
        if not proved:
            return False
        solid = (await self._nodes.solid_head()).number
        at = await self._cursors.load()
        if at is None or at.halted or solid - at.number > LAG_MAX_BLOCKS:
            return False
        number = at.number + AHEAD_BLOCKS
        there = await verdicts.counted_in(number)
        room = LATE_PER_BLOCK_MAX - len(there)
        if at.number < block.number or room <= 0:
            return False
        sides = SIDES_MAX - sum(each.sides for each in there)
        parts = INTERNAL_MAX - sum(len(each.parts) for each in there)
        counts = []
        for verdict, transaction in proved[:room]:
            own = await _sides_of(transaction)
            if own > SIDES_MAX:
                problem = f"{own} pairs of parties: more than a block of the journal takes"
                log.error("transfer.unproved", txid=verdict.id, problem=problem)
            elif own <= sides and len(transaction.internal) <= parts:
                counts.append(await self._put_into(number, verdict, transaction, own))
                sides, parts = sides - own, parts - len(transaction.internal)
        return any(counts)

    async def _put_into(
        self, number: int, verdict: InternalVerdict, transaction: SolidTransaction, sides: int
    ) -> bool:
        proposed = await verdicts.propose(verdict, number, transaction.internal_parts(), sides)
        if proposed is None:
            return False
        if problem := await _unsafe(proposed, transaction):
            log.error("transfer.unproved", txid=verdict.id, problem=problem)
        elif await self._cursors.note(number - 1) and await verdicts.confirm(proposed):
            log.warning("transfer.proved_late", txid=verdict.id, counted_in=number)
            return True
        await verdicts.withdraw(proposed)
        return False


async def _found(part: SolidBlock, ours: AbstractSet[bytes]) -> list[Told]:
    """The transactions in which contracts have moved TRX to or from us, as far as anybody tells."""
    found = []
    for each in part.transactions:
        told = told_in(each, ours)
        if told.moves:
            found.append(told)
        if each.receipt.internal_transactions:
            await asyncio.sleep(0)  # a node may tell very much: others get their turn
    return found


def _is_proved_by(block: SolidBlock, verdict: InternalVerdict) -> bool:
    """Whether a proposal for its own block was made by who had read this very one, as evidence; or,
    when it does not say so, as an older build's, whether this reading tells the same."""
    transaction = block.find(verdict.id)
    if verdict.is_late or transaction is None:
        return False
    if verdict.block_id:
        return verdict.block_id == block.block_id
    said = late_internal(verdict.id, verdict.parts, block.number, 0).internal
    return bool(said) and said == transaction.internal


async def _sides_of(transaction: SolidTransaction) -> int:
    """As of what the books have now."""
    with store_errors():
        known = {"_id": {"$in": sorted(parties(transaction.internal))}}
        rows = await Holder.find(known).to_list()
    return told_in(transaction, {bare_bytes(each.id) for each in rows}).sides()


async def _unsafe(verdict: InternalVerdict, transaction: SolidTransaction) -> str:
    """Why it may be in the books already, or have ended an order otherwise; empty when neither.

    Asked when it is proposed: an opening that comes later sees that, and waits.
    """
    sides = parties(transaction.internal)
    if await being_opened(sides):
        return "the books of an address are being opened"
    for address, at in (await opened_with_balance(sides)).items():
        if at is None and address not in verdict.opened:
            return "the books of an address were opened later"
        if at is not None and at >= verdict.block_number:
            return "the books of an address were opened later"
    if await has_in_own_block(verdict):
        return "the books have it in its own block"
    for order in await store.owning([verdict.id]):
        if order.result is None or order.result["txid"] != verdict.id:
            return f"it belongs to {order.id}, which has not ended by it"
    return ""
