"""The chain as this installation sees it: who answers, how far it is, what it says and costs."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tron_payment.chain import (
    Block,
    BlockHeader,
    BreakerState,
    Cursors,
    NodeClient,
    Nodes,
    NodeStatus,
    Receipt,
    SolidBlock,
    SolidTransaction,
    both,
    join,
    read_contract,
    read_expiration_ms,
    read_memo,
)
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import trx_text
from tron_payment.engine import Fees
from tron_payment.module import Deployment
from tron_payment.network import prices
from tron_payment.network import views as v
from tron_payment.network.agreement import LAG_BLOCKS_MAX, Accord, Agreement, look, reached
from tron_payment.network.decode import Words, memo_text, transfers_of, words_of
from tron_payment.network.errors import (
    BlockNotFound,
    FollowerHalted,
    InvalidBlockNumber,
    InvalidTxid,
    TransactionNotFound,
)

BLOCK_DIGITS_MAX: Final = 15
_TXID: Final = re.compile(r"[0-9a-f]{64}")


class Network:
    """Reads of the chain. Every method may raise `NodesUnavailable`."""

    def __init__(
        self,
        *,
        network: str,
        deployment: Deployment,
        nodes: Nodes,
        cursors: Cursors,
        fees: Fees,
        hot_wallet: Address | None,
    ) -> None:
        self._network = network
        self._deployment = deployment
        self._nodes = nodes
        self._cursors = cursors
        self._fees = fees
        self._hot_wallet = hot_wallet

    async def info(self) -> v.InfoView:
        """The chain's identity, our contracts on it, the nodes as last seen."""
        there = self._deployment
        return v.InfoView(
            network=self._network,
            chain_id=there.chain_id,
            genesis_id=there.genesis_id,
            usdt_contract=there.usdt,
            routers={"v0": there.router_v0, "kyc": there.router_kyc},
            agreement=self._nodes.agreement,
            nodes=[_node(each) for each in self._nodes.status()],
        )

    async def height(self) -> v.HeightView:
        """Head, solidified head, and how far our follower has read."""
        head, solid = await both(self._nodes.head(), self._nodes.solid_head())
        return v.HeightView(
            head=_block_ref(head), solid=_block_ref(solid), follower=await self._follower(solid)
        )

    async def status(self) -> v.StatusView:
        """Every node asked now, and whether those in use agree about the follower's block."""
        nodes = await self._nodes.probe()
        best = reached(self._nodes, nodes)
        follower, agreement = await both(self._follower(None, best), look(self._nodes, nodes))
        reasons = _reasons(nodes, follower) + _disagreements(agreement)
        return v.StatusView(
            status="degraded" if reasons else "healthy",
            reasons=reasons,
            network=self._network,
            nodes=[_node(each) for each in nodes],
            agreement=v.AgreementView(
                state=agreement.accord.value,
                required=agreement.required,
                agreeing=agreement.agreeing,
                block_number=agreement.block_number,
                block_ids=agreement.block_ids,
            ),
            follower=follower,
        )

    async def health(self) -> v.HealthView:
        """Whether payments can go on.

        Raises:
            FollowerHalted: Somebody must look first.
            NodesUnavailable: Too few nodes answer.
        """
        solid = await self._nodes.solid_head()
        follower = await self._follower(solid)
        if follower is not None and follower.halted:
            raise FollowerHalted(follower.halted)
        nodes = self._nodes.status()
        reasons = _reasons(nodes, follower)
        return v.HealthView(
            status="degraded" if reasons else "healthy",
            reasons=reasons,
            nodes_in_use=sum(
                each.breaker is BreakerState.CLOSED and not each.apart for each in nodes
            ),
            nodes=len(nodes),
            agreement=self._nodes.agreement,
        )

    async def fees(self) -> v.FeesView:
        """Prices now and what a USDT transfer costs when all of it is burned."""
        parameters, cost = await both(
            self._fees.parameters(),
            prices.usdt_cost(self._nodes, self._deployment.usdt, self._holders()),
        )
        size = prices.transfer_bandwidth(self._deployment.usdt, self._deployment.usdt)

        def one(energy: int) -> v.TransferCost:
            fee = energy * parameters["getEnergyFee"] + size * parameters["getTransactionFee"]
            return v.TransferCost(energy=energy, bandwidth=size, fee_trx=trx_text(fee))

        def fee(name: str) -> str:
            return trx_text(parameters.get(name, 0))

        return v.FeesView(
            energy_price_sun=parameters["getEnergyFee"],
            bandwidth_price_sun=parameters["getTransactionFee"],
            free_bandwidth_per_day=parameters.get("getFreeNetLimit", 0),
            activation_trx=trx_text(prices.activation_sun(parameters)),
            memo_trx=fee("getMemoFee"),
            multisig_trx=fee("getMultiSignFee"),
            permission_update_trx=fee("getUpdateAccountPermissionFee"),
            max_fee_limit_trx=fee("getMaxFeeLimit"),
            unfreeze_delay_days=parameters.get("getUnfreezeDelayDays", 0),
            usdt_transfer={"warm": one(cost.warm_energy), "cold": one(cost.cold_energy)},
            usdt_transfer_source=cost.source,
            usdt_energy_factor=cost.factor,
        )

    async def parameters(self) -> Mapping[str, int]:
        """Every parameter of the chain, by java-tron's names."""
        return dict(await self._fees.parameters())

    async def block(self, text: str) -> v.BlockView:
        """A block in words, solidified or not.

        Raises:
            InvalidBlockNumber, BlockNotFound
        """
        if not (text.isascii() and text.isdigit() and len(text) <= BLOCK_DIGITS_MAX):
            raise InvalidBlockNumber(param="block_number")
        number = int(text)
        solid = number <= (await self._nodes.solid_head()).number
        try:
            block, receipts = await self._nodes.read(lambda node: _block(node, number, solid))
        except Unavailable as problem:
            if number > (await self._nodes.head()).number:
                raise BlockNotFound(param="block_number") from problem
            raise
        return self._block_view(block, receipts, solid)

    async def transaction(self, txid: str) -> v.TransactionView:
        """A transaction in words: solid, included or pending.

        Raises:
            InvalidTxid, TransactionNotFound
        """
        txid = txid.lower()
        if _TXID.fullmatch(txid) is None:
            raise InvalidTxid(param="tx_id")
        found = await self._nodes.read(lambda node: _transaction(node, txid))
        if found is None:
            raise TransactionNotFound(param="tx_id")
        raw, receipt, solid = found
        return self._view(raw, txid, receipt, solid)

    def _holders(self) -> list[Address]:
        """Addresses that may hold USDT, to simulate a transfer with."""
        there = self._deployment
        candidates = (there.router_v0, there.router_kyc, self._hot_wallet)
        return [each for each in candidates if each is not None]

    def _block_view(
        self, block: Block, receipts: Sequence[Receipt] | None, solid: bool
    ) -> v.BlockView:
        if receipts is None:
            views = [self._view(each.raw, each.txid, None, solid) for each in block.transactions]
        else:
            joined: SolidBlock = join(block, receipts)
            views = [
                self._view(each.raw, each.txid, each.receipt, solid) for each in joined.transactions
            ]
        return v.BlockView(
            number=block.number,
            id=block.block_id,
            parent_id=block.parent_id,
            time=_time(block.timestamp_ms),
            solid=solid,
            transaction_count=len(views),
            transactions=views,
        )

    def _view(
        self, raw: bytes, txid: str, receipt: Receipt | None, solid: bool
    ) -> v.TransactionView:
        usdt = self._deployment.usdt
        words: Words = words_of(read_contract(raw), usdt)
        told: dict[str, Any] = {
            "block_number": None,
            "block_time": None,
            "result": None,
            "fee_trx": None,
            "energy_used": None,
            "energy_burned_trx": None,
            "bandwidth_used": None,
            "bandwidth_burned_trx": None,
            "transfers": [],
        }
        if receipt is not None:
            transaction = SolidTransaction(raw, receipt)
            told = {
                "block_number": receipt.block_number,
                "block_time": _time(receipt.block_timestamp_ms),
                "result": transaction.result,
                "fee_trx": trx_text(transaction.fee_sun),
                "energy_used": transaction.energy_total,
                "energy_burned_trx": trx_text(transaction.energy_fee_sun),
                "bandwidth_used": transaction.net_usage,
                "bandwidth_burned_trx": trx_text(transaction.net_fee_sun),
                "transfers": transfers_of(transaction, usdt),
            }
        included = "solid" if solid else "included"
        return v.TransactionView(
            txid=txid,
            status="pending" if receipt is None and not solid else included,
            solid=solid,
            contract_type=words.contract_type,
            from_=words.sender,
            to=words.recipient,
            amount=words.amount,
            currency=words.currency,
            method=words.method,
            details=words.details,
            memo=memo_text(read_memo(raw)),
            expires_at=_time(read_expiration_ms(raw)),
            **told,
        )

    async def _follower(
        self, solid: BlockHeader | None, solid_number: int = 0
    ) -> v.FollowerView | None:
        position = await self._cursors.load()
        if position is None:
            return None
        newest = solid.number if solid is not None else solid_number
        return v.FollowerView(
            block_number=position.number,
            block_id=position.block_id,
            block_time=_time(position.timestamp_ms),
            started_at_block=position.started_at_number,
            lag_blocks=max(0, newest - position.number),
            halted=position.halted,
        )


