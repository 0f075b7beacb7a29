"""Take a guard out of the real code, and a test of ours must fail: each one, by name."""

import asyncio
import importlib
import inspect
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.points import Points
from tests.engine.test_chain_rules import LIES
from tests.engine.test_crash_points import SCENARIOS
from tests.engine.world import ALL_DOCUMENTS, World
from tests.simulation.defects import DEFECTS, Defect
from tron_payment.chain import ChainContradiction
from tron_payment.db.faults import DuplicateValue
from tron_payment.wallets import JOURNAL_DOCUMENTS

WITHIN_S = 60
CHOICES: dict[str, dict[str, Any]] = {
    **{each.name: {"scenario": each} for each in SCENARIOS},
    "refused": {"lie": LIES[2], "is_lost": False},
    "duplicate": {"lie": LIES[1], "is_lost": True},
    "success": {"lie": LIES[0], "is_lost": True},
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: each.name)
async def test_a_planted_defect_is_caught(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, defect: Defect
) -> None:
    module_name, _, name = defect.caught_by[0].partition("::")
    name, _, choice = name.partition("[")
    module = importlib.import_module(module_name)
    test = getattr(module, name)
    await mongo.connect([*ALL_DOCUMENTS, *JOURNAL_DOCUMENTS])
    mongo.hands_on = False
    points = Points()
    wanted = inspect.signature(test).parameters
    offered: dict[str, Any] = {
        "mongo": mongo,
        "monkeypatch": monkeypatch,
        "points": points,
        "comes_back": False,
        "blocks": 2,
        "taken": True,
        **CHOICES.get(choice.rstrip("]"), {}),
    }
    if "world" in wanted and hasattr(module, "make_world"):
        offered["world"] = await module.make_world()
    elif "world" in wanted:
        points.watch(monkeypatch)
        offered["world"] = await World.create(points, lifetime_s=30)
    elif "points" in wanted:
        points.watch(monkeypatch)
    await defect.plant(monkeypatch)
    caught = ""
    try:
        async with asyncio.timeout(WITHIN_S):
            await test(**{key: offered[key] for key in wanted})
    except (AssertionError, ChainContradiction, DuplicateValue) as error:
        caught = repr(error)
    print(f"{defect.name} was caught: {caught[:160]}")
    assert caught, f"{defect.name} went unnoticed by {defect.caught_by[0]}"
