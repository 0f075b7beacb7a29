"""What an owner makes of an endpoint stands, whatever is under way to it or parked for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.gateway.receiver import Receiver, receiving
from tests.gateway.test_webhooks import ENDPOINTS, backlog, deliver, endpoint
from tests.gateway.world import API, World, again
from tron_payment.db.faults import StoreUnavailable
from tron_payment.gateway import deliveries
from tron_payment.gateway import webhook_documents as store
from tron_payment.gateway import webhook_queue_documents as queue
from tron_payment.gateway.deliveries import GIVE_UP_AFTER
from tron_payment.gateway.webhook_documents import Delivery, EndpointStatus, WebhookEndpoint


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def change(world: World, endpoint_id: str, **body: Any) -> None:
    headers = world.bearer("merchant", "shop-1")
    path = f"{API}{ENDPOINTS}/{endpoint_id}"
    answer = await world.http.put(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def once_before(
    monkeypatch: pytest.MonkeyPatch, name: str, doing: Callable[[], Awaitable[None]]
) -> list[bool]:
    """Let this happen just before the first call of a query."""
    real, met = getattr(store, name), list[bool]()

    async def late(*arguments: Any) -> Any:
        if not met:
            met.append(True)
            await doing()
        return await real(*arguments)

    monkeypatch.setattr(store, name, late)
    return met


@pytest.mark.parametrize("how", ["url", "enabled"])
@pytest.mark.parametrize(("status", "failed_for"), [(410, 0), (500, 80), (500, 10)])
async def test_an_answer_that_was_under_way_says_nothing_of_what_its_owner_has_repaired(
    gateway: World,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    status: int,
    failed_for: int,
) -> None:
    made = await endpoint(gateway, receiver)
    its, receiver.status = made["webhook_endpoint_id"], status
    began = gateway.clock.now() - timedelta(hours=failed_for)
    if failed_for:
        await store.write_endpoint(its, {"failing_since": began, "failures": 3})
    await gateway.work()
    await Delivery.insert_many(backlog(its, 1, gateway.clock.now()))

    async def repair() -> None:
        receiver.status = 204
        gateway.clock.skew += timedelta(seconds=1)
        body = {"url": receiver.url + "/new"} if how == "url" else {"enabled": True}
        await change(gateway, its, **body)

    met = once_before(monkeypatch, "note_attempt", repair)
    await deliver(gateway)
    assert met and len(receiver.got) == 1
    row = await WebhookEndpoint.get(its)
    assert row is not None and row.status is EndpointStatus.ENABLED
    if how == "enabled":
        assert (row.failures, row.failing_since) == (0, None)
    else:
        assert row.failures == (3 if failed_for else 0), "as it was before the old place answered"
    gateway.clock.skew += timedelta(minutes=20)
    await deliver(gateway)
    assert len(receiver.got) == 2
    assert await Delivery.find({"status": "delivered"}).count() == 1


async def test_it_is_switched_off_by_what_is_tried_after_its_owner_has_changed_it(
    gateway: World, receiver: Receiver
) -> None:
    made = await endpoint(gateway, receiver)
    its, receiver.status = made["webhook_endpoint_id"], 500
    began = gateway.clock.now() - GIVE_UP_AFTER
    await store.write_endpoint(its, {"failing_since": began, "failures": 1})
    await change(gateway, its, url=receiver.url + "/new")
    await gateway.invoice("25")
    await deliver(gateway)
    row = await WebhookEndpoint.get(its)
    assert row is not None and row.status is EndpointStatus.DISABLED


async def test_what_its_owner_parks_while_he_switches_the_endpoint_on_is_sent(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Off is written, on comes in whole, and only then off parks."""
    its = (await endpoint(gateway, receiver))["webhook_endpoint_id"]
    await Delivery.insert_many(backlog(its, 3, gateway.clock.now()))

    async def on() -> None:
        await change(gateway, its, enabled=True)

    met = once_before(monkeypatch, "park", on)
    await change(gateway, its, enabled=False)
    assert met and await Delivery.find({"status": "pending"}).count() == 3
    await deliver(gateway)
    assert await Delivery.find({"status": "delivered"}).count() == 3


@pytest.mark.parametrize("how", ["park", "on"])
async def test_what_is_parked_by_somebody_who_dies_then_is_sent_by_the_next_process(
    gateway: World,
    mongo: Mongo,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """He dies before he wakes what he has parked, or what was parked when it was switched on."""
    its = (await endpoint(gateway, receiver))["webhook_endpoint_id"]
    await deliver(gateway)
    await Delivery.insert_many(backlog(its, 3, gateway.clock.now()))

    async def dies(*_: Any) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as dying:
        dying.setattr(store, "unpark", dies)
        if how == "park":
            with pytest.raises(StoreUnavailable):
                await store.park_while_off(its, gateway.clock.now())
        else:
            await change(gateway, its, enabled=False)
            headers = gateway.bearer("merchant", "shop-1")
            path = f"{API}{ENDPOINTS}/{its}"
            answer = await gateway.http.put(path, json={"enabled": True}, headers=headers)
            assert answer.status_code == 503
    row = await WebhookEndpoint.get(its)
    assert row is not None and row.status is EndpointStatus.ENABLED
    assert await Delivery.find({"status": "parked"}).count() == 3
    await deliver(gateway)
    assert receiver.got == [], "it is looked for seldom"
    async with again(mongo, gateway) as process:
        await deliver(process)
    assert await Delivery.find({"status": "delivered"}).count() == 3


async def test_what_is_parked_is_looked_for_piece_by_piece_and_left_where_it_is_off(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LOOKED_AT", 2)
    monkeypatch.setattr(deliveries, "WAKE_EVERY_S", 0.0)
    made = [await gateway.post(ENDPOINTS, {"url": receiver.url}, sub=f"s-{n}") for n in range(5)]
    *off, on = sorted(each.json()["webhook_endpoint_id"] for each in made)
    await deliver(gateway)
    for each in off:
        await store.write_endpoint(each, {"status": EndpointStatus.DISABLED.value})
    for each in (*off, on):
        rows = backlog(each, 30, gateway.clock.now(), status="parked")
        await Delivery.insert_many(rows)
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.deliver"]
    for _ in range(2):
        await loop.step()
        assert receiver.got == []
    await deliver(gateway)
    assert await Delivery.find({"endpoint_id": on, "status": "delivered"}).count() == 30
    assert await Delivery.find({"status": "parked"}).count() == 30 * len(off)


async def test_what_is_parked_is_found_by_one_look_for_each_endpoint(gateway: World) -> None:
    for number in range(3):
        rows = backlog(f"whk_{number}", 300, gateway.clock.now(), status="parked")
        await Delivery.insert_many(rows)
    rows = Delivery.get_pymongo_collection()
    await rows.database.command({"profile": 2})
    try:
        assert await queue.endpoints_with_parked("whk_0", 100) == ["whk_1", "whk_2"]
        assert await queue.endpoints_with_parked("", 1) == ["whk_0"]
    finally:
        await rows.database.command({"profile": 0})
    profile = rows.database["system.profile"].find({"ns": f"{rows.database.name}.{rows.name}"})
    looked = [each["keysExamined"] async for each in profile if "keysExamined" in each]
    assert len(looked) == 2 and max(looked) <= 4, looked
