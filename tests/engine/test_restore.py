"""The store is restored from a backup, an hour or a few seconds old: nothing is paid again.

Some of its orders were paid since, some failed, some are still to be paid; others were asked for
after the backup and are unknown to it.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine.network import ROUTER
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, FINAL, World, assert_nothing_reserved
from tron_payment.chain import Cursor, MongoCursors, NodesUnavailable
from tron_payment.engine import OrderStatus, SafeMode
from tron_payment.engine.safe_mode import REWIND_BLOCKS_MAX

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


# ---- a backup that is too young to be seen by its age -----------------------------------------


async def held_until_backed_up(world: World, *names: str) -> tuple[Backup, list[bool]]:
    """Orders that a backup has unsigned; and the switch that lets them go afterwards."""
    held = [True]

    async def gate(orders: Any) -> dict[str, str]:
        return {o.id: "held" for o in orders} if held[0] else {}

    world.engine.gate(gate)
    await world.engine.place_many([world.wish(name, UNITS) for name in names])
    await world.tick(2)
    return await back_up(), held


async def it_ends_by_itself(world: World) -> None:
    """The next order is paid, a lifetime later."""
    await world.engine.place(world.wish("next", UNITS))
    await world.run_until_final("next", blocks=60)
    assert await SafeMode.count() == 0


async def begun_why() -> list[str]:
    return [mode.why for mode in await SafeMode.find_all().to_list()]


@pytest.mark.parametrize("blocks", [1, 2, 5, 30])
async def test_a_backup_of_any_age_is_noticed(world: World, blocks: int) -> None:
    """Three seconds to a minute and a half old; the last of its payments is not solidified."""
    names = ["a", "b", "c"]
    backup, held = await held_until_backed_up(world, *names)
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.process.run_dry()
    world.pass_time(blocks)
    if blocks > world.network.solid_lag:
        await world.process.run_dry()
    assert world.network.token[ALICE] == 3 * UNITS
    signed_before = len(world.key.signed)
    await restore(backup)
    world.start()
    while await world.process.engine.dispatcher.step():
        pass
    assert await begun_why() == ["forgotten"]
    for _ in range(60):
        await world.tick()
        if await world.engine.stats() == {"settled": 3}:
            break
    assert await world.engine.stats() == {"settled": 3}
    assert len(world.key.signed) == signed_before
    assert world.network.token[ALICE] == 3 * UNITS
    await it_ends_by_itself(world)
    assert world.network.token[ALICE] == 4 * UNITS
    await world.assert_books_equal_chain()
    await assert_nothing_reserved(world.ledger, [world.key.address, ROUTER])


async def test_what_a_young_backup_never_knew_waits_for_a_human(world: World) -> None:
    await world.tick(2)
    backup = await back_up()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.process.run_dry()
    world.pass_time()
    assert world.network.token[BOB] == UNITS
    await restore(backup)
    world.start()
    await world.engine.place(world.wish("late", UNITS, to=BOB))
    await world.tick(60)
    assert world.network.token[BOB] == UNITS
    assert (await world.order("late")).status is OrderStatus.SETTLED, "the repeat came in time"
    await world.assert_books_equal_chain()


async def test_a_store_that_goes_back_under_a_running_process_is_noticed(world: World) -> None:
    backup, held = await held_until_backed_up(world, "a", "b")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.tick(REWIND_BLOCKS_MAX + 7)
    assert await world.engine.stats() == {"settled": 2}
    await restore(backup)
    await world.process.run_dry()
    assert await begun_why() == ["rewound"]
    for _ in range(60):
        await world.tick()
    assert await world.engine.stats() == {"settled": 2}
    assert world.network.token[ALICE] == 2 * UNITS
    await it_ends_by_itself(world)
    await world.assert_books_equal_chain()


async def test_a_store_that_goes_back_by_a_block_is_compared_with_the_chain_again(
    world: World,
) -> None:
    """Too little to be told from a new primary, but a block has what the store has forgotten."""
    backup, held = await held_until_backed_up(world, "a", "b")
    held[0] = False
    world.clock.advance(timedelta(seconds=6))
    await world.tick(2)
    assert world.network.token[ALICE] == 2 * UNITS
    signed_before = len(world.key.signed)
    await restore(backup)
    await world.process.run_dry()
    assert await begun_why() == ["forgotten"]
    await world.tick(60)
    assert await world.engine.stats() == {"settled": 2}
    assert len(world.key.signed) == signed_before
    assert world.network.token[ALICE] == 2 * UNITS
    await it_ends_by_itself(world)
    await world.assert_books_equal_chain()


async def test_a_new_primary_that_is_a_moment_behind_is_no_reason_to_stop(world: World) -> None:
    await world.engine.place(world.wish("a", UNITS))
    await world.tick(2)
    rows = {Cursor: await Cursor.get_pymongo_collection().find({}).to_list()}
    await world.tick(3)
    later = {Cursor: await Cursor.get_pymongo_collection().find({}).to_list()}
    await restore(rows)
    at = await MongoCursors().load()
    assert at is not None
    assert await world.engine.safe_mode.why_not_sign(at) == ""
    await restore(later)
    await world.engine.place(world.wish("b", UNITS))
    await world.run_until_final("a", "b")
    assert world.alarms == []
    await world.assert_books_equal_chain()


async def test_a_backup_that_was_itself_in_safe_mode_is_given_the_whole_time(world: World) -> None:
    """Its document's time was over long ago; the restore begins a new one."""
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(FEW_BLOCKS)
    world.start()
    await world.process.run_dry()
    (old,) = await SafeMode.find_all().to_list()
    backup = await back_up()
    await time_passes(world, 300)
    await world.tick(40)
    assert world.network.token[ALICE] == UNITS
    await restore(backup)
    world.start()
    await world.process.run_dry()
    (new,) = await SafeMode.find_all().to_list()
    assert new.until_ms >= world.network.tip.timestamp_ms + 60_000 > old.until_ms
    await world.tick(60)
    assert await world.engine.stats() == {"settled": 1}
    assert world.network.token[ALICE] == UNITS
    await world.assert_books_equal_chain()


async def test_a_service_that_was_killed_and_started_again_knows_its_own(world: World) -> None:
    """Its payments in blocks that are not solidified are no reason to stop."""
    await world.engine.place_many([world.wish(name, UNITS) for name in ("a", "b", "c")])
    for _ in range(4):
        await world.tick()
        world.start()
    await world.engine.place(world.wish("d", UNITS))
    await world.run_until_final("a", "b", "c", "d", blocks=12)
    assert world.alarms == []
    await world.assert_books_equal_chain()


async def test_a_node_that_keeps_a_block_back_delays_the_first_signature(world: World) -> None:
    """Nothing is signed before every block up to the head has been looked at."""
    await world.engine.place(world.wish("a", UNITS))
    world.pass_time(3)
    node = world.nodes[0]
    world.start()
    node.lag = lambda: 2 if world.network.tip.number % 2 else 0  # the head, and then not the block
    node.away = True
    for _ in range(2):
        with suppress(NodesUnavailable):
            await world.process.engine.dispatcher.step()
    assert world.key.signed == []
    assert (await world.order("a")).waiting_for.startswith("node")
    node.away, node.lag = False, lambda: 0
    world.clock.advance(timedelta(minutes=1))  # the node has rested
    await world.run_until_final("a", blocks=20)
    assert world.network.token[ALICE] == UNITS
