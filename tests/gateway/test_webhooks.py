"""Webhooks out: signed, in order, again and again; nothing goes where it must not."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

from tests.gateway.receiver import Message, Receiver, receiving
from tests.gateway.world import API, World
from tron_payment.gateway import deliveries
from tron_payment.gateway import webhook_documents as store
from tron_payment.gateway import webhook_queue_documents as queue
from tron_payment.gateway.deliveries import AT_ONCE_PER_LANE, LANES_PER_PRINCIPAL
from tron_payment.gateway.webhook_documents import Delivery, EndpointStatus, WebhookEndpoint
from tron_payment.gateway.webhook_urls import WebhookUrlRefused, check_url

ENDPOINTS = "/payments/webhook-endpoints"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


async def endpoint(world: World, receiver: Receiver, **more: Any) -> Any:
    answer = await world.post(ENDPOINTS, {"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def deliver(world: World) -> None:
    """Send everything that is due."""
    await world.work()
    (loop,) = [each for each in world.assembly.loops.all if each.name == "gateway.deliver"]
    for _ in range(50):
        if not await loop.step():
            return
    raise AssertionError("something is due for ever")


def verified(message: Message, secret: str, world: World, monkeypatch: Any) -> Any:
    """What the reference verifier of Standard Webhooks reads, at the world's time."""
    from standardwebhooks import webhooks

    now = world.clock.now()

    class Then(webhooks.datetime):  # type: ignore[misc, name-defined]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now.astimezone(tz)

    monkeypatch.setattr(webhooks, "datetime", Then)
    return Webhook(secret).verify(message.body, message.headers)


