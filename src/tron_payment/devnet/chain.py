"""The chain: the archive below, the pool on top, and between them the making of blocks.

Everything here is synchronous and sees no clock. A block is executed in an overlay, then stored,
then merged.
"""

from collections.abc import Iterator
from typing import Final

from tron_payment.devnet import genesis, rewards, vm
from tron_payment.devnet.archive import Archive, Branch
from tron_payment.devnet.blocks import Block, make
from tron_payment.devnet.config import DevnetConfig
from tron_payment.devnet.errors import Refusal
from tron_payment.devnet.keys import address_of_key
from tron_payment.devnet.pool import Pool
from tron_payment.devnet.process import process
from tron_payment.devnet.receipts import Receipt
from tron_payment.devnet.sealing import maker_at, next_slot_ms, seal
from tron_payment.devnet.state import Base, Get, Overlay
from tron_payment.devnet.store import Store
from tron_payment.devnet.transactions import Tx, decode

MAX_BLOCK_BYTES: Final = 2_000_000
YIELD_EVERY: Final = 32
"""Transactions executed between two chances for others to be served."""


class Chain:
    """One history of blocks and the state at its head.

    Args:
        seed: Decides the genesis block of a new chain.
        first_ms: Chain time of the first block after it.
    """

    def __init__(self, config: DevnetConfig, store: Store, seed: str, first_ms: int) -> None:
        self.slot_ms = config.slot_ms
        """The grid of timestamps; a change of pace changes it."""
        self._first_ms = first_ms // config.slot_ms * config.slot_ms
        self.archive = Archive(store)
        if self.archive.is_empty:
            state = Overlay(self.archive.base.get)
            self.archive.append(state, genesis.build(config, seed, state))
        self.archive.load()
        self._witness_keys = {address_of_key(k): k for k in genesis.witness_keys(config)}
        self._schedule = rewards.witnesses(self.base.get)
        first = self.block(0)
        assert first is not None
        self.genesis_id = first.id
        self.chain_id = int.from_bytes(self.genesis_id[-4:], "big")
        self._changes: dict[str, int] = {}
        self.pool = Pool(config, self.archive, self.environment)

    # Reading

    @property
    def head(self) -> Block:
        return self.archive.head

    @property
    def base(self) -> Base:
        """The state at the head."""
        return self.archive.base

    @property
    def state(self) -> Overlay:
        """The state with the pending transactions."""
        return self.pool.state

    @property
    def pending(self) -> dict[bytes, Tx]:
        return self.pool.transactions

    @property
    def ghost(self) -> Branch | None:
        """The history that the last fork replaced."""
        return self.archive.ghost

    @property
    def solid_number(self) -> int:
        return self.archive.solid_number

    @property
    def solid_block(self) -> Block:
        block = self.block(self.solid_number)
        assert block is not None
        return block

    @property
    def oldest_state(self) -> int:
        return self.archive.oldest_state

    def state_at(self, number: int) -> Get:
        return self.archive.state_at(number)

    def block(self, number: int) -> Block | None:
        return self.archive.block(number)

    def find(self, txid: bytes) -> tuple[Block, int] | None:
        return self.archive.find(txid)

    def pending_receipt(self, txid: bytes) -> Receipt | None:
        return self.pool.receipts.get(txid)

    def _block_hash(self, number: int) -> bytes:
        block = self.block(number)
        return block.id if block is not None else bytes(32)

    # Time

    def next_slot_ms(self) -> int:
        """The earliest timestamp of the next block."""
        if self.head.number == 0:
            return self._first_ms
        return next_slot_ms(self.base.get, self.slot_ms)

    def maker_at(self, timestamp_ms: int) -> bytes:
        """The representative whose slot this is."""
        return maker_at(self._schedule, timestamp_ms, self.slot_ms)

    def environment(self, timestamp_ms: int | None = None) -> vm.Block:
        """The block that comes next."""
        moment = self.next_slot_ms() if timestamp_ms is None else timestamp_ms
        return vm.Block(
            number=self.head.number + 1,
            timestamp_ms=moment,
            maker=self.maker_at(moment),
            chain_id=self.chain_id,
            block_hash=self._block_hash,
        )

    # Transactions and blocks

    def broadcast(self, data: bytes) -> Tx:
        """Take a serialized Transaction into the pool.

        Raises:
            Refusal: With java-tron's code and message; the pool is unchanged.
        """
        return self.push(decode(data))

    def push(self, tx: Tx) -> Tx:
        """Take a transaction into the pool.

        Raises:
            Refusal: See `Pool.push`.
        """
        self.pool.push(tx)
        return tx

    def change_parameters(self, changes: dict[str, int]) -> None:
        """Set chain parameters at the end of the next block."""
        self._changes |= changes

    def produce(self, timestamp_ms: int, leave_out: frozenset[bytes] = frozenset()) -> Block:
        """Make the next block at once. See `producing`."""
        for _ in self.producing(timestamp_ms, leave_out):
            pass
        return self.head

    def producing(
        self, timestamp_ms: int, leave_out: frozenset[bytes] = frozenset()
    ) -> Iterator[None]:
        """Make the next block, pausing now and then; the head moves at the very end.

        Transactions that no longer execute are dropped in silence, as a producer does. After one
        with several signatures its owner's others wait for the next block.

        Args:
            timestamp_ms: Not before `next_slot_ms()`.
            leave_out: Ids of pending transactions that this block does not take.
        """
        assert timestamp_ms >= self.next_slot_ms(), "a block before its slot"
        context = self.environment(timestamp_ms)
        overlay = Overlay(self.base.get)
        taken: list[Tx] = []
        receipts: list[Receipt] = []
        tried, lone, size = set(), set(), 0
        for index, tx in enumerate(list(self.pending.values())):
            if index % YIELD_EVERY == YIELD_EVERY - 1:
                yield
            if tx.txid in leave_out or tx.owner in lone:
                continue
            if size + tx.size > MAX_BLOCK_BYTES:
                break
            tried.add(tx.txid)
            try:
                receipts.append(process(overlay, tx, context))
            except Refusal:
                continue
            taken.append(tx)
            size += tx.size
            if len(tx.signatures) > 1:
                lone.add(tx.owner)
        key = self._witness_keys[context.maker]
        block = make(
            context.number, self.head.id, timestamp_ms, context.maker, key, taken, receipts
        )
        yield
        seal(overlay, block, self.slot_ms, self._changes)
        self.archive.append(overlay, block)
        self._changes = {}
        self.pool.rebuild([tx for tx in self.pending.values() if tx.txid not in tried])

    def take_back(self, depth: int, drop: frozenset[bytes]) -> tuple[list[Tx], list[Tx]]:
        """Remove the newest blocks and lay their transactions before the pending ones.

        Args:
            drop: Ids of transactions to forget.

        Returns:
            All transactions of those blocks, and those of them that wait again.

        Raises:
            TooDeep: The depth would reach the solid block.
        """
        loose = [tx for block in self.archive.take_back(depth) for tx in block.transactions]
        kept = [tx for tx in loose if tx.txid not in drop]
        self.pool.put_first(kept)
        return loose, kept

    def reload(self) -> None:
        """Begin again from what the store holds now, after a restore."""
        self.archive.load()
        self.pool.clear()
