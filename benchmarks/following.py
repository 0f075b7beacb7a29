"""Following solidified blocks as large as the main net's, and how that grows with our addresses.

Two things are measured on the same blocks of 300 transactions: reading them (parse, check, join)
on one core, and the whole way that the service goes (read, link, every module's `on_block` with
its queries in MongoDB, cursor) with ten thousand and with a million addresses of ours.
"""

import asyncio
import gc
import json
import logging
import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from pymongo import MongoClient
from pymongo.database import Database
from tests.chain.scripted import ScriptedBlock, ScriptedTransaction, client_of, fixed
from tests.chain.test_throughput import busy_block
from tests.conftest import Mongo
from tests.gateway.world import World, again, world

from benchmarks.report import Row
from tron_payment import chain
from tron_payment.chain import Follower, Nodes
from tron_payment.chain.transactions import TRANSFER_TOPIC
from tron_payment.core.address import Address, address_bytes, address_of
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.db.ledger import Holder
from tron_payment.gateway.documents import Deposit, Payment
from tron_payment.wallets.addresses import HdAddress

BLOCKS: Final = 40
WATCHED: Final = 10_000
ROUNDS: Final = 3
FOLLOWED: Final = 150
"""Blocks of the whole way, after `WARM` that are not counted."""

WARM: Final = 10
GROWTH: Final = (10_000, 1_000_000)
KINDS: Final = (Holder, HdAddress, Payment)
INSERT: Final = 10_000
THREADS: Final = 2
CACHE_GB: Final = "1"
PAID: Final = 20
HITS_EVERY: Final = 10
"""Every so many blocks somebody pays to an invoice of ours."""

AIM: Final = "150/s"


async def run(profile: object) -> list[Row]:
    """Reading alone beside `json.loads` of the same bytes; then the whole way."""
    return [await _reading(), *await _growth()]


async def _reading() -> Row:
    dice = random.Random(1)
    watched = {dice.randbytes(20) for _ in range(WATCHED)}
    answers = []
    for number in range(1, BLOCKS + 1):
        block = busy_block(number, dice)
        answers.append((json.dumps(block.json()).encode(), json.dumps(block.receipts()).encode()))
    ours = min([await _read(answers, watched) for _ in range(ROUNDS)])
    bare = min(_loads(answers) for _ in range(ROUNDS))
    return Row(
        what="blocks read and checked, 300 transactions each",
        figure=f"{BLOCKS / ours:.0f}/s",
        beside=f"{BLOCKS / bare:.0f}/s",
        ratio=bare / ours,
        aim=AIM,
        notes=f"one core, {WATCHED} addresses watched; beside: json.loads of both answers, no more",
    )


async def _read(answers: list[tuple[bytes, bytes]], watched: set[bytes]) -> float:
    nodes = [[client_of(fixed(answer)) for answer in pair] for pair in answers]
    began = time.process_time()
    for number, (blocks, receipts) in enumerate(nodes, start=1):
        solid = chain.join(await blocks.block(number), await receipts.receipts(number))
        assert solid.touching(watched) == []
    return time.process_time() - began


def _loads(answers: list[tuple[bytes, bytes]]) -> float:
    began = time.process_time()
    for block, receipts in answers:
        json.loads(block)
        json.loads(receipts)
    return time.process_time() - began


# ---- the whole way -------------------------------------------------------------------------------