async def test_the_reference_verifier_accepts_what_we_send(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await endpoint(gateway, receiver)
    invoice = await gateway.invoice("25")
    await deliver(gateway)
    (message,) = receiver.got
    content = verified(message, made["secret"], gateway, monkeypatch)
    assert (content["type"], content["sequence"]) == ("payment.created", 1)
    assert content["data"]["payment_id"] == invoice["payment_id"] == content["object_id"]
    assert content["id"] == message.headers["webhook-id"]
    altered = Message(message.path, message.headers, message.body.replace(b'"25"', b'"26"'))
    with pytest.raises(WebhookVerificationError):
        verified(altered, made["secret"], gateway, monkeypatch)
    signed = f"{content['id']}.{message.headers['webhook-timestamp']}.".encode() + message.body
    public = base64.b64decode(made["public_key"].removeprefix("whpk_"))
    (second,) = [s for s in message.headers["webhook-signature"].split() if s.startswith("v1a,")]
    signature = base64.b64decode(second.removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)


async def test_after_a_rotation_both_secrets_hold_for_a_day(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await endpoint(gateway, receiver)
    rotated = await gateway.post(f"{ENDPOINTS}/{made['webhook_endpoint_id']}/rotate-secret", {})
    new = rotated.json()["secret"]
    assert new != made["secret"]
    await gateway.invoice("25")
    await deliver(gateway)
    verified(receiver.got[-1], made["secret"], gateway, monkeypatch)
    verified(receiver.got[-1], new, gateway, monkeypatch)
    gateway.clock.skew = timedelta(hours=25)
    await gateway.invoice("25")
    await deliver(gateway)
    verified(receiver.got[-1], new, gateway, monkeypatch)
    with pytest.raises(WebhookVerificationError):
        verified(receiver.got[-1], made["secret"], gateway, monkeypatch)


async def test_a_receiver_that_is_down_for_a_day_gets_everything_once_in_order(
    gateway: World, receiver: Receiver
) -> None:
    await endpoint(gateway, receiver)
    receiver.status = 503
    invoices = [await gateway.invoice("25") for _ in range(3)]
    for invoice in invoices:
        await gateway.post(f"/payments/{invoice['payment_id']}/cancel", {})
    for hours in range(0, 24, 2):
        gateway.clock.skew = timedelta(hours=hours)
        await deliver(gateway)
    receiver.got.clear()
    receiver.status = 200
    gateway.clock.skew = timedelta(hours=40)
    await deliver(gateway)
    contents = [json.loads(message.body) for message in receiver.got]
    for invoice in invoices:
        mine = [c for c in contents if c["object_id"] == invoice["payment_id"]]
        assert [(c["sequence"], c["type"]) for c in mine] == [
            (1, "payment.created"),
            (2, "payment.canceled"),
        ]
    assert len(contents) == 6
    stored = await WebhookEndpoint.find_one()
    assert stored is not None and (stored.failures, stored.failing_since) == (0, None)


async def test_an_endpoint_that_fails_for_three_days_is_switched_off_and_can_come_back(
    gateway: World, receiver: Receiver
) -> None:
    made = await endpoint(gateway, receiver)
    path = f"{ENDPOINTS}/{made['webhook_endpoint_id']}"
    receiver.status = 500
    await gateway.invoice("25")
    for hours in range(0, 100, 4):
        gateway.clock.skew = timedelta(hours=hours)
        await deliver(gateway)
    shown = (await gateway.get(path)).json()
    assert (shown["status"], bool(shown["reason"])) == ("disabled", True)
    events = (await gateway.get("/payments/events?limit=100")).json()["data"]
    assert events[-1]["type"] == "webhook_endpoint.disabled"
    receiver.status, known = 200, len(receiver.got)
    await gateway.invoice("30")
    await deliver(gateway)
    assert len(receiver.got) == known
    headers = gateway.bearer("merchant", "shop-1")
    back = await gateway.http.put("/api/v1" + path, json={"enabled": True}, headers=headers)
    assert back.json()["status"] == "enabled"
    await gateway.invoice("35")
    await deliver(gateway)
    assert len(receiver.got) > known


async def test_deliveries_are_listed_and_can_be_sent_again(
    gateway: World, receiver: Receiver
) -> None:
    made = await endpoint(gateway, receiver)
    path = f"{ENDPOINTS}/{made['webhook_endpoint_id']}/deliveries"
    await gateway.invoice("25")
    await deliver(gateway)
    (row,) = (await gateway.get(path)).json()["data"]
    assert (row["status"], row["attempts"][0]["status_code"]) == ("delivered", 204)
    again = await gateway.post(f"{path}/{row['delivery_id']}/redeliver", {})
    assert again.status_code == 202
    await deliver(gateway)
    assert len(receiver.got) == 2
    first, second = receiver.got
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    missing = await gateway.post(f"{path}/dlv_nothing/redeliver", {})
    assert missing.status_code == 404


async def test_only_the_asked_types_of_the_own_objects_come(
    gateway: World, receiver: Receiver
) -> None:
    await endpoint(gateway, receiver, types=["payment.canceled"])
    await gateway.invoice("25")
    invoice = await gateway.invoice("25")
    await gateway.post(f"/payments/{invoice['payment_id']}/cancel", {})
    await gateway.post(
        "/payments/process",
        {"kind": "invoice", "amount": "7", "currency": "USDT"},
        sub="shop-2",
    )
    await deliver(gateway)
    assert [json.loads(m.body)["type"] for m in receiver.got] == ["payment.canceled"]


async def test_redirects_are_not_followed(gateway: World, receiver: Receiver) -> None:
    await endpoint(gateway, receiver)
    receiver.status, receiver.location = 302, receiver.url + "/elsewhere"
    await gateway.invoice("25")
    await deliver(gateway)
    assert [message.path for message in receiver.got] == ["/hook"]
    (delivery,) = await Delivery.find_all().to_list()
    assert (delivery.status, delivery.log[0].status_code) == ("pending", 302)


async def test_endpoints_are_their_owners(gateway: World, receiver: Receiver) -> None:
    made = await endpoint(gateway, receiver)
    path = f"{ENDPOINTS}/{made['webhook_endpoint_id']}"
    assert (await gateway.get(path)).json()["secret"] is None
    assert (await gateway.get(path, sub="shop-2")).status_code == 404
    assert (await gateway.get(ENDPOINTS, sub="shop-2")).json()["data"] == []
    assert len((await gateway.get(ENDPOINTS)).json()["data"]) == 1
    headers = gateway.bearer("merchant", "shop-1")
    gone = await gateway.http.delete("/api/v1" + path, headers=headers)
    assert gone.status_code == 204
    assert (await gateway.get(path)).status_code == 404
    wide = await gateway.post(ENDPOINTS, {"url": receiver.url, "everything": True})
    assert wide.json()["code"] == "not_your_events"


async def test_events_can_be_pulled_instead(gateway: World) -> None:
    invoices = [await gateway.invoice("25") for _ in range(3)]
    await gateway.work()
    first = (await gateway.get("/payments/events?limit=2")).json()
    assert (len(first["data"]), first["has_more"]) == (2, True)
    rest = (await gateway.get(f"/payments/events?cursor={first['next_cursor']}")).json()
    assert (len(rest["data"]), rest["has_more"]) == (1, False)
    ids = [each["object_id"] for each in (*first["data"], *rest["data"])]
    assert sorted(ids) == sorted(each["payment_id"] for each in invoices)
    nothing = (await gateway.get(f"/payments/events?cursor={rest['next_cursor']}")).json()
    assert (nothing["data"], nothing["next_cursor"]) == ([], rest["next_cursor"])
    assert (await gateway.get("/payments/events", sub="shop-2")).json()["data"] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://10.0.0.1/",
        "https://shop/",
        "https://localhost/",
        "https://db.internal/",
        "https://printer.local/",
        "https://shop.example:8443/",
        "https://user:pw@shop.example/",
        "https://shop.example@10.0.0.1/",
        "https://shop.example\\@10.0.0.1/",
        "https://shop.example/#part",
        "https://pay.example/",
        "https://api.pay.example/",
        "https://shop.example./",
        "https://shöp.example/",
        "https://short.onion/",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "https://",
        "//shop.example/",
        "https://shop.example:99999/",
        "https://shop.example/\r\nX-Evil: 1",
    ],
)
def test_places_that_a_webhook_never_goes_to(url: str) -> None:
    with pytest.raises(WebhookUrlRefused):
        check_url(url, denied=("pay.example",))
    with pytest.raises(WebhookUrlRefused):
        check_url(url, denied=("pay.example",), allow_loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook?x=1",
        "https://shop.example:443/",
        "https://xn--shp-sna.example/",
        f"https://{'a2' * 28}.onion/hook",
        f"http://{'a2' * 28}.onion:8080/hook",
    ],
)
def test_places_that_it_may_go_to(url: str) -> None:
    check_url(url, denied=("pay.example",))


