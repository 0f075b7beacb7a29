"""A look that has to be tried again reads as far as the first try was told, whoever answers then.

Two of three have to agree. One stands still where the backup was made; of the two that are further
one is away, and another answers at each try.
"""

from datetime import timedelta

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore_claims import Refusing, is_paid_once, signs_what_it_can
from tests.engine.test_restore_liars import made, process, restored
from tests.engine.world import ALL_DOCUMENTS


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
