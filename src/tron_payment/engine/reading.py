"""What a look at a start reads of the chain: which blocks, of whom, and that they hang together.

A node's block that is not solidified is bound to nothing but its id and its parent's, and a fork
may replace it while others are read. So what counts is a chain: at each height one and the same
block, shown by as many nodes as have to agree, which follows the one that was read before, down to
the store's. One of them at least is honest, and has shown what stands in it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

from tron_payment import chain
from tron_payment.chain import (
    Block,
    NodeClient,
    NodeRefused,
    Nodes,
    NodesUnavailable,
    Position,
)
from tron_payment.core.errors import Unavailable
from tron_payment.engine.tip import BLOCK_MS, FRESH_BLOCKS, Tip

SCAN_AT_ONCE: Final = 16
"""Blocks read together, each from several nodes."""

ANSWERS_AT_ONCE: Final = 32
"""Answers in memory at once, from the first byte until the block was judged."""

SHORT_BYTES: Final = 2 * 1024 * 1024
"""Such an answer is one of many; a block of the main net with 300 transactions has a quarter. What
is longer, up to `chain.calls.BLOCK_BYTES_MAX`, is asked for again, one at a time. So no more than
128 MiB come in at once, whatever nodes send, and what they are taken apart to is as much again."""

KEPT_BACK_MAX: Final = 5
"""Looks at which a node does not show a block that it alone claims; then it counts as it is told,
and following goes on."""

KEPT_BACK_S: Final = 18.0
"""And not before so long after the first of them, in seconds, six blocks: two loops look five
times within one, while an honest node's back ends are only about to get the newest."""

REPLACED_BLOCKS_MAX: Final = 27
"""What a fork may have replaced: one block of each witness of the main net."""

Judge = Callable[[Block], Awaitable[str]]
"""Why a store that does not know of this block may be a restored one; empty when it knows all."""


class _Link(NamedTuple):
    block_id: str
    parent_id: str


@dataclass(slots=True)
class Patience:
    """How often, and for how long, tries have failed only for blocks that are claimed. It goes on
    when a look begins anew before one has succeeded: processes that take turns at failing would
    wait for ever."""

    monotonic: Callable[[], float]
    _tries: list[float] = field(default_factory=list)
    """When the first were, and the last."""

    def begin(self) -> None:
        """A look has succeeded."""
        self._tries.clear()

    def is_over(self) -> bool:
        """One more try has failed so: does what is claimed count now as if it were true?"""
        self._tries = [*self._tries[: KEPT_BACK_MAX - 1], self.monotonic()]
        long_s = self._tries[-1] - self._tries[0]
        return len(self._tries) >= KEPT_BACK_MAX and long_s >= KEPT_BACK_S


