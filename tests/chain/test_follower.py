"""Every solidified block once or again, never out of order, never over a broken link."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import count

import pytest

from tron_payment import chain
from tron_payment.db.cas import LostRace

from .scripted import ScriptedChain, ScriptedNode

Advance = Callable[[chain.Position, chain.Position], Awaitable[None]]


class MemoryCursors:
    """The protocol in memory; `fail_next` loses one advance, as a crash would."""

    def __init__(self) -> None:
        self.position: chain.Position | None = None
        self.fail_next = False
        self.stood_at: list[int] = []

    async def load(self) -> chain.Position | None:
        return self.position

    async def start(self, position: chain.Position) -> None:
        self.position = self.position or position

    async def advance(self, seen: chain.Position, to: chain.Position) -> None:
        if self.fail_next:
            self.fail_next = False
            raise ConnectionError("died before the cursor")
        if self.position != seen or seen.halted:
            raise LostRace
        self.position = to
        self.stood_at.append(to.number)

    async def note(self, number: int) -> bool:
        assert self.position is not None
        self.position = replace(self.position, notes=self.position.notes + 1)
        return self.position.number < number

    async def booked(self, entry: int, digest: str) -> None:
        assert self.position is not None
        self.position = replace(self.position, journal=max(self.position.journal, entry))

    async def halt(self, reason: str) -> None:
        assert self.position is not None
        self.position = replace(self.position, halted=reason)

    async def resume(self) -> None:
        await self.halt("")


class Book:
    """A handler that writes down what it is shown, and can die on a block."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.die_at = -1

    async def __call__(self, block: chain.SolidBlock) -> None:
        if block.number == self.die_at:
            self.die_at = -1
            raise ConnectionError("died in the handler")
        self.numbers.append(block.number)


class Ears:
    """Hears which blocks are quiet, and what it was asked about."""

    def __init__(self, *loud: int) -> None:
        self.loud = loud
        self.asked: list[list[int]] = []

    async def __call__(self, blocks: Sequence[chain.SolidBlock]) -> int:
        numbers = [block.number for block in blocks]
        self.asked.append(numbers)
        return next((at for at, number in enumerate(numbers) if number in self.loud), len(numbers))


async def read_up(follower: chain.Follower) -> None:
    """Let everything be read that is being read."""
    for _ in range(10_000):
        if all(task.done() for task in follower._ahead.values()):
            return
        await asyncio.sleep(0)
    raise AssertionError("the blocks are never read")


class World:
    def __init__(self, blocks: int = 3, agreement: int = 1, nodes: int = 1) -> None:
        self.chain = ScriptedChain(blocks)
        self.nodes = [ScriptedNode(self.chain, alias) for alias in "abc"[:nodes]]
        self.agreement = agreement
        self.cursors = MemoryCursors()
        self.book = Book()
        self.restart()

    def restart(self) -> None:
        nodes = chain.Nodes([node.client() for node in self.nodes], self.agreement)
        self.follower = chain.Follower(nodes, self.cursors, [self.book], read_ahead=4)

    async def drain(self) -> None:
        while await self.follower.step():
            pass


async def test_a_fresh_installation_begins_at_the_solid_head() -> None:
    world = World(5)
    await world.drain()
    assert world.book.numbers == []
    world.chain.grow(3)
    await world.drain()
    assert world.book.numbers == [6, 7, 8]
    assert world.cursors.position is not None
    assert world.cursors.position.started_at_number == 5
    status = world.follower.status()
    assert (status.number, status.solid_number, status.lag_blocks, status.applied) == (8, 8, 0, 3)


async def test_it_can_begin_after_a_given_block_but_only_once() -> None:
    world = World(5)
    await world.follower.start_at(2)
    await world.follower.start_at(0)
    await world.drain()
    assert world.book.numbers == [3, 4, 5]


async def test_it_does_not_begin_where_nodes_disagree() -> None:
    world = World(3, agreement=2, nodes=2)
    world.nodes[1].chain = world.chain.fork_at(3, "lie")
    with pytest.raises(chain.ChainContradiction):
        await world.follower.step()
    assert world.cursors.position is None