async def _growth() -> list[Row]:
    """One installation; its addresses grow between the measurements. Only warnings are logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = Path(tempfile.mkdtemp(prefix="tron-payment-following-"))
    server = EmbeddedMongod(folder, cache_gb=CACHE_GB)
    try:
        mongo = Mongo(await server.start(), "following")
        async with world(mongo) as made:
            ours = [Address((await made.invoice("1000"))["address"]) for _ in range(PAID)]
            rows = []
            for count in GROWTH:
                await _watch(mongo.uri, mongo.name, count)
                async with again(mongo, made) as process:
                    rows += await _followed(process, ours, count)
        for store in mongo.stores:
            await store.close()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return rows


@dataclass(slots=True)
class Tape:
    """Blocks on top of what an installation has followed, as a node's answers."""

    blocks: dict[int, bytes]
    receipts: dict[int, bytes]
    last: int
    """Of those that the node shows to be solid."""

    async def handle(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        name = path.rpartition("/")[2]
        number = int(body.get("num", body.get("id_or_num", self.last)))
        if name == "gettransactioninfobyblocknum":
            return 200, self.receipts[number]
        return 200, self.blocks[number]


async def _followed(made: World, ours: list[Address], addresses: int) -> list[Row]:
    """A new process: its first block waits until it knows every address."""
    position = await made.house.cursors.load()
    tape = _tape(position, ours, made.usdt)
    await made.store.client.admin.command("fsync")  # what was filled in is no longer under way
    real = made.assembly.follower
    nodes = Nodes([client_of(tape.handle)])
    follower = Follower(nodes, made.house.cursors, real._handlers, quiet=real._quiet)
    gc.freeze()  # as the service does before it serves
    before_kib, began_cpu = _rss_kib(), time.process_time()
    assert await follower.step()
    filled, grown_kib = time.process_time() - began_cpu, _rss_kib() - before_kib
    await _until(follower, tape.last)
    tape.last += FOLLOWED  # none of these is read before the clock runs
    began, began_cpu = time.perf_counter(), time.process_time()
    await _until(follower, tape.last)
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    follower.close()
    found = await Deposit.find_all().count()
    assert found, "the payments to ours were not found"
    return [
        Row(
            what=f"blocks followed by the whole service, {addresses:,} addresses",
            figure=f"{FOLLOWED / took:.0f}/s",
            beside=f"{FOLLOWED / cpu:.0f}/s",
            ratio=cpu / took,
            aim=AIM,
            notes="every module and MongoDB; beside: by the CPU time of this process alone; "
            f"{found} deposits so far",
        ),
        Row(
            what=f"the addresses taken in by a new process, {addresses:,}",
            figure=f"{filled:.1f} s",
            notes=f"its own CPU time, before the first block; {grown_kib // 1024} MiB",
        ),
    ]


async def _until(follower: Follower, number: int) -> None:
    while follower.status().number < number:
        assert await follower.step()


def _rss_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def _watch(uri: str, database: str, addresses: int) -> None:
    """So many addresses as deposit addresses are stored: holder, HD address, invoice.

    Without the indexes, which the next process builds anew when it connects: a fifth of the time.
    """
    stores = [kind.get_pymongo_collection() for kind in KINDS]
    there = await stores[0].count_documents({"bench": True})
    for store in stores:
        await store.drop_indexes()
    parts = range(there, addresses, INSERT)
    with MongoClient[dict[str, Any]](uri, w=1) as client:
        names = [store.name for store in stores]
        for first in range(0, len(parts), THREADS):
            await asyncio.gather(
                *(
                    asyncio.to_thread(_insert, client[database], names, seed)
                    for seed in parts[first : first + THREADS]
                )
            )


def _insert(database: Database[dict[str, Any]], names: list[str], seed: int) -> None:
    dice = random.Random(seed)
    raws = [dice.randbytes(20) for _ in range(INSERT)]
    addresses = [address_of(raw) for raw in raws]
    for name, make in zip(names, (_holder, _derived, _invoice), strict=True):
        rows = [make(address, raw) for address, raw in zip(addresses, raws, strict=True)]
        database[name].insert_many(rows, ordered=False)


def _holder(name: Address, raw: bytes) -> dict[str, Any]:
    return {"_id": name, "opened_block": 0, "opened_seq": 0, "bench": True}


def _derived(name: Address, raw: bytes) -> dict[str, Any]:
    index = int.from_bytes(raw[:6])
    return {"_id": name, "wallet_id": "wal_bench", "index": index, "free": False}


def _invoice(name: Address, raw: bytes) -> dict[str, Any]:
    return {"_id": f"inv_{raw.hex()}", "address": name, "address_key": raw, "bench": True}


def _tape(position: Any, ours: list[Address], usdt: Address) -> Tape:
    parent, first = position.block_id, position.number + 1
    dice, tape = random.Random(position.number), Tape({}, {}, position.number + WARM)
    at_ms = position.timestamp_ms
    for number in range(first, first + WARM + FOLLOWED):
        at_ms += 3_000
        transactions = list(busy_block(number, dice, address_bytes(usdt)[1:]).transactions)
        if number % HITS_EVERY == 0:
            transactions[0] = _deposit(ours[number // HITS_EVERY % len(ours)], usdt, dice)
        block = ScriptedBlock(number, parent, at_ms, tuple(transactions))
        tape.blocks[number] = json.dumps(block.json()).encode()
        tape.receipts[number] = json.dumps(block.receipts()).encode()
        parent = block.block_id
    return tape


def _deposit(to: Address, usdt: Address, dice: random.Random) -> ScriptedTransaction:
    """Somebody sends one of ours 5 USDT."""
    sender = dice.randbytes(20)
    recipient, token = address_bytes(to)[1:], address_bytes(usdt)[1:]
    amount = (5_000_000).to_bytes(32, "big")
    data = bytes.fromhex("a9059cbb") + recipient.rjust(32, b"\0") + amount
    raw = chain.encode(
        chain.RawData(
            chain.TriggerContract(address_of(b"\x41" + sender), usdt, data),
            b"\0\1",
            bytes(8),
            2**41,
            2**41 + dice.randrange(10**6),
        )
    )
    topics = [TRANSFER_TOPIC, *(side.hex().rjust(64, "0") for side in (sender, recipient))]
    receipt = {
        "contract_address": "41" + token.hex(),
        "receipt": {"energy_fee": 1, "energy_usage_total": 64_285, "result": "SUCCESS"},
        "log": [{"address": token.hex(), "topics": topics, "data": amount.hex()}],
    }
    return ScriptedTransaction(raw, receipt)
