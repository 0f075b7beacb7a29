"""One running contract: its stack, its memory, its energy; and what all frames of a run share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tron_payment.devnet.tvm.failures import (
    OutOfTime,
    out_of_energy,
    out_of_memory,
    static_violation,
)
from tron_payment.devnet.tvm.hashing import keccak
from tron_payment.devnet.tvm.interface import Env, InternalTransaction, Log, State
from tron_payment.devnet.tvm.program import FACTOR_UNIT, Program

WORD_MAX: Final = (1 << 256) - 1
ADDRESS_MASK: Final = (1 << 160) - 1
LONG_MAX: Final = (1 << 63) - 1
MEMORY_LIMIT: Final = 3 * 1024 * 1024
TICKS_PER_MS: Final = 50_000
"""Instructions in a millisecond of a representative's processor: an assumption. java-tron looks
at the clock; counted instructions give the same end on every machine."""
FRAME_TICKS: Final = 100
JUMP_TICKS: Final = 1_000
"""The most that can lie between two jumps to computed places."""
ENERGY_PER_TICK: Final = 3
"""What an ordinary instruction costs."""


def address_of_word(word: int) -> bytes:
    """The low 20 bytes; what stands above them does not count (tron-vm)."""
    return (word & ADDRESS_MASK).to_bytes(20, "big")


class Run:
    """What all frames of one transaction share."""

    __slots__ = (
        "decode",
        "destroyed",
        "env",
        "internal",
        "nonce",
        "origin",
        "play",
        "state",
        "ticks",
        "transient",
    )

    def __init__(
        self,
        state: State,
        env: Env,
        origin: bytes,
        *,
        play: Callable[[Frame], None],
        decode: Callable[[bytes, int], Program],
    ) -> None:
        self.state = state
        self.env = env
        self.origin = origin
        self.play = play
        self.decode = decode
        self.nonce = 0
        self.ticks = env.cpu_ms * TICKS_PER_MS
        self.internal: list[InternalTransaction] = []
        self.transient: dict[tuple[bytes, int], int] = {}
        self.destroyed: set[bytes] = set()

    def note(
        self, frame: Frame, to: bytes, value: int, data: bytes, note: str
    ) -> InternalTransaction:
        """Number and record one internal step (java-tron InternalTransaction.getHash)."""
        self.nonce += 1
        receiver = b"" if note == "create" or not to else b"\x41" + to
        step = InternalTransaction(
            caller=frame.address,
            to=to,
            value=value,
            note=note,
            rejected=False,
            hash=keccak(
                frame.parent_hash
                + receiver
                + data
                + value.to_bytes(8, "big")
                + self.nonce.to_bytes(8, "big")
            ),
        )
        self.internal.append(step)
        return step

    def reject(self, since: int) -> None:
        """Mark the steps from number `since` on as undone."""
        for i in range(since, len(self.internal)):
            step = self.internal[i]
            self.internal[i] = InternalTransaction(
                step.caller, step.to, step.value, step.note, True, step.hash
            )

    def tick(self, used: int, checked: int, most: int, name: str) -> int:
        """Let the time of the instructions since the last jump pass; returns `used`.

        Args:
            used: Energy of the frame now; `checked` what it was at that jump.
            most: How many instructions it can have been: expensive ones are not slow ones.

        Raises:
            OutOfTime: It was too much for one transaction.
        """
        self.spend_ticks(min((used - checked) // ENERGY_PER_TICK + 1, most), name)
        return used

    def spend_ticks(self, ticks: int, name: str) -> None:
        """Let time pass.

        Raises:
            OutOfTime: It was too much for one transaction.
        """
        self.ticks -= ticks
        if self.ticks < 0:
            raise OutOfTime(name)

    def mark(self) -> tuple[int, dict[tuple[bytes, int], int], set[bytes]]:
        """A point to come back to when a frame fails."""
        return self.state.snapshot(), dict(self.transient), set(self.destroyed)

    def undo(self, mark: tuple[int, dict[tuple[bytes, int], int], set[bytes]]) -> None:
        snapshot, self.transient, self.destroyed = mark
        self.state.revert(snapshot)


class Frame:
    """One contract at work.

    Attributes:
        address: Whose storage and balance it works on; also whose energy factor counts.
        limit: Energy it may use; `used` and `penalty` are what it has used so far, with
            `inner` and `inner_penalty`, the part that went into the calls it made.
        returned: What the last inner call returned (RETURNDATACOPY).
    """

    __slots__ = (
        "address",
        "caller",
        "data",
        "depth",
        "factor",
        "inner",
        "inner_penalty",
        "limit",
        "logs",
        "memory",
        "output",
        "parent_hash",
        "penalty",
        "program",
        "returned",
        "reverted",
        "run",
        "stack",
        "state",
        "static",
        "used",
        "value",
        "version",
    )

    def __init__(
        self,
        run: Run,
        program: Program,
        *,
        address: bytes,
        caller: bytes,
        value: int,
        data: bytes,
        limit: int,
        static: bool,
        depth: int,
        version: int,
        factor: int,
        parent_hash: bytes,
    ) -> None:
        self.run = run
        self.state = run.state
        self.program = program
        self.address = address
        self.caller = caller
        self.value = value
        self.data = data
        self.limit = limit
        self.static = static
        self.depth = depth
        self.version = version
        self.factor = factor
        self.parent_hash = parent_hash
        self.used = 0
        self.penalty = 0
        self.inner = 0
        self.inner_penalty = 0
        self.stack: list[int] = []
        self.memory = bytearray()
        self.returned = b""
        self.output = b""
        self.logs: list[Log] = []
        self.reverted = False

    def charge(self, price: int, name: str) -> None:
        """Pay for one operation; the dynamic factor raises the price, rounded down."""
        penalty = price * self.factor // FACTOR_UNIT if self.factor else 0
        used = self.used + price + penalty
        if used > self.limit:
            raise out_of_energy(name, self.limit, price, penalty, self.used, self.factor > 0)
        self.used = used
        self.penalty += penalty

    def forward(self, energy: int) -> None:
        """Hand energy to an inner call or creation."""
        self.used += energy
        self.inner += energy

    def take_back(self, energy: int) -> None:
        """Energy that the inner call did not use; a stipend can be among it."""
        self.used -= energy
        self.inner -= energy

    def join(self, child: Frame) -> None:
        """Count the penalty that an inner frame paid as part of this one's."""
        self.penalty += child.penalty
        self.inner_penalty += child.penalty

    def report(self) -> None:
        """Count what this frame's own operations cost towards its contract's dynamic factor.

        Neither penalties nor what inner calls used (java-tron VM.play, addContextContractUsage).
        """
        own = self.used - self.inner - (self.penalty - self.inner_penalty)
        self.state.add_usage(self.address, own)

    def growth(self, end: int, name: str) -> int:
        """The price of memory up to byte `end`: 3 a word and the words' square over 512."""
        if end > MEMORY_LIMIT:
            raise out_of_memory(name)
        words = (end + 31) >> 5
        old = len(self.memory) >> 5
        if words <= old:
            return 0
        return 3 * words + words * words // 512 - 3 * old - old * old // 512

    def extend(self, end: int) -> None:
        """Make memory hold byte `end - 1`, in whole words; it was paid for before."""
        missing = ((end + 31) & ~31) - len(self.memory)
        if missing > 0:
            self.memory.extend(bytes(missing))

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of memory; size 0 touches nothing, wherever the offset points."""
        if size == 0:
            return b""
        self.extend(offset + size)
        return bytes(self.memory[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        if data:
            self.extend(offset + len(data))
            self.memory[offset : offset + len(data)] = data

    def require_mutable(self) -> None:
        """Refuse a change inside a static call."""
        if self.static:
            raise static_violation()