async def _block(
    node: NodeClient, number: int, solid: bool
) -> tuple[Block, tuple[Receipt, ...] | None]:
    """A block and its receipts, both from one node; the genesis block has no receipts."""
    if number == 0:
        return await node.block(number, solid), None
    return await both(node.block(number, solid), node.receipts(number, solid))


async def _transaction(node: NodeClient, txid: str) -> tuple[bytes, Receipt | None, bool] | None:
    """Bytes, receipt and whether it is solid; None when this node knows nothing of it."""
    found = await node.transaction(txid)
    if found is None or hashlib.sha256(found.raw).hexdigest() != txid:
        return None
    if (receipt := await node.transaction_info(txid, solid=True)) is not None:
        return found.raw, receipt, True
    return found.raw, await node.transaction_info(txid, solid=False), False


def _reasons(nodes: Sequence[NodeStatus], follower: v.FollowerView | None) -> list[str]:
    """What a human would want to know, in words."""
    reasons = [
        f"node {each.alias} rests after failures: {each.last_error}"
        for each in nodes
        if each.breaker is not BreakerState.CLOSED
    ]
    reasons += [
        f"node {each.alias} is {each.lag_blocks} blocks behind"
        for each in nodes
        if each.breaker is BreakerState.CLOSED and each.solid and each.lag_blocks > LAG_BLOCKS_MAX
    ]
    reasons += [
        f"node {each.alias} is set apart until `tron-payment resume`; "
        f"it showed of a solidified block, against the others: {each.contradicts}"
        if each.apart
        else f"node {each.alias} contradicts the others: {each.contradicts}"
        for each in nodes
        if each.contradicts
    ]
    if follower is None:
        reasons.append("the follower has not started")
    elif follower.halted:
        reasons.append(f"the follower has halted: {follower.halted}")
    elif follower.lag_blocks > LAG_BLOCKS_MAX:
        reasons.append(f"the follower is {follower.lag_blocks} blocks behind")
    return reasons


def _disagreements(agreement: Agreement) -> list[str]:
    """The same of what the nodes say about one block."""
    number = agreement.block_number
    match agreement.accord:
        case Accord.CONTRADICTED:
            shown = ", ".join(
                f"{alias}: {each}" for alias, each in agreement.block_ids.items() if each
            )
            return [f"nodes contradict each other about block {number}: {shown}"]
        case Accord.TOO_FEW:
            return [
                f"{agreement.agreeing} of {agreement.required} required nodes show block {number}"
            ]
        case Accord.AGREED:
            return []


def _node(status: NodeStatus) -> v.NodeView:
    return v.NodeView(
        alias=status.alias,
        state=status.breaker.value,
        head_block=status.head,
        solid_block=status.solid,
        lag_blocks=status.lag_blocks,
        calls=status.calls,
        failures=status.failures,
        last_error=status.last_error,
        apart=status.apart,
    )


def _block_ref(header: BlockHeader) -> v.BlockRef:
    return v.BlockRef(number=header.number, id=header.block_id, time=_time(header.timestamp_ms))


def _time(milliseconds: int) -> str:
    return rfc3339(from_ms(milliseconds))
