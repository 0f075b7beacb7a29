"""A load generator in a process of its own: plain HTTP/1.1 over kept connections.

Reads a `Plan` as JSON from standard input, writes a `Result` to standard output. It costs a
fraction of what a full HTTP client would, so that on two cores the server is what is measured.
"""

import asyncio
import sys
import time
from collections import Counter
from itertools import cycle, islice
from typing import Final

import msgspec
import uvloop

from benchmarks.report import percentile

HOST: Final = "127.0.0.1"
ANSWER_BYTES_MAX: Final = 1 << 20


class Ask(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = {}
    body: str = ""

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {HOST}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()


class Plan(msgspec.Struct, frozen=True):
    """Each request once when `seconds` is 0, else over and over for so long.

    `per_second` spreads them evenly; 0 means each user asks again as soon as it has its answer.
    """

    port: int
    users: int
    asks: list[Ask]
    seconds: float = 0
    per_second: float = 0


class Result(msgspec.Struct, frozen=True):
    """`statuses` by code; times are of good answers (below 400), in milliseconds."""

    statuses: dict[str, int]
    seconds: float
    started_at: float
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def per_second(self) -> float:
        return sum(self.statuses.values()) / self.seconds

    @property
    def errors(self) -> int:
        return sum(n for status, n in self.statuses.items() if int(status) >= 400)


async def run(plan: Plan) -> Result:
    """Carry out a plan."""
    encoded = [ask.encode() for ask in plan.asks]
    once, taken = not plan.seconds, iter(encoded)
    statuses: Counter[str] = Counter()
    times_ms: list[float] = []
    started_at, began = time.time(), time.perf_counter()
    pause_s = plan.users / plan.per_second if plan.per_second else 0.0

    async def user(number: int) -> None:
        reader, writer = await asyncio.open_connection(HOST, plan.port, limit=ANSWER_BYTES_MAX)
        mine = taken if once else islice(cycle(encoded), number, None)
        await asyncio.sleep(pause_s * number / plan.users)
        for request in mine:
            asked = time.perf_counter()
            if not once and asked - began > plan.seconds:
                break
            writer.write(request)
            status = await _answer(reader)
            took_s = time.perf_counter() - asked
            statuses[status] += 1
            if int(status) < 400:
                times_ms.append(took_s * 1000)
            if pause_s > took_s:
                await asyncio.sleep(pause_s - took_s)
        writer.close()

    await asyncio.gather(*(user(number) for number in range(plan.users)))
    seconds = time.perf_counter() - began
    times_ms = times_ms or [0.0]
    return Result(
        dict(statuses),
        seconds,
        started_at,
        percentile(times_ms, 0.5),
        percentile(times_ms, 0.99),
        max(times_ms),
    )


async def _answer(reader: asyncio.StreamReader) -> str:
    """Read one answer; its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
    await reader.readexactly(length)
    return head[9:12].decode()


async def elsewhere(plan: Plan) -> Result:
    """Carry out a plan in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(msgspec.json.encode(plan))
    assert process.returncode == 0, "the load generator failed"
    return msgspec.json.decode(out, type=Result)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(given))))
