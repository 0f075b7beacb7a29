"""Reads at a hundred users beside an empty authenticated handler with the same find and encode."""

import asyncio
import sys
from typing import Final

from tests.e2e.service import Service, new_key, settled
from tests.ports import free_port

from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.payouts import UNLIMITED
from benchmarks.report import Row

USERS: Final = 100
SECONDS: Final = 5.0
WARM_UP_S: Final = 1.0
PAYOUTS: Final = 20
READY_S: Final = 120.0


async def run(profile: object) -> list[Row]:
    """Throughput and latencies; errors must be none."""
    service = Service(**UNLIMITED)
    try:
        service.start()
        await service.ready()
        ids = await _payouts(service)
        tokens = [service.token(subject=f"user-{number}") for number in range(USERS)]
        asks = {
            name: [
                Ask("GET", path.format(ids[number % len(ids)]), {"Authorization": f"Bearer {t}"})
                for number, t in enumerate(tokens)
            ]
            for name, path in (
                ("one payout", "/api/v1/payouts/{}"),
                ("history of 20", "/api/v1/payouts/history?limit=20"),
                ("network info", "/tron/network/info"),
            )
        }
        bare = await _bare(service, asks["one payout"])
        found = {name: await _measure(service.port, plan) for name, plan in asks.items()}
        await service.stop()
    finally:
        service.destroy()
    rows = []
    for name, result in found.items():
        same = name == "one payout"
        rows.append(
            Row(
                what=f"GET {name}, {USERS} users",
                figure=f"{result.per_second:.0f}/s",
                beside=f"{bare.per_second:.0f}/s" if same else "",
                ratio=result.per_second / bare.per_second if same else None,
                aim="0.80, p99 < 50 ms, 0 errors" if same else "",
                notes=f"p50 {result.p50_ms:.1f} p99 {result.p99_ms:.1f} ms, "
                f"{result.errors} errors"
                + (f"; bare p50 {bare.p50_ms:.1f} p99 {bare.p99_ms:.1f} ms" if same else ""),
            )
        )
    return rows


async def _measure(port: int, asks: list[Ask]) -> Result:
    await elsewhere(Plan(port, USERS, asks, seconds=WARM_UP_S))
    return await elsewhere(Plan(port, USERS, asks, seconds=SECONDS))


async def _payouts(service: Service) -> list[str]:
    async with service.client() as api:
        answers = [
            await api.post(
                "/api/v1/payouts/direct",
                json={
                    "user_id": "bench",
                    "recipient_address": "TMVQGm1qAQYVdetCeGRRkTWYYrLXuHK2HC",
                    "amount": "10",
                    "currency": "USDT",
                },
                headers={"Idempotency-Key": new_key()},
            )
            for _ in range(PAYOUTS)
        ]
        ids = [str(answer.json()["payout_id"]) for answer in answers]
        await settled(api, ids)
    return ids


async def _bare(service: Service, asks: list[Ask]) -> Result:
    """The same requests to `benchmarks.bare_server` on the same store."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.bare_server",
        str(port),
        service.mongo_uri,
        env=service.environment,
    )
    try:
        async with asyncio.timeout(READY_S):
            while True:
                assert process.returncode is None, "the bare server has ended"
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.1)
        return await _measure(port, asks)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
