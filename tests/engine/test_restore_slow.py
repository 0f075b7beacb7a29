"""A look that ends before a slow node has answered: what counts then, and what is waited for."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import begun_why
from tests.engine.test_restore_liars import (
    beside_a_runaway,
    made,
    nothing_is_paid_again,
    process,
    restored,
    sign_all,
)
from tests.engine.world import ALL_DOCUMENTS
from tron_payment.chain import Block, NodesUnavailable
from tron_payment.engine import safe_mode
from tron_payment.engine.tip import FRESH_BLOCKS


async def test_what_is_only_fresh_and_kept_back_delays_for_a_moment(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    monkeypatch.setattr(safe_mode, "LOOK_MAX_S", 0.2)
    world, liar = await beside_a_runaway(2, slow=True)
    with pytest.raises(NodesUnavailable, match="slowly"):
        await sign_all(world)
    assert await begun_why() == [] and liar.asked
    world.pass_time(FRESH_BLOCKS)
    await sign_all(world)
    assert len(world.key.signed) == 1
    liar.ahead = 0
    await world.run_until_final("a", blocks=12)
    assert world.alarms == []


@dataclass
class Slow(SimNode):
    """Does not answer about this block until it is let."""

    about: int = -1

    async def block(self, number: int, solid: bool = True) -> Block:
        if number == self.about and not solid:
            await asyncio.Event().wait()
        return await super().block(number, solid)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_payment_in_what_was_only_fresh_is_found_when_the_chain_goes_on(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Restored, and the newest block has the payments: one does not have it yet, one hides it, and
    the one that has it is slow."""
    await mongo.connect(ALL_DOCUMENTS)
    monkeypatch.setattr(safe_mode, "LOOK_MAX_S", 0.2)
    world, bad = await made(0)
    signed_before = await restored(world, 1)
    newest = world.network.tip.number
    bad.hides, bad.stands_at = True, newest - 1
    world.nodes[1] = SimNode(world.network, "n1", lag=lambda: 1)
    slow = world.nodes[2] = Slow(world.network, "n2", about=newest)
    world.process = process(world)
    with pytest.raises(NodesUnavailable, match="slowly"):
        await sign_all(world)
    assert await begun_why() == [] and len(world.key.signed) == signed_before
    bad.stands_at = None
    slow.about = -1 if answers else newest
    world.pass_time(FRESH_BLOCKS + 1)
    await sign_all(world)
    bad.hides = False
    await nothing_is_paid_again(world, signed_before)