def test_loopback_is_for_the_development_mode() -> None:
    check_url("http://127.0.0.1:9000/hook", allow_loopback=True)
    with pytest.raises(WebhookUrlRefused):
        check_url("http://127.0.0.1:9000/hook")


async def test_the_age_of_the_oldest_undelivered_one_is_a_figure(
    gateway: World, receiver: Receiver
) -> None:
    """What the alert `WebhooksStuck` looks at."""
    (module,) = [each for each in gateway.assembly.modules if each.name == "gateway"]
    assert module.stats is not None
    assert (await module.stats())["webhooks"] == {"oldest_seconds": 0}
    await endpoint(gateway, receiver)
    receiver.status = 503
    await gateway.invoice("25")
    await deliver(gateway)
    gateway.clock.skew = timedelta(minutes=15)
    age = (await module.stats())["webhooks"]["oldest_seconds"]
    assert 900 <= age < 960
    receiver.status = 200
    await deliver(gateway)
    assert (await module.stats())["webhooks"] == {"oldest_seconds": 0}


@pytest.mark.parametrize("how", ["update", "rotate", "delete"])
async def test_a_deleted_endpoint_stays_deleted_whatever_comes_at_the_same_time(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A deletion comes between the look and the write of another request."""
    made = await endpoint(gateway, receiver)
    path = f"/payments/webhook-endpoints/{made['webhook_endpoint_id']}"
    headers = gateway.bearer("merchant", "shop-1")
    write, met = store.write_endpoint, []

    async def late(*arguments: Any) -> bool:
        if not met:
            met.append(True)
            answer = await gateway.http.delete(API + path, headers=headers)
            assert answer.status_code == 204
        return await write(*arguments)

    monkeypatch.setattr(store, "write_endpoint", late)
    if how == "update":
        answer = await gateway.http.put(API + path, json={"enabled": True}, headers=headers)
    elif how == "rotate":
        answer = await gateway.post(f"{path}/rotate-secret", None)
    else:
        answer = await gateway.http.delete(API + path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "webhook_endpoint_not_found")
    (row,) = await WebhookEndpoint.find().to_list()
    assert (row.status, row.generation) == (EndpointStatus.DELETED, 1)
    await gateway.invoice("25")
    await deliver(gateway)
    assert receiver.got == []


@pytest.mark.parametrize("status", [204, 410, 500])
async def test_an_answer_to_what_was_under_way_does_not_bring_a_deleted_one_back(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    made = await endpoint(gateway, receiver)
    path = f"/payments/webhook-endpoints/{made['webhook_endpoint_id']}"
    receiver.status = status
    note, met = store.note_attempt, []

    async def late(*arguments: Any) -> Any:
        if not met:
            met.append(True)
            answer = await gateway.http.delete(
                API + path, headers=gateway.bearer("merchant", "shop-1")
            )
            assert answer.status_code == 204
        return await note(*arguments)

    monkeypatch.setattr(store, "note_attempt", late)
    await gateway.invoice("25")
    await deliver(gateway)
    assert met and len(receiver.got) == 1
    (row,) = await WebhookEndpoint.find().to_list()
    assert row.status is EndpointStatus.DELETED
    told = (await gateway.get("/payments/events")).json()["data"]
    assert "webhook_endpoint.disabled" not in {each["type"] for each in told}


@asynccontextmanager
async def slow_receiver() -> AsyncIterator[Receiver]:
    """A server that takes everything and answers nothing before the end."""
    receiver, ended = Receiver(), asyncio.Event()
    handle = receiver.handle

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        await handle(reader, writer)

    server = await asyncio.start_server(late, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        ended.set()
        server.close()


def backlog(endpoint_id: str, count: int, now: datetime, **same: Any) -> list[Delivery]:
    """What waits for one endpoint, each about an object of its own."""
    return [
        Delivery(
            **{
                "id": f"dlv_{endpoint_id}_{n}",
                "endpoint_id": endpoint_id,
                "event_id": f"evt_{n}",
                "event_seq": n + 1,
                "type": "payment.paid",
                "object_id": f"inv_{n}",
                "object_seq": 1,
                "body": b"{}",
                "next_at": now - timedelta(hours=1),
                "since": now,
                "created_at": now,
            }
            | same
        )
        for n in range(count)
    ]


async def test_who_has_much_to_hear_and_answers_late_keeps_nobody_elses_webhooks(
    gateway: World, receiver: Receiver
) -> None:
    """Not by what waits for it, nor by what is under way to it."""
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.deliver"]
    (module,) = [each for each in gateway.assembly.modules if each.name == "gateway"]
    async with slow_receiver() as slow:
        many = [
            await gateway.post(ENDPOINTS, {"url": slow.url}, sub="big")
            for _ in range(LANES_PER_PRINCIPAL + 2)
        ]
        ids = [each.json()["webhook_endpoint_id"] for each in many]
        for each in ids:
            await Delivery.insert_many(backlog(each, 400, gateway.clock.now()))
        assert await loop.step() is True, "it is under way"
        under_way = await Delivery.find({"next_at": {"$gt": gateway.clock.now()}}).to_list()
        assert len({each.endpoint_id for each in under_way}) == LANES_PER_PRINCIPAL
        assert len(under_way) == LANES_PER_PRINCIPAL * AT_ONCE_PER_LANE
        await endpoint(gateway, receiver)
        for number in range(1, 4):
            await gateway.invoice("25")
            await gateway.work()
            await loop.step()
            assert (len(receiver.got), slow.got) == (number, [])
        assert module.stop is not None
        await module.stop()


async def test_endpoints_take_turns_when_there_are_more_than_lanes(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "LANES_MAX", 2)
    monkeypatch.setattr(deliveries, "SLOW_S", -1.0)  # everybody gives the lane back at once
    monkeypatch.setattr(queue, "DUE_MAX", 1)
    (loop,) = [each for each in gateway.assembly.loops.all if each.name == "gateway.deliver"]
    made = [await gateway.post(ENDPOINTS, {"url": receiver.url}, sub=f"s-{n}") for n in range(5)]
    ids = sorted(each.json()["webhook_endpoint_id"] for each in made)
    for each in ids:
        await Delivery.insert_many(backlog(each, 3, gateway.clock.now()))
    served: list[str] = []
    for _ in range(5):
        await loop.step()
        rows = await Delivery.find({"status": "delivered"}).to_list()
        served += sorted({each.endpoint_id for each in rows} - set(served))
    assert served == ids, "each had its turn before anybody had the third one"
    counts = [await Delivery.find({"endpoint_id": e, "status": "delivered"}).count() for e in ids]
    assert counts == [2] * 5


async def test_what_is_due_is_found_by_one_look_for_each_endpoint(gateway: World) -> None:
    """However much waits there."""
    now = gateway.clock.now()
    for number in range(3):
        await Delivery.insert_many(backlog(f"whk_{number}", 300, now))
    late = backlog("whk_3", 5, now, next_at=now + timedelta(seconds=1))
    await Delivery.insert_many(late)
    rows = Delivery.get_pymongo_collection()
    await rows.database.command({"profile": 2})
    try:
        assert await queue.endpoints_with_due(now) == ["whk_0", "whk_1", "whk_2"]
        assert len(await queue.due_for("whk_1", now)) == queue.DUE_MAX
    finally:
        await rows.database.command({"profile": 0})
    profile = rows.database["system.profile"].find({"ns": f"{rows.database.name}.{rows.name}"})
    looked = [each["keysExamined"] async for each in profile if "keysExamined" in each]
    assert looked and max(looked) <= queue.DUE_MAX + 1, looked


@pytest.mark.parametrize("status", [204, 500])
async def test_one_ping_waits_for_an_endpoint_and_a_further_one_is_that_one(
    gateway: World, receiver: Receiver, status: int
) -> None:
    made = await endpoint(gateway, receiver)
    path = f"{ENDPOINTS}/{made['webhook_endpoint_id']}/ping"
    first = (await gateway.post(path, {})).json()["delivery_id"]
    assert {(await gateway.post(path, {})).json()["delivery_id"] for _ in range(3)} == {first}
    receiver.status = status
    await deliver(gateway)
    assert (await Delivery.count(), len(receiver.got)) == (1, 1)
    again = (await gateway.post(path, {})).json()["delivery_id"]
    assert (again == first) is (status == 500), "one that has arrived is over"
    await deliver(gateway)
    assert len(receiver.got) == 2, "and it is tried at once, whatever its pause is"


async def test_pings_of_an_older_release_wait_for_each_other(
    gateway: World, receiver: Receiver
) -> None:
    """A failure of one held no other back: each second of 400 was one try."""
    made = await endpoint(gateway, receiver)
    its = made["webhook_endpoint_id"]
    same = {"object_id": its, "event_seq": 0, "type": "webhook_endpoint.ping"}
    await Delivery.insert_many(backlog(its, 40, gateway.clock.now(), **same))
    receiver.status = 500
    for _ in range(4):
        await deliver(gateway)
        gateway.clock.skew += timedelta(seconds=1)
    assert len(receiver.got) == 1


async def test_what_is_parked_while_its_owner_switches_the_endpoint_on_is_sent(
    gateway: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender has read that it is off, and parks after its owner has woken what was parked."""
    made = await endpoint(gateway, receiver)
    path = f"{API}{ENDPOINTS}/{made['webhook_endpoint_id']}"

    async def switch(on: bool) -> int:
        headers = gateway.bearer("merchant", "shop-1")
        answer = await gateway.http.put(path, json={"enabled": on}, headers=headers)
        return int(answer.status_code)

    assert await switch(False) == 200
    await Delivery.insert_many(backlog(made["webhook_endpoint_id"], 3, gateway.clock.now()))
    real = store.park
    switched: list[int] = []

    async def park(endpoint_id: str) -> None:
        if not switched:
            switched.append(await switch(True))
        await real(endpoint_id)

    monkeypatch.setattr(store, "park", park)
    for _ in range(3):
        await deliver(gateway)
    assert switched == [200]
    assert await Delivery.find({"status": "delivered"}).count() == 3
