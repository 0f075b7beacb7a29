"""How far the chain is, as each node says, and how much of that counts when safe mode is judged.

The time of one node alone is never taken as it is told: a block has a height, too, and blocks are
three seconds apart. Nor is its height, once as many nodes as have to agree have not reached it.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from tron_payment import chain
from tron_payment.chain import BlockHeader, NodeRefused, Nodes, NodesUnavailable, Position
from tron_payment.core.errors import Unavailable

BLOCK_MS: Final = 3_000
"""Between two blocks of the main net, when no witness misses its turn."""

LAG_BLOCKS_MAX: Final = 100
"""Five minutes (`safe_mode.LAG_MAX_MS`) of them: what is claimed beyond counts as far behind."""

FRESH_BLOCKS: Final = 5
"""A node may have so many that the others are only about to get."""

SLACK_MS: Final = 15_000
"""Turns that witnesses missed: by so much a block may be later than its height says."""


NO_CLAIM: Final = 2**62


class Head(NamedTuple):
    """How far the nodes are together. Height and date are each of a node of its own, so that none
    passes off a height by a date that is believable."""

    number: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Tip:
    """What the nodes that answer say at one moment."""

    head: Head
    """What half of them and as many as have to agree have reached, as `Nodes.head`."""

    reach: int
    """Fewer nodes than have to agree are below this height, or the chain may be so high by our
    clock; all higher ones are refuted, but for `FRESH_BLOCKS`. Above the head when those behind
    could all be nodes that stand still."""

    claims: tuple[tuple[str, BlockHeader], ...]
    """The head that each node tells, by alias."""

    whole: bool = True
    """Every node answers that is not set apart."""

    def scanned_to(self, at: Position) -> int:
        """The last block whose contents count for a store that stands there."""
        newest = max(header.number for _, header in self.claims)
        near = max(self.head.number, at.number + LAG_BLOCKS_MAX)
        return max(self.head.number, min(newest, min(self.reach, near) + FRESH_BLOCKS))

    def newest_ms(self, at: Position) -> int:
        """No block is later, but for what `claimed` leaves open: chain time in milliseconds."""
        undecided = self.undecided()
        told = [
            min(header.timestamp_ms, self.bound_ms(self._near(header), at))
            for alias, header in self.claims
            if (alias, header) not in undecided
        ]
        return max([self.head.timestamp_ms, *told])

    def bound_ms(self, number: int, at: Position) -> int:
        """How late the block at this height can be, whatever a node says.

        Args:
            at: Solidified and agreed.
        """
        from_head = self.head.timestamp_ms + max(0, number - self.head.number) * BLOCK_MS
        return max(from_head, at.timestamp_ms + (number - at.number) * BLOCK_MS) + SLACK_MS

    def undecided(self) -> list[tuple[str, BlockHeader]]:
        """Claims well ahead of the common head that may be true, as far as one can tell. None when
        enough nodes answer."""
        last = self.head.number + FRESH_BLOCKS
        return [each for each in self.claims if last < each[1].number <= self.reach]

    def claimed(self, at: Position) -> tuple[int, int]:
        """The lowest and the highest height at which more may be true than `newest_ms` takes for
        granted: undecided ones, and blocks that are dated later than their height says, as after a
        time when the chain stood still. None is (`NO_CLAIM`, 0).
        """
        undecided = self.undecided()
        heights = [header.number for _, header in undecided]
        for alias, header in self.claims:
            near = self._near(header)
            late = header.timestamp_ms > self.bound_ms(near, at)
            if late and (alias, header) not in undecided:
                heights.append(near)
        return min(heights, default=NO_CLAIM), max(heights, default=0)

    def _near(self, header: BlockHeader) -> int:
        return min(header.number, self.head.number + FRESH_BLOCKS)

    def witnesses(self, nodes: Nodes, number: int, to: int) -> tuple[list[str], int]:
        """Who is asked for a block, solidified or not, and how many of them have to show it.

        Up to the common head as many show it as have to agree. What is ahead of it and may be true
        everybody shows who claims it: one answer that is lost must not hide what was paid. What
        remains is only fresh, and shown or not; so is all above `Reading.to`.
        """
        if number <= min(self.head.number, to):
            return [each.alias for each in nodes.status() if not each.apart], nodes.agreement
        claimers = [alias for alias, header in self.claims if header.number >= number]
        return claimers, len(claimers) if number <= min(self.reach, to) else 0


def due(at: Position, now_ms: int) -> int:
    """How high the chain is at most: nodes that are behind do not refute what our clock bears out.
    One that is fast lets more be waited for, and one that is slow no less than without it.

    Args:
        at: Solidified and agreed.
    """
    return at.number + max(0, now_ms - at.timestamp_ms) // BLOCK_MS


async def tip(nodes: Nodes, highest: int) -> Tip:
    """Ask every node that is not set apart.

    Args:
        highest: That the chain can be (`due`).

    Raises:
        NodesUnavailable: Fewer answer than have to agree.
    """

    async def head_of(alias: str) -> tuple[str, BlockHeader] | None:
        with suppress(Unavailable, NodeRefused):
            return alias, await nodes.ask(alias, lambda node: node.head())
        return None

    told = await chain.all_of([head_of(e.alias) for e in nodes.status() if not e.apart])
    claims = tuple(each for each in told if each is not None)
    if len(claims) < nodes.agreement:
        raise NodesUnavailable(f"the head is told by {len(claims)} of {nodes.agreement} nodes")
    numbers = sorted((header.number for _, header in claims), reverse=True)
    dates = sorted((header.timestamp_ms for _, header in claims), reverse=True)
    place = max((len(claims) + 1) // 2, nodes.agreement) - 1
    borne_out = [n for n in numbers if numbers[place] + FRESH_BLOCKS < n <= highest]
    reach = max(numbers[place], numbers[-nodes.agreement], *borne_out)
    return Tip(Head(numbers[place], dates[place]), reach, claims, len(claims) == len(told))
