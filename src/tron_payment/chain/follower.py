"""The heartbeat: every solidified block once, in order, to everybody who lives by it.

A block is applied by all handlers and then the cursor moves, by compare-and-set. A crash in
between repeats the block, so handlers are idempotent. A broken parent link stops everything.

Who is behind has many blocks at hand, and most of them concern nobody here. Those are passed over
together: they are linked and looked at one by one, and then the cursor moves once for all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from tron_payment.chain.blocks import SolidBlock
from tron_payment.chain.errors import ChainContradiction
from tron_payment.chain.members import reached
from tron_payment.chain.nodes import Nodes
from tron_payment.core.errors import Unavailable
from tron_payment.db.cas import LostRace

READ_AHEAD_BLOCKS: Final = 16
LOOKS_MAX: Final = 10
"""Times that the nodes are asked for a new block before the store is asked again where it stands:
somebody may have stopped the following meanwhile."""

LOST_MAX: Final = 5
"""Races for the cursor that are lost one after the other before there is a pause."""

Handler = Callable[[SolidBlock], Awaitable[None]]

Quiet = Callable[[Sequence[SolidBlock]], Awaitable[int]]
"""How many of these blocks, from the first on, a handler would do nothing about, but for what is
due by their time. Asked only after the position before them is known."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Position:
    """The last block that was applied completely."""

    number: int
    block_id: str
    timestamp_ms: int
    started_at_number: int
    """Blocks up to this one were before our time."""

    halted: str = ""
    """Why following has stopped until a human resumes it; empty while all is well."""

    notes: int = 0
    """How often something was added to a block that is still to come (`Cursors.note`)."""

    journal: int = 0
    """The newest journal entry of a block that was applied, as stored (`Cursors.booked`). A journal
    without it is older than the cursor."""

    journal_hash: str = ""
    """That entry's; empty where an older build has kept none. Another entry may have its number."""


class Cursors(Protocol):
    """Keeps the position durably."""

    async def load(self) -> Position | None:
        """The position; None before the first start."""
        ...

    async def start(self, position: Position) -> None:
        """Store the first position, unless there is one."""
        ...

    async def advance(self, seen: Position, to: Position) -> None:
        """Move on from what was seen.

        Raises:
            LostRace: The position is another one by now, or something was noted since.
        """
        ...

    async def note(self, number: int) -> bool:
        """Something was added to this block, or to one behind it: nobody moves on to it by what he
        has seen before. False when somebody stands at it already."""
        ...

    async def booked(self, entry: int, digest: str) -> None:
        """The journal has this entry, with this hash, of a block that the position is about to
        reach."""
        ...

    async def halt(self, reason: str) -> None:
        """Stop following, for every replica and over restarts."""
        ...

    async def resume(self) -> None:
        """Go on: a human has looked."""
        ...


@dataclass(frozen=True, slots=True)
class FollowerStatus:
    """Where the follower is, as last seen."""

    number: int
    block_id: str
    timestamp_ms: int
    solid_number: int
    lag_blocks: int
    applied: int
    halted: str


