"""``/jsonrpc``: the Ethereum methods that java-tron answers, in its shapes and refusals.

Source: TronJsonRpcImpl and its types of java-tron 4.8.0. Addresses are 20 bytes, amounts sun, gas
is energy. Nothing can be sent this way; filters that a node keeps (`eth_newFilter`) are not here.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from tron_payment.devnet import abi, params, vm
from tron_payment.devnet.api import jsonlogs, jsonviews
from tron_payment.devnet.api.calls import CallRefused, constant_call
from tron_payment.devnet.api.jsonviews import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    data,
    quantity,
)
from tron_payment.devnet.api.query import View
from tron_payment.devnet.blocks import Block
from tron_payment.devnet.keys import PREFIX, keccak
from tron_payment.devnet.node import Node
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.records import Account
from tron_payment.devnet.state import ACCOUNT, CODE, CONTRACT, SLOT

PATH: Final = "/jsonrpc"
MAX_BATCH: Final = 1_000
CLIENT_VERSION: Final = "TRON/v4.8.0/Linux/Java1.8/GreatVoyage-v4.8.0"
NOBODY: Final = "0x" + "00" * 20
"""The caller of an `eth_call` that names none."""
_REVERT_REASON: Final = bytes.fromhex("08c379a0")
_UNSUPPORTED_TAGS: Final = ("earliest", "pending", "finalized")

Params = list[Any]
Method = Callable[[Node, View, Params], Any]


def answer(node: Node, view: View, body: bytes) -> Any:
    """The response to one request or to a batch of them."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _failure(None, RpcError(PARSE_ERROR, "JSON parse error"))
    if isinstance(request, list) and 0 < len(request) <= MAX_BATCH:
        return [_one(node, view, each) for each in request]
    return _one(node, view, request)


def _failure(request_id: Any, error: RpcError) -> dict[str, Any]:
    shown = {"code": error.code, "message": str(error), "data": error.data}
    return {"jsonrpc": "2.0", "id": request_id, "error": shown}


def _one(node: Node, view: View, request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _failure(None, RpcError(INVALID_REQUEST, "invalid request"))
    request_id, given = request.get("id"), request.get("params", [])
    method = METHODS.get(request["method"])
    try:
        if method is None:
            text = f"the method {request['method']} does not exist/is not available"
            raise RpcError(METHOD_NOT_FOUND, text)
        if not isinstance(given, list):
            raise RpcError(INVALID_PARAMS, "method parameters invalid")
        try:
            result = method(node, view, given)
        except IndexError:
            raise RpcError(INVALID_PARAMS, "method parameters invalid") from None
    except RpcError as error:
        return _failure(request_id, error)
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _only_latest(tag: Any) -> None:
    """
    Raises:
        RpcError: The state is asked for at any other block than the newest.
    """
    text = str(tag).lower()
    if text == "latest":
        return
    if text in _UNSUPPORTED_TAGS:
        raise RpcError(INVALID_PARAMS, "TAG [earliest | pending | finalized] not supported")
    jsonviews.number(tag, "invalid block number")
    raise RpcError(INVALID_PARAMS, "QUANTITY not supported, just support TAG as latest")


def _balance(node: Node, view: View, given: Params) -> Any:
    address = jsonviews.address(given[0])
    _only_latest(given[1])
    account: Account | None = view.get(ACCOUNT + address)
    return quantity(0 if account is None else account.balance)


def _code(node: Node, view: View, given: Params) -> Any:
    address = jsonviews.address(given[0])
    _only_latest(given[1])
    return data(view.get(CODE + address) or b"")


def _storage(node: Node, view: View, given: Params) -> Any:
    address = jsonviews.address(given[0])
    slot = jsonviews.number(given[1], "invalid storage key value")
    _only_latest(given[2])
    if not 0 <= slot < 1 << 256:
        raise RpcError(INVALID_PARAMS, "invalid storage key value")
    return data((view.get(SLOT + address + slot.to_bytes(32, "big")) or 0).to_bytes(32, "big"))


def _message(arguments: Any) -> Any:
    """The TriggerSmartContract message of call arguments.

    Raises:
        RpcError: They are no object, or a field is malformed.
    """
    if not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "method parameters invalid")
    text = arguments.get("data") or arguments.get("input") or "0x"
    try:
        payload = bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        raise RpcError(INVALID_PARAMS, "invalid data") from None
    value = arguments.get("value")
    return MESSAGES["TriggerSmartContract"](
        owner_address=jsonviews.address(arguments.get("from") or NOBODY),
        contract_address=jsonviews.address(arguments.get("to")),
        call_value=jsonviews.number(value, "invalid param value: invalid hex number")
        if value
        else 0,
        data=payload,
    )


