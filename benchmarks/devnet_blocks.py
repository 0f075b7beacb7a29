"""The devnet on one core: blocks of a thousand USDT transfers, 200 reads a second, its start.

The devnet is a process of its own, bound to one core; the load comes from others.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import msgspec
from coincurve import PrivateKey
from tests.ports import free_port

from benchmarks.cpu import TICKS_A_SECOND
from benchmarks.load import Ask, Plan, Result, elsewhere
from benchmarks.payouts import FEE_LIMIT_SUN, LIFETIME_MS, recipient, transfer_data
from benchmarks.report import Row
from tron_payment import chain
from tron_payment.contracts import signer_address
from tron_payment.core.address import Address, address_bytes

BLOCK_MS: Final = 3_000
A_BLOCK: Final = 1_000
BLOCKS: Final = 5
TRANSFERS: Final = A_BLOCK * (BLOCKS + 1)
TRANSFERS_PER_S: Final = 1.02 * A_BLOCK * 1_000 / BLOCK_MS
SENDERS: Final = 20
READS_PER_S: Final = 200
READERS: Final = 20
READ_ALONE_S: Final = 6.0
READ_S: Final = TRANSFERS / TRANSFERS_PER_S
READY_S: Final = 30.0
STARTS: Final = 5
IDLE_BLOCK_MS: Final = 250
IDLE_S: Final = 10.0


async def run(profile: object) -> list[Row]:
    """Its start, its idle share of a core, and what it carries.

    What a thing costs is measured in processor time, which a busy machine does not change.
    """
    starts = sorted([await _start() for _ in range(STARTS)])
    idle = await _idle_share()
    with _devnet("--block-ms", str(BLOCK_MS), "--max-pending", "10000") as (pid, port):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30
        ) as http:
            await _ready(http)
            asks = [
                Ask("POST", "/wallet/broadcasthex", {}, f'{{"transaction":"{text}"}}')
                for text in await _signed(http)
            ]
            reads = await _reads(http)
            cpu_s = _cpu_s(pid)
            alone = await _read(port, reads, READ_ALONE_S)
            read_ms = 1000 * (_cpu_s(pid) - cpu_s) / sum(alone.statuses.values())
            first, cpu_s = await _head(http), _cpu_s(pid)
            sent, read = await asyncio.gather(
                elsewhere(Plan(port, READERS, asks, per_second=TRANSFERS_PER_S)),
                _read(port, reads, READ_S),
            )
            await _drained(http)
            spent_ms = 1000 * (_cpu_s(pid) - cpu_s) - read_ms * sum(read.statuses.values())
            sizes, missed = await _blocks(http, first + 1)
            rss_mib = _rss_mib(pid)
    transfer_ms = spent_ms / TRANSFERS
    share = (A_BLOCK * transfer_ms + READS_PER_S * BLOCK_MS / 1000 * read_ms) / BLOCK_MS
    return [
        Row(
            what="devnet: start to its first answer, processor time",
            figure=f"{starts[STARTS // 2][0]:.2f} s",
            aim="< 1 s",
            notes=f"a new process; on the clock {starts[STARTS // 2][1]:.2f} s",
        ),
        Row(
            what=f"devnet: CPU when idle, a block every {IDLE_BLOCK_MS} ms",
            figure=f"{idle:.1%}",
            notes="of one core",
        ),
        Row(
            what=f"devnet: a core's share for {A_BLOCK} a block and {READS_PER_S} reads/s",
            figure=f"{share:.0%}",
            aim="< 100 %",
            notes=f"processor time: {transfer_ms:.2f} ms a USDT transfer, its part of the block in "
            f"it, {read_ms:.2f} ms a read; {rss_mib} MiB after {TRANSFERS} transfers",
        ),
        Row(
            what=f"devnet: USDT transfers in blocks of {BLOCK_MS / 1000:.0f} s, on the clock",
            figure=f"{sorted(sizes)[len(sizes) // 2]} a block",
            aim=f"{A_BLOCK} a block",
            notes=f"blocks {sizes}, {missed} slots missed, {sent.errors} refused, "
            f"p99 of a broadcast {sent.p99_ms:.0f} ms",
        ),
        Row(
            what=f"devnet: {READS_PER_S} reads/s meanwhile",
            figure=f"{read.per_second:.0f}/s",
            aim=f"{READS_PER_S}/s",
            notes=f"p50 {read.p50_ms:.1f} p99 {read.p99_ms:.0f} max {read.max_ms:.0f} ms, "
            f"{read.errors} errors",
        ),
    ]


async def _read(port: int, asks: list[Ask], seconds: float) -> Result:
    return await elsewhere(Plan(port, READERS, asks, seconds=seconds, per_second=READS_PER_S))


@contextmanager
def _devnet(*options: str) -> Iterator[tuple[int, int]]:
    """A devnet process on the first of our cores; its process id and port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tron_payment.devnet", "--port", str(port), *options],
        stdout=subprocess.DEVNULL,
    )
    try:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def _rss_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


