"""The gateway: invoices made over HTTP, deposits credited from blocks, webhooks delivered.

Invoices are asked for at the real service by a load generator in a process of its own. Deposits
and webhooks run in this process on a devnet that is moved by hand and a real MongoDB, so that
what is timed is the crediting of solidified blocks, and the sending to a receiver that answers at
once, and no waiting for blocks.
"""

import json
import logging
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog
from tests.conftest import Mongo
from tests.e2e.service import Service
from tests.gateway.receiver import Receiver, receiving
from tests.gateway.world import SOLID_LAG, World, world

from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.report import Row
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.gateway import Payment

INVOICES: Final = 1_000
USERS: Final = 50
DEPOSITS: Final = 400
PER_BLOCK: Final = 40
UNLIMITED: Final = {"RATE_PAYOUT": "1000000"}
MEMORY: Final = Path("/dev/shm")


async def run(profile: object) -> list[Row]:
    """Three rows."""
    asked = await _invoices()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        async with _world() as made, receiving() as receiver:
            credited_s = await _deposits(made, receiver)
            sent, sent_s = await _webhooks(made, receiver)
    finally:
        structlog.reset_defaults()
    return [
        Row(
            what=f"{INVOICES} invoices made (201 answered)",
            figure=f"{asked.per_second:.0f}/s",
            notes=f"{USERS} callers, p99 {asked.p99_ms:.0f} ms; each with an address of its own",
        ),
        Row(
            what=f"{DEPOSITS} USDT deposits credited",
            figure=f"{DEPOSITS / credited_s:.0f}/s",
            notes=f"{PER_BLOCK} in a block; read, verified, booked in the ledger, credited",
        ),
        Row(
            what=f"{sent} webhooks delivered",
            figure=f"{sent / sent_s:.0f}/s",
            notes="to one endpoint, two signatures each, in order within an invoice",
        ),
    ]


async def _invoices() -> Result:
    service = Service(**UNLIMITED)
    try:
        service.start()
        await service.ready()
        token = service.token("merchant", "bench")
        asks = [
            Ask(
                "POST",
                "/api/v1/payments/process",
                {"Authorization": f"Bearer {token}", "Idempotency-Key": f"benchmark-{n:016d}"},
                json.dumps({"kind": "invoice", "amount": "10", "currency": "USDT"}),
            )
            for n in range(INVOICES)
        ]
        result = await elsewhere(Plan(service.port, USERS, asks))
        assert not result.errors, result.statuses
        await service.stop()
        return result
    finally:
        service.destroy()


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-bench-", dir=MEMORY))
    server = EmbeddedMongod(folder)
    mongo = Mongo(await server.start(), f"bench_{uuid4().hex[:12]}")
    try:
        async with world(mongo) as made:
            yield made
    finally:
        for store in mongo.stores:
            await store.close()
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _deposits(made: World, receiver: Receiver) -> float:
    """Seconds to credit the blocks with all deposits, once they are solidified."""
    hook = await made.post("/payments/webhook-endpoints", {"url": receiver.url})
    assert hook.status_code == 201, hook.text
    invoices = [await made.invoice("10") for _ in range(DEPOSITS)]
    for start in range(0, DEPOSITS, PER_BLOCK):
        for invoice in invoices[start : start + PER_BLOCK]:
            await made.fund(invoice["address"], "10", "USDT")
        await made.devnet.mine()
    await made.devnet.mine(SOLID_LAG + 2)
    began = time.perf_counter()
    while await made.assembly.follower.step():
        pass
    took_s = time.perf_counter() - began
    assert await Payment.find({"status": "paid"}).count() == DEPOSITS
    return took_s


async def _webhooks(made: World, receiver: Receiver) -> tuple[int, float]:
    """How many of the events so far were delivered, and in how many seconds."""
    loops = {loop.name: loop for loop in made.assembly.loops.all}
    while await loops["gateway.outbox"].step():
        pass
    began = time.perf_counter()
    while await loops["gateway.fan_out"].step():
        pass
    while await loops["gateway.deliver"].step():
        pass
    took_s = time.perf_counter() - began
    assert len(receiver.got) == 3 * DEPOSITS, len(receiver.got)  # made, credited, paid
    return len(receiver.got), took_s
