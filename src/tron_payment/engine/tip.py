"""How far the chain is, as each node says, and how much of that counts when safe mode is judged.

The time of one node alone is never taken as it is told: a block has a height, too, and blocks are
three seconds apart. Nor is its height, once as many nodes as have to agree have not reached it.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

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


REPLACED_BLOCKS_MAX: Final = 27
"""So many below the common head, one of each witness of the main net, no fork has ever reached."""

NO_CLAIM: Final = 2**62


@dataclass(frozen=True, slots=True)
class Tip:
    """What the nodes that answer say at one moment."""

    head: BlockHeader
    """The common one, as `Nodes.head`."""

    reach: int
    """Fewer nodes than have to agree are below this height; all higher ones are refuted, but for
    `FRESH_BLOCKS`. Above the head when those behind could all be nodes that stand still."""

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


@dataclass(slots=True)
class Reading:
    """What the tries of one look have in common: how far they must read, and who has shown what.

    A payment that the store may have forgotten was sent before the look began, so that it stands no
    higher than the chain was at that time. A try that succeeds at once reads up to the head that it
    is told; later ones need no more, or a node which tells heads and shows no blocks could keep
    the target out of reach for ever, while another is a block behind. So the target stays: it is
    lowered only as far as all nodes, none of them away, say that the chain is not so high, as the
    look would be bounded if it began then; and raised when the chain, at its pace, must have been
    higher at the beginning than was told, as when the nodes were only about to catch up.
    """

    at: int = -1
    """Where the store has stood. Another look begins when it goes back."""

    to: int = -1
    """Blocks above are shown or not; -1 before the nodes have told their heads."""

    read: int = -1
    """What this try has read to, so that only what is claimed or fresh is left of it."""

    _began_ms: int = 0
    _head: int = -1
    """The common one at the last try."""

    _shown: dict[int, set[str]] = field(default_factory=dict)

    def aim(self, said: Tip, at: Position, now_ms: int) -> None:
        """One more try begins.

        It goes on where the last one has stopped, block by block and node by node, but for blocks
        that a fork might have replaced meanwhile.
        """
        if self.to < 0:
            self.to, self._began_ms = said.reach, now_ms
        if said.whole:
            self.to = min(self.to, said.reach)
        made_since = max(0, now_ms - self._began_ms) // BLOCK_MS + 1
        self.to = max(self.to, said.reach - made_since)
        lasting = self._head - REPLACED_BLOCKS_MAX
        self._shown = {n: by for n, by in self._shown.items() if at.number < n <= lasting}
        self._head, self.read = said.head.number, at.number

    def shown(self, number: int) -> set[str]:
        """The aliases of the nodes that have shown this block, to be added to."""
        return self._shown.setdefault(number, set())

    def is_shown(self, number: int, said: Tip, nodes: Nodes) -> bool:
        """Whether anybody shows it.

        Raises:
            NodesUnavailable: Somebody does not show what they should.
        """
        asked, enough = said.witnesses(nodes, number, self.to)
        count = len(self.shown(number).intersection(asked))
        if count < enough:
            raise NodesUnavailable(f"block {number} is shown by {count} of {enough} nodes")
        return count > 0


async def tip(nodes: Nodes) -> Tip:
    """Ask every node that is not set apart.

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
    newest = sorted((header for _, header in claims), key=lambda h: (-h.timestamp_ms, -h.number))
    head = newest[max((len(newest) + 1) // 2, nodes.agreement) - 1]
    lowest = sorted(header.number for header in newest)
    whole = len(claims) == len(told)
    return Tip(head, max(head.number, lowest[nodes.agreement - 1]), claims, whole)
