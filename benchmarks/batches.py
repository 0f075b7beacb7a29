"""Recipients a second: one batch of ten thousand rows, from the upload to the solidified blocks."""

import time
from pathlib import Path
from typing import Final

import httpx
from tests.e2e.service import Service

from benchmarks.cpu import CpuMeter
from benchmarks.payouts import recipient, until_settled
from benchmarks.report import Row

COUNT: Final = 10_000
AMOUNT: Final = "10"
UPLOAD_S: Final = 120.0
POLL_S: Final = 0.1
HEADER: Final = "user_id,recipient_address,amount,currency,route,merchant_reference,kyc_verified"


async def run(profile: Path | None) -> list[Row]:
    """Two rows; with `profile`, cProfile's figures of the service go to that file."""
    service = Service()
    if profile is not None:
        service.launcher = ("-m", "cProfile", "-o", str(profile), "-m", "tron_payment")
    try:
        service.start()
        await service.ready()
        meter = CpuMeter(service)
        paid_s, accepted_s = await _paid(service)
        cpu = meter.told(COUNT, "recipient")
        await service.stop()
    finally:
        service.destroy()
    return [
        Row(
            what=f"{COUNT} rows of one batch by the V0 router, accepted to settled",
            figure=f"{COUNT / paid_s:.0f}/s",
            aim="1,000/s",
            notes="with the 18 blocks until the last is solid",
        ),
        Row(
            what="of which accepting (202 answered)",
            figure=f"{COUNT / accepted_s:.0f}/s",
            notes=f"{accepted_s:.1f} s for the one request",
        ),
        cpu,
    ]


async def _paid(service: Service) -> tuple[float, float]:
    """Seconds until all were settled, and until the upload was answered."""
    rows = [
        f"bench,{recipient('batched', n)},{AMOUNT},USDT,v0,bench-{n:06d},false"
        for n in range(COUNT)
    ]
    body = "\n".join([HEADER, *rows]).encode()
    began = time.perf_counter()
    async with service.client() as api:
        answer = await api.post(
            "/api/v1/payouts/batch",
            content=body,
            headers={"Content-Type": "text/csv", "Idempotency-Key": "benchmark-batch-0001"},
            timeout=httpx.Timeout(UPLOAD_S),
        )
    accepted_s = time.perf_counter() - began
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text[:500]
    assert answer.json()["accepted"] == COUNT, answer.text[:500]
    async with service.mongo() as mongo:
        payouts = mongo[service.settings.payment_db_name]["payouts"]
        await until_settled(payouts, COUNT, POLL_S)
    return time.perf_counter() - began, accepted_s
