"""A repeated request happens once: at once, later, after a crash, and from many sides."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from beanie import Document
from http_world import NOW, bearer, serve
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Conflict, Unavailable
from tron_payment.db.cas import insert_once
from tron_payment.db.group import GroupInsert
from tron_payment.http.forgetting import forget_about, forget_old
from tron_payment.http.idempotency import (
    ANSWER_BYTES_MAX,
    RETENTION,
    AnswerTooLarge,
    Idempotency,
    IdempotencyKey,
    InFlight,
    KeyExpired,
    KeyReused,
    MaybeIdempotencyKey,
    StoredRequest,
    canonical,
    required_key,
    respond,
)
from tron_payment.http.limits import KeyInvalid
from tron_payment.http.principals import Principal
from tron_payment.http.twins import UNDER_WAY_MAX

SECRET = b"s" * 32
KEY = "key-of-the-client-1"


class Thing(Document):
    """What the effect makes."""

    id: str  # type: ignore[assignment]
    content: str

    class Settings:
        name = "things"


class Taken(Conflict, code="merchant_reference_taken"):
    """Taken."""


@pytest.fixture
async def store(mongo):
    return await mongo.connect([StoredRequest, Thing])


def idempotency(clock: ManualClock | None = None, **options: Any) -> Idempotency:
    return Idempotency(SECRET, clock or ManualClock(NOW), GroupInsert(), **options)


class Client:
    """Sends one kind of request; counts how often the effect ran."""

    def __init__(self, idem: Idempotency) -> None:
        self.idem = idem
        self.effects = 0
        self.refuse: Exception | None = None
        self.die = False

    async def send(self, content: str = "a", *, key: str = KEY, who: str = "user-1", **more: Any):
        thing = self.idem.object_id("thg", who, key)

        async def effect() -> None:
            self.effects += 1
            if self.die:
                raise SystemError("killed")
            if self.refuse:
                raise self.refuse
            await insert_once(Thing(id=thing, content=content))

        return await self.idem.run(
            principal_id=who,
            key=key,
            operation=more.get("operation", "things.make"),
            content=canonical({"content": content}),
            answer=(202, canonical({"id": thing, "nr": self.effects})),
            effect=effect,
            object_ids=[thing],
        )


async def test_a_repeat_gets_the_first_answer_and_makes_nothing(store) -> None:
    client = Client(idempotency())
    first = await client.send()
    again = await client.send()
    assert (first.replayed, again.replayed) == (False, True)
    assert (first.status, first.body) == (again.status, again.body)
    assert await Thing.count() == 1
    found = await client.idem.find(
        principal_id="user-1",
        key=KEY,
        operation="things.make",
        content=canonical({"content": "a"}),
    )
    assert found == again


async def test_other_content_or_another_operation_is_refused(store) -> None:
    client = Client(idempotency())
    await client.send("a")
    with pytest.raises(KeyReused):
        await client.send("b")
    with pytest.raises(KeyReused):
        await client.send("a", operation="things.destroy")
    assert (await client.send("a")).replayed
    assert await Thing.count() == 1


async def test_the_same_key_of_another_principal_is_another_request(store) -> None:
    client = Client(idempotency())
    mine = await client.send("a")
    other = await client.send("b", who="user-2")
    assert not other.replayed and json.loads(other.body)["id"] != json.loads(mine.body)["id"]
    # The bounds of principal and key cannot be shifted.
    assert client.idem.object_id("req", "a", "bc") != client.idem.object_id("req", "ab", "c")


@pytest.mark.parametrize("moment", ["before the effect", "in the middle", "after the effect"])
async def test_a_process_that_dies_neither_repeats_nor_blocks(store, moment: str) -> None:
    client = Client(idempotency())
    client.die = moment != "after the effect"
    if moment == "after the effect":
        await client.send()
    else:
        with pytest.raises(SystemError):
            await client.send()
    if moment == "in the middle":
        thing = client.idem.object_id("thg", "user-1", KEY)
        await insert_once(Thing(id=thing, content="a"))

    restarted = Client(idempotency())
    answer = await restarted.send()
    assert (answer.status, answer.replayed) == (202, True)
    assert json.loads(answer.body)["nr"] == 0
    assert await Thing.count() == 1 and await StoredRequest.count() == 1


async def test_a_refusal_is_not_remembered(store) -> None:
    client = Client(idempotency())
    client.refuse = Taken()
    with pytest.raises(Taken):
        await client.send("a")
    assert await StoredRequest.count() == 0
    client.refuse = None
    assert not (await client.send("b")).replayed


async def test_an_unknown_outcome_is_remembered(store) -> None:
    client = Client(idempotency())
    client.refuse = Unavailable()
    with pytest.raises(Unavailable):
        await client.send("a")
    client.refuse = None
    with pytest.raises(KeyReused):
        await client.send("b")
    assert (await client.send("a")).replayed
    assert await Thing.count() == 1


@pytest.mark.parametrize("processes", [1, 4])
async def test_a_hundred_at_once_have_one_effect_and_equal_answers(store, processes) -> None:
    clients = [Client(idempotency()) for _ in range(processes)]
    answers = await asyncio.gather(*(clients[n % processes].send() for n in range(100)))
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await Thing.count() == 1 and await StoredRequest.count() == 1
    assert sum(client.effects for client in clients) <= processes


async def test_a_hundred_different_ones_at_once_win_once(store) -> None:
    client = Client(idempotency())
    answers = await asyncio.gather(
        *(client.send(f"content {n}") for n in range(100)), return_exceptions=True
    )
    assert sum(isinstance(answer, KeyReused) for answer in answers) == 99
    assert await Thing.count() == 1


async def test_waiting_for_the_first_ends_with_409(store) -> None:
    client = Client(idempotency(in_flight_wait_s=0.05))
    release = asyncio.Event()

    async def slow() -> None:
        await release.wait()

    content = canonical({"content": "a"})
    same: dict[str, Any] = {
        "principal_id": "u",
        "key": KEY,
        "operation": "o",
        "content": content,
        "answer": (202, b"{}"),
    }
    first = asyncio.create_task(client.idem.run(**same, effect=slow))
    await asyncio.sleep(0.02)
    with pytest.raises(InFlight) as refused:
        await client.idem.run(**same, effect=slow)
    assert refused.value.status == 409 and refused.value.retryable
    assert refused.value.retry_after_s == 1
    release.set()
    assert not (await first).replayed


async def test_those_who_waited_for_a_refused_one_try_for_themselves(store) -> None:
    client = Client(idempotency())
    client.refuse = Taken()
    answers = await asyncio.gather(*(client.send() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(answer, Taken) for answer in answers)
    assert await StoredRequest.count() == 0 and client.idem._running == {}


async def test_after_its_time_a_key_is_refused_and_never_pays_again(store) -> None:
    clock = ManualClock(NOW)
    client = Client(idempotency(clock))
    await client.send()
    assert not await forget_old(clock.now())
    clock.advance(RETENTION + timedelta(seconds=1))
    with pytest.raises(KeyExpired):
        await client.send()
    assert await forget_old(clock.now())
    assert not await forget_old(clock.now())
    (record,) = await StoredRequest.find_all().to_list()
    assert record.forgotten and record.body == b""
    with pytest.raises(KeyExpired):
        await client.send()
    assert await Thing.count() == 1


async def test_the_answers_about_some_things_are_forgotten_at_once(store) -> None:
    client = Client(idempotency())
    await client.send()
    (record,) = await StoredRequest.find_all().to_list()
    await forget_about([])
    await forget_about(["another"])
    assert (await client.send()).replayed
    await forget_about(["another", *record.object_ids])
    with pytest.raises(KeyExpired):
        await client.send()
    assert await Thing.count() == 1


async def test_an_answer_that_is_too_large_to_keep_is_refused_before_anything_is_done(
    store,
) -> None:
    client = Client(idempotency())
    for size, code in ((ANSWER_BYTES_MAX + 1, "answer_too_large"), (ANSWER_BYTES_MAX, None)):
        wanted = {
            "principal_id": "shop",
            "key": KEY,
            "operation": "things.make",
            "content": b"{}",
            "answer": (202, b" " * size),
            "effect": lambda: insert_once(Thing(id="thing", content="x")),
        }
        if code is None:
            await client.idem.run(**wanted)
            continue
        with pytest.raises(AnswerTooLarge) as refused:
            await client.idem.run(**wanted)
        assert (refused.value.status, refused.value.code) == (422, code)
        assert await StoredRequest.count() == await Thing.count() == 0
    assert await Thing.count() == 1


@pytest.mark.parametrize("key", ["", "short", "k" * 15, "k" * 256, "with a space in it"])
async def test_a_key_has_a_form(key: str) -> None:
    with pytest.raises(KeyInvalid):
        await Client(idempotency()).send(key=key)


def test_content_is_compared_without_its_order() -> None:
    assert canonical({"a": 1, "b": {"d": 1, "c": 2}}) == canonical({"b": {"c": 2, "d": 1}, "a": 1})


class Wish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: str
    dry_run: bool = False


class Made(msgspec.Struct):
    id: str
    amount: str


def handlers(idem: Idempotency):
    async def make(principal: Principal, key: str, wish: Wish, operation: str) -> Response[Made]:
        thing = idem.object_id("thg", principal.id, key)

        async def effect() -> None:
            await insert_once(Thing(id=thing, content=wish.amount))

        answer = await idem.run(
            principal_id=principal.id,
            key=key,
            operation=operation,
            content=canonical(wish),
            answer=(202, msgspec.json.encode(Made(id=thing, amount=wish.amount))),
            effect=effect,
        )
        return respond(answer, Made)

    @post(
        ["/api/v1/things", "/things"],
        status_code=202,
        opt={"permission": "payout:create", "idempotent": True},
    )
    async def strict(
        data: JSONBody[Wish],
        idempotency_key: IdempotencyKey,
        principal: NamedDependency[Principal],
    ) -> Response[Made]:
        return await make(principal, idempotency_key, data, "things.make")

    @post("/other", status_code=202, opt={"permission": "payout:create"})
    async def dry(
        data: JSONBody[Wish],
        principal: NamedDependency[Principal],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[Made]:
        key = required_key(idempotency_key, dry_run=data.dry_run)
        if data.dry_run:
            return Response(Made(id="", amount=data.amount), status_code=200)
        return await make(principal, key, data, "things.other")

    return [strict, dry]


async def test_over_http(store) -> None:
    idem = idempotency()
    keyed = bearer() | {"Idempotency-Key": KEY}
    wish = {"amount": "1"}
    async with serve(handlers(idem)) as world:
        send = world.client.post
        first = await send("/api/v1/things", json=wish, headers=keyed)
        again = await send("/things", json=wish, headers=keyed)
        assert first.status_code == again.status_code == 202
        assert first.content == again.content
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["content-type"] == "application/json"

        other = await send("/other", json=wish, headers=keyed)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        changed = await send("/things", json={"amount": "2"}, headers=keyed)
        assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")

        missing = await send("/things", json={"wrong": 1}, headers=bearer())
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
        assert missing.json()["param"] == "Idempotency-Key"
        short = await send(
            "/things", json={"wrong": 1}, headers=bearer() | {"Idempotency-Key": "k"}
        )
        assert (short.status_code, short.json()["code"]) == (400, "idempotency_key_invalid")
        assert "16 to 255 characters, yours has " in short.json()["detail"]

        dry = await send("/other", json=wish | {"dry_run": True}, headers=bearer())
        assert dry.status_code == 200
        wet = await send("/other", json=wish, headers=bearer())
        assert (wet.status_code, wet.json()["code"]) == (400, "idempotency_key_missing")

        answers = await asyncio.gather(
            *(
                send("/things", json=wish, headers=bearer(sub="user-9") | {"Idempotency-Key": KEY})
                for _ in range(100)
            )
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert await Thing.count() == 2


@pytest.mark.parametrize("refusal", [InFlight, Taken])
async def test_a_late_refusal_takes_back_only_its_own_acceptance(store, refusal) -> None:
    """Three processes: the first is refused, the second saw the first, the third is accepted.

    To the second, the first may be at it still, unless it was accepted long ago.
    """
    later = NOW + (UNDER_WAY_MAX if refusal is Taken else timedelta())
    first, third = (Client(idempotency()) for _ in range(2))
    second = Client(idempotency(ManualClock(later)))
    gates = {client: asyncio.Event() for client in (first, second)}

    def run(client: Client):
        async def effect() -> None:
            if gate := gates.get(client):
                await gate.wait()
                raise Taken()

        return client.idem.run(
            principal_id="u",
            key=KEY,
            operation="o",
            content=b"{}",
            answer=(202, b"{}"),
            effect=effect,
        )

    a = asyncio.create_task(run(first))
    while not await StoredRequest.count():
        await asyncio.sleep(0.01)
    b = asyncio.create_task(run(second))
    await asyncio.sleep(0.1)
    gates[first].set()
    with pytest.raises(Taken):
        await a
    accepted = await run(third)
    gates[second].set()
    with pytest.raises(refusal):
        await b
    assert not accepted.replayed and await StoredRequest.count() == 1


async def test_the_key_is_in_the_document() -> None:
    async with serve(handlers(idempotency())) as world:
        document = (await world.client.get("/schema", headers=bearer())).json()
    found = {}
    for path in ("/things", "/other"):
        (parameter,) = document["paths"][path]["post"]["parameters"]
        assert (parameter["name"], parameter["in"]) == ("Idempotency-Key", "header")
        found[path] = parameter["required"]
    assert found == {"/things": True, "/other": False}
