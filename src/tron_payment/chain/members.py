"""What is known of each configured node, and whose word counts among several."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tron_payment.chain.blocks import BlockHeader
from tron_payment.chain.breaker import Breaker, BreakerState
from tron_payment.chain.node import NodeClient

BEHIND_BLOCKS: Final = 40
"""A node this many solidified blocks behind is asked last: two minutes of main net."""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """What one node said to a broadcast, or that it said nothing: rumours, all of them."""

    node: str
    accepted: bool
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One node as last seen. Block numbers are 0 until it has answered once."""

    alias: str
    breaker: BreakerState
    head: int
    solid: int
    lag_blocks: int
    """Solid blocks behind the best node."""
    head_timestamp_ms: int
    calls: int
    failures: int
    last_error: str
    contradicts: str
    """What it showed against the others when they were last compared; empty while they agree."""


@dataclass(slots=True)
class Member:
    """A node, its circuit, and what it showed last."""

    client: NodeClient
    breaker: Breaker
    head: BlockHeader | None = None
    solid: BlockHeader | None = None
    genesis_checked: bool = False
    contradicts: str = ""
    contradicts_at: int = -1
    """The height of that block. Only what is agreed about the same one settles it."""

    def dissented(self, number: int, text: str) -> None:
        self.contradicts, self.contradicts_at = text, number

    def agreed(self, number: int) -> None:
        """The nodes that were asked have shown the same block at this height."""
        if self.contradicts_at == number:
            self.contradicts, self.contradicts_at = "", -1

    @property
    def in_use(self) -> bool:
        return self.breaker.state is BreakerState.CLOSED


def reached(numbers: Iterable[int], enough: int) -> int:
    """The height that `enough` of the nodes have reached, or 0; no single one can raise it."""
    ordered = sorted(numbers, reverse=True)
    return ordered[enough - 1] if len(ordered) >= enough else 0


def by_preference(members: Sequence[Member], agreement: int) -> list[Member]:
    """As configured, but those that rest come last, and before them those known to be behind."""
    seen = [each.solid.number for each in members if each.solid]
    best = reached(seen, max(agreement, len(seen) // 2 + 1))

    def rank(member: Member) -> tuple[bool, bool]:
        behind = member.solid is not None and best - member.solid.number > BEHIND_BLOCKS
        return not member.in_use, behind

    return sorted(members, key=rank)


def alone(seen: Mapping[str, str]) -> tuple[str, ...]:
    """The nodes against which a majority of those that answered shows one and the same.

    Args:
        seen: By alias, what each shows.

    Returns:
        Nobody when no majority shows the same; two nodes alone never tell which of them errs.
    """
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for alias, text in seen.items():
        groups[text].append(alias)
    largest = max(groups.values(), key=len, default=[])
    if 2 * len(largest) <= len(seen):
        return ()
    return tuple(alias for alias in seen if alias not in largest)
