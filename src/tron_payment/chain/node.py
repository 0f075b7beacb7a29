"""One java-tron endpoint: a full-node URL and a solidity URL (two servers on an own node)."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final, TypeVar

from pydantic import SecretStr

from tron_payment.chain import answers as a
from tron_payment.chain import views as v
from tron_payment.chain.blocks import Block, BlockHeader, BlockTransaction
from tron_payment.chain.calls import BLOCK_BYTES_MAX, ERROR, Calls, Pool, printable
from tron_payment.chain.contracts import Resource
from tron_payment.chain.errors import (
    AnswerTooLarge,
    AnswerTooLong,
    CallTooLong,
    NodeHasNot,
    NodeUnavailable,
)
from tron_payment.chain.wire import INT64_MAX, bytes_of_hex
from tron_payment.core.address import Address, InvalidAddress, address_hex, address_of_hex

_RESOURCE_NUMBERS: Final = {Resource.BANDWIDTH: 0, Resource.ENERGY: 1}
_ID_HEX: Final = 64

NEEDED_PRICES: Final = frozenset({"getEnergyFee", "getTransactionFee"})
"""Sun for a unit of energy and for a byte. No node of java-tron leaves them out."""

PRICES: Final = NEEDED_PRICES | {
    "getMemoFee",
    "getMultiSignFee",
    "getMaxFeeLimit",
    "getCreateAccountFee",
    "getCreateNewAccountFeeInSystemContract",
    "getUpdateAccountPermissionFee",
}
"""What decides how much a transaction may burn, in sun."""

N = TypeVar("N")
A = TypeVar("A", bound=a.Answer)

TRANSACTIONS_MAX: Final = 20_000
"""Of one block: it has up to 2 MB, and a signed transaction no less than 150 bytes."""


class NodeClient:
    """Typed questions to one node. Every method may raise:

    NodeUnavailable: no answer in time, another HTTP status, nonsense (`NodeHasNot`: ``{}``).
    NodeRefused: java-tron says no.
    """

    def __init__(
        self,
        alias: str,
        full_url: str,
        solidity_url: str,
        pool: Pool,
        api_key: SecretStr | None = None,
        deadline_s: float = 15.0,
    ) -> None:
        self.alias = alias
        urls = f"{full_url.rstrip('/')} {solidity_url.rstrip('/')}"
        self.identity: Final = sha256(urls.encode()).hexdigest()
        """The same whatever place it has in the configuration; a URL may hold a key."""

        self._full = full_url.rstrip("/") + "/wallet/"
        self._solidity = solidity_url.rstrip("/") + "/walletsolidity/"
        self._calls = Calls(alias, pool, api_key, deadline_s)

    def __repr__(self) -> str:
        return f"NodeClient({self.alias})"

    # ---- blocks ------------------------------------------------------------------------------

    async def head(self) -> BlockHeader:
        """The newest block, which may still be reorganised away."""
        return await self._header(self._full, {"detail": False})

    async def solid_head(self) -> BlockHeader:
        """The newest solidified block."""
        return await self._header(self._solidity, {"detail": False})

    async def header(self, number: int, *, solid: bool = True) -> BlockHeader:
        """The header of a block."""
        base = self._solidity if solid else self._full
        header = await self._header(base, {"id_or_num": str(number), "detail": False})
        return self._of_number(header, number)

    async def block(
        self, number: int, solid: bool = True, bytes_max: int = BLOCK_BYTES_MAX
    ) -> Block:
        """A block with its transactions' bytes."""
        url = self._url("getblockbynum", solid)
        answer = await self._calls.object(url, {"num": number}, a.BlockAnswer, bytes_max)
        head = self._of_number(self._header_of(answer), number)
        if len(answer.transactions) > TRANSACTIONS_MAX:
            raise self._calls.unavailable(f"block {number} with more transactions than fit in one")
        return Block(
            head.number,
            head.block_id,
            head.parent_id,
            head.timestamp_ms,
            self._sane(lambda: tuple(_transaction(each) for each in answer.transactions)),
        )

    async def short_block(self, number: int, bytes_max: int) -> Block | None:
        """A block, solidified or not; None when the answer has more bytes, and is not kept."""
        try:
            return await self.block(number, False, bytes_max)
        except AnswerTooLarge:
            return None

    async def receipts(self, number: int, solid: bool = True) -> tuple[a.Receipt, ...]:
        """The receipts of a block in its order; empty also when the node lacks the block."""
        url = self._url("gettransactioninfobyblocknum", solid)
        found: list[a.Receipt] = await self._calls.array(
            url, {"num": number}, list[a.Receipt], BLOCK_BYTES_MAX
        )
        return tuple(found)

    async def genesis_id(self) -> str:
        """The id of block 0: which chain this is."""
        url = self._url("getblockbynum", solid=False)
        answer = await self._calls.object(url, {"num": 0}, a.HeaderAnswer)
        return self._of_number(self._header_of(answer), 0).block_id

    # ---- transactions ------------------------------------------------------------------------

    async def transaction(self, txid: str) -> v.TransactionView | None:
        """A transaction, perhaps only pending; None proves nothing."""
        answer = await self._ask("gettransactionbyid", {"value": txid}, a.SignedPart)
        if not answer.txid:
            return None
        return self._sane(
            lambda: v.TransactionView(
                answer.txid,
                bytes_of_hex(answer.raw_data_hex),
                tuple(bytes_of_hex(each) for each in answer.signature),
            )
        )

    async def transaction_info(self, txid: str, solid: bool = True) -> a.Receipt | None:
        """A receipt by id; None proves nothing."""
        url = self._url("gettransactioninfobyid", solid)
        content = await self._calls.post(url, {"value": txid})
        answer: a.MaybeReceipt = self._calls.decode(content, a.MaybeReceipt)
        if answer.Error:
            raise self._calls.refused(ERROR, answer.Error)
        if not answer.id:
            return None
        receipt: a.Receipt = self._calls.decode(content, a.Receipt)
        return receipt

    async def broadcast(self, signed: bytes) -> v.BroadcastAnswer:
        """Give the node a transaction's bytes. Whatever it answers, only blocks tell."""
        answer = await self._ask("broadcasthex", {"transaction": signed.hex()}, a.BroadcastReply)
        if answer.result is None and not answer.code:
            raise self._calls.unavailable("an empty answer to a broadcast")
        accepted = answer.result is True and answer.code in ("", a.REFUSAL_SUCCESS)
        code = answer.code or (a.REFUSAL_SUCCESS if accepted else "OTHER_ERROR")
        return v.BroadcastAnswer(accepted, printable(code), printable(answer.message))

    async def constant_call(
        self,
        owner: Address,
        contract: Address | None,
        data: bytes,
        call_value_sun: int = 0,
        solid: bool = False,
    ) -> v.CallResult:
        """Run a contract without sending anything.

        Args:
            contract: None simulates a creation: `data` is init code, the output what it returns.
                Source: `Util.validateParameter` of java-tron takes an empty contract address.

        Raises:
            NodeRefused: No such contract, or the node cannot run it.
            CallTooLong: The answer is longer than we read, or takes longer than we wait.
        """
        body: dict[str, Any] = {"owner_address": address_hex(owner), "data": data.hex()}
        if contract is not None:
            body["contract_address"] = address_hex(contract)
        if call_value_sun:
            body["call_value"] = call_value_sun
        try:
            answer = await self._ask("triggerconstantcontract", body, a.CallAnswer, solid=solid)
        except AnswerTooLong as problem:
            raise CallTooLong(problem.node, f"of a call, {problem.reason}") from None
        result = answer.result
        if result is None:
            raise self._calls.unavailable("an empty answer to a call")
        message = v.text_of_hex(result.message)
        if not result.result:
            raise self._calls.refused(result.code or "OTHER_ERROR", message)
        failed = any(each.ret for each in answer.transaction.ret)
        output = answer.constant_result[0] if answer.constant_result else ""
        return v.CallResult(
            energy_used=answer.energy_used,
            energy_penalty=answer.energy_penalty,
            output=self._sane(lambda: bytes_of_hex(output)),
            reverted=bool(message) or failed,
            message=printable(message),
        )

    # ---- accounts and contracts --------------------------------------------------------------

    async def account(self, address: Address, solid: bool = False) -> v.Account | None:
        """An account; None when this node knows none."""
        body = {"address": address_hex(address)}
        answer = await self._ask("getaccount", body, a.AccountAnswer, solid=solid)
        if not answer.address:
            return None
        account = self._sane(lambda: v.account_of(answer))
        if account.address != address:
            raise self._calls.unavailable("an answer about another account")
        return account

    async def resources(self, address: Address) -> v.AccountResources:
        """Energy and bandwidth; all zero when the account does not exist."""
        body = {"address": address_hex(address)}
        return v.resources_of(await self._ask("getaccountresource", body, a.ResourceAnswer))

    async def contract(self, address: Address) -> v.ContractInfo | None:
        """A contract; None when this node knows none there."""
        body = {"value": address_hex(address)}
        answer = await self._ask("getcontractinfo", body, a.ContractInfoAnswer)
        return self._sane(lambda: v.contract_of(answer))

    # ---- the chain ---------------------------------------------------------------------------

    async def info(self) -> v.NodeInfo:
        answer = await self._ask("getnodeinfo", {}, a.InfoAnswer)
        return self._sane(lambda: v.info_of(answer))

    async def parameters(self) -> Mapping[str, int]:
        """Chain parameters such as ``getEnergyFee``; what has no value is 0."""
        answer = await self._ask("getchainparameters", {}, a.ParametersAnswer)
        if not answer.parameters:
            raise self._calls.unavailable("no chain parameters")
        found = {each.key: each.value for each in answer.parameters}
        if not found.keys() >= NEEDED_PRICES or not found["getEnergyFee"]:
            raise self._calls.unavailable("no prices among the chain parameters")
        if not all(0 <= found.get(name, 0) <= INT64_MAX for name in PRICES):
            raise self._calls.unavailable("an impossible price")
        return found

    async def next_maintenance_ms(self) -> int:
        """When votes, prices and penalties change next."""
        return (await self._ask("getnextmaintenancetime", {}, a.NumberAnswer)).num

    async def witnesses(self) -> tuple[v.Witness, ...]:
        answer = await self._ask("listwitnesses", {}, a.WitnessesAnswer)
        return self._sane(lambda: tuple(v.witness_of(each) for each in answer.witnesses))

    # ---- stakes ------------------------------------------------------------------------------

    async def reward(self, address: Address) -> int:
        """Claimable voting reward in sun; also 0 for an address that means nothing."""
        body = {"address": address_hex(address)}
        return (await self._ask("getReward", body, a.NumberAnswer)).reward

    async def brokerage(self, address: Address) -> int:
        """The percentage that a super representative keeps of its voters' rewards."""
        body = {"address": address_hex(address)}
        return (await self._ask("getBrokerage", body, a.NumberAnswer)).brokerage

    async def can_delegate_max(self, owner: Address, resource: Resource) -> int:
        """The most stake in sun whose resource may be lent now."""
        body = {"owner_address": address_hex(owner), "type": _RESOURCE_NUMBERS[resource]}
        return (await self._ask("getcandelegatedmaxsize", body, a.NumberAnswer)).max_size

    async def unfreeze_count(self, owner: Address) -> int:
        """How many more unstakings may be pending."""
        body = {"owner_address": address_hex(owner)}
        return (await self._ask("getavailableunfreezecount", body, a.NumberAnswer)).count

    async def delegations(self, owner: Address, receiver: Address) -> tuple[v.Delegation, ...]:
        """What one lends the other; the locked part is an entry of its own."""
        body = {"fromAddress": address_hex(owner), "toAddress": address_hex(receiver)}
        answer = await self._ask("getdelegatedresourcev2", body, a.DelegationsAnswer)
        return self._sane(lambda: tuple(v.delegation_of(each) for each in answer.delegations))

    async def delegation_partners(
        self, address: Address
    ) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
        """Who lends to the address, and to whom it lends."""
        body = {"value": address_hex(address)}
        answer = await self._ask(
            "getdelegatedresourceaccountindexv2", body, a.DelegationIndexAnswer
        )
        return self._sane(
            lambda: (
                tuple(address_of_hex(each) for each in answer.from_accounts),
                tuple(address_of_hex(each) for each in answer.to_accounts),
            )
        )

    # ---- how the questions are asked ---------------------------------------------------------

    def _url(self, path: str, solid: bool) -> str:
        return (self._solidity if solid else self._full) + path

    async def _ask(
        self, path: str, body: dict[str, Any], shape: type[A], *, solid: bool = False
    ) -> A:
        return await self._calls.object(self._url(path, solid), body | {"visible": False}, shape)

    async def _header(self, base: str, body: dict[str, Any]) -> BlockHeader:
        return self._header_of(await self._calls.object(base + "getblock", body, a.HeaderAnswer))

    def _header_of(self, answer: a.HeaderAnswer) -> BlockHeader:
        if answer.block_header is None:
            raise NodeHasNot(self.alias, "has no such block")
        data = answer.block_header.raw_data
        if not (_is_id(answer.block_id) and _is_id(data.parent_id)):
            raise self._calls.unavailable("block ids that are none")
        return BlockHeader(data.number, answer.block_id, data.parent_id, data.timestamp_ms)

    def _of_number(self, header: BlockHeader, number: int) -> BlockHeader:
        if header.number != number:
            raise self._calls.unavailable(f"block {header.number} instead of {number}")
        return header

    def _sane(self, read: Callable[[], N]) -> N:
        """Read a part of an answer; nonsense in it makes the whole answer nonsense."""
        try:
            return read()
        except (InvalidAddress, ValueError):
            raise NodeUnavailable(self.alias, "an answer with nonsense in it") from None


def _transaction(part: a.TransactionPart) -> BlockTransaction:
    ret = part.ret[0].contract_ret if part.ret else ""
    return BlockTransaction(part.txid, bytes_of_hex(part.raw_data_hex), ret)


def _is_id(text: str) -> bool:
    return len(text) == _ID_HEX and set(text) <= set("0123456789abcdef")
