"""What the virtual machine asks of its host and what it answers.

Every address here is the bare 20 bytes; the host puts java-tron's 0x41 before them. Money is in
sun, energy in units, storage keys and values are 256-bit integers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

BlockHash = Callable[[int], bytes]
"""The 32 bytes of a block id for a block number among the last 256."""


class State(Protocol):
    """The accounts of the chain as one transaction sees and changes them."""

    def exists(self, address: bytes) -> bool:
        """Whether the account was ever activated or created."""

    def create_account(self, address: bytes) -> None:
        """Activate an account; nothing happens when it exists."""

    def balance(self, address: bytes) -> int:
        """Sun; 0 when there is no account."""

    def add_balance(self, address: bytes, delta: int) -> None:
        """Add sun, or take it away; the machine never takes more than there is."""

    def code(self, address: bytes) -> bytes:
        """Runtime code; empty for an account that is no contract."""

    def set_code(self, address: bytes, code: bytes) -> None:
        """Store what a constructor returned; empty when a contract destroyed itself."""

    def storage(self, address: bytes, key: int) -> int | None:
        """The word, or None when the slot is absent; 0 written in this transaction is present."""

    def set_storage(self, address: bytes, key: int, value: int) -> None:
        """Write a word; the host deletes words that are 0 once the transaction is over."""

    def factor(self, address: bytes) -> int:
        """The contract's dynamic energy factor times 10,000; 0 for none."""

    def add_usage(self, address: bytes, energy: int) -> None:
        """Count energy, without penalty, towards the contract's dynamic factor."""

    def contract_version(self, address: bytes) -> int:
        """1 for contracts that forward at most 63/64 of their energy, 0 for older ones."""

    def question(self, number: int, caller: bytes, data: bytes) -> bytes:
        """What the built-in contract with this number knows of the chain; 32 bytes or more."""

    def stake(self, action: str, owner: bytes, *arguments: int | bytes) -> int | None:
        """Carry out what a contract does with its stake.

        Actions and arguments: freeze and unfreeze (sun, resource), cancel, withdraw, reward,
        delegate and undelegate (sun, resource, receiver), vote (representative, count, ...).

        Returns:
            The sun that came back to the owner's balance; None when it is refused.
        """

    def may_end(self, address: bytes) -> bool:
        """Whether a contract may destroy itself: none of its stake is lent or unfreezing."""

    def snapshot(self) -> int:
        """A mark to which `revert` can go back. Marks nest."""

    def revert(self, snapshot: int) -> None:
        """Forget everything that was written since the mark."""


@dataclass(frozen=True, slots=True)
class Env:
    """The block and the transaction around a run."""

    block_number: int
    timestamp_s: int
    chain_id: int
    coinbase: bytes  # 20 bytes; contracts see 21, with 0x41 in front
    energy_price_sun: int
    txid: bytes  # 32 bytes; internal CREATE addresses are derived from it
    block_hash: BlockHash
    cpu_ms: int = 80
    """What one transaction may take of a processor (``getMaxCpuTimeOfOneTx``)."""


@dataclass(frozen=True, slots=True)
class Log:
    """One event."""

    address: bytes  # 20 bytes
    topics: tuple[bytes, ...]  # 32 bytes each, 0 to 4 of them
    data: bytes


@dataclass(frozen=True, slots=True)
class InternalTransaction:
    """One step that a contract took: a call, a creation or its own end."""

    caller: bytes  # 20 bytes
    to: bytes  # 20 bytes
    value: int  # sun
    note: str  # "call", "create" or "suicide"
    rejected: bool
    hash: bytes  # 32 bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        result: A name of java-tron's contractResult, such as "SUCCESS" or "OUT_OF_ENERGY".
        energy_used: Penalty included; the whole limit unless the result is SUCCESS, REVERT or
            TRANSFER_FAILED.
        energy_penalty: The part that the dynamic energy model added.
        output: Returned bytes; a revert's reason; the runtime code of a creation.
        logs: Empty unless the result is SUCCESS.
        internal: Every step in order, those of failed calls marked as rejected.
        error: java-tron's text for a failure, empty on success.
    """

    result: str
    energy_used: int
    energy_penalty: int
    output: bytes
    logs: tuple[Log, ...]
    internal: tuple[InternalTransaction, ...]
    error: str

    @property
    def succeeded(self) -> bool:
        return self.result == "SUCCESS"
