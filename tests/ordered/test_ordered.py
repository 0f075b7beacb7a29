"""What an order carries follows it: by its version only, late or twice does no harm."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from pymongo import IndexModel

from tron_payment import chain, engine
from tron_payment.core.address import address_of
from tron_payment.engine import Order, OrderStatus
from tron_payment.engine import documents as orders
from tron_payment.http.paging import InvalidFilter
from tron_payment.ordered import (
    LIFECYCLE,
    OrderedDocument,
    OrderedStatus,
    follow_orders,
    ordered_indexes,
    showing,
    shown,
    status_of,
)
from tron_payment.ordered.documents import swept, unswept

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ALICE, BOB = (address_of(bytes([n]) * 20) for n in (1, 2))


class Thing(OrderedDocument):
    """Something that an order carries, with a field that it has only while it moves."""

    live: str | None = None

    class Settings:
        name = "things"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = ordered_indexes()


def thing(**fields: Any) -> Thing:
    told = {
        "id": "thg_1",
        "principal": "somebody",
        "wallet_id": "wal_1",
        "signer": ALICE,
        "max_fee_sun": 1,
        "order_id": "ord_1",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Thing(**(told | fields))


def order(status: OrderStatus, version: int) -> Order:
    return Order(
        id="ord_1",
        module="things",
        kind="thing",
        subject="thg_1",
        wallet_id="wal_1",
        signer=ALICE,
        contract=orders.contract_document(chain.Transfer(ALICE, BOB, 1)),
        permission_id=0,
        expects=[],
        spends=[],
        max_fee_sun=1,
        rank=1,
        status=status,
        version=version,
        due_at=orders.AT_ONCE,
        created_at=NOW,
        updated_at=NOW,
    )


def test_every_status_of_an_order_has_one_here_and_every_status_a_row() -> None:
    assert {status_of(each) for each in OrderStatus} == set(OrderedStatus)
    assert LIFECYCLE.finals == {"settled", "failed", "canceled"}
    assert shown(OrderedStatus.SIGNED, None) == "signed"
    assert shown(OrderedStatus.SIGNED, NOW) == "broadcast"
    assert shown(OrderedStatus.SETTLED, NOW) == "settled"


def test_statuses_are_filtered_as_they_are_shown() -> None:
    assert showing([]) == {}
    assert showing(["queued", "broadcast"]) == {
        "$or": [{"status": "queued"}, {"status": "signed", "sent_at": {"$ne": None}}]
    }
    with pytest.raises(InvalidFilter):
        showing(["reserved"])


async def test_only_a_newer_version_of_the_order_changes_anything(mongo: Any) -> None:
    await mongo.connect([*engine.DOCUMENTS, Thing])
    await thing(live="one at a time").insert()
    await follow_orders(Thing, [order(OrderStatus.SIGNED, 3)], NOW, ("live",))
    seen = await Thing.get("thg_1")
    assert (seen.status, seen.order_version, seen.live) == ("signed", 3, "one at a time")
    await follow_orders(Thing, [order(OrderStatus.QUEUED, 2)], NOW, ("live",))
    assert (await Thing.get("thg_1")).status == "signed", "an old version came late"
    for _ in range(2):
        await follow_orders(Thing, [order(OrderStatus.CANCELED, 4)], NOW, ("live",))
    ended = await Thing.get("thg_1")
    assert (ended.status, ended.order_version, ended.live) == ("canceled", 4, None)


async def test_only_old_queued_objects_are_swept(mongo: Any) -> None:
    await mongo.connect([*engine.DOCUMENTS, Thing])
    await thing(sweep_at=NOW).insert()
    await thing(id="thg_2", order_id="ord_2", sweep_at=NOW, status=OrderedStatus.SIGNED).insert()
    assert await unswept(Thing, NOW - timedelta(seconds=1)) == []
    assert [each.id for each in await unswept(Thing, NOW)] == ["thg_1"]
    await swept(Thing, ["thg_1"])
    assert await unswept(Thing, NOW) == []
