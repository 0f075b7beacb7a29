"""Blocks: header bytes, ids, the transaction trie, and their form on disk."""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tron_payment.devnet.keys import sha256, sign
from tron_payment.devnet.proto import CONTRACT_RESULTS, HeaderRaw, Transaction
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.transactions import Tx, of

VERSION: Final = 32
"""Block version of java-tron 4.8.0."""
NO_HASH: Final = bytes(32)


@dataclass(slots=True, eq=False)
class Block:
    """One block with what its transactions did; `pages` caches its rendered forms."""

    number: int
    id: bytes
    parent: bytes
    timestamp_ms: int
    trie_root: bytes
    witness: bytes
    version: int
    signature: bytes
    transactions: list[Tx]
    receipts: list[Receipt]
    pages: dict[Any, bytes] = field(default_factory=dict)


class _Body(msgspec.Struct, array_like=True):
    """A block as it is stored."""

    number: int
    parent: bytes
    timestamp_ms: int
    trie_root: bytes
    witness: bytes
    version: int
    signature: bytes
    transactions: list[tuple[bytes, tuple[bytes, ...]]]
    receipts: list[Receipt]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Body)


def encode(block: Block) -> bytes:
    return _ENCODER.encode(
        _Body(
            block.number,
            block.parent,
            block.timestamp_ms,
            block.trie_root,
            block.witness,
            block.version,
            block.signature,
            [(tx.raw, tx.signatures) for tx in block.transactions],
            block.receipts,
        )
    )


def decode(raw: bytes) -> Block:
    body = _DECODER.decode(raw)
    header = _header(
        body.number, body.timestamp_ms, body.parent, body.trie_root, body.witness, body.version
    )
    return Block(
        number=body.number,
        id=_id(body.number, header),
        parent=body.parent,
        timestamp_ms=body.timestamp_ms,
        trie_root=body.trie_root,
        witness=body.witness,
        version=body.version,
        signature=body.signature,
        transactions=[of(raw_data, signatures) for raw_data, signatures in body.transactions],
        receipts=body.receipts,
    )


def make(
    number: int,
    parent: bytes,
    timestamp_ms: int,
    witness: bytes,
    key: bytes | None,
    transactions: list[Tx],
    receipts: list[Receipt],
) -> Block:
    """Seal a block; without a key it is a genesis block, which nobody signs."""
    version = VERSION if key else 0
    root = trie_root([_leaf(tx, r) for tx, r in zip(transactions, receipts, strict=True)])
    header = _header(number, timestamp_ms, parent, root, witness, version)
    return Block(
        number=number,
        id=_id(number, header),
        parent=parent,
        timestamp_ms=timestamp_ms,
        trie_root=root,
        witness=witness,
        version=version,
        signature=sign(key, sha256(header)) if key else b"",
        transactions=transactions,
        receipts=receipts,
    )


def _header(
    number: int, timestamp_ms: int, parent: bytes, root: bytes, witness: bytes, version: int
) -> bytes:
    return bytes(
        HeaderRaw(
            timestamp=timestamp_ms,
            txTrieRoot=root,
            parentHash=parent,
            number=number,
            witness_address=witness,
            version=version,
        ).SerializeToString()
    )


def _id(number: int, header: bytes) -> bytes:
    """The height in 8 bytes, then the last 24 of the header's hash."""
    return number.to_bytes(8, "big") + sha256(header)[8:]


def size(block: Block) -> int:
    """Bytes of the Block message."""
    header = _header(
        block.number,
        block.timestamp_ms,
        block.parent,
        block.trie_root,
        block.witness,
        block.version,
    )
    parts = [_with_result(t, r) for t, r in zip(block.transactions, block.receipts, strict=True)]
    signature = [block.signature] if block.signature else []
    parts.append(bytes(_framed([header, *signature])))
    return _framed(parts)


def _leaf(tx: Tx, receipt: Receipt) -> bytes:
    """sha256 of the transaction with its result, as java-tron's getMerkleHash."""
    return sha256(_with_result(tx, receipt))


def _with_result(tx: Tx, receipt: Receipt) -> bytes:
    """The Transaction message as it stands in a block."""
    whole = Transaction(raw_data=tx.raw, signature=tx.signatures)
    if tx.signatures:
        whole.ret.add(contractRet=CONTRACT_RESULTS[receipt.contract_ret])
    return bytes(whole.SerializeToString())


def _framed(parts: list[bytes]) -> int:
    """Bytes of a message that holds these byte fields, all of small numbers."""
    return sum(1 + max(1, (len(part).bit_length() + 6) // 7) + len(part) for part in parts)


def trie_root(leaves: list[bytes]) -> bytes:
    """Pairs are hashed together; one left over rises as it is. No leaves: 32 zero bytes."""
    if not leaves:
        return NO_HASH
    while len(leaves) > 1:
        paired = [sha256(leaves[i] + leaves[i + 1]) for i in range(0, len(leaves) - 1, 2)]
        if len(leaves) % 2:
            paired.append(leaves[-1])
        leaves = paired
    return leaves[0]
