"""What the devnet carries on one core: ``python -m tests.devnet.bench``.

3-second blocks with a thousand USDT transfers each, while 200 reads a second are answered.
"""

import asyncio
import resource
import time
from typing import Final

import httpx
import msgspec

from tests.devnet.client import Wallet
from tron_payment.devnet import Devnet, DevnetConfig, serving
from tron_payment.devnet.keys import base58check, sha256, sign
from tron_payment.devnet.proto import MESSAGES
from tron_payment.devnet.transactions import TRIGGER_CONTRACT, build_raw, encode

TRANSFERS: Final = 1_000
BLOCKS: Final = 4
READS_PER_S: Final = 200
SENDERS: Final = 20


def _transfers(devnet: Devnet, wallets: list[Wallet], start: int) -> list[str]:
    token, solid = devnet.faucet.usdt, devnet.chain.solid_block
    assert token is not None
    made = []
    for index in range(start, start + TRANSFERS):
        wallet = wallets[index % len(wallets)]
        to = sha256(index.to_bytes(8, "big"))[:20]
        data = bytes.fromhex("a9059cbb") + to.rjust(32, b"\0") + (1).to_bytes(32, "big")
        message = MESSAGES["TriggerSmartContract"](
            owner_address=wallet.address, contract_address=token, data=data
        )
        raw = build_raw(
            TRIGGER_CONTRACT,
            message,
            ref_block_bytes=solid.id[6:8],
            ref_block_hash=solid.id[8:16],
            expiration=devnet.chain.head.timestamp_ms + 600_000,
            timestamp=devnet.now_ms() + index,
            fee_limit=100_000_000,
        )
        made.append(encode(raw, (sign(wallet.key, sha256(raw)),)).hex())
    return made


async def _read(http: httpx.AsyncClient, times: list[float], stop: asyncio.Event) -> None:
    """Ask for the head twenty times a second."""
    while not stop.is_set():
        began = time.perf_counter()
        await http.post("/wallet/getblock", json={})
        times.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, 20 / READS_PER_S - (time.perf_counter() - began)))


async def main() -> None:
    began = time.perf_counter()
    devnet = Devnet(DevnetConfig(block_ms=3_000, max_pending=10_000))
    await devnet.start()
    print(f"start {time.perf_counter() - began:.2f} s")
    wallets = [Wallet(1_000 + n) for n in range(SENDERS)]
    for wallet in wallets:
        devnet.faucet.send_trx(wallet.address, 1_000_000_000_000, devnet.now_ms())
        devnet.faucet.send_usdt(wallet.address, 10**12, devnet.now_ms())
    async with (
        serving(devnet) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        stop, times = asyncio.Event(), list[float]()
        readers = [asyncio.create_task(_read(http, times, stop)) for _ in range(20)]
        for round_number in range(BLOCKS):
            batch = _transfers(devnet, wallets, round_number * TRANSFERS)
            cpu = time.process_time()
            began = time.perf_counter()
            for transaction in batch:
                answer = await http.post("/wallet/broadcasthex", json={"transaction": transaction})
                assert msgspec.json.decode(answer.content)["result"], answer.text
            print(
                f"accepted {TRANSFERS} in {time.perf_counter() - began:.2f} s, "
                f"cpu {time.process_time() - cpu:.2f} s with client and readers"
            )
        while devnet.chain.pending:
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*readers)
        times.sort()
        print(
            f"{len(times)} reads: median {times[len(times) // 2] * 1000:.1f} ms, "
            f"99 % {times[len(times) * 99 // 100] * 1000:.0f} ms, worst {times[-1] * 1000:.0f} ms"
        )
        counts = [len(devnet.chain.block(n).transactions) for n in range(devnet.chain.head.number)]
        print(f"transactions in blocks: {[c for c in counts if c]}")
    await devnet.stop()
    print(f"memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    print(base58check(Wallet(1).address), "signs")
    asyncio.run(main())
