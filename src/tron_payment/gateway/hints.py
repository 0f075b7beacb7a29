"""What is on its way: payments in blocks that are not solidified yet. For screens, never for books.

Only what would be credited, judged by the rules of the books (`Deposits.on_its_way`): anybody may
send anything to an invoice's address, and a speck of TRX is no payment in USDT.

One node is asked, and believed: it may be lying, and the block may go away. So nothing is written,
neither here nor by those who are asked which addresses are ours (`Watched.perhaps`).

Kept in memory: after a restart the newest blocks are simply read again. Nothing is read while no
invoice is open.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import structlog

from tron_payment.chain import NodeClient, Nodes, SolidBlock, both, join, told_by_one
from tron_payment.core.errors import AppError
from tron_payment.gateway import documents as store
from tron_payment.gateway.deposits import Deposits

BLOCKS_BEHIND_MAX: Final = 30
"""How far back a first look goes: a bit more than what is not solidified."""

PAYMENTS_MAX: Final = 10_000
SEEN_PER_PAYMENT_MAX: Final = 20
"""The largest of the newest are kept: who sends many small ones hides no large one."""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """A transfer in a block near the head, in the invoice's own currency."""

    txid: str
    index: str
    """Its place in the transaction, which may hold several."""

    asset: str
    units: int
    block_number: int


class Hints:
    """Follows the head from afar."""

    def __init__(self, nodes: Nodes, deposits: Deposits) -> None:
        self._nodes = nodes
        self._deposits = deposits
        self._read_to = 0
        self._seen: OrderedDict[str, list[Seen]] = OrderedDict()

    async def step(self) -> bool:
        """Read the next block near the head; False when there is none or nobody waits."""
        if not await store.any_open():
            return False
        head = (await self._nodes.head()).number
        if self._read_to >= head:
            return False
        number = max(self._read_to + 1, head - BLOCKS_BEHIND_MAX)
        try:
            block = await self._nodes.read(lambda node: _block(node, number))
        except AppError as problem:
            log.info("head.unread", block=number, reason=problem.code)
            return False
        for payment_id, deposits in (await self._deposits.on_its_way(block)).items():
            for one in deposits:
                if one.asset is not None and one.units:
                    self._note(payment_id, Seen(one.txid, one.index, one.asset, one.units, number))
        self._read_to = number
        return True

    def of(self, payment_id: str, booked_block: int, solid_number: int) -> list[Seen]:
        """What is on its way to an invoice; nothing that is solidified by now."""
        after = max(booked_block, solid_number)
        return [each for each in self._seen.get(payment_id, ()) if each.block_number > after]

    def _note(self, payment_id: str, seen: Seen) -> None:
        known = self._seen.setdefault(payment_id, [])
        self._seen.move_to_end(payment_id)
        place = (seen.txid, seen.index)
        known[:] = [each for each in known if (each.txid, each.index) != place]
        known.append(seen)
        if len(known) > SEEN_PER_PAYMENT_MAX:
            newest = seen.block_number - BLOCKS_BEHIND_MAX
            known.remove(min(known, key=lambda each: (each.block_number >= newest, each.units)))
        while len(self._seen) > PAYMENTS_MAX:
            self._seen.popitem(last=False)


async def _block(node: NodeClient, number: int) -> SolidBlock:
    """A block with its receipts as one node shows it now; it may still go away."""
    block, receipts = await both(
        node.block(number, solid=False), node.receipts(number, solid=False)
    )
    return told_by_one(join(block, receipts), node.alias)
