"""What the look of a process that takes the work over asks the nodes: how often, and how many
answers one after the other, which is how many seconds it takes where each is a second away."""

import asyncio
from collections import Counter

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore_standby import looked_long_ago
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.chain import MongoCursors, NodeUnavailable
from tron_payment.engine import SafeMode
from tron_payment.engine.reading import ANSWERS_AT_ONCE, SCAN_AT_ONCE

SOLID_LAG = 19
"""The main net's."""


class Rounds:
    """Answers come in rounds: a call belongs to the one after the last that had ended when it
    began."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.ended = 0

    async def before(self, node: str, call: str) -> None:
        self.calls[call] += 1
        mine = self.ended + 1
        for _ in range(20):  # all that are made at once have begun
            await asyncio.sleep(0)
        self.ended = max(self.ended, mine)


@pytest.mark.parametrize(("nodes", "agreement"), [(1, 1), (3, 2), (3, 3)])
@pytest.mark.parametrize("since", [0, 2])
async def test_a_take_over_reads_each_block_after_the_cursor_once_of_each_node_that_has_to_agree(
    mongo: Mongo, nodes: int, agreement: int, since: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=nodes, agreement=agreement, solid_lag=SOLID_LAG)
    await world.tick(25)
    standby = await looked_long_ago(world)
    await world.tick(5)
    at = await MongoCursors().load()
    assert at is not None and at.number == world.network.tip.number - SOLID_LAG
    world.pass_time(since)  # the other has died
    rounds = Rounds()
    for place in range(nodes):
        world.nodes[place].before = rounds.before
    standby.engine.safe_mode.look_anew()
    await standby.engine.safe_mode.look(at)
    unread = SOLID_LAG + since
    assert rounds.calls == {"head": nodes, "block": unread * agreement}
    if SCAN_AT_ONCE * agreement <= ANSWERS_AT_ONCE:
        assert rounds.ended == 1 + -(-unread // SCAN_AT_ONCE)
    await standby.engine.safe_mode.look(at)
    assert rounds.calls.total() == nodes + unread * agreement, "once"


async def test_who_answers_at_length_is_not_waited_for_where_the_others_agree(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long answers are read one at a time, and one node could stall each."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=3, agreement=2, solid_lag=SOLID_LAG)
    await world.tick(25)
    standby = await looked_long_ago(world)
    await world.tick(5)
    at = await MongoCursors().load()
    assert at is not None
    asked: list[int] = []

    async def long(number: int, _: int) -> None:
        return None

    async def stalls(number: int, solid: bool) -> None:
        asked.append(number)
        raise NodeUnavailable("node0", "it never ends")

    monkeypatch.setattr(world.nodes[0], "short_block", long)
    monkeypatch.setattr(world.nodes[0], "block", stalls)
    standby.engine.safe_mode.look_anew()
    await standby.engine.safe_mode.look(at)
    assert asked == [] and await SafeMode.count() == 0
    monkeypatch.setattr(world.nodes[1], "short_block", long)
    standby.engine.safe_mode.look_anew()
    await standby.engine.safe_mode.look(at)
    assert asked and await SafeMode.count() == 0, "too few answer shortly"
