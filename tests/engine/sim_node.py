"""A node of the simulated network, shaped like `chain.NodeClient`: it may be away, lag or lie.

`chain.Nodes` and `chain.Follower` work on it as they do on real nodes.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from tests.engine.network import ITEM_ENERGY, TOKEN, TRANSFER_ENERGY, Holdings, Network
from tron_payment.chain import (
    Account,
    Block,
    BlockHeader,
    BroadcastAnswer,
    CallResult,
    NodeHasNot,
    NodeUnavailable,
    Receipt,
    Resource,
)
from tron_payment.core.address import Address, address_of

BALANCE_OF = bytes.fromhex("70a08231")
PRICES = {
    "getTransactionFee": 1_000,
    "getEnergyFee": 100,
    "getMemoFee": 1_000_000,
    "getMaxFeeLimit": 15_000_000_000,
    "getCreateNewAccountFeeInSystemContract": 1_000_000,
    "getCreateAccountFee": 100_000,
    "getMultiSignFee": 1_000_000,
}
Hook = Callable[[str, str], Awaitable[None]]


async def _nothing(node: str, call: str) -> None:
    return


@dataclass
class SimNode:
    """What one endpoint shows of the network."""

    network: Network
    alias: str = "sim"
    before: Hook = _nothing
    """Awaited before a call has any effect; may raise."""

    after: Hook = _nothing
    """Awaited when the effect is done and the answer not yet given; may raise."""

    away: bool = False
    lag: Callable[[], int] = field(default=lambda: 0)
    """Blocks that this call's back end is behind the network."""

    says: Callable[[bool, str], tuple[bool, str]] = field(default=lambda ok, code: (ok, code))
    """Turns the true answer of a broadcast into the one that is given."""

    tells: Callable[[Receipt], Receipt] = field(default=lambda receipt: receipt)
    """Turns a true receipt into the one that is given."""

    async def _enter(self, call: str) -> None:
        await self.before(self.alias, call)
        if self.away:
            raise NodeUnavailable(self.alias, "away")

    async def head(self) -> BlockHeader:
        await self._enter("head")
        found = self.network.blocks[max(0, self.network.tip.number - self.lag())].header
        await self.after(self.alias, "head")
        return found

    async def solid_head(self) -> BlockHeader:
        await self._enter("solid_head")
        found = self.network.blocks[max(0, self.network.solid_number - self.lag())].header
        await self.after(self.alias, "solid_head")
        return found

    async def header(self, number: int, *, solid: bool = True) -> BlockHeader:
        await self._enter("header")
        self._require(number, solid)
        return self.network.blocks[number].header

    async def block(self, number: int, solid: bool = True) -> Block:
        await self._enter("block")
        self._require(number, solid)
        found = self.network.blocks[number].block()
        if solid:  # a look at what is not solidified has no effect to die after
            await self.after(self.alias, "block")
        return found

    async def short_block(self, number: int, bytes_max: int) -> Block | None:
        return await self.block(number, False)

    async def receipts(self, number: int, solid: bool = True) -> tuple[Receipt, ...]:
        await self._enter("receipts")
        self._require(number)
        return tuple(map(self.tells, self.network.blocks[number].receipts))

    async def transaction_info(self, txid: str, solid: bool = True) -> Receipt | None:
        await self._enter("transaction_info")
        shown = self.network.blocks[: self.network.solid_number + 1]
        for block in shown if solid else self.network.blocks:
            for receipt in block.receipts:
                if receipt.id == txid:
                    return receipt
        return None

    async def genesis_id(self) -> str:
        return self.network.blocks[0].header.block_id

    async def parameters(self) -> Mapping[str, int]:
        await self._enter("parameters")
        return PRICES

    async def account(self, address: Address, solid: bool = False) -> Account | None:
        await self._enter("account")
        balance = self._state(solid).trx[address]
        if not balance:
            return None
        nothing: dict[Resource, int] = {}
        return Account(
            address, balance, nothing, nothing, nothing, (), (), 0, 0, 0, False, None, None, ()
        )

    async def constant_call(
        self,
        owner: Address,
        contract: Address,
        data: bytes,
        call_value_sun: int = 0,
        solid: bool = False,
    ) -> CallResult:
        await self._enter("constant_call")
        if data[:4] == BALANCE_OF:
            units = self._state(solid).token[address_of(data[16:36])]
            return CallResult(500, 0, units.to_bytes(32, "big"), False, "")
        items = 0 if contract == TOKEN else len(data) // 96
        return CallResult(2 * TRANSFER_ENERGY + items * ITEM_ENERGY, 0, b"", False, "")

    async def broadcast(self, signed: bytes) -> BroadcastAnswer:
        await self._enter("broadcast")
        accepted, code = self.says(*self.network.submit(signed))
        await self.after(self.alias, "broadcast")
        return BroadcastAnswer(accepted, code, "")

    def _state(self, solid: bool) -> Holdings:
        number = self.network.solid_number if solid else self.network.tip.number
        return self.network.blocks[max(0, number - self.lag())].after

    def _require(self, number: int, solid: bool = True) -> None:
        newest = self.network.solid_number if solid else self.network.tip.number
        if number > newest - self.lag():
            raise NodeHasNot(self.alias, f"no {'solid ' if solid else ''}block {number}")