class Follower:
    """Feeds solidified blocks to handlers, one after the other."""

    def __init__(
        self,
        nodes: Nodes,
        cursor: Cursors,
        handlers: Sequence[Handler],
        read_ahead: int = READ_AHEAD_BLOCKS,
        quiet: Quiet | None = None,
    ) -> None:
        assert read_ahead >= 1
        self._nodes = nodes
        self._cursor = cursor
        self._handlers = handlers
        self._read_ahead = read_ahead
        self._quiet = quiet
        self._loud_number = -1
        """The next block that is known not to be quiet."""

        self._ahead: dict[int, asyncio.Task[SolidBlock]] = {}
        self._solid_number = 0
        self._position: Position | None = None
        self._reached: Position | None = None
        """Where the last step has put the cursor: the next one need not ask. Handlers judge by
        what is stored, and the cursor moves from there or not at all."""

        self._looks = 0
        """At nodes that had nothing new, since the store was asked."""

        self._lost = 0
        """Races in a row."""

        self._applied = 0

    async def start_at(self, number: int | None = None) -> Position:
        """On a fresh installation begin after this block (None: the current solid head).

        Does nothing when the installation has begun already.
        """
        if (known := await self._cursor.load()) is not None:
            return known
        if number is None:
            number = (await self._nodes.solid_head()).number
        head = await self._nodes.solid_header(number)
        await self._cursor.start(
            Position(head.number, head.block_id, head.timestamp_ms, head.number)
        )
        position = await self._cursor.load()
        assert position is not None
        log.info("follower.started", block=position.number)
        return position

    async def step(self) -> bool:
        """Apply the next solidified block; False when there is none yet, or others keep moving the
        cursor.

        Raises:
            ChainContradiction: The chain contradicts itself, now or since it was found so.
            Unavailable: No node has the block; nothing was changed.
        """
        position, self._reached = self._reached, None
        known = position is not None
        if position is None:
            if await self._nothing_new():
                return False
            position = await self._cursor.load() or await self.start_at()
        self._position = position
        if position.halted:
            self.close()
            raise ChainContradiction(position.halted)
        if self._solid_number <= position.number:
            await self._look()
        if self._solid_number <= position.number:
            return False
        block = await self._next(position)
        if block.parent_id != position.block_id:
            await self._halt(
                f"solid block {block.number} follows {block.parent_id}, "
                f"not {position.block_id} which was applied"
            )
        if known and self._quiet is not None:
            passed = await self._pass_over(position, block, self._quiet)
            if passed is None:
                return self._goes_on()
            position, block = passed
        for handle in self._handlers:
            await handle(block)
        return await self._advance(position, block)

    def has_more(self) -> bool:
        """Whether the next step need not wait: blocks were told of that are still to be applied,
        or it is not known where the store stands."""
        return self._reached is None or self._solid_number > self._reached.number

    async def _nothing_new(self) -> bool:
        """Whether there is no block behind the last one that we know of.

        The store may be at an earlier one by now or stopped: whoever has a new block asks it.
        """
        at = self._position
        if at is None or at.halted or self._looks >= LOOKS_MAX:
            self._looks = 0
            return False
        if self._solid_number > at.number:  # a step has failed: is it one block by now, or many?
            self._looks = 0
            with suppress(Unavailable):
                await self._look()
            return False
        self._looks += 1
        await self._look()
        return self._solid_number <= at.number

    async def _look(self) -> None:
        """Ask how far the nodes are; those behind us are compared where they are."""
        self._solid_number = (await self._nodes.solid_head()).number
        try:
            await self._nodes.compare_behind()
        except ChainContradiction as contradiction:
            await self._halt(contradiction.reason)

    async def watch(self) -> None:
        """Know where another process is that does the following; asks no node."""
        self.close()
        self._reached = None
        self._position = await self._cursor.load()

    def status(self) -> FollowerStatus:
        """As last seen; asks nobody.

        How far the nodes are is what anybody here has heard of them, be it while a step hangs or
        another process does the following.
        """
        at = self._position
        number = at.number if at else 0
        heard = [m.solid.number for m in self._nodes.members if m.solid and not m.apart]
        solid_number = max(self._solid_number, reached(heard, self._nodes.agreement))
        return FollowerStatus(
            number=number,
            block_id=at.block_id if at else "",
            timestamp_ms=at.timestamp_ms if at else 0,
            solid_number=solid_number,
            lag_blocks=max(0, solid_number - number) if at else 0,
            applied=self._applied,
            halted=at.halted if at else "",
        )

    async def resume(self) -> None:
        """Follow again after a human has looked at a contradiction."""
        await self._cursor.resume()

    def close(self) -> None:
        """Drop what was read ahead."""
        for task in self._ahead.values():
            task.cancel()
        self._ahead.clear()

    async def _next(self, position: Position) -> SolidBlock:
        """The block after the position, while the ones behind it are already being read."""
        first = position.number + 1
        self._read_on(first)
        try:
            block = await self._ahead.pop(first)
        except ChainContradiction as contradiction:
            await self._halt(contradiction.reason)
            raise
        except BaseException:
            self.close()
            raise
        assert block.number == first
        return block

    def _read_on(self, first: int) -> None:
        """Let this block and those behind it be read."""
        for number in [n for n in self._ahead if n < first]:
            self._ahead.pop(number).cancel()
        for number in range(first, min(first + self._read_ahead, self._solid_number + 1)):
            if number not in self._ahead or _failed_harmlessly(self._ahead[number]):
                task = asyncio.create_task(self._nodes.solid_block(number))
                task.add_done_callback(_failed_harmlessly)  # looks at the exception
                self._ahead[number] = task

    def _at_hand(self, block: SolidBlock) -> list[SolidBlock]:
        """The block and those behind it that have been read by now and follow each other."""
        run = [block]
        while task := self._ahead.get(run[-1].number + 1):
            if not task.done() or task.cancelled() or task.exception() is not None:
                break
            following = task.result()
            if following.parent_id != run[-1].block_id:
                break  # its turn will come
            run.append(following)
        return run

    async def _pass_over(
        self, position: Position, block: SolidBlock, quiet: Quiet
    ) -> tuple[Position, SolidBlock] | None:
        """Leave the quiet blocks at hand behind, but for the last of them.

        That one is handled like any other, and with it what is due by the time of those before
        it; so what is due is done before the next block that concerns us. Only a position that
        this process has put the cursor at itself is left in this way: handlers look at the store
        whenever it may have become another one.

        Returns:
            The new position and the block to handle now; None when the cursor stands somewhere
            else by now: nothing of this was done.
        """
        run = self._at_hand(block)
        if len(run) == 1 or block.number == self._loud_number:
            return position, block
        count = await quiet(run)
        assert 0 <= count <= len(run)
        self._loud_number = run[count].number if count < len(run) else -1
        if count <= 1:
            return position, block
        to = _behind(position, run[count - 2])
        try:
            await self._cursor.advance(position, to)
        except LostRace:
            return None
        self._position, self._lost = to, 0
        self._applied += count - 1
        for each in run[1:count]:
            self._ahead.pop(each.number, None)
        self._read_on(run[count - 1].number + 1)
        return to, run[count - 1]

    async def _advance(self, position: Position, block: SolidBlock) -> bool:
        to = _behind(position, block)
        try:
            await self._cursor.advance(position, to)
        except LostRace:  # another replica has applied it, or it has to be looked at again
            return self._goes_on()
        self._position = self._reached = to
        self._applied, self._lost = self._applied + 1, 0
        return True

    def _goes_on(self) -> bool:
        """After a lost race: whether the next step may come at once."""
        self._lost += 1
        if self._lost < LOST_MAX:
            return True
        self._lost = 0
        return False

    async def _halt(self, reason: str) -> None:
        self.close()
        log.critical("chain.contradicted", reason=reason)
        await self._cursor.halt(reason)
        self._position = await self._cursor.load()
        raise ChainContradiction(reason)


def _behind(position: Position, block: SolidBlock) -> Position:
    """Where the cursor stands when the block is done."""
    return Position(
        block.number,
        block.block_id,
        block.timestamp_ms,
        position.started_at_number,
        notes=position.notes,
    )


def _failed_harmlessly(task: asyncio.Task[SolidBlock]) -> bool:
    """Whether a block read ahead may simply be read again; a contradiction may not."""
    if not task.done():
        return False
    if task.cancelled():
        return True
    problem = task.exception()
    return problem is not None and not isinstance(problem, ChainContradiction)
