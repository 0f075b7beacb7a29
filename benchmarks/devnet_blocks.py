"""The devnet: blocks of a thousand USDT transfers while it answers two hundred reads a second."""

import asyncio
import subprocess
import sys
import time
from typing import Final

import httpx
import msgspec
from coincurve import PrivateKey
from tests.e2e.service import free_ports

from benchmarks.load import Ask, Plan, elsewhere
from benchmarks.payouts import FEE_LIMIT_SUN, LIFETIME_MS, recipient, transfer_data
from benchmarks.report import Row
from tron_payment import chain
from tron_payment.contracts import signer_address
from tron_payment.core.address import Address

BLOCK_MS: Final = 3_000
TRANSFERS: Final = 4_000
SENDERS: Final = 20
READS_PER_S: Final = 200
READERS: Final = 20
READ_S: Final = 16.0
READY_S: Final = 30.0


async def run(profile: object) -> list[Row]:
    """Transfers a second into blocks, and the reads' latencies meanwhile."""
    port, _ = free_ports()
    url = f"http://127.0.0.1:{port}"
    argv = ["--port", str(port), "--block-ms", str(BLOCK_MS), "--max-pending", "10000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tron_payment.devnet", *argv], stdout=subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
            await _ready(http)
            transfers = await _signed(http)
            reading = asyncio.create_task(
                elsewhere(
                    Plan(
                        port,
                        READERS,
                        [Ask("POST", "/wallet/getnowblock", {}, "{}")],
                        seconds=READ_S,
                        per_second=READS_PER_S,
                    )
                )
            )
            asks = [
                Ask("POST", "/wallet/broadcasthex", {}, f'{{"transaction":"{text}"}}')
                for text in transfers
            ]
            sent = await elsewhere(Plan(port, READERS, asks))
            began = time.perf_counter()
            largest = await _drained(http)
            drained_s = time.perf_counter() - began
            reads = await reading
    finally:
        process.terminate()
        process.wait(30)
    return [
        Row(
            what=f"devnet: {TRANSFERS} USDT transfers taken over HTTP",
            figure=f"{sent.per_second:.0f}/s",
            notes=f"all in blocks {drained_s:.1f} s later, the largest holds {largest}",
        ),
        Row(
            what=f"devnet: {READS_PER_S} reads/s meanwhile",
            figure=f"p99 {reads.p99_ms:.0f} ms",
            notes=f"p50 {reads.p50_ms:.1f} max {reads.max_ms:.0f} ms, {reads.errors} errors",
        ),
    ]


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                if (await http.get("/devnet/info")).json().get("usdt_contract"):
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


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
    node = chain.NodeClient("node", str(http.base_url), str(http.base_url), http, None, 20.0)
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


async def _drained(http: httpx.AsyncClient) -> int:
    """Wait until nothing is pending; the size of the largest of the last blocks."""
    async with asyncio.timeout(60):
        while (await http.post("/wallet/getpendingsize", json={})).json()["pendingSize"]:
            await asyncio.sleep(0.2)
    head = (await http.get("/devnet/info")).json()["head"]
    sizes = []
    for number in range(max(1, head - 20), head + 1):
        answer = await http.post("/wallet/gettransactioncountbyblocknum", json={"num": number})
        sizes.append(int(msgspec.json.decode(answer.content)["count"]))
    return max(sizes)