@dataclass(slots=True)
class Reading:
    """What the tries of one look have in common: how far they must read, and who has shown what.

    A payment that the store may have forgotten was sent before the look began, so that it stands no
    higher than the chain was then. A try that succeeds at once reads to the head that it is told;
    later ones need read a few blocks more, where a fork could have moved a payment, and not to
    the newest: a node which tells heads and shows no blocks would keep that out of reach for ever,
    while another is a block behind. So the target stays. It is lowered only as far as all nodes,
    none of them away, say that the chain is not so high, as if the look began then; and raised
    when the chain, at its pace, must have been higher at the beginning than was told, as when the
    nodes were only about to catch up.
    """

    nodes: Nodes
    at: int = -1
    """Where the store has stood. Another look begins when it goes back."""

    to: int = -1
    """Blocks above are shown or not; -1 before the nodes have told their heads."""

    read: int = -1
    """What this try has read to."""

    _began_ms: int = 0
    _shown: dict[int, dict[str, _Link]] = field(default_factory=dict)
    """By height and alias: judged, and not asked for again by later tries."""

    _short: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ANSWERS_AT_ONCE))
    _long: asyncio.Lock = field(default_factory=asyncio.Lock)
    _judging: asyncio.Lock = field(default_factory=asyncio.Lock)

    def aim(self, said: Tip, at: Position, now_ms: int) -> None:
        """One more try begins; it goes on where the last one has stopped."""
        told = said.reach + FRESH_BLOCKS
        if self.to < 0:
            self.to, self._began_ms = told, now_ms
        if said.whole:
            self.to = min(self.to, told)
        made_since = max(0, now_ms - self._began_ms) // BLOCK_MS + 1
        self.to = max(self.to, told - made_since)
        self.read = at.number
        self._shown = {n: shown for n, shown in self._shown.items() if n > at.number}

    def agreed_to(self, said: Tip) -> int:
        """Up to here as many nodes show each block as have to agree."""
        return min(said.head.number, self.to)

    def must(self, said: Tip) -> int:
        """Blocks up to here have to be shown; those above are fresh, and shown or not."""
        return min(said.reach, self.to)

    async def go_on(self, said: Tip, at: Position, judge: Judge) -> str:
        """Read what is left; the first reason that `judge` finds, or nothing.

        Raises:
            NodesUnavailable: Somebody does not show what they should, or a fork came between.
        """
        last, must = said.scanned_to(at), self.must(said)
        first, before = at.number + 1, {at.block_id}
        for end in (self.agreed_to(said), must, min(self.to, last), last):
            for numbers in _together(range(first, end + 1)):
                found = await chain.all_of(self._read(each, said, judge) for each in numbers)
                if any(found):
                    return next(filter(None, found))
                for number in numbers:
                    if number <= must:
                        before = self._linked(number, said, before)
                    elif not self._shown.get(number):
                        if not said.whole and number <= self.to - FRESH_BLOCKS:
                            raise NodesUnavailable(f"block {number} was told of before")
                        return ""  # ahead of all that may be true, and only claimed
                self.read = numbers[-1]
            first = max(first, end + 1)
        if not said.whole and self.read < self.to - FRESH_BLOCKS:
            raise NodesUnavailable(f"blocks up to {self.to - FRESH_BLOCKS} were told of before")
        return ""

    async def _read(self, number: int, said: Tip, judge: Judge) -> str:
        """Let those show a block that still have to, as many at once as are missing.

        Each node's transactions are judged, but the same bytes once: a node may leave some out of
        what it calls the same block. Who answers at length is asked last, for that takes long.
        """
        asked, enough = said.witnesses(self.nodes, number, self.to)
        shown = self._shown.setdefault(number, {})
        answered = {alias for alias, _ in said.claims}
        left = sorted((a for a in asked if a not in shown), key=lambda a: a not in answered)
        judged: set[str] = set()
        look_at = partial(self._judge_new, judge, judged, shown)
        long: list[str] = []
        while left or long:
            missing = enough - self._same(number, asked, said) if enough else len(left or long)
            if missing <= 0:
                break
            if left:
                now, left = left[:missing], left[missing:]
                found = await chain.all_of(
                    self._show(alias, number, look_at, long) for alias in now
                )
            else:  # only when those who answer shortly are too few
                found = [await self._show_long(long.pop(0), number, look_at)]
            if any(found):
                return next(filter(None, found))
        return ""

    async def _show(
        self,
        alias: str,
        number: int,
        look_at: Callable[[str, Block], Awaitable[str]],
        long: list[str],
    ) -> str:
        """Look at the node's block, if it shows a short one."""
        async with self._short:
            block, shows = await self._ask(alias, lambda n: n.short_block(number, SHORT_BYTES))
            if block is not None:
                return await look_at(alias, block)
        if shows:
            long.append(alias)
        return ""

    async def _show_long(
        self, alias: str, number: int, look_at: Callable[[str, Block], Awaitable[str]]
    ) -> str:
        async with self._long:
            block, _ = await self._ask(alias, lambda node: node.block(number, False))
            return "" if block is None else await look_at(alias, block)

    async def _ask(
        self, alias: str, call: Callable[[NodeClient], Awaitable[Block | None]]
    ) -> tuple[Block | None, bool]:
        """What the node answers, and whether it does."""
        with suppress(Unavailable, NodeRefused):
            return await self.nodes.ask(alias, call), True
        return None, False

    async def _judge_new(
        self, judge: Judge, judged: set[str], shown: dict[str, _Link], alias: str, block: Block
    ) -> str:
        """What of the block was not judged before. The loop has its turn between two blocks."""
        async with self._judging:
            await asyncio.sleep(0)
            txids = [chain.txid(each.raw) for each in block.transactions]
            new = tuple(
                each
                for each, txid in zip(block.transactions, txids, strict=True)
                if txid not in judged
            )
            why = await judge(replace(block, transactions=new))
            if not why:
                judged.update(txids)
                shown[alias] = _Link(block.block_id, block.parent_id)
            return why

    def _same(self, number: int, asked: list[str], said: Tip) -> int:
        """How many show the same block; how many show any where nobody has to agree."""
        links = [link for alias, link in self._shown[number].items() if alias in asked]
        if number > self.agreed_to(said):
            return len(links)
        return max(Counter(links).values(), default=0)

    def _linked(self, number: int, said: Tip, before: set[str]) -> set[str]:
        """The ids that count at this height; they follow those before. Where nobody has to agree,
        everybody who shows a block shows one that does."""
        asked, enough = said.witnesses(self.nodes, number, self.to)
        links = Counter(link for alias, link in self._shown[number].items() if alias in asked)
        if links.total() < enough:
            by = f"{links.total()} of {enough} nodes"
            raise NodesUnavailable(f"block {number} is shown by {by}")
        least = enough if number <= self.agreed_to(said) else 1
        counted = [link for link, count in links.items() if count >= least]
        found = {link.block_id for link in counted if link.parent_id in before}
        if not found or (least < enough and len(found) < len(counted)):
            lasting = number - REPLACED_BLOCKS_MAX
            self._shown = {n: shown for n, shown in self._shown.items() if n < lasting}
            raise NodesUnavailable(f"the nodes are on forks at block {number}")
        return found


def _together(numbers: range) -> list[range]:
    return [numbers[i : i + SCAN_AT_ONCE] for i in range(0, len(numbers), SCAN_AT_ONCE)]
