"""How fast the service starts, cold and warm; what it weighs and burns when nothing happens."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
from tests.e2e.service import STOP_S, Service
from tests.ports import free_port

from benchmarks.cpu import cpu_seconds
from benchmarks.report import Row
from tron_payment.loops import QUIET_AFTER_S

IDLE_S: Final = 30.0
BLOCK_MS: Final = 1_000
"""As in `make run`."""

REAL_BLOCK_MS: Final = 3_000
"""As on the main network."""

START_MAX_S: Final = 60.0
LOOK_S: Final = 0.02
LIVE: Final = "/health/live"


async def run(profile: object) -> list[Row]:
    """Starts with MongoDB and the devnet as children, and of one process beside them.

    What is burnt and weighed is the service's own, without those two.
    """
    service = Service(DEVNET_BLOCK_MS=str(BLOCK_MS))
    try:
        cold = await _start(service)
        rss_mib = _rss_mib(service)
        idle = await _idle_share(service)
        stop_s = await _stop(service)
        service.environment["DEVNET_BLOCK_MS"] = str(REAL_BLOCK_MS)
        warm = await _start(service)
        apart = await _start_apart(service)
        real_idle = await _idle_share(service)
        await service.stop()
    finally:
        service.destroy()
    alone = "of one core, service alone"
    return [
        Row(what="cold start to /health/live", figure=f"{cold[0]:.2f} s", aim="< 30 s"),
        Row(
            what="cold start to /health/ready",
            figure=f"{cold[1]:.2f} s",
            aim="< 30 s",
            notes="wallets funded, contracts deployed, books compared",
        ),
        Row(
            what="warm start to /health/live",
            figure=f"{apart[0]:.2f} s",
            aim="< 2 s",
            notes=f"MongoDB and the devnet run already; {apart[1]:.2f} s of processor time",
        ),
        Row(
            what="... with MongoDB and the devnet as children",
            figure=f"{warm[0]:.2f} s",
            notes=f"to /health/ready {warm[1]:.2f} s",
        ),
        Row(what="SIGTERM to the end", figure=f"{stop_s:.2f} s"),
        Row(what="memory of the service (RSS)", figure=f"{rss_mib:.0f} MiB", aim="< 160 MB"),
        Row(
            what=f"CPU when idle, a block every {REAL_BLOCK_MS / 1000:.0f} s, as on the main net",
            figure=f"{real_idle:.2%}",
            aim="< 1 %",
            notes=f"{alone}, {QUIET_AFTER_S:.0f} s after the last work",
        ),
        Row(
            what=f"CPU when idle, a block every {BLOCK_MS / 1000:.0f} s, as in make run",
            figure=f"{idle:.2%}",
            notes=alone,
        ),
    ]


async def _start(service: Service) -> tuple[float, float]:
    began = time.perf_counter()
    service.start()
    await service.ready(LIVE)
    live_s = time.perf_counter() - began
    await service.ready()
    return live_s, time.perf_counter() - began


async def _start_apart(service: Service) -> tuple[float, float]:
    """One more process of this installation: seconds until it is live, and of processor time."""
    port = free_port()
    environment = service.environment | {
        "PORT": str(port),
        "MONGODB_URI": service.mongo_uri,
        "TRON_NODE_URL": service.devnet_url,
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "tron_payment"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with (
            asyncio.timeout(START_MAX_S),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http,
        ):
            while not await _answers(http):
                assert process.poll() is None, "the second process has ended"
                await asyncio.sleep(LOOK_S)
        return time.perf_counter() - began, cpu_seconds(process.pid)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, STOP_S)


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get(LIVE)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _stop(service: Service) -> float:
    began = time.perf_counter()
    await service.stop()
    return time.perf_counter() - began


def _rss_mib(service: Service) -> float:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def _idle_share(service: Service) -> float:
    """Share of one core that the process burns while nobody asks anything."""
    assert service.process is not None
    await asyncio.sleep(QUIET_AFTER_S * 1.5)
    before = cpu_seconds(service.process.pid)
    await asyncio.sleep(IDLE_S)
    return (cpu_seconds(service.process.pid) - before) / IDLE_S
