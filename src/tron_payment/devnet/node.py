"""A network of one node: chain, clock, pace, faucet and faults. It has no HTTP (devnet.py)."""

import asyncio
import contextlib
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tron_payment.devnet.chain import Chain
from tron_payment.devnet.config import HISTORY_PACE_MS, DevnetConfig
from tron_payment.devnet.events import Events
from tron_payment.devnet.faucet import Faucet
from tron_payment.devnet.faults import Faults
from tron_payment.devnet.genesis import FAUCET
from tron_payment.devnet.keys import base58check
from tron_payment.devnet.store import Store
from tron_payment.devnet.transactions import Tx

_SEED_META: Final = "seed"
_OFFSET_META: Final = "offset_ms"


class Node:
    """What happens on the network and when."""

    def __init__(self, config: DevnetConfig) -> None:
        self.config = config
        self.block_ms = config.block_ms
        """Pace of the loop; 0 pauses it."""
        self.store: Store = Store(config.data)
        seed = self.store.meta(_SEED_META) or config.seed or secrets.token_hex(16)
        self.store.set_meta(_SEED_META, seed)
        self._offset_ms = int(self.store.meta(_OFFSET_META) or 0)
        """How far time travel has moved the clock."""
        # Two slots after block 1 stay empty, and block 2 shall not be ahead of the clock.
        early_ms = 4 * config.slot_ms + config.history_ms
        first_ms = config.start_ms or self._wall_ms() - early_ms
        self._quick_at = 0.0
        """When the last block of a new chain's history was made, on the monotonic clock."""
        self.chain = Chain(config, self.store, seed, first_ms)
        self.faucet = Faucet(self.chain, self.store)
        self.faults = Faults(seed)
        self.events = Events(self.chain)
        self._catch_up()
        self.lock = asyncio.Lock()
        """Held while blocks are made or taken back."""
        self.wake = asyncio.Event()
        self._stamp_ms = 0
        self._scratch: Path | None = None
        self._loop_task: asyncio.Task[None] | None = None

    # Time

    def _wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._offset_ms

    def _catch_up(self) -> None:
        """Never be behind the chain: a clock that was set back would stop it."""
        behind_ms = self.chain.head.timestamp_ms - self._wall_ms()
        if behind_ms > 0:
            self._offset_ms += behind_ms
        self.store.set_meta(_OFFSET_META, str(self._offset_ms))

    def now_ms(self) -> int:
        """The node's clock: the machine's, moved by time travel; by hand, the head's time."""
        if self.config.block_ms == 0:
            return self.chain.head.timestamp_ms or self.chain.next_slot_ms()
        return self._wall_ms()

    def stamp_ms(self) -> int:
        """A timestamp for a transaction that the node builds; never the same twice."""
        self._stamp_ms = max(self.now_ms(), self._stamp_ms + 1)
        return self._stamp_ms

    async def travel(self, by_ms: int) -> None:
        """Move the clock forward, and make a block in the slot there."""
        if self.config.block_ms == 0:
            await self.mine(skip_ms=by_ms)
            return
        self._offset_ms += by_ms
        self.store.set_meta(_OFFSET_META, str(self._offset_ms))
        async with self.lock:
            await self._produce(self._slot())
        self.wake.set()

    def set_pace(self, block_ms: int) -> None:
        """Change the time between blocks; 0 pauses them."""
        self.block_ms = block_ms
        if block_ms:
            self.chain.slot_ms = block_ms
        self.wake.set()

    # Blocks

    async def start(self) -> None:
        """Make the first blocks of a new chain and begin the pace loop."""
        if self.chain.head.number == 0:
            self.chain.produce(self.chain.next_slot_ms())
        if self.config.usdt and self.faucet.usdt is None:
            self.faucet.deploy_usdt(self.now_ms())
            if self.chain.pending:
                self.chain.produce(self._slot())
        if self.config.block_ms:
            self._loop_task = asyncio.create_task(self._keep_pace())

    def _slot(self) -> int:
        """The slot in which the next block would be made now."""
        next_ms = self.chain.next_slot_ms()
        if self.config.block_ms == 0:
            return next_ms
        if self._in_history():
            return next_ms
        return max(next_ms, self.now_ms() // self.chain.slot_ms * self.chain.slot_ms)

    def _in_history(self) -> bool:
        """A new chain is still catching up with the clock."""
        young = self.chain.head.number < self.config.history_blocks
        return young and self.chain.next_slot_ms() < self.now_ms()

    async def stop(self) -> None:
        """End the pace loop and close the store."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
            self._loop_task = None
        async with self.lock:
            self.store.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    async def mine(self, blocks: int = 1, *, skip_ms: int = 0) -> None:
        """Make blocks now, in the next slots; `skip_ms` of chain time pass before the first.

        The clock goes with them, so that the pace goes on from there.
        """
        async with self.lock:
            for index in range(blocks):
                next_ms = self.chain.next_slot_ms()
                if index == 0 and skip_ms:
                    slot = self.chain.slot_ms
                    next_ms = max(next_ms, (self.chain.head.timestamp_ms + skip_ms) // slot * slot)
                await self._produce(next_ms)
            if self.config.block_ms:
                self._catch_up()
                self.wake.set()

    async def _produce(self, timestamp_ms: int) -> None:
        for _ in self.chain.producing(timestamp_ms):
            await asyncio.sleep(0)

    async def _keep_pace(self) -> None:
        while True:
            self.wake.clear()
            wait_ms = self._due_in_ms()
            if wait_ms is None or wait_ms > 0:
                timeout_s = None if wait_ms is None else wait_ms / 1000
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout_s):
                        await self.wake.wait()
                continue
            async with self.lock:
                if self._due_in_ms() == 0:
                    self._quick_at = time.monotonic()
                    await self._produce(self._slot())

    def _due_in_ms(self) -> int | None:
        """Milliseconds until a block is due; None while the pace is paused."""
        if self.block_ms == 0:
            return None
        if self._in_history():
            passed_ms = int((time.monotonic() - self._quick_at) * 1000)
            return max(HISTORY_PACE_MS - passed_ms, 0)
        now, slot = self.now_ms(), self.chain.slot_ms
        due = self.chain.next_slot_ms()
        if self.block_ms > slot:
            due = max(due, self.chain.head.timestamp_ms + self.block_ms)
        return max(due - now, 0)

    async def fork(self, depth: int, *, drop: frozenset[bytes], wait_blocks: int = 0) -> list[Tx]:
        """Replace the newest `depth` blocks by one more block of another history.

        Args:
            drop: Transactions that the new history forgets; the pool too.
            wait_blocks: New blocks that stay without the transactions taken back.

        Returns:
            The transactions that were in the blocks taken back.

        Raises:
            TooDeep: The depth would reach the solid block.
        """
        async with self.lock:
            loose, kept = self.chain.take_back(depth, drop)
            waiting = frozenset(tx.txid for tx in kept)
            for index in range(depth + 1):
                # The first slot stays empty, so the new blocks differ even without transactions.
                next_ms = self.chain.next_slot_ms() + (0 if index else self.chain.slot_ms)
                self.chain.produce(next_ms, waiting if index < wait_blocks else frozenset())
        return loose

    def _snapshots(self) -> Path:
        """Where copies are kept; a chain in memory has a folder that ends with it."""
        if self.config.data is None and self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="devnet-"))
        folder = self._scratch or self.config.data
        assert folder is not None
        (folder / "snapshots").mkdir(parents=True, exist_ok=True)
        return folder / "snapshots"

    async def snapshot(self, name: str) -> None:
        """Keep a copy of the whole chain under a name."""
        async with self.lock:
            self.store.snapshot(self._snapshots() / f"{name}.sqlite3")

    async def restore(self, name: str) -> bool:
        """Go back to a copy, pending transactions forgotten; False when there is none."""
        path = self._snapshots() / f"{name}.sqlite3"
        if not path.exists():
            return False
        async with self.lock:
            self.store.restore(path)
            self.chain.reload()
            self._catch_up()
        return True

    def info(self) -> dict[str, Any]:
        """``GET /devnet/info``."""
        usdt = self.faucet.usdt
        return {
            "genesis_id": self.chain.genesis_id.hex(),
            "chain_id": self.chain.chain_id,
            "block_ms": self.block_ms,
            "head": self.chain.head.number,
            "solid": self.chain.solid_number,
            "usdt_contract": None if usdt is None else base58check(usdt),
            "faucet_address": base58check(FAUCET),
            "now_ms": self.now_ms(),
        }
