"""The store is restored from an hour-old backup: nothing is paid again.

Some of its orders were paid since, some failed, some are still to be paid; others were asked for
after the backup and are unknown to it.
"""

from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.network import ROUTER
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, FINAL, World, assert_nothing_reserved
from tron_payment.engine import OrderStatus, SafeMode

HOUR_BLOCKS = 1_200
FEW_BLOCKS = 120
"""Six minutes: enough to be taken for a restore."""

UNITS = 5_000_000
PAID_SINCE = 500
"""Orders of the backup that are paid in the hour after it."""


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


Backup = dict[type[Any], list[dict[str, Any]]]


async def back_up() -> Backup:
    return {
        model: await model.get_pymongo_collection().find({}).to_list() for model in ALL_DOCUMENTS
    }


async def restore(backup: Backup) -> None:
    for model, rows in backup.items():
        await model.get_pymongo_collection().delete_many({})
        if rows:
            await model.get_pymongo_collection().insert_many(rows)


async def time_passes(world: World, blocks: int = FEW_BLOCKS) -> None:
    for _ in range(blocks // 50 + 1):
        world.pass_time(50)
        await world.process.run_dry()


async def test_a_thousand_orders_of_an_old_backup_are_each_paid_once(world: World) -> None:
    """Half of them are paid after the backup, among them many that are equal to others."""
    held: list[str] = []

    async def gate(orders: Any) -> dict[str, str]:
        return {o.id: "held" for o in orders if o.subject in held}

    names = [f"n{i}" for i in range(1_000)]
    held[:] = names
    world.engine.gate(gate)
    units = {name: 1_000 + index // 4 for index, name in enumerate(names)}
    await world.engine.place_many([world.wish(name, units[name]) for name in names])
    await world.tick(2)
    backup = await back_up()
    held[:] = names[PAID_SINCE:]
    await time_passes(world, HOUR_BLOCKS)
    assert (await world.engine.stats())["settled"] == PAID_SINCE
    paid_before = world.network.token[ALICE]
    await restore(backup)
    world.start()
    while await world.process.engine.dispatcher.step():
        pass
    assert await SafeMode.count() == 1
    signed_before = len(world.key.signed)
    world.pass_time(5)
    await world.process.run_dry()
    assert len(world.key.signed) == signed_before
    assert world.network.token[ALICE] == paid_before
    for _ in range(60):
        await world.tick()
        if await world.engine.stats() == {"settled": len(names)}:
            break
    assert await world.engine.stats() == {"settled": len(names)}
    assert await SafeMode.count() == 0
    assert world.network.token[ALICE] == sum(units.values())
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])


async def test_what_was_asked_for_after_the_backup_waits_for_a_human(world: World) -> None:
    """It was paid; the caller repeats it; nothing explains the first payment to the old store."""
    await world.tick(2)
    backup = await back_up()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.run_until_final("late")
    await time_passes(world)
    await restore(backup)
    world.start()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    while await world.process.engine.dispatcher.step():
        pass
    await world.process.run_dry()
    await world.tick(60)
    assert world.network.token[BOB] == UNITS
    order = await world.order("late")
    if order.status is not OrderStatus.SETTLED:
        assert order.waiting_for == "unexplained_transaction"
        (waiting,) = await world.engine.safe_mode.unexplained()
        await world.engine.cancel(order.id)
        assert await world.engine.safe_mode.acknowledge(waiting.id, "olga")
        assert not await world.engine.safe_mode.acknowledge(waiting.id, "olga")
    await world.engine.place(world.wish("next"))
    await world.run_until_final("next")
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()


async def test_a_repeat_that_comes_after_the_block_was_read_waits_for_a_human(
    world: World,
) -> None:
    await world.tick(2)
    backup = await back_up()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.run_until_final("late")
    await time_passes(world)
    await restore(backup)
    world.start()
    await world.tick(2)
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.tick(60)
    assert (await world.order("late")).waiting_for == "unexplained_transaction"
    assert world.network.token[BOB] == UNITS
    assert "transaction.unmatched" in {event for event, _ in world.alarms}


async def test_a_failure_since_the_backup_stays_a_failure(world: World) -> None:
    """The caller was told so and may have asked again under another key."""
    world.network.revert = lambda txid: True
    held = [True]

    async def gate(orders: Any) -> dict[str, str]:
        return {o.id: "held" for o in orders} if held[0] else {}

    world.engine.gate(gate)
    await world.engine.place(world.wish("a"))
    await world.tick(2)
    backup = await back_up()
    held[0] = False
    await world.run_until_final("a")
    assert (await world.order("a")).status is OrderStatus.FAILED
    await time_passes(world)
    world.network.revert = lambda txid: False
    await restore(backup)
    world.start()
    await world.tick(60)
    assert (await world.order("a")).status is OrderStatus.FAILED
    assert world.network.token[ALICE] == 0
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address])


async def test_a_service_that_was_down_for_a_while_goes_on_by_itself(world: World) -> None:
    await world.engine.place(world.wish("a"))
    world.pass_time(FEW_BLOCKS)
    world.start()
    await world.run_until_final("a", blocks=80)
    assert (await world.order("a")).status in FINAL
    assert {event for event, _ in world.alarms} == {"safe_mode.begun", "safe_mode.ended"}
    await world.assert_books_equal_chain()


async def test_a_human_may_end_it_early(world: World) -> None:
    await world.engine.place(world.wish("a"))
    world.pass_time(FEW_BLOCKS)
    world.start()
    await world.process.run_dry()
    assert await world.engine.safe_mode.end("tom")
    assert not await world.engine.safe_mode.end("tom")
    await world.run_until_final("a", blocks=12)
