"""A lifecycle as a table: every status has a row, a final status has an empty one."""

from collections.abc import Mapping, Set
from enum import StrEnum
from typing import Generic, TypeVar

S = TypeVar("S", bound=StrEnum)


class Lifecycle(Generic[S]):
    """Which status may follow which."""

    def __init__(self, table: Mapping[S, Set[S]]) -> None:
        statuses = {status for row in table.values() for status in row} | set(table)
        missing = statuses - set(table)
        assert not missing, f"no row for {missing}"
        self._table = {status: frozenset(row) for status, row in table.items()}

    def allows(self, source: S, target: S) -> bool:
        return target in self._table[source]

    def require(self, source: S, target: S) -> None:
        """Assert the move: an illegal one is our own fault, never a caller's."""
        assert self.allows(source, target), f"{source} may not become {target}"

    def is_final(self, status: S) -> bool:
        return not self._table[status]

    @property
    def finals(self) -> frozenset[S]:
        return frozenset(status for status, row in self._table.items() if not row)
