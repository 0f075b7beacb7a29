"""The chain's state: one table of keys, changed in layers that can be undone.

`Base` holds the state at the head block. Transactions write into an `Overlay`; a block's overlay
is merged into the base and leaves the old values behind, so that the state at any recent block can
be read (`Past`) and blocks of a fork can be taken back. Values are never changed in place: take a
copy, change it, put it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from tron_payment.devnet.records import decode_value, encode_value

Get = Callable[[bytes], Any]
"""Reads a key; None when it is absent."""

ACCOUNT: Final = b"a"  # + 21: Account
CONTRACT: Final = b"c"  # + 21: Contract
CODE: Final = b"k"  # + 21: runtime code, bytes
SLOT: Final = b"s"  # + 21 + 32: storage word, int
DYNAMIC: Final = b"f"  # + 21: ContractState
DELEGATION: Final = b"d"  # + 1 lock + 21 from + 21 to: Delegation
DELEGATES: Final = b"t"  # + 21: receivers of this owner, tuple of addresses
DELEGATORS: Final = b"o"  # + 21: owners who delegate to this one, tuple of addresses
WITNESS: Final = b"w"  # + 21: Witness
REWARD: Final = b"r"  # + ...: reward bookkeeping, int
VOTES: Final = b"v"  # + 21: Votes changed in this cycle
PROPERTY: Final = b"p"  # + name: int
TAPOS: Final = b"b"  # + 2: bytes 8..15 of the latest block id with these low height bytes
LIST: Final = b"l"  # + name: tuple


class _Missing:
    """Marks a key that a layer does not hold."""


_MISSING: Final = _Missing()


class Base:
    """The state at the head; absent keys are fetched once from `load` and remembered."""

    def __init__(self, load: Callable[[bytes], bytes | None] | None = None) -> None:
        self._values: dict[bytes, Any] = {}
        self._load = load

    def get(self, key: bytes) -> Any:
        try:
            return self._values[key]
        except KeyError:
            if self._load is None:
                return None
            raw = self._load(key)
            value = None if raw is None else decode_value(key, raw)
            self._values[key] = value
            return value

    def merge(self, writes: dict[bytes, Any]) -> dict[bytes, Any]:
        """Apply a block's writes; returns the values they replaced."""
        undo = {key: self.get(key) for key in writes}
        self._values.update(writes)
        return undo


class Overlay:
    """Writes on top of a parent, with marks inside it."""

    __slots__ = ("_journal", "_parent", "writes")

    def __init__(self, parent: Get) -> None:
        self._parent = parent
        self.writes: dict[bytes, Any] = {}
        self._journal: list[tuple[bytes, Any]] = []

    def get(self, key: bytes) -> Any:
        value = self.writes.get(key, _MISSING)
        return self._parent(key) if value is _MISSING else value

    def put(self, key: bytes, value: Any) -> None:
        self._journal.append((key, self.writes.get(key, _MISSING)))
        self.writes[key] = value

    def snapshot(self) -> int:
        return len(self._journal)

    def revert(self, mark: int) -> None:
        journal, writes = self._journal, self.writes
        while len(journal) > mark:
            key, old = journal.pop()
            if old is _MISSING:
                del writes[key]
            else:
                writes[key] = old

    def commit(self) -> None:
        """End a transaction: words of storage that are zero are deleted, marks are forgotten."""
        for key, _ in self._journal:
            if key[:1] == SLOT and self.writes[key] == 0:
                self.writes[key] = None
        self._journal.clear()


class Past:
    """The state after an earlier block: the base seen through the undo logs since then."""

    __slots__ = ("_get", "_undos")

    def __init__(self, get: Get, undos: Iterable[dict[bytes, Any]]) -> None:
        self._get = get
        self._undos = tuple(undos)  # oldest first

    def get(self, key: bytes) -> Any:
        for undo in self._undos:
            if key in undo:
                return undo[key]
        return self._get(key)


def encode_writes(writes: dict[bytes, Any]) -> list[tuple[bytes, bytes | None]]:
    """For the store: None deletes."""
    return [
        (key, None if value is None else encode_value(key, value)) for key, value in writes.items()
    ]
