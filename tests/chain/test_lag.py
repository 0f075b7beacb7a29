"""How far behind we are is known while a block cannot be applied, and by whoever only looks on."""

import asyncio

import pytest

from tests.chain.test_follower import World
from tron_payment import chain
from tron_payment.core.errors import Unavailable

GROWN = 120
"""More than the 100 of the alert FollowerBehind."""


async def caught_up(agreement: int = 1, nodes: int = 1) -> World:
    world = World(5, agreement, nodes)
    await world.drain()
    world.chain.grow(1)
    await world.drain()
    return world


def lag(world: World) -> int:
    return world.follower.status().lag_blocks


async def test_it_grows_while_one_block_fails_again_and_again() -> None:
    world = await caught_up()
    world.chain.grow(1)
    for _ in range(GROWN):
        world.book.die_at = 7
        with pytest.raises(ConnectionError):
            await world.follower.step()
        world.chain.grow(1)
    assert (world.follower.status().number, lag(world)) == (6, GROWN)
    world.book.die_at = -1
    await world.drain()
    assert (lag(world), world.book.numbers) == (0, [*range(6, 8 + GROWN)])


async def test_it_grows_while_a_step_hangs() -> None:
    """Somebody else asks the nodes, as the figures do."""
    world = await caught_up()
    world.chain.grow(1)
    hangs = asyncio.Event()

    async def handle(_: chain.SolidBlock) -> None:
        hangs.set()
        await asyncio.Event().wait()

    world.follower._handlers = [handle]
    step = asyncio.create_task(world.follower.step())
    await hangs.wait()
    world.chain.grow(GROWN)
    await world.follower._nodes.probe()
    assert lag(world) == GROWN + 1
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)


async def test_who_leaves_the_following_to_another_knows_it_too() -> None:
    world = await caught_up()
    world.restart()
    await world.follower._nodes.probe()
    assert lag(world) == 0, "nothing is known of the position yet"
    await world.follower.watch()
    world.chain.grow(GROWN)
    await world.follower._nodes.probe()
    assert lag(world) == GROWN


async def test_one_node_that_runs_ahead_makes_nobody_look_behind() -> None:
    world = await caught_up(agreement=2, nodes=2)
    one, _ = world.follower._nodes.members
    assert one.solid is not None
    world.chain.grow(GROWN)
    one.solid = await one.client.solid_head()
    assert lag(world) == 0


async def test_nodes_that_do_not_tell_their_height_keep_no_block_from_being_tried() -> None:
    world = await caught_up()
    world.chain.grow(2)
    world.book.die_at = 7
    with pytest.raises(ConnectionError):
        await world.follower.step()

    async def silent() -> None:
        raise Unavailable

    world.follower._look = silent  # type: ignore[method-assign]
    assert await world.follower.step()
    assert world.book.numbers == [6, 7]
