"""Probes, metrics and reports."""

import asyncio

from http_world import bearer, serve
from prometheus_client import CollectorRegistry, Counter

from tron_payment.http.health import CHECK_CACHE_S, Health, health_router


class Part:
    def __init__(self) -> None:
        self.works = True
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if not self.works:
            raise ConnectionError("mongodb://user:password@10.0.0.1")


async def report() -> dict[str, object]:
    return {"payouts": 3}


async def test_probes_and_reports() -> None:
    store, node = Part(), Part()
    registry = CollectorRegistry()
    Counter("payouts_settled", "Settled", registry=registry).inc(3)
    router = health_router(
        {"store": store.check, "node": node.check},
        registry,
        status=report,
        stats=report,
        module_stats={"payout-router": report},
    )
    async with serve([router], registry=registry) as world:
        get = world.client.get
        for path in ("/health", "/health/ready"):
            answer = await get(path)
            assert answer.status_code == 200
            assert answer.json() == {"status": "ok", "checks": {"store": "ok", "node": "ok"}}
        assert (await get("/health/live")).json() == {"status": "ok"}

        metrics = await get("/metrics", headers={"Accept": "text/plain;version=0.0.4, */*;q=0.1"})
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "payouts_settled_total 3.0" in metrics.text
        assert 'http_requests_total{method="GET",route="/health/live",status="200"} 1.0' in (
            metrics.text
        )

        for path in ("/status", "/stats", "/payout-router/stats"):
            assert (await get(path)).status_code == 401
            for role in ("viewer", "admin", "merchant"):
                assert (await get(path, headers=bearer(role=role))).json() == {"payouts": 3}


async def test_a_failing_check_is_named_and_not_explained() -> None:
    store, node = Part(), Part()
    node.works = False
    router = health_router(
        {"store": store.check, "node": node.check},
        CollectorRegistry(),
        status=report,
        stats=report,
    )
    async with serve([router]) as world:
        answer = await world.client.get("/health")
        live = await world.client.get("/health/live")
    assert (answer.status_code, live.status_code) == (503, 200)
    body = answer.json()
    assert (body["code"], body["failed"]) == ("not_ready", ["node"])
    assert body["checks"] == {"store": "ok", "node": "failed"}
    assert answer.headers["retry-after"] and "10.0.0.1" not in answer.text


async def test_probes_that_wait_for_a_slow_check_share_its_answer() -> None:
    """Else each would begin it anew in its turn, and the last would wait for all of them."""
    now, asked = [0.0], 0

    async def slow() -> None:
        nonlocal asked
        asked += 1
        now[0] += CHECK_CACHE_S * 3
        await asyncio.sleep(0)

    health = Health({"slow": slow}, lambda: now[0])
    await asyncio.gather(*(health.results() for _ in range(100)))
    assert asked == 1


async def test_a_storm_of_probes_asks_once() -> None:
    part, now = Part(), [0.0]
    health = Health({"part": part.check}, lambda: now[0])
    await asyncio.gather(*(health.results() for _ in range(100)))
    assert part.asked == 1
    part.works = False
    assert await health.results() == {"part": True}
    now[0] += CHECK_CACHE_S
    assert await health.results() == {"part": False}
