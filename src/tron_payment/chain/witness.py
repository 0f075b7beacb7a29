"""What one node shows of a block, and what another one says to it."""

from collections.abc import Sequence

from tron_payment.chain.answers import Receipt
from tron_payment.chain.blocks import BlockHeader, SolidBlock, disagreement, join
from tron_payment.chain.calls import both
from tron_payment.chain.errors import NodeHasNot
from tron_payment.chain.node import NodeClient


async def read_block(node: NodeClient, number: int) -> SolidBlock:
    return join(*await both(node.block(number), node.receipts(number)))


async def witness(block: SolidBlock, told: dict[str, Sequence[Receipt]], node: NodeClient) -> str:
    """What a node shows otherwise at the block's height; empty when it confirms it.

    Args:
        told: Gets its receipts, by its alias.
    """
    header, receipts = await both(node.header(block.number), node.receipts(block.number))
    told[node.alias] = receipts
    if block.transactions and not receipts and header.block_id == block.block_id:
        theirs = [each.txid for each in (await node.block(block.number)).transactions]
        if theirs == [each.txid for each in block.transactions]:
            raise NodeHasNot(node.alias, f"has no receipts of block {block.number}")
    return disagreement(block, header, receipts)


async def same_header(header: BlockHeader, node: NodeClient) -> str:
    other = await node.header(header.number)
    return "" if other == header else f"the id {other.block_id}"
