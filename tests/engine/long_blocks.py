"""A process that looks at a chain of the longest blocks: ``python long_blocks.py <uri> <database>
<blocks> <bytes>``. Prints as JSON what memory that took, in bytes, and the longest for which
the loop stood still, in seconds.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpcore

from tests.engine.network import GENESIS_MS, Network
from tests.engine.world import ALL_DOCUMENTS
from tron_payment import chain
from tron_payment.chain import MongoCursors, NodeClient, Nodes, Position, RawData, TriggerContract
from tron_payment.chain.node import TRANSACTIONS_MAX
from tron_payment.core.address import address_of
from tron_payment.core.clock import ManualClock, from_ms
from tron_payment.db.connect import connect
from tron_payment.db.ledger import Ledger
from tron_payment.engine import safe_mode
from tron_payment.engine.safe_mode import SafeMode, SafeModes

STRANGER = address_of(b"\x41" + bytes(19) + b"\x63")
BEAT_S = 0.01
UNLIKE = b"0123456789abcdef"
"""In the call data of each transaction; another in each."""


def part(length: int) -> bytes:
    """A transaction as a block has it, of about so many bytes."""
    data = bytes.fromhex(UNLIKE.decode()) + bytes((length - 400) // 2)
    said = RawData(
        contract=TriggerContract(STRANGER, STRANGER, data),
        ref_block_bytes=bytes(2),
        ref_block_hash=bytes(8),
        expiration_ms=GENESIS_MS,
        timestamp_ms=GENESIS_MS,
        fee_limit_sun=1,
    )
    raw = chain.encode(said)
    return json.dumps({"txID": chain.txid(raw), "raw_data_hex": raw.hex(), "ret": []}).encode()


class LongBlocks:
    """Connections to a node whose blocks are as long as they may be, made while they are sent."""

    def __init__(self, network: Network, length: int) -> None:
        self._network = network
        self._part = part(length // TRANSACTIONS_MAX)
        self.sent = 0

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        asked = json.loads(b"".join([part async for part in request.stream]))
        path = request.url.target.rpartition(b"/")[2]
        if path == b"getblock":
            return self._answer([b"{", self._head(self._network.tip.number), b"}"])
        number = asked["num"]
        return self._answer(self._block(number))

    def _answer(self, parts: Any) -> httpcore.Response:
        async def stream() -> AsyncIterator[bytes]:
            for part in parts:
                self.sent += len(part)
                yield part
                await asyncio.sleep(0)

        return httpcore.Response(200, content=stream())

    def _head(self, number: int) -> bytes:
        head = self._network.blocks[number].header
        raw = {
            "number": number,
            "parentHash": head.parent_id,
            "timestamp": head.timestamp_ms,
            "txTrieRoot": "",
        }
        shown = json.dumps({"blockID": head.block_id, "block_header": {"raw_data": raw}})
        return shown[1:-1].encode()

    def _block(self, number: int) -> Iterator[bytes]:
        yield b"{" + self._head(number) + b',"transactions":['
        for index in range(TRANSACTIONS_MAX):
            unlike = b"%016x" % (number * TRANSACTIONS_MAX + index)
            yield b"," * (index > 0) + self._part.replace(UNLIKE, unlike)
        yield b"]}"


async def beats(still: list[float]) -> None:
    before = time.process_time()
    while True:
        await asyncio.sleep(BEAT_S)
        now = time.process_time()
        still.append(now - before)
        before = now


async def main(uri: str, name: str, blocks: str, length: str) -> None:
    safe_mode.LOOK_MAX_S = 600.0  # type: ignore[misc]  # however busy the machine is
    store = await connect(uri, name, ALL_DOCUMENTS)
    network = Network()
    network.mine(int(blocks))
    pools = [LongBlocks(network, int(length)) for _ in range(3)]
    nodes = Nodes(
        [
            NodeClient(f"n{i}", "http://full", "http://solid", pool, deadline_s=600.0)
            for i, pool in enumerate(pools)
        ],
        agreement=2,
    )

    async def alarm(event: str, facts: Any) -> None:
        raise AssertionError(event, facts)

    clock = ManualClock(from_ms(network.tip.timestamp_ms))
    modes = SafeModes(
        clock=clock,
        ledger=Ledger(clock),
        nodes=nodes,
        cursors=MongoCursors(),
        alarm=alarm,
        lifetime_s=60,
    )
    genesis = network.blocks[0].header
    at = Position(0, genesis.block_id, genesis.timestamp_ms, 0)
    still: list[float] = []
    pulse = asyncio.create_task(beats(still))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await modes.look(at)
    after = resource.getrusage(resource.RUSAGE_SELF)
    pulse.cancel()
    found = {
        "took_bytes": (after.ru_maxrss - before.ru_maxrss) * 1024,
        "still_s": max(still),
        "cpu_s": after.ru_utime - before.ru_utime,
        "sent_bytes": sum(pool.sent for pool in pools),
        "begun": await SafeMode.count(),
    }
    print(json.dumps(found), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
