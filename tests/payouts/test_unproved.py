"""TRX of contracts that nobody will ever prove is shown, and a human closes it, once."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from tests.conftest import Mongo
from tests.payouts.world import Pay, refusal, world
from tron_payment.engine import InternalVerdict

TXID, OTHER = "ab" * 32, "cd" * 32
REASON = {"reason": "the explorer does not have it; the node that told it is out"}


@pytest.fixture
async def house(mongo: Mongo) -> AsyncIterator[Pay]:
    async with world(mongo) as made:
        yield made


async def told(house: Pay, txid: str, block_number: int) -> InternalVerdict:
    now: datetime = house.world.clock.now()
    made = InternalVerdict(
        id=txid, block_number=block_number, told=["5 sun to T"], seen_at=now, looked_at=now
    )
    await made.insert()
    return made


async def test_a_human_closes_what_nobody_proves(house: Pay) -> None:
    await told(house, OTHER, 9)
    await told(house, TXID, 7)
    first, second = (await house.get("/policy/unproved")).json()
    assert (first["txid"], first["block_number"], first["told"]) == (TXID, 7, ["5 sun to T"])
    assert second["txid"] == OTHER
    assert await house.house.engine.internal.unproved() == 2

    path = f"/policy/unproved/{TXID}/accept"
    assert refusal(await house.post(path, REASON, role="operator"))[0] == 403
    assert (await house.post(path, {"reason": ""}, role="treasurer")).status_code == 422
    assert (await house.post(path, role="treasurer")).status_code in (400, 422)
    assert await house.house.engine.internal.unproved() == 2, "refused: nothing has changed"

    done = await house.post(path, REASON, role="treasurer", sub="tom")
    assert (done.status_code, [each["txid"] for each in done.json()]) == (200, [OTHER])
    again = await house.post(path, REASON, role="treasurer", sub="tim")
    assert refusal(again)[:2] == (404, "unproved_not_found")
    closed = await InternalVerdict.get(TXID)
    assert closed is not None and closed.accepted_by and closed.reason == REASON["reason"]
    assert await house.house.engine.internal.unproved() == 1


async def test_what_counts_by_now_cannot_be_closed(house: Pay) -> None:
    await (await told(house, TXID, 7)).set({"counted_in": 50, "proposal": "under way"})
    answer = await house.post(f"/policy/unproved/{TXID}/accept", REASON, role="treasurer")
    assert refusal(answer)[:2] == (404, "unproved_not_found")
