"""Whether the nodes show the same chain now: every one is asked for its block at one height."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.chain import BreakerState, NodeRefused, Nodes, NodeStatus
from tron_payment.core.errors import Unavailable

LAG_BLOCKS_MAX: Final = 40
"""A node or follower this far behind is reported: two minutes of main net."""


class Accord(StrEnum):
    """What the nodes' answers add up to."""

    AGREED = "agreed"
    """As many as are required show the same block, and none another."""

    TOO_FEW = "too_few"
    """Nobody contradicts, but fewer than required answer."""

    CONTRADICTED = "contradicted"
    """Two nodes show different solidified blocks at one height: a person must look."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The answers at one height."""

    required: int
    """How many nodes must show the same block before we believe it (the setting)."""

    block_number: int
    """The newest solidified block that every node has which answers and does not lag."""

    block_ids: Mapping[str, str | None]
    """By alias; None for a node that rests, lags or did not answer."""

    @property
    def agreeing(self) -> int:
        """How many show the id that most of them show."""
        shown = Counter(each for each in self.block_ids.values() if each is not None)
        return max(shown.values(), default=0)

    @property
    def accord(self) -> Accord:
        """See `Accord`."""
        if len({each for each in self.block_ids.values() if each is not None}) > 1:
            return Accord.CONTRADICTED
        return Accord.AGREED if self.agreeing >= self.required else Accord.TOO_FEW


def reached(nodes: Nodes, seen: Sequence[NodeStatus]) -> int:
    """The solidified height that as many nodes show as have to agree; fewer: the best of them.

    A node alone that claims to be far ahead makes nobody else look behind.
    """
    heights = sorted((each.solid for each in seen), reverse=True)
    shown = [height for height in heights if height]
    return shown[min(nodes.agreement, len(shown)) - 1] if shown else 0


async def look(nodes: Nodes, seen: Sequence[NodeStatus]) -> Agreement:
    """Ask every node that is in use and does not lag for its block at their common height.

    Args:
        seen: The nodes as just probed.
    """
    best = reached(nodes, seen)
    able = [
        each
        for each in seen
        if each.breaker is BreakerState.CLOSED
        and each.solid
        and best - each.solid <= LAG_BLOCKS_MAX
    ]
    number = min((each.solid for each in able), default=0)
    found = await asyncio.gather(*(_block_id(nodes, each.alias, number) for each in able))
    ids: dict[str, str | None] = {each.alias: None for each in seen}
    ids |= {each.alias: block_id for each, block_id in zip(able, found, strict=True)}
    return Agreement(nodes.agreement, number, ids)


async def _block_id(nodes: Nodes, alias: str, number: int) -> str | None:
    try:
        return (await nodes.ask(alias, lambda node: node.header(number))).block_id
    except (Unavailable, NodeRefused):
        return None
