"""Payouts a second from the request to the solidified block, beside a loop that stores nothing.

The bare loop signs, broadcasts and waits for the solidified block on the same devnet at the same
pace: what the chain alone costs.
"""

import asyncio
import hashlib
import io
import pstats
import time
from pathlib import Path
from typing import Any, Final

import msgspec
from coincurve import PrivateKey
from pymongo.asynchronous.collection import AsyncCollection
from rich.console import Console
from tests.e2e.service import Service

from benchmarks.cpu import CpuMeter
from benchmarks.load import Ask, Plan, elsewhere
from benchmarks.report import Row
from tron_payment import chain
from tron_payment.contracts import signer_address
from tron_payment.core.address import Address, address_bytes, address_of

COUNT: Final = 2_000
USERS: Final = 50
BROADCASTS_AT_ONCE: Final = 32
UNITS: Final = 10_000_000
FEE_LIMIT_SUN: Final = 50_000_000
LIFETIME_MS: Final = 300_000
PROFILE_LINES: Final = 45
SETTLE_S: Final = 180.0
POLL_S: Final = 0.05
FUNDS: Final = {"TRX": "1000000", "USDT": "1000000"}
UNLIMITED: Final = {"RATE_PAYOUT": "1000000", "RATE_READ": "1000000"}
TRANSFER: Final = bytes.fromhex("a9059cbb")


async def run(profile: Path | None) -> list[Row]:
    """One row; with `profile`, cProfile's figures of the service go to that file."""
    service = Service(**UNLIMITED)
    if profile is not None:
        service.launcher = ("-m", "cProfile", "-o", str(profile), "-m", "tron_payment")
    try:
        service.start()
        await service.ready()
        bare_s = await _bare(service)
        meter = CpuMeter(service)
        paid_s, accepted_s, p99_ms = await _paid(service)
        cpu = meter.told(COUNT, "payout")
        await service.stop()
    finally:
        service.destroy()
    ours, theirs = COUNT / paid_s, COUNT / bare_s
    return [
        Row(
            what=f"{COUNT} direct USDT payouts, accepted to settled",
            figure=f"{ours:.0f}/s",
            beside=f"{theirs:.0f}/s",
            ratio=ours / theirs,
            aim="150/s, later 300/s",
            notes="beside: sign, broadcast, wait for the solid block; both with its 18 blocks",
        ),
        Row(
            what="of which accepting (202 answered)",
            figure=f"{COUNT / accepted_s:.0f}/s",
            notes=f"{USERS} callers, p99 {p99_ms:.0f} ms",
        ),
        cpu,
    ]


async def _paid(service: Service) -> tuple[float, float, float]:
    """Seconds until all were settled, until all were accepted; p99 of accepting in ms."""
    token = service.token()
    asks = [
        Ask(
            "POST",
            "/api/v1/payouts/direct",
            {"Authorization": f"Bearer {token}", "Idempotency-Key": f"benchmark-{n:016d}"},
            msgspec.json.encode(
                {
                    "user_id": "bench",
                    "recipient_address": recipient("paid", n),
                    "amount": "10",
                    "currency": "USDT",
                }
            ).decode(),
        )
        for n in range(COUNT)
    ]
    began = time.perf_counter()
    loading = asyncio.create_task(elsewhere(Plan(service.port, USERS, asks)))
    async with service.mongo() as mongo:
        payouts = mongo[service.settings.payment_db_name]["payouts"]
        settling = asyncio.create_task(until_settled(payouts, COUNT, POLL_S))
        await asyncio.wait([settling, loading], return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            assert not loading.result().errors, loading.result()
        await settling
    ended = time.perf_counter()
    load = await loading
    return ended - began, load.seconds, load.p99_ms


async def until_settled(
    payouts: AsyncCollection[dict[str, Any]], count: int, poll_s: float
) -> None:
    """Wait until so many payouts are there and all settled; looking costs next to nothing."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            unsettled = await payouts.find_one({"status": {"$ne": "settled"}}, {"_id": 1})
            if unsettled is None and await payouts.estimated_document_count() >= count:
                return
            await asyncio.sleep(poll_s)


async def _bare(service: Service) -> float:
    """Seconds for the same transfers by a loop that stores nothing."""
    key = PrivateKey(hashlib.sha256(b"benchmark").digest())
    sender = signer_address(key)
    async with service.devnet() as devnet, chain.node_pool(None, "bare") as pool:
        for currency, amount in FUNDS.items():
            body = {"address": sender, "amount": amount, "currency": currency}
            (await devnet.post("/devnet/faucet", json=body)).raise_for_status()
        token = Address((await devnet.get("/devnet/info")).json()["usdt_contract"])
        node = chain.NodeClient("bare", service.devnet_url, service.devnet_url, pool, None, 20.0)
        funded_at = (await node.head()).number + 1
        while (solid := await node.solid_head()).number < funded_at:
            await asyncio.sleep(POLL_S)
        began = time.perf_counter()
        await _send_all(node, key, sender, token, solid)
        return time.perf_counter() - began


async def _send_all(
    node: chain.NodeClient,
    key: PrivateKey,
    sender: Address,
    token: Address,
    solid: chain.BlockHeader,
) -> None:
    reference = chain.reference(solid.number, solid.block_id)
    gate, waiting = asyncio.Semaphore(BROADCASTS_AT_ONCE), set[str]()
    head = await node.head()

    async def send(number: int) -> None:
        raw = chain.encode(
            chain.RawData(
                contract=chain.TriggerContract(
                    sender, token, transfer_data(recipient("bare", number))
                ),
                ref_block_bytes=reference[0],
                ref_block_hash=reference[1],
                expiration_ms=head.timestamp_ms + LIFETIME_MS,
                timestamp_ms=head.timestamp_ms + number,
                fee_limit_sun=FEE_LIMIT_SUN,
            )
        )
        txid = chain.txid(raw)
        signature = key.sign_recoverable(bytes.fromhex(txid), hasher=None)
        waiting.add(txid)
        async with gate:
            answer = await node.broadcast(chain.signed(raw, (signature,)))
        assert answer.accepted, answer

    sending = asyncio.gather(*(send(number) for number in range(COUNT)))
    number = solid.number + 1
    async with asyncio.timeout(SETTLE_S):
        while not sending.done() or waiting:
            if (await node.solid_head()).number < number:
                await asyncio.sleep(POLL_S)
                continue
            block, receipts = await asyncio.gather(node.block(number), node.receipts(number))
            for transaction in chain.join(block, receipts).transactions:
                assert transaction.txid not in waiting or transaction.succeeded
                waiting.discard(transaction.txid)
            number += 1
    await sending


def print_profile(file: Path, console: Console) -> None:
    """The service's costs by own time, then by time with all that was called."""
    for order in ("tottime", "cumulative"):
        text = io.StringIO()
        pstats.Stats(str(file), stream=text).sort_stats(order).print_stats(PROFILE_LINES)
        console.print(text.getvalue().partition("ncalls")[2], highlight=False)


def recipient(kind: str, number: int) -> Address:
    """An address that has never had a token."""
    return address_of(hashlib.sha256(f"{kind} {number}".encode()).digest()[:20])


def transfer_data(to: Address) -> bytes:
    return TRANSFER + address_bytes(to)[1:].rjust(32, b"\0") + UNITS.to_bytes(32, "big")
