"""How fast the service starts, cold and warm; what it weighs and burns when nothing happens."""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from tests.e2e.service import Service

from benchmarks.report import Row
from tron_payment.loops import QUIET_AFTER_S

IDLE_S: Final = 15.0
BLOCK_MS: Final = 1_000
"""As in `make run`."""


async def run(profile: object) -> list[Row]:
    """Five rows. MongoDB and the devnet start within these times, and are not in the memory."""
    service = Service(DEVNET_BLOCK_MS=str(BLOCK_MS))
    try:
        cold = await _start(service)
        rss_mib = _rss_mib(service)
        await asyncio.sleep(QUIET_AFTER_S * 1.5)
        idle = await _idle_share(service)
        stop_s = await _stop(service)
        warm = await _start(service)
        warm_cpu_s = _cpu_s(service)
        await service.stop()
    finally:
        service.destroy()
    return [
        Row(what="cold start to /health/live", figure=f"{cold[0]:.2f} s", aim="< 30 s"),
        Row(
            what="cold start to /health/ready",
            figure=f"{cold[1]:.2f} s",
            aim="< 30 s",
            notes="wallets funded, contracts deployed, books compared",
        ),
        Row(what="warm start to /health/live", figure=f"{warm[0]:.2f} s", aim="< 2 s"),
        Row(
            what="warm start to /health/ready",
            figure=f"{warm[1]:.2f} s",
            notes=f"{warm_cpu_s:.1f} s of processor time, service alone",
        ),
        Row(what="SIGTERM to the end", figure=f"{stop_s:.2f} s"),
        Row(what="memory of the service (RSS)", figure=f"{rss_mib:.0f} MiB", aim="< 160 MB"),
        Row(
            what=f"CPU when idle, a block every {BLOCK_MS / 1000:.0f} s",
            figure=f"{idle:.1%}",
            aim="< 1 %",
            notes=f"of one core, service alone, {QUIET_AFTER_S:.0f} s after the last work",
        ),
    ]


async def _start(service: Service) -> tuple[float, float]:
    began = time.perf_counter()
    service.start()
    await service.ready("/health/live")
    live_s = time.perf_counter() - began
    await service.ready()
    return live_s, time.perf_counter() - began


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
    before = _cpu_s(service)
    await asyncio.sleep(IDLE_S)
    return (_cpu_s(service) - before) / IDLE_S


def _cpu_s(service: Service) -> float:
    assert service.process is not None
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
