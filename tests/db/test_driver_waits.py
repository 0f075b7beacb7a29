"""Whoever waits for a connection and is canceled, even twice, leaves the pool to the others."""

import asyncio
import random
from typing import Any

import pytest
from pymongo.asynchronous import pool
from pymongo.lock import _async_create_condition, _async_create_lock

from tests.conftest import Mongo
from tron_payment.db import driver_waits
from tron_payment.db.connect import open_store

ROUNDS = 12
CALLERS = 30
WEDGED_S = 60
"""Nobody who gets a connection at all takes as long."""


async def rounds(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("between", range(4))
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_the_lock_is_kept_by_who_has_it_and_is_free_then(
    times: int, between: int, after: int
) -> None:
    driver_waits.mend()
    lock = _async_create_lock()
    condition = _async_create_condition(lock)

    async def wait() -> None:
        async with condition:
            await getattr(pool, driver_waits.REPLACED)(condition, 600.0)

    waiter = asyncio.create_task(wait())
    await rounds()
    async with lock:  # somebody checks a connection in
        for _ in range(times):
            await rounds(between)
            waiter.cancel()
        await rounds(after)
        assert lock.locked() and not waiter.done()
    await rounds()
    assert waiter.cancelled() and not lock.locked()


async def test_who_is_notified_holds_the_lock_and_who_is_too_late_says_so() -> None:
    driver_waits.mend()
    condition = _async_create_condition(_async_create_lock())
    wait = getattr(pool, driver_waits.REPLACED)

    async def notify() -> None:
        async with condition:
            condition.notify()

    async with condition:
        notifying = asyncio.create_task(notify())
        assert await wait(condition, 600.0) and condition.locked()
        await rounds()
        assert await wait(condition, 0.001) is False and condition.locked()
    await notifying
    assert not condition.locked()


async def test_a_pool_serves_on_after_its_callers_were_canceled_twice(mongo: Mongo) -> None:
    """They all want new connections, of which the driver makes two at a time."""
    chance = random.Random(7)
    for _ in range(ROUNDS):
        store = await open_store(mongo.uri, mongo.database, [])
        rows = store.database["nothing"]

        async def ask(rows: Any = rows) -> None:
            await rows.find_one({"_id": 1})

        try:
            callers = [asyncio.create_task(ask()) for _ in range(CALLERS)]
            await rounds(chance.randrange(1, 12))
            await asyncio.sleep(chance.random() * 0.004)
            for _ in range(2):
                for caller in callers:
                    caller.cancel()
                await rounds(chance.randrange(3))
            _, left = await asyncio.wait(callers, timeout=WEDGED_S)
            assert not left
            async with asyncio.timeout(WEDGED_S):
                await ask()
        finally:
            await store.close()
