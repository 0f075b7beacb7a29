"""A solidified block with its receipts: the only evidence there is."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

import msgspec
import structlog

from tron_payment.chain.answers import Receipt
from tron_payment.chain.errors import BlockInconsistent
from tron_payment.chain.internal import (
    INTERNAL_MAX,
    internal_transfers,
    some_moving,
    tell_alike,
    tells_internal,
    tells_too_much,
)
from tron_payment.chain.transactions import (
    SolidTransaction,
    all_parties,
)
from tron_payment.chain.wire import INT64_MAX

SHOWN_DIGITS: Final = 16
SHOWN_CHARACTERS_MAX: Final = 200
SHOWN_TRANSFERS_MAX: Final = 5

TOLD_PER_BLOCK_MAX: Final = 2 * INTERNAL_MAX
"""Internal transactions of one block that are taken of what the same nodes tell, and too few
others: twice what the dearest transaction can have. Who invents more of them, in an answer of
`calls.BLOCK_BYTES_MAX`, keeps us busy no longer."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Who a block is and whom it follows. Ids are 64 hex digits."""

    number: int
    block_id: str
    parent_id: str
    timestamp_ms: int


class BlockTransaction(NamedTuple):
    """A transaction as it lies in a node's block."""

    txid: str
    raw: bytes
    contract_ret: str


@dataclass(frozen=True, slots=True)
class Block(BlockHeader):
    """One node's block, without its receipts."""

    transactions: tuple[BlockTransaction, ...] = ()


@dataclass(frozen=True, slots=True)
class SolidBlock:
    """Made by `join` from checked parts. The parent link is the follower's to check."""

    number: int
    block_id: str
    parent_id: str
    timestamp_ms: int
    transactions: tuple[SolidTransaction, ...] = ()
    is_evidence: bool = field(default=False, compare=False)
    """Whether it is solidified and as many nodes as have to agree have shown it to this process:
    `Nodes.solid_block` says so, and nobody else. What one node shows may go away, or be a lie."""

    _by_txid: dict[str, SolidTransaction] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _parties: set[bytes] = field(default_factory=set, init=False, repr=False, compare=False)

    def find(self, txid: str) -> SolidTransaction | None:
        """The transaction with this id, if it stands in the block."""
        if not self._by_txid and self.transactions:
            self._by_txid.update((each.txid, each) for each in self.transactions)
        return self._by_txid.get(txid)

    def parties(self) -> AbstractSet[bytes]:
        """The last 20 bytes of every address that may be a party of one of the transactions, and
        rarely of something like one; looked for once."""
        if not self._parties:
            self._parties.update(all_parties(self.transactions))
        return self._parties

    def touching(self, watched: AbstractSet[bytes]) -> list[SolidTransaction]:
        """The transactions in which a watched address is a party.

        Args:
            watched: The last 20 bytes of each address.
        """
        return [each for each in self.transactions if not watched.isdisjoint(each.parties())]

    def only(self, transactions: Iterable[SolidTransaction]) -> Self:
        """The same block with only these of its transactions."""
        return replace(self, transactions=tuple(transactions))


