"""A node that lags is compared where it is: another chain is found out, slowness is no crime."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tron_payment import chain
from tron_payment.chain.behind import COMPARE_AGAIN_S, KNOWN_BLOCKS

from .scripted import Reply, ScriptedChain, ScriptedNode
from .test_follower import Book, MemoryCursors
from .test_nodes import Seconds

PLACES = range(3)


class World:
    """Three nodes, two of which have to agree, and a follower that has read all of their blocks."""

    def __init__(self, scripted: Sequence[ScriptedNode], *, outvotes: bool = False) -> None:
        self.clock = Seconds()
        self.scripted = scripted
        for alias, node in zip("abc", scripted, strict=True):
            node.alias = alias
        self.cursors = MemoryCursors()
        self.outvotes = outvotes
        self.restart()

    def restart(self) -> None:
        clients = [each.client() for each in self.scripted]
        self.nodes = chain.Nodes(clients, 2, self.clock, outvotes=self.outvotes)
        self.book = Book()
        self.follower = chain.Follower(self.nodes, self.cursors, [self.book])

    async def drain(self) -> None:
        while await self.follower.step():
            pass

    @property
    def blamed(self) -> list[str]:
        return [each.alias for each in self.nodes.status() if each.contradicts]

    @property
    def stopped(self) -> str:
        assert self.cursors.position is not None
        return self.cursors.position.halted


async def one_behind(
    place: int, *, outvotes: bool = False
) -> tuple[World, ScriptedChain, ScriptedNode]:
    """A world whose one node stays at block 5 while the two others have come to 12."""
    shared = ScriptedChain(5)
    scripted = [ScriptedNode(shared) for _ in PLACES]
    scripted[place] = slow = ScriptedNode(shared, solid=5)
    world = World(scripted, outvotes=outvotes)
    await world.drain()
    shared.grow(7)
    await world.drain()
    assert world.book.numbers == list(range(6, 13)) and not world.stopped
    for each in scripted:
        each.asked.clear()
    return world, shared, slow


@pytest.mark.parametrize("place", PLACES)
async def test_a_fork_that_stays_behind_stops_the_following(place: int) -> None:
    world, shared, slow = await one_behind(place)
    slow.chain, slow.solid = shared.fork_at(7, "fork"), 9

    with pytest.raises(chain.ChainContradiction, match=f"; alone: {'abc'[place]}$"):
        await world.drain()

    assert "block 9" in world.stopped and world.blamed == ["abc"[place]]
    await world.cursors.resume()
    slow.chain = shared
    world.clock.now += COMPARE_AGAIN_S
    await world.drain()
    assert not world.stopped and not world.blamed, (
        "what has come right is no contradiction any more"
    )
    shared.grow(1)
    await world.drain()
    assert world.book.numbers[-1] == 13


async def test_a_fork_far_behind_is_found_by_a_process_that_has_just_begun() -> None:
    world, shared, slow = await one_behind(1)
    slow.chain, slow.solid = shared.fork_at(3, "fork"), 4
    world.restart()
    shared.grow(1)
    with pytest.raises(chain.ChainContradiction, match=r"alone: b$"):
        await world.drain()
        await world.drain()
    assert world.stopped


@pytest.mark.parametrize("place", PLACES)
async def test_an_outvoted_fork_that_stays_behind_is_set_apart(place: int) -> None:
    world, shared, slow = await one_behind(place, outvotes=True)
    slow.chain, slow.solid = shared.fork_at(7, "fork"), 9
    await world.drain()
    shared.grow(1)
    await world.drain()
    assert world.book.numbers[-1] == 13 and not world.stopped
    assert [each.alias for each in world.nodes.status() if each.apart] == ["abc"[place]]


@pytest.mark.parametrize("place", PLACES)
async def test_two_behind_on_one_fork_stop_the_following_too(place: int) -> None:
    world, shared, _ = await one_behind(place)
    fork = shared.fork_at(7, "fork")
    for each in (each for at, each in enumerate(world.scripted) if at != place):
        each.chain, each.solid = fork, 9
    world.scripted[place].solid = -1
    with pytest.raises(chain.ChainContradiction):
        await world.drain()
    assert world.stopped


async def test_a_node_that_is_only_slow_costs_no_call_and_stops_nobody() -> None:
    world, shared, slow = await one_behind(0)
    for solid in (6, 6, 9, 12):
        slow.solid = solid
        await world.drain()
    asked = [name for each in world.scripted for name in each.asked]
    assert set(asked) == {"getblock"}, "nothing but heads"
    shared.grow(1)
    await world.drain()
    assert world.book.numbers[-1] == 13 and not world.stopped


class Pruned(ScriptedNode):
    """Keeps no block below this one."""

    keeps_from = 0

    async def handle(self, path: str, body: dict[str, Any]) -> Reply:
        if int(body.get("id_or_num", self.keeps_from)) < self.keeps_from:
            self.asked.append("forgotten")
            return 200, b"{}"
        return await super().handle(path, body)


async def test_what_others_do_not_keep_any_more_stops_nobody_and_is_seldom_asked_for() -> None:
    shared = ScriptedChain(12)
    others = [Pruned(shared), Pruned(shared)]
    slow = ScriptedNode(shared.fork_at(2, "fork"), solid=3)
    world = World([*others, slow])
    for each in others:
        each.keeps_from = 8
    for _ in range(3):
        shared.grow(1)
        await world.drain()
    assert not world.stopped and not world.blamed
    asked = [each.asked.count("forgotten") for each in others]
    assert 0 < max(asked) <= 2, "each of those that might know, and once more to compare"
    assert [each.failures for each in world.nodes.status()] == [0, 0, 0]

    for each in others:
        each.keeps_from = 0
    await world.drain()
    assert not world.stopped, "not so soon again"
    world.clock.now += COMPARE_AGAIN_S
    with pytest.raises(chain.ChainContradiction, match=r"alone: c$"):
        await world.drain()


async def test_one_that_forgets_its_own_block_by_number_stops_nobody() -> None:
    """Its head is another one's, but asked for it by number it has nothing, or the true one."""
    world, shared, slow = await one_behind(1)
    slow.solid = 9
    slow.replies["getblock"] = shared.fork_at(7, "fork").blocks[9].json()
    fork = dict(slow.replies)
    slow.replies["getblock"] = {}
    await world.drain()
    assert not world.stopped
    slow.replies = fork
    with pytest.raises(chain.ChainContradiction):
        await world.drain()


async def test_a_follower_whose_look_is_canceled_asks_again() -> None:
    world, shared, slow = await one_behind(1)
    slow.chain, slow.solid = shared.fork_at(7, "fork"), 9
    world.scripted[0].slow = asyncio.Event()
    step = asyncio.create_task(world.follower.step())
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    world.scripted[0].slow = None
    world.clock.now += COMPARE_AGAIN_S
    with pytest.raises(chain.ChainContradiction):
        await world.drain()


async def test_one_node_alone_is_compared_with_nobody() -> None:
    shared = ScriptedChain(5)
    scripted = [ScriptedNode(shared, alias) for alias in "ab"]
    nodes = chain.Nodes([each.client() for each in scripted])
    follower = chain.Follower(nodes, MemoryCursors(), [])
    await follower.step()
    shared.grow(3)
    while await follower.step():
        pass
    scripted[1].chain, scripted[1].solid = shared.fork_at(3, "fork"), 4
    assert not await follower.step()


async def test_what_is_kept_is_bounded() -> None:
    world, shared, _ = await one_behind(0)
    shared.grow(KNOWN_BLOCKS + 5)
    await world.drain()
    assert len(world.nodes._behind._known) == KNOWN_BLOCKS