async def test_it_reads_ahead_a_bounded_number_of_blocks_and_each_of_them_once() -> None:
    world = World(20)
    await world.follower.start_at(0)
    assert await world.follower.step()
    await asyncio.sleep(0.05)
    read = [each for each in world.nodes[0].asked if each.startswith("getblockbynum")]
    assert read == [f"getblockbynum {number}" for number in (1, 2, 3, 4)]
    await world.drain()
    read = [each for each in world.nodes[0].asked if each.startswith("getblockbynum")]
    assert sorted(read) == sorted(f"getblockbynum {number}" for number in range(1, 21))
    assert world.book.numbers == list(range(1, 21))


async def test_it_has_more_while_blocks_that_were_told_of_are_left() -> None:
    world = World(3)
    assert world.follower.has_more(), "nobody knows yet"
    await world.follower.start_at(1)
    assert await world.follower.step() and world.follower.has_more()
    assert await world.follower.step() and not world.follower.has_more()
    world.chain.grow(1)
    assert await world.follower.step() and world.book.numbers == [2, 3, 4]
    assert not world.follower.has_more()
    world.chain.grow(1)
    world.cursors.fail_next = True
    with pytest.raises(ConnectionError):
        await world.follower.step()
    assert world.follower.has_more(), "the store may stand anywhere"


async def test_a_restart_goes_on_where_it_was() -> None:
    world = World(5)
    await world.follower.start_at(0)
    await world.follower.step()
    await world.follower.step()
    world.follower.close()
    world.restart()
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("where", ["handler", "cursor"])
async def test_a_crash_repeats_the_block(where: str) -> None:
    world = World(4)
    await world.follower.start_at(0)
    await world.follower.step()
    if where == "handler":
        world.book.die_at = 2
    else:
        world.cursors.fail_next = True
    with pytest.raises(ConnectionError):
        await world.follower.step()
    world.restart()
    await world.drain()
    again = [2] if where == "cursor" else []
    assert world.book.numbers == [1, 2, *again, 3, 4]


async def test_a_handler_that_fails_is_shown_the_block_again_by_the_same_follower() -> None:
    world = World(3)
    await world.follower.start_at(0)
    world.book.die_at = 1
    with pytest.raises(ConnectionError):
        await world.follower.step()
    await world.drain()
    assert world.book.numbers == [1, 2, 3]


async def test_a_gap_is_waited_for_and_never_jumped_over() -> None:
    world = World(6)
    await world.follower.start_at(0)
    hidden = world.chain.blocks[3]
    world.nodes[0].replies["getblockbynum"] = {}
    with pytest.raises(chain.NodesUnavailable):
        await world.follower.step()
    assert world.book.numbers == []
    del world.nodes[0].replies["getblockbynum"]
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5, 6]
    assert hidden.number in world.book.numbers


async def test_a_block_that_failed_while_read_ahead_is_simply_read_again() -> None:
    world = World(4)
    await world.follower.start_at(0)
    assert await world.follower.step()
    world.nodes[0].down = True
    world.chain.grow(3)
    await world.follower.step()
    await asyncio.sleep(0.02)
    world.nodes[0].down = False
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5, 6, 7]


async def test_a_contradiction_seen_while_reading_ahead_is_not_forgotten() -> None:
    world = World(4, agreement=2, nodes=2)
    await world.follower.start_at(0)
    honest = world.nodes[1].chain
    world.nodes[1].chain = world.chain.fork_at(3, "lie")
    assert await world.follower.step()
    await asyncio.sleep(0.05)
    world.nodes[1].chain = honest
    assert await world.follower.step()
    with pytest.raises(chain.ChainContradiction):
        await world.follower.step()
    assert world.book.numbers == [1, 2]


async def test_a_fork_of_the_solid_chain_stops_everything_until_a_human_resumes() -> None:
    world = World(4)
    await world.follower.start_at(0)
    await world.drain()
    true_chain = world.chain
    world.nodes[0].chain = true_chain.fork_at(4, "fork")
    world.nodes[0].chain.grow(2, salt="fork")
    true_chain.grow(2)

    with pytest.raises(chain.ChainContradiction, match="follows"):
        await world.follower.step()
    assert world.follower.status().halted
    world.nodes[0].chain = true_chain
    world.restart()
    with pytest.raises(chain.ChainContradiction):
        await world.follower.step()
    assert world.book.numbers == [1, 2, 3, 4]

    await world.follower.resume()
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5, 6]