def join(block: Block, receipts: Sequence[Receipt]) -> SolidBlock:
    """Tie a block's bytes to the receipts that a node gives for it.

    Raises:
        BlockInconsistent: Another number, count, order, result or timestamp, an impossible
            amount, a txid that is not the hash of its bytes, a block id without the number.
    """
    if block.block_id[:16] != f"{block.number:016x}":
        raise BlockInconsistent(f"block {block.number} has the id {block.block_id}")
    if len(receipts) != len(block.transactions):
        raise BlockInconsistent(
            f"block {block.number}: {len(block.transactions)} transactions, "
            f"{len(receipts)} receipts"
        )
    joined: list[SolidTransaction] = []
    sha256 = hashlib.sha256
    for index, (one, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        if receipt.id != one.txid or receipt.block_number != block.number:
            raise BlockInconsistent(f"block {block.number}: receipt {index} is of another place")
        if receipt.block_timestamp_ms != block.timestamp_ms:
            raise BlockInconsistent(f"block {block.number}: receipt {index} is of another time")
        if sha256(one.raw).hexdigest() != one.txid:
            raise BlockInconsistent(f"block {block.number}: {one.txid} is not its bytes' hash")
        used = receipt.receipt
        amounts = (
            receipt.fee_sun,
            receipt.withdraw_amount_sun,
            receipt.withdraw_expire_sun,
            used.energy_usage,
            used.energy_fee_sun,
            used.origin_energy,
            used.energy_total,
            used.energy_penalty,
            used.net_usage,
            used.net_fee_sun,
        )
        if min(amounts) < 0 or max(amounts) > INT64_MAX:
            raise BlockInconsistent(f"block {block.number}: {one.txid} has an impossible amount")
        stated = used.result
        if stated and one.contract_ret and stated != one.contract_ret:
            raise BlockInconsistent(f"block {block.number}: {one.txid} has two results")
        joined.append(SolidTransaction(one.raw, receipt, index))
    return SolidBlock(
        block.number, block.block_id, block.parent_id, block.timestamp_ms, tuple(joined)
    )


def disagreement(block: SolidBlock, header: BlockHeader, receipts: Sequence[Receipt]) -> str:
    """What another node says differently about a block; empty when it confirms it.

    Left out is what depends on the node and not on the chain: texts, penalties (version), and
    internal transactions, which many do not keep (`with_internal` compares those).

    Args:
        block: As read from one node.
        header: The other node's header at this height.
        receipts: The other node's receipts.
    """
    if header.block_id != block.block_id:
        return f"the id {header.block_id}"
    if (header.parent_id, header.timestamp_ms) != (block.parent_id, block.timestamp_ms):
        return f"another parent or time: {header.parent_id} at {header.timestamp_ms}"
    if len(receipts) != len(block.transactions):
        return f"{len(receipts)} receipts"
    for ours, theirs in zip(block.transactions, receipts, strict=True):
        if _gist(ours.receipt) != (gist := _gist(theirs)):
            shown = hashlib.sha256(repr(gist).encode()).hexdigest()[:SHOWN_DIGITS]
            return f"another receipt of {ours.txid}: {shown}"
    return ""


def internal_disagreement(
    block: SolidBlock, others: Mapping[str, Sequence[Receipt]]
) -> dict[str, str]:
    """Which TRX nodes say that contracts have moved, where two say something and not the same.
    Freezes and votes, which only some nodes note, are not compared.

    Args:
        others: By alias, the receipts of those that confirm the block.

    Returns:
        By alias, of all that say otherwise than the block, or, where that says nothing, than
        each other.
    """
    found: dict[str, str] = {}
    for each in block.transactions:
        telling = [alias for alias in others if tells_internal(others[alias][each.index])]
        if len(telling) + tells_internal(each.receipt) < 2:
            continue
        said = {alias: others[alias][each.index] for alias in telling}
        first = each.receipt if tells_internal(each.receipt) else said[telling[0]]
        if all(tell_alike(first, receipt) for receipt in said.values()):
            continue
        for alias, receipt in said.items():
            if not tell_alike(each.receipt, receipt):
                text = f"other internal transactions of {each.txid}: {_sums(receipt)}"
                found.setdefault(alias, text[:SHOWN_CHARACTERS_MAX])
    return found


def _sums(receipt: Receipt) -> str:
    some = msgspec.structs.replace(
        receipt, internal_transactions=some_moving(receipt, SHOWN_TRANSFERS_MAX)
    )
    transfers = internal_transfers(some)[:SHOWN_TRANSFERS_MAX]
    return ", ".join(f"{one.amount_sun} sun to {one.to}" for one in transfers)


def with_internal(
    block: SolidBlock, reader: str, others: Mapping[str, Sequence[Receipt]], agreement: int
) -> SolidBlock:
    """The block with the TRX that as many nodes as have to agree say contracts have moved.

    A node that says nothing may not keep it (``vm.saveInternalTx``, off by default) or hide it; so
    what is told counts from `agreement` nodes on, and less is `SolidTransaction.unproved`. Of
    that, `TOLD_PER_BLOCK_MAX` is taken.

    Args:
        reader: Alias of the node that the block is from.
        others: By alias, the receipts of those that confirm it; they contradict nobody.
        agreement: Nodes that have to say the same, the one that was read among them.
    """
    changed: dict[int, SolidTransaction] = {}
    taken, left = Counter[str](), Counter[str]()
    for each in block.transactions:
        receipts = {reader: each.receipt} | {a: other[each.index] for a, other in others.items()}
        told = {a: receipt for a, receipt in receipts.items() if tells_internal(receipt)}
        proved = len(told) >= agreement
        known = proved and reader in told and not tells_too_much(each.receipt)
        if told and not known:
            first, by = next(iter(told.values())), ",".join(sorted(told))
            if proved:
                parts = first.internal_transactions
            else:
                room = TOLD_PER_BLOCK_MAX - taken[by]
                parts = some_moving(first, room)
                taken[by] += len(parts)
                left[by] += len(parts) == room
            receipt = msgspec.structs.replace(each.receipt, internal_transactions=parts)
            changed[each.index] = SolidTransaction(
                each.raw,
                receipt,
                each.index,
                internal_proved=proved,
                internal_told_by=sorted(told),
            )
    for by, transactions in left.items():
        if transactions:
            log.warning(
                "block.told_too_much", block=block.number, told_by=by, transactions=transactions
            )
    if not changed:
        return block
    return block.only(changed.get(each.index, each) for each in block.transactions)


def told_by_one(block: SolidBlock, reader: str) -> SolidBlock:
    """The block as one node shows it, whom nobody confirms: what it says that contracts have moved
    is `SolidTransaction.unproved`, and bounded."""
    return with_internal(block, reader, {}, agreement=2)


def _gist(receipt: Receipt) -> tuple[object, ...]:
    used = receipt.receipt
    return (
        receipt.id,
        receipt.block_number,
        receipt.fee_sun,
        receipt.contract_address,
        receipt.result,
        used.result,
        used.energy_usage,
        used.energy_fee_sun,
        used.origin_energy,
        used.energy_total,
        used.net_usage,
        used.net_fee_sun,
        receipt.log,
        receipt.withdraw_amount_sun,
        receipt.withdraw_expire_sun,
        sorted((each.key, each.value) for each in receipt.cancel_unfreeze if each.value),
    )