async def _start() -> tuple[float, float]:
    """From the start of the process to `/devnet/info`: processor time and time, seconds."""
    began = time.perf_counter()
    with _devnet("--block-ms", str(BLOCK_MS)) as (pid, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            await _ready(http, pause_s=0.01)
            return _cpu_s(pid), time.perf_counter() - began


async def _idle_share() -> float:
    with _devnet("--block-ms", str(IDLE_BLOCK_MS)) as (pid, port):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            await _ready(http)
        await asyncio.sleep(1)
        cpu_s, began = _cpu_s(pid), time.perf_counter()
        await asyncio.sleep(IDLE_S)
        return (_cpu_s(pid) - cpu_s) / (time.perf_counter() - began)


async def _reads(http: httpx.AsyncClient) -> list[Ask]:
    """What clients ask: heads, an account, a balance; one in twenty is a whole block."""
    address = signer_address(PrivateKey((1_000).to_bytes(32, "big")))
    token = (await http.get("/devnet/info")).json()["usdt_contract"]
    parameter = address_bytes(address)[1:].hex().rjust(64, "0")
    balance = {
        "owner_address": address,
        "contract_address": token,
        "function_selector": "balanceOf(address)",
        "parameter": parameter,
        "visible": True,
    }
    account = json.dumps({"address": address, "visible": True})
    small = [
        Ask("POST", "/wallet/getblock", {}, "{}"),
        Ask("POST", "/walletsolidity/getblock", {}, "{}"),
        Ask("POST", "/wallet/getaccount", {}, account),
        Ask("POST", "/wallet/triggerconstantcontract", {}, json.dumps(balance)),
    ]
    whole = Ask("POST", "/wallet/getnowblock", {}, "{}")
    return [*(small * 5)[:19], whole]


async def _head(http: httpx.AsyncClient) -> int:
    return int((await http.get("/devnet/info")).json()["head"])


async def _ready(http: httpx.AsyncClient, pause_s: float = 0.1) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                if (await http.get("/devnet/info")).json().get("usdt_contract"):
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(pause_s)


async def _signed(http: httpx.AsyncClient) -> list[str]:
    """Transfers by several senders that have money, as hex."""
    keys = [PrivateKey((1_000 + n).to_bytes(32, "big")) for n in range(SENDERS)]
    for key in keys:
        for currency in ("TRX", "USDT"):
            body = {"address": signer_address(key), "amount": "500000", "currency": currency}
            (await http.post("/devnet/faucet", json=body)).raise_for_status()
    info = (await http.get("/devnet/info")).json()
    funded = info["head"] + 1
    while (info := (await http.get("/devnet/info")).json())["head"] < funded:
        await asyncio.sleep(0.2)
    url = str(http.base_url)
    node = chain.NodeClient("node", url, url, chain.node_pool(None, "node"), None, 20.0)
    head = await node.head()
    reference = chain.reference(head.number, head.block_id)
    token, made = Address(info["usdt_contract"]), []
    for number in range(TRANSFERS):
        key = keys[number % SENDERS]
        raw = chain.encode(
            chain.RawData(
                contract=chain.TriggerContract(
                    signer_address(key), token, transfer_data(recipient("devnet", number))
                ),
                ref_block_bytes=reference[0],
                ref_block_hash=reference[1],
                expiration_ms=head.timestamp_ms + LIFETIME_MS,
                timestamp_ms=head.timestamp_ms + number,
                fee_limit_sun=FEE_LIMIT_SUN,
            )
        )
        signature = key.sign_recoverable(bytes.fromhex(chain.txid(raw)), hasher=None)
        made.append(chain.signed(raw, (signature,)).hex())
    return made


async def _drained(http: httpx.AsyncClient) -> None:
    """Wait until nothing is pending; no event says so."""
    async with asyncio.timeout(60):
        while (await http.post("/wallet/getpendingsize", json={})).json()["pendingSize"]:
            await asyncio.sleep(0.2)


async def _blocks(http: httpx.AsyncClient, first: int) -> tuple[list[int], int]:
    """Transactions in each block since, but for the first and last; slots that stayed empty."""
    head = await _head(http)
    body = {"startNum": first, "endNum": head + 1}
    answer = await http.post("/wallet/getblockbylimitnext", json=body)
    blocks = msgspec.json.decode(answer.content)["block"]
    times = [each["block_header"]["raw_data"]["timestamp"] for each in blocks]
    sizes = [len(each.get("transactions", [])) for each in blocks]
    full = [size for size in sizes if size]
    missed = (times[-1] - times[0]) // BLOCK_MS - (len(times) - 1)
    return full[1:-1], missed