async def test_two_nodes_that_contradict_each_other_stop_everything() -> None:
    world = World(3, agreement=2, nodes=2)
    await world.follower.start_at(0)
    await world.drain()
    world.nodes[1].chain = world.chain.fork_at(3, "lie")
    world.nodes[1].chain.grow(1)
    world.chain.grow(1)
    with pytest.raises(chain.ChainContradiction):
        await world.follower.step()
    with pytest.raises(chain.ChainContradiction):
        await world.follower.step()
    assert world.book.numbers == [1, 2, 3]
    assert "nodes contradict each other" in world.follower.status().halted


async def test_a_node_that_is_behind_or_away_is_only_a_pause() -> None:
    world = World(3, agreement=2, nodes=2)
    await world.follower.start_at(0)
    await world.drain()
    world.chain.grow(2)
    world.nodes[1].solid = 3
    assert not await world.follower.step()
    world.nodes[1].solid = -1
    world.nodes[1].down = True
    with pytest.raises(chain.NodesUnavailable):
        await world.follower.step()
    world.nodes[1].down = False
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5]


async def test_another_replica_may_apply_the_same_block() -> None:
    world = World(3)
    await world.follower.start_at(0)
    other = World(3)
    other.chain = world.chain
    other.cursors, other.book = world.cursors, world.book
    other.nodes = world.nodes
    other.restart()

    await asyncio.gather(world.drain(), other.drain())

    assert world.cursors.position is not None
    assert world.cursors.position.number == 3
    assert sorted(set(world.book.numbers)) == [1, 2, 3]


async def test_a_head_that_goes_backwards_changes_nothing() -> None:
    world = World(5)
    await world.follower.start_at(0)
    await world.drain()
    world.nodes[0].solid = 2
    assert not await world.follower.step()
    assert world.book.numbers == [1, 2, 3, 4, 5]


class Crash(BaseException):
    """The process dies."""


class Fuse:
    """Burns at the n-th effect, before or after it."""

    def __init__(self, point: int, after: bool) -> None:
        self.left, self.after, self.burnt = point, after, False

    async def around(self, effect: Callable[[], Awaitable[None]]) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            self.burnt = True
            raise Crash
        await effect()
        if self.left == 0:
            self.burnt = True
            raise Crash


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_anywhere_loses_no_block_and_no_handler(after: bool) -> None:
    for point in count(1):
        world, fuse = World(4), Fuse(point, after)
        first, second = Book(), Book()
        await world.follower.start_at(0)

        def burning(book: Book, fuse: Fuse = fuse) -> chain.Handler:
            return lambda block: fuse.around(lambda: book(block))

        advance = world.cursors.advance

        async def fused(
            seen: chain.Position, to: chain.Position, fuse: Fuse = fuse, advance: Advance = advance
        ) -> None:
            await fuse.around(lambda: advance(seen, to))

        world.cursors.advance = fused  # type: ignore[method-assign]
        for _ in range(2):
            nodes = chain.Nodes([node.client() for node in world.nodes])
            follower = chain.Follower(nodes, world.cursors, [burning(first), burning(second)])
            try:
                while await follower.step():
                    pass
            except Crash:
                follower.close()
        for book in (first, second):
            assert list(dict.fromkeys(book.numbers)) == [1, 2, 3, 4], point
            assert len(book.numbers) <= 5, point
        assert world.cursors.position is not None
        assert world.cursors.position.number == 4
        if not fuse.burnt:
            break
    assert point == 13, "three effects for each of four blocks"


# ---- quiet blocks ----------------------------------------------------------------------------


def listening(world: World, ears: Ears, read_ahead: int = 16) -> chain.Follower:
    nodes = chain.Nodes([node.client() for node in world.nodes])
    world.follower = chain.Follower(nodes, world.cursors, [world.book], read_ahead, ears)
    return world.follower


