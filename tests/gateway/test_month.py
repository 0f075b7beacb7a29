"""The books equal the chain after a month of mixed operations and deaths of the process."""

import logging
import os
import time

import pytest
import structlog

from tests.conftest import Mongo
from tests.gateway.month import MONTH_S, Shop, open_shop
from tests.gateway.test_exports import the_fees_are_those_of_the_books
from tests.gateway.test_reconciliation import run
from tests.gateway.world import World
from tron_payment.db.ledger import Balance

SEED = int(os.environ.get("MONTH_SEED", "20261121"))
OPERATIONS = int(os.environ.get("MONTH_OPERATIONS", "10000"))
SECONDS = float(os.environ.get("MONTH_SECONDS", "inf"))
"""A run that takes longer ends early: what was done until then is checked all the same."""

RECONCILED_EVERY = 4


async def month(gateway: World, mongo: Mongo, operations: int, rounds: int) -> None:
    """Live through it, and compare all along and in the end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    shop = await open_shop(mongo, gateway, SEED)
    began, reports = time.perf_counter(), 0
    try:
        with shop.mortality.patched():
            for number in range(rounds):
                await shop.round(operations // rounds, MONTH_S // rounds)
                if number % RECONCILED_EVERY == RECONCILED_EVERY - 1:
                    report = await run(shop.world)
                    assert report["balanced"] is True, report
                    reports += 1
                    took_s = time.perf_counter() - began
                    print(f"{number + 1} of {rounds} rounds: {took_s:.0f} s", flush=True)
                    if took_s > SECONDS:
                        break
            await shop.survive(shop.rest)
            await end(shop, reports, began)
    finally:
        await shop.stack.aclose()
        structlog.reset_defaults()


async def end(shop: Shop, reports: int, began: float) -> None:
    """What must be true on the last day, and a sun that is taken by hand."""
    world = shop.world
    assert await shop.wrong() == []
    report = await run(world)
    assert report["difference"] == {"TRX": "0", "USDT": "0"}, report
    assert report["unmatched"] == []
    fees = await the_fees_are_those_of_the_books(world)
    assert fees["network_fee"] > 0, fees
    print(
        f"\n{sum(shop.done.values())} operations done, {sum(shop.refused.values())} refused, "
        f"{shop.mortality.deaths} deaths in {shop.mortality.writes} writes, "
        f"{reports + 1} reports, {report['addresses']} addresses, "
        f"{time.perf_counter() - began:.0f} s\n{dict(shop.done)}\n{dict(shop.refused)}",
        flush=True,
    )
    key = f"{world.treasury}:available|TRX"
    await Balance.find_one({"_id": key}).update({"$inc": {"units": -1}})
    await world.tick()  # two reports of the same moment have no order
    found = await run(world)
    rows = found["rows"]
    assert isinstance(rows, list)
    wrong = [row for row in rows if row["difference"] != "0"]
    assert [(row["address"], row["currency"], row["difference"]) for row in wrong] == [
        (world.treasury, "TRX", "0.000001")
    ]


@pytest.mark.timeout(900)
async def test_the_books_equal_the_chain_after_some_busy_days(gateway: World, mongo: Mongo) -> None:
    await month(gateway, mongo, operations=100, rounds=4)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
async def test_the_books_equal_the_chain_after_a_month_of_ten_thousand_operations(
    gateway: World, mongo: Mongo
) -> None:
    await month(gateway, mongo, operations=OPERATIONS, rounds=40)