def _try(view: View, message: Any) -> tuple[bytes, int]:
    """Output and energy of a constant call.

    Raises:
        RpcError: It cannot be made, or it failed; a revert's reason is in the message.
    """
    try:
        outcome = constant_call(view, message, vm.CONSTANT_ENERGY_LIMIT)
    except CallRefused as refused:
        code = INVALID_REQUEST if refused.code == "CONTRACT_VALIDATE_ERROR" else INTERNAL_ERROR
        raise RpcError(code, refused.message) from None
    if outcome.succeeded:
        return outcome.output, outcome.energy_used
    text = outcome.error
    if outcome.output.startswith(_REVERT_REASON):
        text += f": {abi.text(outcome.output[4:])}"
    raise RpcError(INTERNAL_ERROR, text)


def _call(node: Node, view: View, given: Params) -> Any:
    _only_latest(given[1])
    return data(_try(view, _message(given[0]))[0])


def _estimate(node: Node, view: View, given: Params) -> Any:
    """0 for a transfer of TRX, which needs no energy."""
    message = _message(given[0])
    if view.get(CONTRACT + bytes(message.contract_address)) is None:
        return quantity(0)
    return quantity(_try(view, message)[1])


def _block(view: View, tag: Any) -> Block | None:
    """
    Raises:
        RpcError: Neither a number nor a tag of a block that exists.
    """
    text = str(tag).lower()
    if text == "pending":
        raise RpcError(INVALID_PARAMS, "TAG pending not supported")
    if text in ("latest", ""):
        return view.head
    if text == "earliest":
        return view.block(0)
    if text == "finalized":
        return view.solid_block
    return view.block(jsonviews.number(tag, "invalid block number"))


def _block_by_number(node: Node, view: View, given: Params) -> Any:
    block = _block(view, given[0])
    return None if block is None else jsonviews.block(view, block, full=given[1] is True)


def _block_by_hash(node: Node, view: View, given: Params) -> Any:
    block = view.block_by_id(jsonviews.hash32(given[0]))
    return None if block is None else jsonviews.block(view, block, full=given[1] is True)


def _count(block: Block | None) -> Any:
    return None if block is None else quantity(len(block.transactions))


def _at(view: View, block: Block | None, index: Any) -> Any:
    if block is None:
        return None
    position = jsonviews.number(index, "invalid index value")
    known = 0 <= position < len(block.transactions)
    return jsonviews.transaction(view, block, position) if known else None


def _transaction(node: Node, view: View, given: Params) -> Any:
    txid = jsonviews.hash32(given[0])
    found = view.find(txid)
    if found is not None:
        return jsonviews.transaction(view, *found)
    tx = view.chain.pending.get(txid) if view.pending else None
    return None if tx is None else jsonviews.waiting(tx)


def _receipt(node: Node, view: View, given: Params) -> Any:
    found = view.find(jsonviews.hash32(given[0]))
    return None if found is None else jsonviews.receipt(view, *found)


def _sha3(node: Node, view: View, given: Params) -> Any:
    try:
        return data(keccak(bytes.fromhex(str(given[0]).removeprefix("0x"))))
    except ValueError:
        raise RpcError(INVALID_PARAMS, "invalid input value") from None


def _chain_id(node: Node, view: View, given: Params) -> Any:
    return data(view.chain.genesis_id[-4:])


METHODS: Final[dict[str, Method]] = {
    "web3_clientVersion": lambda node, view, given: CLIENT_VERSION,
    "web3_sha3": _sha3,
    "net_version": _chain_id,
    "net_listening": lambda node, view, given: False,
    "net_peerCount": lambda node, view, given: quantity(0),
    "eth_chainId": _chain_id,
    "eth_protocolVersion": lambda node, view, given: quantity(view.head.version),
    "eth_syncing": lambda node, view, given: False,
    "eth_mining": lambda node, view, given: True,
    "eth_hashrate": lambda node, view, given: quantity(0),
    "eth_accounts": lambda node, view, given: [],
    "eth_coinbase": lambda node, view, given: data(view.head.witness.removeprefix(PREFIX)),
    "eth_blockNumber": lambda node, view, given: quantity(view.head.number),
    "eth_gasPrice": lambda node, view, given: quantity(params.read(view.get, "getEnergyFee")),
    "eth_getBalance": _balance,
    "eth_getCode": _code,
    "eth_getStorageAt": _storage,
    "eth_call": _call,
    "eth_estimateGas": _estimate,
    "eth_getBlockByNumber": _block_by_number,
    "eth_getBlockByHash": _block_by_hash,
    "eth_getBlockTransactionCountByNumber": lambda node, view, given: _count(
        _block(view, given[0])
    ),
    "eth_getBlockTransactionCountByHash": lambda node, view, given: _count(
        view.block_by_id(jsonviews.hash32(given[0]))
    ),
    "eth_getTransactionByHash": _transaction,
    "eth_getTransactionByBlockNumberAndIndex": lambda node, view, given: _at(
        view, _block(view, given[0]), given[1]
    ),
    "eth_getTransactionByBlockHashAndIndex": lambda node, view, given: _at(
        view, view.block_by_id(jsonviews.hash32(given[0])), given[1]
    ),
    "eth_getTransactionReceipt": _receipt,
    "eth_getLogs": lambda node, view, given: jsonlogs.logs(node.store, view, given[0]),
}
