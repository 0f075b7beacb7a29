"""An opening balance is what NODE_AGREEMENT nodes tell alike of one solidified block."""

from collections.abc import Callable

import pytest

from tests.conftest import Mongo
from tests.engine.network import Holdings
from tests.engine.sim_node import SimNode
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, World
from tron_payment.chain import NodesUnavailable
from tron_payment.db.ledger import LedgerEntry, Pocket
from tron_payment.engine import HeadMoved
from tron_payment.engine.left_out import LEFT_OUT

APART = 6
DEPOSIT = 1_000_000


class TwoBackEnds(SimNode):
    """One endpoint: blocks come from a back end that is behind, balances from one that is not."""

    def _state(self, solid: bool) -> Holdings:
        behind, self.lag = self.lag, lambda: 0
        try:
            return super()._state(solid)
        finally:
            self.lag = behind


class OneSunMore(SimNode):
    """It lies, and stands still beautifully."""

    def _state(self, solid: bool) -> Holdings:
        state = super()._state(solid).copy()
        state.token[BOB] += 1
        return state


def behind(blocks: int) -> Callable[[], int]:
    return lambda: blocks


@pytest.fixture
async def world(mongo: Mongo) -> World:
    """Three nodes, two must agree; BOB has something, and gets more with each block."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2)
    world.network.token[ALICE] = world.network.trx[ALICE] = 500_000_000
    world.start()
    await deposits(world, 4)
    await world.process.openings.request(BOB)
    return world


def instead(world: World, place: int, kind: type[SimNode], lag: int = 0) -> None:
    """A node of another kind, for a process that starts now."""
    world.nodes[place] = kind(world.network, f"n{place}", lag=behind(lag))
    world.start()


async def deposits(world: World, blocks: int) -> None:
    for _ in range(blocks):
        world.network.foreign(ALICE, BOB, DEPOSIT)
        await world.tick()


async def assert_open_and_exact(world: World) -> None:
    assert not await world.process.openings.pending(BOB)
    await world.tick(world.network.solid_lag + 1)
    held = (await world.ledger.holdings(BOB))["USDT"][Pocket.AVAILABLE]
    assert held == world.network.token[BOB] > 0


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_an_endpoint_of_two_back_ends_opens_no_book(world: World, place: int) -> None:
    """Its two heads are equal, and the balance is that of a later block."""
    instead(world, place, TwoBackEnds, APART)
    await deposits(world, 12)
    await assert_open_and_exact(world)


async def test_a_balance_that_one_of_three_invents_opens_no_book(world: World) -> None:
    instead(world, 0, OneSunMore)
    await deposits(world, 4)
    await assert_open_and_exact(world)


async def test_while_too_few_agree_the_book_waits_and_nothing_is_booked(world: World) -> None:
    instead(world, 0, TwoBackEnds, APART)
    world.nodes[1].away = True
    await deposits(world, 8)
    assert await world.process.openings.pending(BOB)
    with pytest.raises(HeadMoved):
        await world.process.openings.balances(BOB, not_before=0)
    world.nodes[2].away = True
    with pytest.raises(NodesUnavailable):
        await world.process.openings.balances(BOB, not_before=0)
    assert await LedgerEntry.find_one({"cause": f"open:{BOB}"}) is None
    world.nodes[1].away = world.nodes[2].away = False
    world.start()
    await deposits(world, 4)
    await assert_open_and_exact(world)


async def test_a_preferred_node_that_stands_still_holds_no_book_up(world: World) -> None:
    world.nodes[0].lag = behind(17)
    await deposits(world, 4)
    await assert_open_and_exact(world)


class GoneMad(SimNode):
    """Its token says that everybody has more than there are atoms."""

    def _state(self, solid: bool) -> Holdings:
        state = super()._state(solid).copy()
        state.token[BOB] = 2**255
        return state


async def test_a_balance_that_the_books_have_no_room_for_is_told(world: World) -> None:
    """The rest of the address opens, and its movements are booked."""
    for place in range(3):
        instead(world, place, GoneMad)
    for made in world.network.blocks:
        made.after.trx[BOB] = 7
    await deposits(world, 8)
    assert not await world.process.openings.pending(BOB)
    held = await world.ledger.holdings(BOB)
    assert held["TRX"][Pocket.AVAILABLE] == 7
    assert 0 < held["USDT"][Pocket.AVAILABLE] < 20 * DEPOSIT, "what came since it was watched"
    told = [facts for event, facts in world.alarms if event == LEFT_OUT]
    assert [(each["cause"], each["count"]) for each in told] == [(f"open:{BOB}", 1)]
    entry = await LedgerEntry.find_one({"cause": f"open:{BOB}"})
    assert entry is not None and entry.left_out == [f"open:{BOB}:USDT"]
    assert await world.ledger.verify() is None
