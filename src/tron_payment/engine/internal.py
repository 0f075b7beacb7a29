"""TRX that contracts have sent to us: counted once, and alike by everybody who applies a block.

It stands in a receipt's internal transactions, which many nodes do not keep. So what is told of
it depends on who answers at that moment: another node, or the same block read again after a death
between two handlers, may tell less or more. Therefore the first look at a block writes down what
it found, before any handler acts, and all who come after go by that:

- what enough nodes told (`SolidTransaction.internal`) counts in its own block;
- what too few told (`SolidTransaction.unproved`) does not. It is asked for again until enough
  nodes say the same, and then counts in a later block, as if it had come in that one.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Final

import structlog

from tron_payment.chain import (
    ChainContradiction,
    Cursors,
    InternalTransfer,
    NodeRefused,
    Nodes,
    SolidBlock,
    SolidTransaction,
    late_internal,
)
from tron_payment.core.address import Address, bare_bytes
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import insert_many_once
from tron_payment.engine import documents as store
from tron_payment.engine import internal_documents as verdicts
from tron_payment.engine.internal_documents import InternalVerdict
from tron_payment.engine.openings import being_opened, opened_with_balance

AHEAD_BLOCKS: Final = 40
"""So far ahead of the cursor lies the block in which a late one counts: two minutes of main net.
Everybody who may apply that block finds it written down. Should somebody have been faster all the
same, it counts nowhere, and reconciliation shows the difference; it can never count twice."""

LAG_MAX_BLOCKS: Final = 20
"""Further behind, blocks are applied many at a time, and nothing is put ahead of them."""

ASKED_PER_STEP: Final = 5
ASKED_FOR: Final = timedelta(days=30)
LATE_PER_BLOCK_MAX: Final = 50
IDLE_S: Final = 15.0

log = structlog.get_logger()


class InternalVerdicts:
    """Writes the verdicts, keeps to them, and asks again."""

    def __init__(self, *, nodes: Nodes, cursors: Cursors, clock: Clock) -> None:
        self._nodes = nodes
        self._cursors = cursors
        self._clock = clock

    async def judged(
        self, block: SolidBlock, part: SolidBlock, ours: AbstractSet[bytes]
    ) -> SolidBlock:
        """The part of a block that concerns us, with the internal transfers that count in it.

        Args:
            part: The transactions of the block in which an address of ours may be a party.
            ours: Those addresses, the last 20 bytes of each.
        """
        found = [each for each in part.transactions if _concern(each, ours)]
        if found:
            await self._write_down(block, found)
        counted = await verdicts.counted_in(block.number)
        if not counted and not found:
            return part
        changed = {each.txid: each for each in part.transactions}
        for each in found:
            changed[each.txid] = each.without_internal()
        late: list[SolidTransaction] = []
        for verdict in counted:
            if verdict.block_number != block.number:
                late.append(late_internal(verdict.id, verdict.parts, block.number, len(late)))
            elif (told := block.find(verdict.id)) is not None:
                changed[verdict.id] = told.with_internal(verdict.parts)
        own = sorted(changed.values(), key=lambda each: each.index)
        return block.only([*own, *late])

    async def first_within(self, first: int, last: int) -> int | None:
        """The first of these blocks in which any of it counts."""
        return await verdicts.first_within(first, last)

    async def unproved(self) -> int:
        """How many transactions are asked for again."""
        return await verdicts.waiting_count(self._clock.now() - ASKED_FOR)

    async def step(self) -> bool:
        """Ask again for what too few nodes have told; True when some of it counts now."""
        waiting = await verdicts.waiting(self._clock.now() - ASKED_FOR, ASKED_PER_STEP)
        proved = False
        for verdict in waiting:
            try:
                proved |= await self._ask_again(verdict)
            except (ChainContradiction, NodeRefused, Unavailable) as problem:
                log.warning("transfer.unproved", txid=verdict.id, problem=problem.detail)
            await verdicts.looked(verdict, self._clock.now())
        return proved

    async def _write_down(self, block: SolidBlock, found: Sequence[SolidTransaction]) -> None:
        now, at = self._clock.now(), await self._cursors.load()
        passed = at is not None and at.number >= block.number  # by somebody who has seen none
        sides = {side for each in found for side in _parties(each)}
        opened = [] if passed else await opened_with_balance(sides)
        new = await insert_many_once(
            [
                InternalVerdict(
                    id=each.txid,
                    opened=[side for side in opened if Address(side) in _parties(each)],
                    block_number=block.number,
                    counted_in=block.number if each.internal and not passed else None,
                    parts=each.internal_parts() if each.internal and not passed else [],
                    told=[f"{t.amount_sun} sun to {t.to}" for t in each.internal or each.unproved],
                    seen_at=now,
                    looked_at=now,
                )
                for each in found
            ]
        )
        for each in found:
            if each.txid in new and not each.internal:
                told = [(t.to, t.amount_sun) for t in each.unproved]
                log.error("transfer.unproved", txid=each.txid, block=block.number, told=told)

    async def _ask_again(self, verdict: InternalVerdict) -> bool:
        """Let it count in a later block, if enough nodes tell it now."""
        block = await self._nodes.solid_block(verdict.block_number)
        transaction = block.find(verdict.id)
        if transaction is None or not transaction.internal:
            return False
        if problem := await _unsafe(verdict, transaction):
            log.error("transfer.unproved", txid=verdict.id, problem=problem)
            return False
        solid = (await self._nodes.solid_head()).number
        at = await self._cursors.load()
        if at is None or at.halted or solid - at.number > LAG_MAX_BLOCKS:
            return False
        number = at.number + AHEAD_BLOCKS
        if len(await verdicts.counted_in(number)) >= LATE_PER_BLOCK_MAX:
            return False
        parts = transaction.internal_parts()
        await verdicts.count(verdict, number, parts)
        log.warning("transfer.proved_late", txid=verdict.id, counted_in=number)
        return True


def _concern(transaction: SolidTransaction, ours: AbstractSet[bytes]) -> bool:
    """Whether contracts have moved TRX to or from us in it, as far as anybody tells."""
    told: Sequence[InternalTransfer] = transaction.internal or transaction.unproved
    return transaction.succeeded and any(
        not each.rejected and (bare_bytes(each.to) in ours or bare_bytes(each.caller) in ours)
        for each in told
    )


def _parties(transaction: SolidTransaction) -> set[Address]:
    told: Sequence[InternalTransfer] = transaction.internal or transaction.unproved
    return {side for each in told for side in (each.to, each.caller)}


async def _unsafe(verdict: InternalVerdict, transaction: SolidTransaction) -> str:
    """Why it may be in the books already, or have ended an order otherwise; empty when neither."""
    parties = _parties(transaction)
    if await being_opened(parties):
        return "the books of an address are being opened"
    if {*await opened_with_balance(parties)} - {*verdict.opened}:
        return "the books of an address were opened later"
    for order in await store.owning([verdict.id]):
        if order.result is None or order.result["txid"] != verdict.id:
            return f"it belongs to {order.id}, which has not ended by it"
    return ""
