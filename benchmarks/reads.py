"""Reads at a hundred users beside an empty authenticated handler with the same find and encode."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tests.e2e.service import Service, new_key, settled
from tests.ports import free_port

from benchmarks.cpu import cpu_seconds
from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.payouts import UNLIMITED
from benchmarks.report import Row

USERS: Final = 100
ROUNDS: Final = 6
SECONDS: Final = 1.5
"""Of each round; ours and the bare one take turns, so that both see the same machine."""

WARM_UP_S: Final = 1.0
PACED_PER_SECOND: Final = 400
"""Of all users together: each asks four times a second instead of again at once."""

PACED_SECONDS: Final = 8.0
BLOCK_MS: Final = 3_000
"""As on the main network: what follows the chain meanwhile belongs to it."""

PAYOUTS: Final = 20
READY_S: Final = 120.0
ONE: Final = "one payout"


@dataclass
class Found:
    """What one server answered in all of its rounds."""

    port: int
    pid: int
    results: list[Result] = field(default_factory=list)
    cpu_s: float = 0.0

    async def measure(self, asks: list[Ask]) -> None:
        before = cpu_seconds(self.pid)
        self.results.append(await elsewhere(Plan(self.port, USERS, asks, seconds=SECONDS)))
        self.cpu_s += cpu_seconds(self.pid) - before

    @property
    def count(self) -> int:
        return sum(sum(each.statuses.values()) for each in self.results)

    @property
    def errors(self) -> int:
        return sum(each.errors for each in self.results)

    @property
    def per_second(self) -> float:
        return self.count / sum(each.seconds for each in self.results)

    @property
    def cpu_ms(self) -> float:
        """Processor time of the server for each request."""
        return 1000 * self.cpu_s / self.count

    @property
    def told(self) -> str:
        p50, p99 = (
            median(getattr(each, name) for each in self.results) for name in ("p50_ms", "p99_ms")
        )
        return f"p50 {p50:.1f} p99 {p99:.1f} ms, {self.cpu_ms:.2f} ms of processor time each"


async def run(profile: object) -> list[Row]:
    """Throughput and latencies; errors must be none."""
    service = Service(**UNLIMITED, DEVNET_BLOCK_MS=str(BLOCK_MS))
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
                (ONE, "/api/v1/payouts/{}"),
                ("history of 20", "/api/v1/payouts/history?limit=20"),
                ("network info", "/tron/network/info"),
            )
        }
        assert service.process is not None
        found = {name: Found(service.port, service.process.pid) for name in asks}
        async with _bare(service) as bare:
            for each in (bare, found[ONE]):
                await elsewhere(Plan(each.port, USERS, asks[ONE], seconds=WARM_UP_S))
            for _ in range(ROUNDS):
                await bare.measure(asks[ONE])
                await found[ONE].measure(asks[ONE])
        for name in found:
            if name != ONE:
                await found[name].measure(asks[name])
        paced = await elsewhere(
            Plan(service.port, USERS, asks[ONE], PACED_SECONDS, PACED_PER_SECOND)
        )
        await service.stop()
    finally:
        service.destroy()
    ours = found.pop(ONE)
    return [
        Row(
            what=f"GET {ONE}, {USERS} users who ask again at once",
            figure=f"{ours.per_second:.0f}/s",
            beside=f"{bare.per_second:.0f}/s",
            ratio=bare.cpu_ms / ours.cpu_ms,
            aim="0.80, 0 errors",
            notes=f"ratio of processor time; {ours.told}, {ours.errors} errors; bare {bare.told}",
        ),
        Row(
            what=f"GET {ONE}, {USERS} users, {PACED_PER_SECOND} requests a second",
            figure=f"p99 {paced.p99_ms:.1f} ms",
            aim="p99 < 50 ms, 0 errors",
            notes=f"p50 {paced.p50_ms:.1f} ms, {paced.per_second:.0f}/s, {paced.errors} errors",
        ),
        *(
            Row(
                what=f"GET {name}, {USERS} users who ask again at once",
                figure=f"{each.per_second:.0f}/s",
                notes=f"{each.told}, {each.errors} errors",
            )
            for name, each in found.items()
        ),
    ]


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


@asynccontextmanager
async def _bare(service: Service) -> AsyncIterator[Found]:
    """`benchmarks.bare_server` on the same store."""
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
        yield Found(port, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
