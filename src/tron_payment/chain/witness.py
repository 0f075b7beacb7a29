"""What one node shows of a block, and what another one says to it."""

import hashlib
from collections.abc import Sequence

from tron_payment.chain.answers import Receipt
from tron_payment.chain.blocks import (
    SHOWN_DIGITS,
    BlockHeader,
    BlockTransaction,
    SolidBlock,
    disagreement,
    join,
)
from tron_payment.chain.calls import both
from tron_payment.chain.errors import NodeHasNot
from tron_payment.chain.node import NodeClient


async def read_block(node: NodeClient, number: int) -> SolidBlock:
    return join(*await both(node.block(number), node.receipts(number)))


async def witness(block: SolidBlock, told: dict[str, Sequence[Receipt]], node: NodeClient) -> str:
    """What a node shows otherwise at the block's height; empty when it confirms it.

    No receipts are no witness: a node that keeps them for a while, or not yet, answers ``[]`` as
    well. So of a block without any it must show itself that there are no transactions in it.

    Args:
        told: Gets its receipts, by its alias.
    """
    if block.transactions:
        header, receipts = await both(node.header(block.number), node.receipts(block.number))
        theirs: tuple[BlockTransaction, ...] = ()
        if not receipts and header.block_id == block.block_id:
            theirs = (await node.block(block.number)).transactions
    else:
        whole, receipts = await both(node.block(block.number), node.receipts(block.number))
        header, theirs = whole, whole.transactions
    told[node.alias] = receipts
    if theirs and header.block_id == block.block_id:
        txids = [each.txid for each in theirs]
        if txids == [each.txid for each in block.transactions]:
            raise NodeHasNot(node.alias, f"has no receipts of block {block.number}")
        shown = hashlib.sha256("".join(txids).encode()).hexdigest()[:SHOWN_DIGITS]
        return f"{len(txids)} other transactions: {shown}"
    return disagreement(block, header, receipts)


async def same_header(header: BlockHeader, node: NodeClient) -> str:
    other = await node.header(header.number)
    return "" if other == header else f"the id {other.block_id}"
