"""A look that has to be tried again reads as far as the first try was told, whoever answers then.

Two of three have to agree. One stands still where the backup was made; of the two that are further
one is away, and another answers at each try.
"""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_restore_claims import Refusing, is_paid_once, signs_what_it_can
from tests.engine.test_restore_liars import made, process, restored
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.chain import Block, NodeHasNot
from tron_payment.engine.reading import KEPT_BACK_MAX, KEPT_BACK_S, Patience


@pytest.mark.parametrize("behind", [4, 12])
async def test_what_was_told_at_first_is_demanded_of_those_who_answer_later(
    mongo: Mongo, behind: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, still = await made(0)
    standing = world.network.tip.number
    signed_before = await restored(world, 1)
    paid_in = world.network.tip.number
    world.pass_time(1)
    still.stands_at = standing
    world.nodes[1].away = True
    truthful = Refusing(world.network, world.nodes[2].alias, first=paid_in, times=1)
    world.nodes[2] = truthful
    world.process = process(world)
    await signs_what_it_can(world, looks=1)
    assert len(world.key.signed) == signed_before

    truthful.away, world.nodes[1].away = True, False
    world.nodes[1].lag = lambda: behind
    world.clock.advance(timedelta(seconds=6))
    await signs_what_it_can(world, looks=2)
    assert len(world.key.signed) == signed_before, "both that answer are below the payments"

    truthful.away, still.stands_at = False, None
    world.nodes[1].lag = lambda: 0
    await is_paid_once(world, signed_before)


@dataclass
class LateEnd(SimNode):
    """One of its back ends does not have this block yet."""

    late: int = -1

    async def block(self, number: int, solid: bool = True) -> Block:
        if not solid and number == self.late:
            raise NodeHasNot(self.alias, "not yet")
        return await super().block(number, solid)


@pytest.mark.parametrize("anew", [False, True])
async def test_a_block_that_is_only_about_to_come_begins_nothing(mongo: Mongo, anew: bool) -> None:
    """All honest: one is away, one a block late, of the third one back end is. Two loops look five
    times in a moment."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2)
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(8)
    world.nodes[0].away = True
    world.nodes[1].lag = lambda: 1
    late = world.nodes[2] = LateEnd(world.network, "n2", late=world.network.tip.number)
    world.start()
    now_s = [100.0]
    world.engine.safe_mode._patience = Patience(lambda: now_s[0])
    await signs_what_it_can(world, looks=2 * KEPT_BACK_MAX)
    assert await begun_why() == [] and world.key.signed == []
    if anew:  # another process has taken it and has given it back, as it fares no better
        world.engine.safe_mode.look_anew()
        now_s[0] += KEPT_BACK_S
        await signs_what_it_can(world, looks=1)
        assert await begun_why() == ["behind"]
    else:
        late.late = -1
        await signs_what_it_can(world, looks=1)
        assert await begun_why() == [] and len(world.key.signed) == 1
