"""The cursor in a real database: one place, moved only from where it was seen."""

import asyncio
from typing import Any

import pytest

from tron_payment import chain
from tron_payment.db.cas import LostRace

from .scripted import ScriptedChain, ScriptedNode

Mongo = Any  # the fixture of the same name in the outer conftest

FIRST = chain.Position(7, "07" * 32, 21_000, 7)
SECOND = chain.Position(8, "08" * 32, 24_000, 7)


async def test_the_cursor_starts_once_and_moves_by_compare_and_set(mongo: Mongo) -> None:
    await mongo.connect([chain.Cursor])
    cursors = chain.MongoCursors()
    assert await cursors.load() is None

    await cursors.start(FIRST)
    await cursors.start(SECOND)
    assert await cursors.load() == FIRST

    await cursors.advance(FIRST, SECOND)
    assert await cursors.load() == SECOND
    with pytest.raises(LostRace):
        await cursors.advance(FIRST, SECOND)


async def test_replicas_on_one_cursor_show_every_block_to_somebody(mongo: Mongo) -> None:
    await mongo.connect([chain.Cursor])
    scripted = ScriptedNode(ScriptedChain(12))
    shown: list[int] = []

    async def note(block: chain.SolidBlock) -> None:
        await asyncio.sleep(0)
        shown.append(block.number)

    replicas = [
        chain.Follower(chain.Nodes([scripted.client()]), chain.MongoCursors(), [note])
        for _ in range(3)
    ]
    await replicas[0].start_at(0)

    async def drain(replica: chain.Follower) -> None:
        while await replica.step():
            pass
        replica.close()

    await asyncio.gather(*(drain(replica) for replica in replicas))

    first_seen = list(dict.fromkeys(shown))
    assert first_seen == list(range(1, 13)), "in order, whoever is first"
    position = await chain.MongoCursors().load()
    assert position is not None
    assert position.number == 12


async def test_a_halted_cursor_does_not_move(mongo: Mongo) -> None:
    await mongo.connect([chain.Cursor])
    cursors = chain.MongoCursors()
    await cursors.start(FIRST)
    await cursors.halt("two chains")
    halted = await cursors.load()
    assert halted is not None
    assert halted.halted == "two chains"
    with pytest.raises(LostRace):
        await cursors.advance(FIRST, SECOND)
    with pytest.raises(LostRace):
        await cursors.resume("another reason that somebody has looked at")
    assert await cursors.load() == halted
    await cursors.resume("two chains")
    await cursors.advance(FIRST, SECOND)
    assert await cursors.load() == SECOND
