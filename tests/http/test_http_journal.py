"""Whatever is accepted is in the audit log once, wherever the process dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from beanie import Document
from http_world import NOW, anchor, bearer, serve
from litestar import delete, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from pymongo.asynchronous.collection import AsyncCollection

from tron_payment.core.clock import ManualClock
from tron_payment.core.errors import Conflict
from tron_payment.db.acts import describe, has_effect
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.cas import insert_once
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.group import GroupInsert
from tron_payment.http.api_keys import ApiKey, ApiKeys, KeyRequest
from tron_payment.http.authentication import Authenticator
from tron_payment.http.idempotency import Idempotency, IdempotencyKey, StoredRequest, canonical
from tron_payment.http.idempotency import respond as stored_response
from tron_payment.http.journal import RECOVER_AFTER, WITHDRAWN, Journal, PendingAct
from tron_payment.http.principals import Principal, Role

WRITES = (
    *("insert_one", "insert_many", "update_one", "update_many", "bulk_write"),
    *("find_one_and_update", "delete_one", "delete_many"),
)
POINTS_MAX = 30
STEPS_MAX = 20
ANN = bearer(sub="ann", role="operator", exp=4_000_000_000)
KEY = {"Idempotency-Key": "the-key-of-this-test"}


class Crash(BaseException):
    """The process is killed here."""


class Fuse:
    """Dies before or after the n-th write, and everything after it too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.after, self.burnt = -1, False, False
        for name in WRITES:
            monkeypatch.setattr(AsyncCollection, name, self._around(getattr(AsyncCollection, name)))

    def _around(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def watched(*args: Any, **kwargs: Any) -> Any:
            if self.burnt:
                raise Crash
            self.left -= 1
            if self.left == 0:
                self.burnt = True
                if self.after:
                    await real(*args, **kwargs)
                raise Crash
            return await real(*args, **kwargs)

        return watched

    def light(self, point: int, after: bool) -> None:
        self.left, self.after, self.burnt = point, after, False

    def out(self) -> None:
        self.left, self.burnt = -1, False


class Thing(Document):
    """What a request makes."""

    id: str  # type: ignore[assignment]

    class Settings:
        name = "things"


class Taken(Conflict, code="already_there"):
    """It exists."""


@dataclass
class Process:
    """One life of the service."""

    audit: Audit
    journal: Journal
    idempotency: Idempotency
    client: httpx.AsyncClient
    clock: ManualClock

    async def post(self, path: str, **headers: str) -> int:
        answer = await self.client.post(path, headers=ANN | headers)
        return answer.status_code

    async def settle(self) -> None:
        """What the loop does until it finds nothing more."""
        for _ in range(STEPS_MAX):
            if not await self.journal.step():
                return
        raise AssertionError("the journal never comes to rest")


REFUSE: dict[str, bool] = {}


@post("/keyed", status_code=202, opt={"permission": "payout:create", "audit": "request"})
async def keyed(
    principal: NamedDependency[Principal],
    idempotency: NamedDependency[Idempotency],
    idempotency_key: IdempotencyKey,
) -> Any:
    """A thing under a key."""
    thing = idempotency.object_id("thg", principal.id, idempotency_key)

    async def effect() -> None:
        if REFUSE.get("keyed"):
            raise Taken
        await insert_once(Thing(id=thing))

    answer = await idempotency.run(
        principal_id=principal.id,
        key=idempotency_key,
        operation="things.make",
        content=canonical({}),
        answer=(202, canonical({"id": thing})),
        effect=effect,
        object_ids=[thing],
    )
    return stored_response(answer, dict)


@post("/plain/{name:str}", status_code=200, opt={"permission": "payout:create"})
async def plain(name: FromPath[str]) -> dict[str, str]:
    """A thing without a key, which tells nobody."""
    if REFUSE.get("plain"):
        raise Taken
    await insert_once(Thing(id=name))
    describe(action="thing.make", after={"made": 1})
    return {}


@post("/noted/{name:str}", status_code=200, opt={"permission": "payout:create"})
async def noted(
    name: FromPath[str], principal: NamedDependency[Principal], audit: NamedDependency[Audit]
) -> dict[str, str]:
    """A thing without a key, whose service writes its entry itself."""
    await insert_once(Thing(id=name))
    act = Act(actor=principal.id, role=principal.role.value, action="thing.note", object_id=name)
    await audit.append(act)
    return {}


@post("/late/{name:str}", status_code=200, opt={"permission": "payout:create"})
async def late(name: FromPath[str]) -> dict[str, str]:
    """Too late to be done now: it is noted, comes true later, and is refused for now."""
    describe(action="thing.late")
    has_effect()
    await insert_once(Thing(id=name))
    raise Taken


@delete("/plain/{name:str}", status_code=204, opt={"permission": "payout:create"})
async def remove(name: FromPath[str]) -> None:
    """Take it away."""
    await Thing.find_one({"_id": name}).delete()


@get("/plain", opt={"permission": "payout:read"})
async def look() -> dict[str, str]:
    return {}


@post("/estimate", status_code=200, opt={"permission": "payout:read", "audit": "none"})
async def estimate() -> dict[str, str]:
    return {}


@pytest.fixture
async def store(mongo: Any) -> Any:
    REFUSE.clear()
    return await mongo.connect([AuditEntry, StoredRequest, PendingAct, Thing, ApiKey])


@asynccontextmanager
async def alive(clock: ManualClock | None = None) -> AsyncIterator[Process]:
    clock = clock or ManualClock(NOW)
    audit, inserts = Audit(clock), GroupInsert()
    journal = Journal(audit, clock, inserts)
    idempotency = Idempotency(b"s" * 32, clock, inserts, journal=journal)
    async with serve(
        [keyed, plain, noted, late, remove, look, estimate],
        clock=clock,
        authenticator=Authenticator(anchor(clock), keys=ApiKeys(clock)),
        journal=journal,
        dependencies={
            "audit": Provide(lambda: audit, sync_to_thread=False),
            "idempotency": Provide(lambda: idempotency, sync_to_thread=False),
        },
    ) as world:
        yield Process(audit, journal, idempotency, world.client, clock)


def request_id(path: str) -> str:
    return "request" + path.replace("/", "-")


async def entries() -> list[AuditEntry]:
    return await AuditEntry.find_all().sort("+seq").to_list()


async def test_a_keyed_request_leaves_one_entry_and_a_replay_none(store: Any) -> None:
    async with alive() as life:
        assert await life.post("/keyed", **KEY, **{"X-Request-ID": "req-of-ann-1"}) == 202
        assert await life.journal.pending() == (1, 0.0)
        await life.settle()
        assert await life.post("/keyed", **KEY) == 202
        await life.settle()
        assert await life.journal.pending() == (0, 0.0)
        (entry,) = await entries()
        (thing,) = await Thing.find_all().to_list()
        assert (entry.actor, entry.role, entry.action) == ("ann", "operator", "things.make")
        assert (entry.object_id, entry.request_id) == (thing.id, "req-of-ann-1")
        assert entry.route == "POST /keyed" and entry.at == NOW
        assert entry.after is not None and len(entry.after["request_hash"]) == 64
        assert await life.audit.verify() is None


@pytest.mark.parametrize("path", ["/plain/a", "/noted/a"])
async def test_a_request_without_a_key_leaves_its_entry_before_its_answer(
    store: Any, path: str
) -> None:
    async with alive() as life:
        assert await life.post(path, **{"X-Request-ID": "req-of-ann-2"}) == 200
        (entry,) = await entries()
        assert entry.action == ("thing.make" if "plain" in path else "thing.note")
        assert (entry.actor, entry.role, entry.object_id) == ("ann", "operator", "a")
        assert entry.request_id == "req-of-ann-2" and entry.route.startswith("POST /")
        await life.settle()
        assert await PendingAct.count() == 0 and len(await entries()) == 1


async def test_what_a_key_does_under_a_persons_name_is_told_from_the_person(store: Any) -> None:
    """Whoever made the key chose the name."""
    root, second = (Principal(id=n, role=Role.ADMIN, permissions=frozenset()) for n in "ab")
    async with alive() as life:
        keys = ApiKeys(life.clock)
        wish = KeyRequest(label="x", principal="ann", role=Role.OPERATOR, scopes=["payout:create"])
        key, secret = await keys.create(wish, root)
        await keys.approve(key.id, second)
        before = len(await entries())
        for path, status in (("/keyed", 202), ("/plain/a", 200), ("/noted/b", 200)):
            answer = await life.client.post(path, headers={"X-API-Key": secret} | KEY)
            assert answer.status_code == status, answer.text
            assert await life.post(path, **{"Idempotency-Key": "another-key-of-ann"}) == status
            await life.settle()
        told = [(entry.actor, entry.api_key) for entry in (await entries())[before:]]
        assert told == [("ann", key.id), ("ann", "")] * 3
        assert await life.audit.verify() is None


async def test_every_request_that_was_answered_well_has_its_own_entry(store: Any) -> None:
    """A hundred at once, by three kinds of routes."""
    async with alive() as life:
        paths = [f"/{kind}/{n}" for n in range(33) for kind in ("plain", "noted")]
        keys = [f"one-of-many-keys-{n}" for n in range(34)]
        answers = await asyncio.gather(
            *(life.post(path, **{"X-Request-ID": request_id(path)}) for path in paths),
            *(life.post("/keyed", **{"Idempotency-Key": k, "X-Request-ID": k}) for k in keys),
        )
        assert set(answers) == {200, 202}
        await life.settle()
        found = [entry.request_id for entry in await entries()]
        assert sorted(found) == sorted([*map(request_id, paths), *keys])
        assert await life.audit.verify() is None


async def test_what_reads_or_is_refused_leaves_nothing(store: Any) -> None:
    REFUSE.update(keyed=True, plain=True)
    async with alive() as life:
        assert await life.post("/keyed", **KEY) == 409
        assert await life.post("/plain/a") == 409
        assert await life.post("/keyed") in (400, 422)
        assert await life.post("/estimate") == 200
        assert (await life.client.get("/plain", headers=ANN)).status_code == 200
        assert (await life.client.post("/plain/a")).status_code == 401
        await life.settle()
        assert await entries() == []
        assert await PendingAct.count() == 0 and await StoredRequest.count() == 0


async def test_a_refusal_of_which_something_comes_all_the_same_is_in_the_log(store: Any) -> None:
    async with alive() as life:
        assert await life.post("/late/a") == 409
        (entry,) = await entries()
        assert (entry.actor, entry.action, entry.object_id) == ("ann", "thing.late", "a")
        await life.settle()
        assert len(await entries()) == 1 and await PendingAct.count() == 0


async def test_a_log_that_cannot_be_written_now_delays_the_entry_not_the_answer(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alive() as life:
        real = life.audit.append

        async def away(act: Act) -> Any:
            raise StoreUnavailable("away")

        monkeypatch.setattr(life.audit, "append", away)
        assert await life.post("/plain/a") == 200
        monkeypatch.setattr(life.audit, "append", real)
        await life.settle()
        assert await entries() == []
        life.clock.advance(RECOVER_AFTER + timedelta(seconds=1))
        await life.settle()
        (entry,) = await entries()
        assert entry.object_id == "a" and entry.after == {"outcome": "unknown"}


@pytest.mark.parametrize("after", [False, True], ids=["before a write", "after a write"])
@pytest.mark.parametrize("path", ["/keyed", "/plain/a", "/noted/a"])
async def test_killed_at_any_write_no_entry_is_lost_and_none_is_there_twice(
    store: Any, monkeypatch: pytest.MonkeyPatch, path: str, after: bool
) -> None:
    fuse, headers = Fuse(monkeypatch), KEY if path == "/keyed" else {}
    for point in range(1, POINTS_MAX):
        for model in (AuditEntry, StoredRequest, PendingAct, Thing):
            await model.get_pymongo_collection().delete_many({})
        clock = ManualClock(NOW)
        async with alive(clock) as life:
            fuse.light(point, after)
            with contextlib.suppress(Crash, StoreUnavailable):
                await life.post(path, **headers)
                await life.settle()
            survived = not fuse.burnt
            fuse.out()
        clock.advance(RECOVER_AFTER + timedelta(seconds=1))
        async with alive(clock) as life:
            await life.settle()
            made, found = await Thing.count(), await entries()
            accepted = made or (path == "/keyed" and await StoredRequest.count())
            assert len(found) == 1 if accepted else len(found) <= 1, (point, found)
            if path == "/keyed":
                assert await life.post(path, **headers) == 202
                await life.settle()
                assert len(await entries()) == await Thing.count() == 1, point
            assert await PendingAct.count() == 0 and await life.journal.pending() == (0, 0.0)
            assert await life.audit.verify() is None
        if survived:
            return
    raise AssertionError("it never came through")


async def test_a_refusal_after_the_recovery_is_an_entry_of_its_own(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was accepted, the process died, the log says so; then a repeat was refused."""
    fuse, clock = Fuse(monkeypatch), ManualClock(NOW)
    async with alive(clock) as life:
        fuse.light(2, after=False)  # the record is stored, its effect is not
        with contextlib.suppress(Crash, StoreUnavailable):
            await life.post("/keyed", **KEY)
        fuse.out()
    assert (await StoredRequest.count(), await Thing.count()) == (1, 0)
    clock.advance(RECOVER_AFTER + timedelta(seconds=1))
    REFUSE["keyed"] = True
    async with alive(clock) as life:
        await life.settle()
        assert await life.post("/keyed", **KEY) == 409
        first, second = await entries()
        assert (first.action, second.action) == ("things.make", WITHDRAWN)
        assert second.before == {"entry_id": first.id} and second.object_id == first.object_id
        assert await StoredRequest.count() == 0


async def test_what_the_dead_have_left_is_found_while_requests_keep_coming(store: Any) -> None:
    clock = ManualClock(NOW)
    async with alive(clock) as dead:
        assert await dead.post("/keyed", **KEY) == 202
        assert await dead.post("/plain/a") == 200  # neither is taken over by its own process
    clock.advance(RECOVER_AFTER + timedelta(seconds=1))
    async with alive(clock) as life:
        for number in range(3):
            assert (
                await life.post("/keyed", **{"Idempotency-Key": f"another-key-{number:08}"}) == 202
            )
            await life.journal.step()
        assert await life.journal.pending() == (0, 0.0)
        assert len(await entries()) == 5 and await PendingAct.count() == 0


async def test_processes_that_recover_at_the_same_time_write_one_entry(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(NOW)
    async with alive(clock) as dead:
        assert await dead.post("/keyed", **KEY) == 202
        assert await dead.post("/plain/a") == 200  # neither is taken over by its own process
    clock.advance(RECOVER_AFTER + timedelta(seconds=1))
    async with alive(clock) as one, alive(clock) as two:
        await asyncio.gather(one.settle(), two.settle())
        assert sorted(each.action for each in await entries()) == ["thing.make", "things.make"]
        assert await one.journal.pending() == (0, 0.0)
        assert await one.audit.verify() is None
