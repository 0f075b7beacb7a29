"""What nobody here ordered is shown, and a human who may answers for it."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Mongo
from tests.payouts.world import Pay, refusal, world

TXID = "ab" * 32


@pytest.fixture
async def house(mongo: Mongo) -> AsyncIterator[Pay]:
    async with world(mongo) as made:
        yield made


async def test_a_human_acknowledges_what_nothing_explains(house: Pay) -> None:
    await house.house.engine.safe_mode.note(TXID, "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC", 7)
    path = f"/policy/unexplained/{TXID}/acknowledge"
    (row,) = (await house.get("/policy/unexplained")).json()
    assert (row["txid"], row["block_number"]) == (TXID, 7)
    assert refusal(await house.post(path, role="operator"))[0] == 403
    done = await house.post(path, role="treasurer", sub="tom")
    assert (done.status_code, done.json()) == (200, [])
    again = await house.post(path, role="treasurer", sub="tom")
    assert refusal(again)[:2] == (404, "unexplained_not_found")
