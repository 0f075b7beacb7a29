"""Three dozen seeded runs of the engine against everything that can go wrong.

More of them: ``python -m tests.simulation``.
"""

import os

import pytest

from tests.conftest import Mongo
from tests.engine.points import Points
from tests.engine.world import ALL_DOCUMENTS
from tests.simulation.run import simulate

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "16"))
BATCH = 12


@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
async def test_nothing_is_paid_twice_lost_or_stuck(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    points.watch(monkeypatch)
    for seed in range(first, min(first + BATCH, SEEDS + 1)):
        await simulate(seed, points)


async def test_a_seed_reproduces_its_run(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    mongo.hands_on = False
    points = Points()
    points.watch(monkeypatch)
    for seed in (3, 5):
        first, second = await simulate(seed, points), await simulate(seed, points)
        assert first.trace == second.trace
