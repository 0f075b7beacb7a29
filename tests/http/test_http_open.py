"""Open requests are bounded, for all and for each source; probes are answered in any case."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from http_world import bearer, serve
from litestar import Request, get
from prometheus_client import CollectorRegistry

from tron_payment.http import front
from tron_payment.http.exchange import exchange_of
from tron_payment.http.health import health_router

HERE, THERE = "198.51.100.1", "203.0.113.7"
MOST = 3
WITHIN_S = 20


class Waiting:
    """Requests that wait until they are released."""

    def __init__(self) -> None:
        self.open = 0
        self.release = asyncio.Event()

        @get("/wait", opt={"open": True})
        async def wait() -> dict[str, str]:
            self.open += 1
            await self.release.wait()
            return {}

        self.handler = wait


async def report() -> dict[str, object]:
    return {}


@asynccontextmanager
async def waiting() -> AsyncIterator[tuple[Waiting, Any, Any]]:
    """Handlers that wait, and a client of each of two addresses."""
    made = Waiting()
    probes = health_router({}, CollectorRegistry(), status=report, stats=report)
    async with serve([made.handler, probes]) as world:
        app = world.client._transport.app  # type: ignore[attr-defined]
        found = []
        for host in (HERE, THERE):
            transport = httpx.ASGITransport(app, client=(host, 4711))
            found.append(httpx.AsyncClient(transport=transport, base_url="http://service"))
        try:
            async with asyncio.timeout(WITHIN_S):
                yield made, found[0], found[1]
        finally:
            for client in found:
                await client.aclose()
        assert (app.front._open, dict(app.front._open_of)) == (0, {})


async def fill(made: Waiting, client: Any, count: int) -> list[asyncio.Task[Any]]:
    began = made.open
    tasks = [asyncio.create_task(client.get("/wait")) for _ in range(count)]
    while made.open < began + count:
        await asyncio.sleep(0)
    return tasks


async def test_one_source_leaves_room_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "OPEN_OF_A_SOURCE_MAX", MOST)
    async with waiting() as (made, here, there):
        ours = await fill(made, here, MOST)
        refused = await here.get("/wait")
        theirs = await fill(made, there, MOST)
        made.release.set()
        answers = [task.result() for task in [*ours, *theirs] if await asyncio.wait([task])]
        again = await here.get("/wait")
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["retryable"]) == (503, "overloaded", True)
    assert str(MOST) in problem["detail"] and refused.headers["retry-after"] == "1"
    assert [answer.status_code for answer in (*answers, again)] == [200] * (2 * MOST + 1)


async def test_probes_are_answered_however_many_requests_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "OPEN_OF_A_SOURCE_MAX", MOST)
    async with waiting() as (made, here, there):
        here._transport.app.front._open_max = MOST
        ours = await fill(made, here, MOST)
        for client in (here, there):
            assert (await client.get("/wait")).status_code == 503
            for path in sorted(front.PROBES):
                assert (await client.get(path)).status_code == 200
            assert (await client.post("/health")).status_code == 503
        made.release.set()
        await asyncio.wait(ours)


def test_one_source_cannot_have_all() -> None:
    assert front.OPEN_OF_A_SOURCE_MAX <= front.OPEN_REQUESTS_MAX // 2


@pytest.mark.parametrize("ending", ["answered", "refused", "crashed", "cut off"])
async def test_what_was_held_for_an_answer_is_given_back(ending: str) -> None:
    held, here = [], asyncio.Event()

    @get("/hold", opt={"permission": "payout:read"})
    async def hold(request: Request[Any, Any, Any]) -> dict[str, str]:
        held.append("held")
        exchange_of(request.scope).at_end.append(held.clear)
        here.set()
        if ending == "crashed":
            raise RuntimeError
        if ending == "cut off":
            await asyncio.Event().wait()
        return {}

    headers = bearer() | ({"Accept": "text/html"} if ending == "refused" else {})
    async with serve([hold]) as world:
        asked = asyncio.create_task(world.client.get("/hold", headers=headers))
        if ending == "cut off":
            await here.wait()
            assert held == ["held"]
            asked.cancel()
        answer = await asked
    expected = {"answered": 200, "refused": 406, "crashed": 500, "cut off": 503}
    assert (answer.status_code, held) == (expected[ending], [])
