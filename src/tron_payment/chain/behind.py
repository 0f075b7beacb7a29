"""A node that is behind is compared as well: at its own height, with what was confirmed there.

Whoever follows asks for blocks that a node which lags has not got yet, so that its word would never
be heard: on a fork of its own it would stay unnoticed until it has caught up. What it shows as its
newest solidified block is known from asking for the height; mostly the id at that height is, too,
and to compare them costs nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from tron_payment.chain.blocks import BlockHeader
from tron_payment.chain.errors import NodeRefused
from tron_payment.chain.members import Member, Members
from tron_payment.core.errors import Unavailable

KNOWN_BLOCKS: Final = 512
"""Blocks confirmed last whose ids are kept: 25 minutes of the main net."""

COMPARE_AGAIN_S: Final = 5.0
"""A node whose height is not among them, or whose block is another one, is compared by calls at
most so often."""


class Behind:
    """Finds the nodes in use whose newest solidified block is not the one that was confirmed.

    What is kept here proves nothing; it only tells when to ask.

    Args:
        members: All nodes.
        confirm: Reads a header and lets every node in use confirm it (`Nodes.solid_header`).
        monotonic: Seconds.
    """

    def __init__(
        self,
        members: Members,
        confirm: Callable[[int], Awaitable[BlockHeader]],
        monotonic: Callable[[], float],
    ) -> None:
        self._members = members
        self._confirm = confirm
        self._monotonic = monotonic
        self._known: dict[int, str] = {}
        self._newest = -1
        self._asked_at: dict[str, float] = {}
        self._disputed: set[int] = set()
        """Heights found here at which somebody contradicts still."""

    def confirmed(self, number: int, block_id: str) -> None:
        """As many nodes as have to agree show this block, and none another."""
        self._known.pop(number, None)
        self._known[number] = block_id
        self._newest = max(self._newest, number)
        if len(self._known) > KNOWN_BLOCKS:
            del self._known[next(iter(self._known))]

    async def compare(self) -> None:
        """Let all nodes show their block at the height of each that is in doubt.

        Nobody's silence stops anything: who does not keep that block, or not yet, is no witness.

        Raises:
            ChainContradiction: One shows another block than others, and is not outvoted.
        """
        for number in self._due():
            self._disputed.add(number)
            try:
                await self._confirm(number)
            except (Unavailable, NodeRefused):
                continue
        heights = {member.contradicts_at for member in self._members}
        self._disputed &= heights

    def _due(self) -> list[int]:
        """The heights to compare now, at most one for each node."""
        now, found = self._monotonic(), []
        for member in self._members:
            alias = member.client.alias
            number = self._doubtful(member)
            if number is None or now < self._asked_at.get(alias, now):
                continue
            self._asked_at[alias] = now + COMPARE_AGAIN_S
            found.append(number)
        return found

    def _doubtful(self, member: Member) -> int | None:
        """The height at which this node may show something else; None when it does not.

        One that is not behind is asked about each block anyway.
        """
        if not member.in_use:
            return None
        if member.contradicts_at in self._disputed:
            return member.contradicts_at
        solid = member.solid
        if solid is None or solid.number > self._newest:
            return None
        return None if self._known.get(solid.number) == solid.block_id else solid.number