async def test_quiet_blocks_are_passed_over_together_but_for_the_last_before_a_loud_one() -> None:
    world, ears = World(24), Ears(9, 10, 13)
    follower = listening(world, ears)
    await follower.start_at(0)
    while await follower.step():
        await read_up(follower)
    assert world.book.numbers == [1, 8, 9, 10, 12, 13, 24]
    assert world.cursors.stood_at == [1, 7, 8, 9, 10, 11, 12, 13, 23, 24]
    asked = [(numbers[0], numbers[-1]) for numbers in ears.asked]
    assert asked == [(2, 16), (10, 24), (11, 24), (14, 24)]
    status = follower.status()
    assert (status.number, status.applied, status.lag_blocks) == (24, 24, 0)
    read = [each for each in world.nodes[0].asked if each.startswith("getblockbynum")]
    assert sorted(read) == sorted(f"getblockbynum {number}" for number in range(1, 25))


async def test_at_the_head_every_block_is_handled() -> None:
    world, ears = World(1), Ears()
    follower = listening(world, ears)
    await follower.start_at(0)
    for _ in range(5):
        while await follower.step():
            await read_up(follower)
        world.chain.grow(1)
    assert world.book.numbers == [1, 2, 3, 4, 5]
    assert ears.asked == []


async def test_only_blocks_behind_a_place_of_our_own_are_passed_over() -> None:
    """Another process was faster: its place may be that of a store which went back."""
    world, ears = World(20), Ears()
    follower = listening(world, ears)
    await follower.start_at(0)
    await follower.step()
    await read_up(follower)
    other = world.chain.blocks[5]

    async def overtaken(blocks: Sequence[chain.SolidBlock]) -> int:
        at = world.cursors.position
        assert at is not None
        world.cursors.position = replace(
            at, number=5, block_id=other.block_id, timestamp_ms=other.timestamp_ms
        )
        return len(blocks)

    follower._quiet = overtaken
    assert await follower.step()
    assert world.book.numbers == [1]
    follower._quiet = ears
    await read_up(follower)
    await follower.step()
    assert world.book.numbers == [1, 6]
    assert ears.asked == []
    await read_up(follower)
    await follower.step()
    assert ears.asked == [list(range(7, ears.asked[0][-1] + 1))]


async def test_a_block_on_another_chain_is_not_passed_over() -> None:
    world, ears = World(12), Ears()
    world.chain.blocks[6:] = ScriptedChain(12, salt="other").blocks[6:]
    follower = listening(world, ears)
    await follower.start_at(0)
    with pytest.raises(chain.ChainContradiction, match="follows"):
        while await follower.step():
            await read_up(follower)
    assert world.book.numbers == [1, 5]
    assert world.cursors.stood_at == [1, 4, 5]
    assert ears.asked == [[2, 3, 4, 5]]


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_anywhere_loses_no_loud_block(after: bool) -> None:
    for point in count(1):
        world, fuse, ears = World(12), Fuse(point, after), Ears(5, 6, 9)
        await world.follower.start_at(0)
        advance, heard = world.cursors.advance, Book()

        async def fused(
            seen: chain.Position, to: chain.Position, fuse: Fuse = fuse, advance: Advance = advance
        ) -> None:
            await fuse.around(lambda: advance(seen, to))

        async def handle(block: chain.SolidBlock, fuse: Fuse = fuse, heard: Book = heard) -> None:
            await fuse.around(lambda: heard(block))

        world.cursors.advance = fused  # type: ignore[method-assign]
        for _ in range(2):
            follower = listening(world, ears)
            follower._handlers = [handle]
            try:
                while await follower.step():
                    await read_up(follower)
            except Crash:
                follower.close()
        assert {5, 6, 9, 12} <= set(heard.numbers), point
        assert world.cursors.position is not None
        assert world.cursors.position.number == 12
        if not fuse.burnt:
            break
    assert point > 10


async def test_who_loses_every_race_pauses_and_loses_no_block() -> None:
    """Whatever keeps noting something: the processor is not kept busy by it."""
    world = World(5)
    await world.follower.start_at(0)
    looks = 0

    async def noted(_: chain.SolidBlock) -> None:
        nonlocal looks
        looks += 1
        await world.cursors.note(0)

    nodes = chain.Nodes([node.client() for node in world.nodes], 1)
    follower = chain.Follower(nodes, world.cursors, [noted])
    for _ in range(2):
        while await follower.step():
            assert looks < 100, "no pause"
    assert world.cursors.stood_at == []
    await world.drain()
    assert world.book.numbers == [1, 2, 3, 4, 5]
