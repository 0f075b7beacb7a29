"""Balances and allowances as one node shows them, with the block that they belong to."""

from dataclasses import dataclass
from typing import Final, Literal

from tron_payment.chain import BlockHeader, NodeClient, Nodes
from tron_payment.core.address import Address
from tron_payment.usdt.tokens import RegisteredToken
from tron_payment.usdt.trc20 import Token

READS_MAX: Final = 3
"""Looks at a balance before we say that blocks come too fast to name one."""

At = Literal["head", "solid"]


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """Units at a block; when not `exact`, at this block or the one after it."""

    units: int
    block: BlockHeader
    exact: bool


class TokenBalances:
    """Reads of a token's contract."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def balance(self, token: RegisteredToken, holder: Address, at: At) -> BalanceAt:
        """A balance between two looks at the same node's newest block.

        Raises:
            TokenSilent: The contract does not answer.
            NodesUnavailable: No node answers.
        """
        return await self._nodes.read(lambda node: _balance(node, token, holder, at == "solid"))

    async def allowance(self, token: RegisteredToken, owner: Address, spender: Address) -> int:
        """Units that the spender may take, on the newest block."""
        return await self._nodes.read(
            lambda node: Token(node, token.contract).allowance(owner, spender)
        )


async def _balance(
    node: NodeClient, token: RegisteredToken, holder: Address, solid: bool
) -> BalanceAt:
    look = node.solid_head if solid else node.head
    contract = Token(node, token.contract, solid=solid)
    before = await look()
    units = await contract.balance_of(holder)
    for _ in range(READS_MAX):
        after = await look()
        if after.block_id == before.block_id:
            return BalanceAt(units, after, True)
        before, units = after, await contract.balance_of(holder)
    return BalanceAt(units, before, False)
