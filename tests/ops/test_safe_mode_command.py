"""`tron-payment safe-mode`: what it tells, and how a person ends it."""

from tests.conftest import Mongo
from tests.engine.test_restore import UNITS
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.engine import SafeMode, Unexplained
from tron_payment.operator.report import Exit
from tron_payment.operator.safe_mode import end, show

REASON = "the node was wrong, nothing was restored"


async def on(mongo: Mongo) -> World:
    """A world with an order, in a safe mode that begins because the chain went on without it."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    world.start()
    await world.tick(3)
    world.pass_time(200)
    world.start()
    await world.engine.place(world.wish("a", UNITS))
    await world.tick(2)
    assert await SafeMode.count() == 1
    return world


async def test_it_tells_why_and_until_when_and_a_person_ends_it(mongo: Mongo) -> None:
    world = await on(mongo)
    shown = await show(world.engine.safe_mode)
    assert shown.exit is Exit.FAILED and shown.data["why"] == "behind"
    assert shown.data["followed_to"] < shown.data["until"]
    assert "safe mode is on" in shown.lines[0] and "s more" in shown.lines[1]

    refused = await end(world.engine.safe_mode, " ")
    assert refused.exit is Exit.USAGE and await SafeMode.count() == 1
    assert (await end(world.engine.safe_mode, REASON)).data == {"on": False, "ended": True}
    assert world.alarms[-1] == ("safe_mode.ended", {"by": f"command-line: {REASON}"})
    shown = await show(world.engine.safe_mode)
    assert shown.exit is Exit.OK and not shown.data["on"]
    assert not (await end(world.engine.safe_mode, REASON)).data["ended"]


async def test_what_nobody_ordered_is_looked_at_first(mongo: Mongo) -> None:
    world = await on(mongo)
    await world.engine.safe_mode.note("ab" * 32, "TOwner", 7)
    report = await end(world.engine.safe_mode, REASON)
    assert report.exit is Exit.FAILED and "acknowledged first" in report.lines[0]
    assert await SafeMode.count() == 1 and await Unexplained.count() == 1
    assert "acknowledged: 1 (GET" in (await show(world.engine.safe_mode)).lines[-1]
    await world.engine.safe_mode.acknowledge("ab" * 32, "tom")
    assert (await end(world.engine.safe_mode, REASON)).exit is Exit.OK


async def test_a_claim_that_nobody_refutes_is_shown(mongo: Mongo) -> None:
    world = await on(mongo)
    heights = {"claimed_from": 1_000, "claimed_to": 1_050}
    await SafeMode.get_pymongo_collection().update_one({}, {"$set": heights})
    shown = await show(world.engine.safe_mode)
    assert shown.data["claimed_blocks"] == [1_000, 1_050]
    assert "blocks 1000 to 1050" in shown.lines[-1]
