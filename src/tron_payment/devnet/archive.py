"""The blocks and states that were: reading them, adding one, taking the newest back.

The state at the head is `base`; states before it are read through the undo logs of the blocks
since. A block is stored before the base is changed, so nobody reads what is not on disk.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tron_payment.devnet import params
from tron_payment.devnet.blocks import Block, decode, encode
from tron_payment.devnet.involved import involved
from tron_payment.devnet.records import decode_value
from tron_payment.devnet.state import Base, Get, Overlay, Past, encode_writes
from tron_payment.devnet.store import Store

KEPT_BLOCKS: Final = 256
KEPT_TRANSACTIONS: Final = 20_000
"""Decoded blocks in memory, and the transactions in them; some 5 kB each with their JSON."""
KEPT_UNDO: Final = 128
"""Undo logs below the head; those above the solid block are kept whatever their number."""


class TooDeep(Exception):
    """Only blocks above the solid block can be taken back."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Blocks that are no longer on the chain, and the state at their end."""

    fork: int
    """The last block that both histories have."""
    blocks: dict[int, Block]
    found: dict[bytes, tuple[Block, int]]
    get: Get


class Archive:
    """All blocks up to the head."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[int, Block] = OrderedDict()
        self._cached = 0
        self._undos: deque[tuple[int, dict[bytes, Any]]] = deque()
        self.base = Base(store.load)
        self.ghost: Branch | None = None
        """The history that the last fork replaced, while its state can still be read."""
        self.head: Block

    @property
    def is_empty(self) -> bool:
        return self._store.head() is None

    def load(self) -> None:
        """Read head and undo logs from the store, which is not empty."""
        self.base = Base(self._store.load)
        self.ghost = None
        self._cache.clear()
        self._cached = 0
        self._undos.clear()
        number = self._store.head()
        assert number is not None
        self.head = self._fetch(number)
        lowest = max(min(self.solid_number, number - KEPT_UNDO) + 1, 1)
        for height, raw in self._store.undos(lowest):
            self._undos.append((height, _decode_undo(raw)))

    # Reading

    @property
    def solid_number(self) -> int:
        return params.read(self.base.get, params.SOLID_NUMBER)

    def block(self, number: int) -> Block | None:
        if not 0 <= number <= self.head.number:
            return None
        return self._fetch(number)

    def _fetch(self, number: int) -> Block:
        found = self._cache.get(number)
        if found is not None:
            self._cache.move_to_end(number)
            return found
        raw = self._store.block(number)
        assert raw is not None, number
        return self._remember(decode(raw))

    def _remember(self, block: Block) -> Block:
        self._cache[block.number] = block
        self._cached += len(block.transactions)
        while len(self._cache) > KEPT_BLOCKS or (
            self._cached > KEPT_TRANSACTIONS and len(self._cache) > 1
        ):
            self._forget(next(iter(self._cache)))
        return block

    def _forget(self, number: int) -> None:
        block = self._cache.pop(number, None)
        if block is not None:
            self._cached -= len(block.transactions)

    def has(self, txid: bytes) -> bool:
        return self._store.find(txid) is not None

    def find(self, txid: bytes) -> tuple[Block, int] | None:
        """The block that holds a transaction, and its position there."""
        found = self._store.find(txid)
        if found is None:
            return None
        block = self.block(found[0])
        return None if block is None else (block, found[1])

    def state_at(self, number: int) -> Get:
        """The state after block `number`, which is not below `oldest_state`."""
        if number >= self.head.number:
            return self.base.get
        return Past(self.base.get, (undo for height, undo in self._undos if height > number)).get

    @property
    def oldest_state(self) -> int:
        """The lowest height whose state can still be read."""
        return self._undos[0][0] - 1 if self._undos else self.head.number

    # Changing

    def append(self, state: Overlay, block: Block) -> None:
        """Store a block with its writes, then show it."""
        undo = {key: self.base.get(key) for key in state.writes}
        solid = params.read(state.get, params.SOLID_NUMBER)
        keep_from = min(solid, block.number - KEPT_UNDO) + 1
        first = self._undos[0][0] if self._undos else block.number
        self._store.add_block(
            block.number,
            block.id,
            encode(block),
            _encode_undo(undo),
            encode_writes(state.writes),
            [tx.txid for tx in block.transactions],
            involved(block),
            (first, keep_from),
        )
        self.base.merge(state.writes)
        self._undos.append((block.number, undo))
        while self._undos and self._undos[0][0] < keep_from:
            self._undos.popleft()
        self.head = self._remember(block)
        if self.ghost is not None and self.ghost.fork < self.oldest_state:
            self.ghost = None

    def take_back(self, depth: int) -> list[Block]:
        """Remove the newest blocks; returns them, oldest first.

        Raises:
            TooDeep: The depth would reach the solid block.
        """
        if depth > self.head.number - self.solid_number:
            raise TooDeep(f"only {self.head.number - self.solid_number} blocks are not solid")
        lost: list[Block] = []
        written: dict[bytes, Any] = {}
        for _ in range(depth):
            height, undo = self._undos.pop()
            assert height == self.head.number
            lost.insert(0, self.head)
            written = {key: self.base.get(key) for key in undo} | written
            self._store.take_back(height, encode_writes(undo))
            self.base.merge(undo)
            self._forget(height)
            self.head = self._fetch(height - 1)
        self.ghost = self._branch(lost, written)
        return lost

    def _branch(self, lost: list[Block], written: dict[bytes, Any]) -> Branch:
        fork = self.head.number

        def get(key: bytes) -> Any:
            return written[key] if key in written else self.state_at(fork)(key)

        found = {
            tx.txid: (block, position)
            for block in lost
            for position, tx in enumerate(block.transactions)
        }
        return Branch(fork, {block.number: block for block in lost}, found, get)


_UNDO_ENCODER: Final = msgspec.msgpack.Encoder()
_UNDO_DECODER: Final = msgspec.msgpack.Decoder(list[tuple[bytes, bytes | None]])


def _encode_undo(undo: dict[bytes, Any]) -> bytes:
    return _UNDO_ENCODER.encode(encode_writes(undo))


def _decode_undo(raw: bytes) -> dict[bytes, Any]:
    return {
        key: None if value is None else decode_value(key, value)
        for key, value in _UNDO_DECODER.decode(raw)
    }
