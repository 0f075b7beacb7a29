"""Reads at a hundred users beside an empty authenticated handler with the same find and encode."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final

from tests.e2e.service import Service, new_key, settled
from tests.ports import free_port

from benchmarks.bare_server import ALONE, TOGETHER
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


@dataclass
class Found:
    """What one server answered in all of its rounds."""

    port: int
    pid: int
    path: str = ALONE
    users: int = USERS
    results: list[Result] = field(default_factory=list)
    cpu_s: float = 0.0

    async def measure(self, asks: list[Ask], seconds: float = SECONDS) -> None:
        before = cpu_seconds(self.pid)
        self.results.append(await elsewhere(Plan(self.port, self.users, asks, seconds=seconds)))
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
        assert service.process is not None
        here = service.process.pid
        ours = Found(service.port, here)
        ours_single = Found(service.port, here, users=1)
        others = {
            name: Found(service.port, here, path)
            for name, path in (
                ("history of 20", "/api/v1/payouts/history?limit=20"),
                ("network info", "/tron/network/info"),
            )
        }
        asks = {
            path: [
                Ask("GET", path.format(ids[number % len(ids)]), {"Authorization": f"Bearer {t}"})
                for number, t in enumerate(tokens)
            ]
            for path in (ALONE, TOGETHER, *(each.path for each in others.values()))
        }
        async with _bare(service) as (port, pid):
            bare, together = Found(port, pid), Found(port, pid, TOGETHER)
            bare_single = Found(port, pid, users=1)
            turns = bare, ours, together, bare_single, ours_single
            for each in turns:
                await replace(each, results=[]).measure(asks[each.path], WARM_UP_S)
            for _ in range(ROUNDS):
                for each in turns:
                    await each.measure(asks[each.path])
        for each in others.values():
            await each.measure(asks[each.path])
        paced = await elsewhere(
            Plan(service.port, USERS, asks[ALONE], PACED_SECONDS, PACED_PER_SECOND)
        )
        await service.stop()
    finally:
        service.destroy()
    at_once = f"GET one payout, {USERS} users who ask again at once"
    return [
        _compared(at_once, ours, bare),
        _compared("... beside a bare handler that shares its finds, too", ours, together),
        _compared("... a single user: there is nothing to share", ours_single, bare_single),
        Row(
            what=f"GET one payout, {USERS} users, {PACED_PER_SECOND} requests a second",
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
            for name, each in others.items()
        ),
    ]


def _compared(what: str, ours: Found, bare: Found) -> Row:
    return Row(
        what=what,
        figure=f"{ours.per_second:.0f}/s",
        beside=f"{bare.per_second:.0f}/s",
        ratio=bare.cpu_ms / ours.cpu_ms,
        aim="0.80, 0 errors",
        notes=f"ratio of processor time; {ours.told}, {ours.errors} errors; bare {bare.told}",
    )


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
async def _bare(service: Service) -> AsyncIterator[tuple[int, int]]:
    """`benchmarks.bare_server` on the same store: its port and process."""
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
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
