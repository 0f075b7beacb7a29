"""The values of JSON-RPC: hex, refusals, blocks, transactions and receipts as java-tron shows them.

Source: JsonRpcApiUtil, BlockResult, TransactionResult and TransactionReceipt of java-tron 4.8.0.
"""

from typing import Any, Final

from tron_payment.devnet import params
from tron_payment.devnet.api.query import View
from tron_payment.devnet.blocks import Block, size
from tron_payment.devnet.keys import PREFIX
from tron_payment.devnet.transactions import CREATE_CONTRACT, Tx

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32000
TOO_MANY: Final = -32005
NO_BLOOM: Final = "0x" + "00" * 256
NO_HASH: Final = "0x" + "00" * 32
_TARGETS: Final = ("to_address", "contract_address", "account_address", "receiver_address")
_AMOUNTS: Final = ("amount", "call_value", "frozen_balance", "balance")


class RpcError(Exception):
    """A refusal: JSON-RPC's code, and the message that java-tron gives."""

    def __init__(self, code: int, message: str, data: str = "{}") -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def quantity(value: int) -> str:
    """A number without leading zeros."""
    return hex(value)


def data(raw: bytes) -> str:
    """Bytes, every one of them."""
    return "0x" + raw.hex()


def short(address: bytes) -> str | None:
    """21 bytes as the last 20 of them; None when there is no address."""
    return data(address[-20:]) if address else None


def address(value: Any) -> bytes:
    """The 21 bytes of an address of 20, or of 21 with 0x41.

    Raises:
        RpcError: It is neither.
    """
    try:
        raw = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) == 20:
        return PREFIX + raw
    if len(raw) != 21 or raw[:1] != PREFIX:
        raise RpcError(INVALID_PARAMS, "invalid address hash value")
    return raw


def hash32(value: Any) -> bytes:
    """
    Raises:
        RpcError: Not 32 bytes in hex.
    """
    try:
        raw = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise RpcError(INVALID_PARAMS, "invalid hash value")
    return raw


def number(value: Any, complaint: str) -> int:
    """A hexadecimal number with 0x.

    Raises:
        RpcError: With the complaint.
    """
    text = str(value)
    try:
        return int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        raise RpcError(INVALID_PARAMS, complaint) from None


def _target(tx: Tx) -> str | None:
    found = next((bytes(raw) for name in _TARGETS if (raw := getattr(tx.message, name, b""))), b"")
    return short(found)


def _amount(tx: Tx) -> int:
    message = getattr(tx.message, "new_contract", tx.message)
    return next((int(n) for name in _AMOUNTS if (n := getattr(message, name, 0))), 0)


def _common(tx: Tx) -> dict[str, Any]:
    """What a transaction says itself; `input` is its memo, as on java-tron."""
    signature = tx.signatures[0] if tx.signatures else None
    v = None if signature is None else signature[64] + (27 if signature[64] < 27 else 0)
    return {
        "hash": data(tx.txid),
        "nonce": None,
        "from": short(tx.owner),
        "to": _target(tx),
        "value": quantity(_amount(tx)),
        "input": data(bytes(tx.raw_message.data)),
        "type": "0x0",
        "v": None if v is None else data(bytes((v,))),
        "r": None if signature is None else data(signature[:32]),
        "s": None if signature is None else data(signature[32:64]),
    }


def waiting(tx: Tx) -> dict[str, Any]:
    """A transaction that is in no block."""
    nowhere = dict.fromkeys(("blockHash", "blockNumber", "transactionIndex", "gasPrice"), "0x")
    return _common(tx) | nowhere | {"gas": "0x0"}


def _energy_price(view: View, block_: Block) -> str:
    return quantity(params.value_at(view.get, "getEnergyFee", block_.timestamp_ms))


def _place(block_: Block, position: int) -> dict[str, str]:
    return {
        "blockHash": data(block_.id),
        "blockNumber": quantity(block_.number),
        "transactionIndex": quantity(position),
    }


def transaction(view: View, block_: Block, position: int) -> dict[str, Any]:
    """A transaction in its block."""
    energy = {
        "gas": quantity(block_.receipts[position].energy_total),
        "gasPrice": _energy_price(view, block_),
    }
    return _common(block_.transactions[position]) | _place(block_, position) | energy


def block(view: View, block_: Block, *, full: bool) -> dict[str, Any]:
    """A block with its transactions, or with their ids."""
    transactions: list[Any] = [data(tx.txid) for tx in block_.transactions]
    if full:
        transactions = [transaction(view, block_, n) for n in range(len(block_.transactions))]
    return {
        "number": quantity(block_.number),
        "hash": data(block_.id),
        "parentHash": data(block_.parent),
        "nonce": "0x" + "00" * 8,
        "sha3Uncles": NO_HASH,
        "logsBloom": NO_BLOOM,
        "transactionsRoot": data(block_.trie_root),
        "stateRoot": "0x",
        "receiptsRoot": NO_HASH,
        "miner": short(block_.witness) if block_.number else "0x" + "00" * 20,
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": quantity(size(block_)),
        "gasLimit": quantity(sum(tx.raw_message.fee_limit for tx in block_.transactions)),
        "gasUsed": quantity(sum(each.energy_total for each in block_.receipts)),
        "timestamp": quantity(block_.timestamp_ms // 1000),
        "transactions": transactions,
        "uncles": [],
        "baseFeePerGas": "0x0",
        "mixHash": NO_HASH,
    }


def log_entries(block_: Block, position: int) -> list[dict[str, Any]]:
    """The events of one transaction; their index counts through the block."""
    first = sum(len(each.logs) for each in block_.receipts[:position])
    common = _place(block_, position) | {
        "transactionHash": data(block_.transactions[position].txid),
        "removed": False,
    }
    return [
        common
        | {
            "logIndex": quantity(first + index),
            "address": data(log.address),
            "topics": [data(topic) for topic in log.topics],
            "data": data(log.data),
        }
        for index, log in enumerate(block_.receipts[position].logs)
    ]


def receipt(view: View, block_: Block, position: int) -> dict[str, Any]:
    """What a transaction did; a transfer of TRX succeeded when it is in a block."""
    tx, outcome = block_.transactions[position], block_.receipts[position]
    created = outcome.contract_address if tx.kind == CREATE_CONTRACT else b""
    before = sum(each.energy_total for each in block_.receipts[:position])
    return _place(block_, position) | {
        "transactionHash": data(tx.txid),
        "from": short(tx.owner),
        "to": _target(tx),
        "contractAddress": short(created),
        "cumulativeGasUsed": quantity(before + outcome.energy_total),
        "effectiveGasPrice": _energy_price(view, block_),
        "gasUsed": quantity(outcome.energy_total),
        "logs": log_entries(block_, position),
        "logsBloom": NO_BLOOM,
        "status": "0x0" if outcome.failed else "0x1",
        "type": "0x0",
    }
