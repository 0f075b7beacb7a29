"""A look that ends before a slow node has answered: what counts then, and what is waited for; and
answers that are long."""

from dataclasses import dataclass, replace

import pytest

from tests.conftest import Mongo
from tests.engine.sim_node import SimNode
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_restore_liars import (
    Runaway,
    beside_a_runaway,
    made,
    nothing_is_paid_again,
    process,
    restored,
    sign_all,
)
from tests.engine.world import ALICE, ALL_DOCUMENTS, World
from tron_payment.chain import Block, NodesUnavailable
from tron_payment.engine.tip import FRESH_BLOCKS


@dataclass
class Boasting(Runaway):
    """Claims blocks, and the time is up before it shows them."""

    async def block(self, number: int, solid: bool = True) -> Block:
        if not solid and self._invented(number):
            self.asked.append(number)
            raise TimeoutError
        return await super().block(number, solid)


async def test_what_is_only_fresh_and_kept_back_delays_for_a_moment(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, _ = await beside_a_runaway(2)
    liar = world.nodes[2] = Boasting(world.network, "n2")
    world.process = process(world)
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
    """The time is up before it shows this block."""

    about: int = -1

    async def block(self, number: int, solid: bool = True) -> Block:
        if number == self.about and not solid:
            raise TimeoutError
        return await super().block(number, solid)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_payment_in_what_was_only_fresh_is_found_when_the_chain_goes_on(
    mongo: Mongo, answers: bool
) -> None:
    """Restored, and the newest block has the payments: one does not have it yet, one hides it, and
    the one that has it is slow."""
    await mongo.connect(ALL_DOCUMENTS)
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


@dataclass
class Long(SimNode):
    """Its blocks are longer than most."""

    async def short_block(self, number: int, bytes_max: int) -> Block | None:
        return None


async def test_a_payment_in_a_long_block_is_found(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world, bad = await made(0)
    bad.hides = True
    signed_before = await restored(world, 2)
    world.nodes[1:] = [Long(world.network, "n1"), Long(world.network, "n2")]
    world.process = process(world)
    await sign_all(world)
    await nothing_is_paid_again(world, signed_before)


@dataclass
class Renames(SimNode):
    """Calls each transaction by another name, longer than a query may be."""

    async def block(self, number: int, solid: bool = True) -> Block:
        found = await super().block(number, solid)
        if solid:
            return found
        renamed = [each._replace(txid="f" * 2**24) for each in found.transactions]
        return replace(found, transactions=tuple(renamed))


async def test_what_a_node_calls_a_transaction_means_nothing(mongo: Mongo) -> None:
    """A service that was killed knows its own payments."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2)
    await world.engine.place_many([world.wish(name, UNITS) for name in ("a", "b")])
    await world.tick(2)
    assert world.network.token[ALICE] == 2 * UNITS
    world.nodes[0] = Renames(world.network, "n0")
    world.start()
    await world.engine.place(world.wish("c", UNITS))
    await world.run_until_final("a", "b", "c", blocks=12)
    assert world.alarms == []
