"""Wallets made, balances read, and very many addresses watched."""

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
from pymongo import AsyncMongoClient
from tests.conftest import Mongo
from tests.e2e.service import Service
from tests.gateway.world import SOLID_LAG, Payer, World, again, world

from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.report import Row
from tron_payment.core.address import Address
from tron_payment.core.money import USDT, parse_units
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.db.ledger import Pocket
from tron_payment.wallets import OURSELVES, HdAddress, Wallet, Wallets

WALLETS: Final = 3_000
WITH_PASSWORD: Final = 60
USERS: Final = 50
PASSWORD_USERS: Final = 10
"""More than 20 that wait are told to come again."""

READ_S: Final = 6.0
READ_WALLETS: Final = 100
HD_ADDRESSES: Final = int(os.environ.get("BENCH_HD_ADDRESSES", "100000"))
"""A million takes minutes: BENCH_HD_ADDRESSES=1000000."""

ISSUED: Final = 1_000
PAID: Final = "5"
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
    """The whole service on a MongoDB of its own: very many addresses, then a new process."""
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-bench-"))
    server = EmbeddedMongod(folder)
    try:
        uri = await server.start()
        mongo = Mongo(uri, f"bench_{uuid4().hex[:8]}")
        try:
            async with world(mongo) as made:
                wallet = await made.service(Wallets).create_hd(OURSELVES, label="deposits")
                rows = await _prepared(made, wallet, uri, mongo.name)
                last = await HdAddress.find_one({"wallet_id": wallet.id, "index": HD_ADDRESSES})
                assert last is not None, "the last one was not prepared"
                async with again(mongo, made) as process:
                    return [*rows, await _paid(process, wallet, Address(last.id))]
        finally:
            for store in mongo.stores:
                await store.close()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _prepared(made: World, wallet: Wallet, uri: str, database: str) -> list[Row]:
    """Prepared as the service prepares them, a hundred at its start; some of them issued."""
    wallets: Wallets = made.service(Wallets)
    before_mib, began = _rss_mib(), time.perf_counter()
    there = await HdAddress.find({"wallet_id": wallet.id}).count()
    await wallets.addresses.fill(wallet, HD_ADDRESSES - there)
    filled_s = time.perf_counter() - began
    grown_mib = _rss_mib() - before_mib
    began = time.perf_counter()
    for start in range(0, ISSUED, USERS):
        subjects = [f"inv_{number}" for number in range(start, start + USERS)]
        await asyncio.gather(*(wallets.issue_address(wallet.id, each) for each in subjects))
    issue_s = time.perf_counter() - began
    async with AsyncMongoClient[dict[str, Any]](uri) as client:
        stats = await client[database].command("dbStats")
    stored = (stats["dataSize"] + stats["indexSize"]) / MIB
    return [
        Row(
            what=f"{HD_ADDRESSES:,} HD addresses prepared",
            figure=f"{filled_s:.0f} s",
            notes=f"{(HD_ADDRESSES - there) / filled_s:.0f}/s; {grown_mib:.0f} MiB more in the "
            f"process, {stored:.0f} MiB data and indexes in MongoDB",
        ),
        Row(what=f"of which issued, {USERS} at once", figure=f"{ISSUED / issue_s:.0f}/s"),
    ]


async def _paid(process: World, wallet: Wallet, last: Address) -> Row:
    """Somebody pays the last address; seen means in the books and in the wallet's history."""
    payer = Payer(7)
    for currency in ("TRX", "USDT"):
        await process.fund(payer.address, "100", currency)
        await process.devnet.mine()
    txid = await process.pay(payer, last, PAID)
    await process.devnet.mine(SOLID_LAG + 2)
    before_mib, began = _rss_mib(), time.perf_counter()
    await process.work()
    took_s = time.perf_counter() - began
    booked = await process.house.ledger.balance(last, Pocket.AVAILABLE, USDT.code)
    assert booked == parse_units(USDT.decimals, PAID), "the payment is not in the books"
    page = await process.get(f"/wallets/{wallet.id}/transactions", role="operator", sub="op-1")
    seen = [(row["txid"], row["address"], row["amount"]) for row in page.json()["data"]]
    assert seen == [(txid, last, PAID)], "the payment is not in the wallet's history"
    return Row(
        what="a payment to the last of them, booked and shown by a new process",
        figure=f"{took_s:.1f} s",
        notes="after its block was final, with the addresses taken in: "
        f"{_rss_mib() - before_mib:.0f} MiB more",
    )


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


if __name__ == "__main__":
    print(asyncio.run(run(None)))
