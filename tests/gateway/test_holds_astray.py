"""What is set aside is what open orders hold: the chain cannot tell one pocket from the other."""

from typing import Any

import pytest

from tests.gateway.test_reconciliation import run
from tests.gateway.test_waiting import process
from tests.gateway.world import World
from tron_payment.db.ledger import Balance
from tron_payment.engine import Order
from tron_payment.gateway import hold_documents
from tron_payment.gateway.documents import Payment

UNITS = 1_000_000_000


async def shifted(world: World, units: int) -> None:
    """Somebody who can write to the store moves the treasury's USDT between its pockets."""
    rows = Balance.get_pymongo_collection()
    for pocket, more in (("available", units), ("reserved", -units)):
        name = f"{world.treasury}:{pocket}"
        await rows.update_one(
            {"_id": f"{name}|USDT"},
            {"$inc": {"units": more}, "$set": {"account": name, "asset": "USDT", "seq": 0}},
            upsert=True,
        )


@pytest.fixture
async def order(gateway: World) -> Any:
    """An order whose bytes are sent and not in a block yet."""
    answer = await process(gateway, "is-on-its-way-to-carol", kind="usdt")
    assert answer.status_code == 202, answer.text
    await gateway.work()
    payment = await Payment.find_one({"_id": answer.json()["payment_id"]})
    assert payment is not None and payment.order_id is not None
    found = await gateway.house.engine.find(payment.order_id)
    assert found.status == "signed" and found.held
    return found


@pytest.mark.parametrize("units", [UNITS, -UNITS])
async def test_units_that_went_from_one_pocket_to_the_other_are_told(
    gateway: World, units: int
) -> None:
    assert (await run(gateway))["balanced"] is True
    await shifted(gateway, units)
    await gateway.tick()
    report: Any = await run(gateway)
    assert (report["balanced"], report["difference"]["USDT"]) == (False, "1000")
    (row,) = [each for each in report["rows"] if each["pocket"] == "reserved"]
    assert (row["address"], row["currency"]) == (gateway.treasury, "USDT")
    await shifted(gateway, -units)
    await gateway.tick()
    assert (await run(gateway))["balanced"] is True


async def test_what_an_open_order_holds_is_in_order_and_nothing_beside_it(
    gateway: World, order: Any
) -> None:
    assert await hold_documents.astray(gateway.house.ledger) == []
    await shifted(gateway, 1)
    (found,) = await hold_documents.astray(gateway.house.ledger)
    assert found.held_units - found.reserved_units == 1


async def test_what_was_set_aside_by_a_process_that_died_before_it_said_so_is_in_order(
    gateway: World, order: Any
) -> None:
    await Order.get_pymongo_collection().update_one(
        {"_id": order.id}, {"$set": {"status": "queued", "holds": []}}
    )
    assert await hold_documents.astray(gateway.house.ledger) == []


async def test_what_has_ended_and_is_not_given_back_yet_is_in_order(
    gateway: World, order: Any
) -> None:
    orders = Order.get_pymongo_collection()
    ended = {"$set": {"status": "failed", "books_open": True}}
    await orders.update_one({"_id": order.id}, ended)
    assert await hold_documents.astray(gateway.house.ledger) == []
    await orders.update_one({"_id": order.id}, {"$set": {"books_open": False}})
    assert {each.asset for each in await hold_documents.astray(gateway.house.ledger)} == {
        "TRX",
        "USDT",
    }


async def test_of_an_address_with_too_many_open_orders_nothing_is_said(
    gateway: World, order: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shifted(gateway, 1)
    monkeypatch.setattr(hold_documents, "ORDERS_MAX", 1)
    assert await hold_documents.astray(gateway.house.ledger) == []
