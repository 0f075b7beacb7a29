"""Wallets made, balances read, and very many addresses watched."""

import asyncio
import json
import os
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
from pymongo import AsyncMongoClient
from tests.chain.scripted import client_of, fixed
from tests.chain.test_throughput import busy_block
from tests.conftest import Mongo
from tests.e2e.service import Service

from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.report import Row
from tron_payment import chain
from tron_payment.core.address import Address
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.wallets import OURSELVES

WALLETS: Final = 3_000
WITH_PASSWORD: Final = 60
USERS: Final = 50
PASSWORD_USERS: Final = 10
"""More than 20 that wait are told to come again."""

READ_S: Final = 6.0
READ_WALLETS: Final = 100
HD_ADDRESSES: Final = int(os.environ.get("BENCH_HD_ADDRESSES", "100000"))
"""A million takes minutes: BENCH_HD_ADDRESSES=1000000."""

PREPARED_AT_ONCE: Final = 1_000
ISSUED: Final = 1_000
BLOCKS: Final = 20
UNLIMITED: Final = {"RATE_WRITE": "1000000", "RATE_READ": "1000000"}
PASSWORD: Final = "a password for the benchmark"
MIB: Final = 1 << 20


async def run(profile: object) -> list[Row]:
    """Creations and reads over HTTP; the addresses in this process on a MongoDB of its own."""
    return [*await _over_http(), *await _watched()]


async def _over_http() -> list[Row]:
    service = Service(**UNLIMITED)
    try:
        service.start()
        await service.ready()
        made = await _made(service, WALLETS, {"kind": "hot"})
        hd = await _made(service, WALLETS // 10, {"kind": "hd"})
        body = {"kind": "hot", "password": PASSWORD}
        guarded = await _made(service, WITH_PASSWORD, body, PASSWORD_USERS)
        async with service.client() as api:
            page = await api.get("/api/v1/wallets", params={"limit": READ_WALLETS, "kind": "hot"})
            ids = [each["wallet_id"] for each in page.json()["data"]]
        asks = [_ask(service, "GET", f"/api/v1/wallets/{each}/balance") for each in ids]
        read = await elsewhere(Plan(service.port, USERS, asks, seconds=READ_S))
        await service.stop()
    finally:
        service.destroy()
    return [
        _row(f"{WALLETS} hot wallets created", made, "1000/s"),
        _row(f"{WALLETS // 10} HD wallets created", hd, "", "each with 100 addresses prepared"),
        _row(f"{WITH_PASSWORD} with a password", guarded, "", "Argon2id, 64 MiB, 3 rounds"),
        _row(f"wallet balances read, {READ_WALLETS} wallets", read, "1000/s"),
    ]


def _ask(service: Service, method: str, path: str, body: str = "") -> Ask:
    return Ask(method, path, {"Authorization": f"Bearer {service.token()}"}, body)


async def _made(service: Service, count: int, body: dict[str, str], users: int = USERS) -> Result:
    token = service.token()
    asks = [
        Ask(
            "POST",
            "/api/v1/wallets",
            {"Authorization": f"Bearer {token}"},
            msgspec.json.encode({"label": f"bench {n}", **body}).decode(),
        )
        for n in range(count)
    ]
    return await elsewhere(Plan(service.port, users, asks))


def _row(what: str, result: Result, aim: str, notes: str = "") -> Row:
    told = f"p50 {result.p50_ms:.0f} p99 {result.p99_ms:.0f} ms"
    told += f", {result.errors} errors" + (f"; {notes}" if notes else "")
    figure = (
        f"{result.per_second:.0f}/s" if result.per_second >= 10 else f"{result.per_second:.1f}/s"
    )
    return Row(what=what, figure=figure, aim=aim, notes=told)


async def _watched() -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-bench-"))
    server = EmbeddedMongod(folder)
    try:
        uri = await server.start()
        mongo = Mongo(uri, f"bench_{uuid4().hex[:8]}")
        try:
            return await _million(mongo, uri)
        finally:
            for store in mongo.stores:
                await store.close()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _million(mongo: Mongo, uri: str) -> list[Row]:
    """Addresses prepared and watched; then what a block costs that touches some of them."""
    from tests.wallets.wallet_world import build_world

    world = await build_world(mongo)
    wallet = await world.wallets.create_hd(OURSELVES, label="deposits")
    few = await _block_ms(world, [])
    before_mib = _rss_mib()
    began = time.perf_counter()
    for _ in range(0, HD_ADDRESSES, PREPARED_AT_ONCE):
        await world.wallets.addresses.fill(wallet, PREPARED_AT_ONCE)
    filled_s = time.perf_counter() - began
    ours = [(await world.wallets.issue_address(wallet.id)).address for _ in range(BLOCKS)]
    began = time.perf_counter()
    for start in range(0, ISSUED, USERS):
        subjects = [f"inv_{number}" for number in range(start, start + USERS)]
        await asyncio.gather(*(world.wallets.issue_address(wallet.id, each) for each in subjects))
    issue_s = time.perf_counter() - began
    many = await _block_ms(world, ours)
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        stats = await client[mongo.name].command("dbStats")
    stored = (stats["dataSize"] + stats["indexSize"]) / MIB
    return [
        Row(
            what=f"{HD_ADDRESSES} HD addresses prepared and watched",
            figure=f"{filled_s:.0f} s",
            notes=f"{HD_ADDRESSES / filled_s:.0f}/s; {_rss_mib() - before_mib:.0f} MiB more in the "
            f"process, {stored:.0f} MiB data and indexes in MongoDB",
        ),
        Row(what=f"of which issued, {USERS} at once", figure=f"{ISSUED / issue_s:.0f}/s"),
        Row(
            what="wallets' history of a block of 300 transactions",
            figure=f"{many:.1f} ms",
            beside=f"{few:.1f} ms",
            ratio=many / few,
            notes="beside: such blocks with 100 addresses watched",
        ),
    ]


async def _block_ms(world: Any, ours: list[Address]) -> float:
    """Milliseconds for a block; each of them pays one of `ours`."""
    dice = random.Random(7)
    handler = world.module.on_block
    spent = 0.0
    for number in range(1, BLOCKS + 1):
        block = busy_block(number, dice)
        answers = json.dumps(block.json()).encode(), json.dumps(block.receipts()).encode()
        blocks, receipts = (client_of(fixed(answer)) for answer in answers)
        solid = chain.join(await blocks.block(number), await receipts.receipts(number))
        began = time.perf_counter()
        await handler(solid)
        spent += time.perf_counter() - began
    return spent / BLOCKS * 1_000


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


if __name__ == "__main__":
    print(asyncio.run(run(None)))
