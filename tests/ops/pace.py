"""Asks for payouts at a steady pace, as a gateway in front of several processes would send them.

`pace.py OUT PER_SECOND COUNT_MAX PORT...` asks whether answers come or not (an open loop with a
bounded number under way), repeats each request with the same key until it is accepted, ends at
SIGTERM or after so many, and writes what became of them to OUT as JSON. Plain HTTP/1.1 over kept
connections, in a process of its own, so that the services are what is measured.
"""

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from tests.ops.installation import token
from tests.ops.live import RECIPIENT

UNDER_WAY_MAX: Final = 400
ATTEMPTS_MAX: Final = 120
PAUSE_S: Final = 0.25
ANSWER_S: Final = 20.0
AMOUNT: Final = "10.5"

CLOSED: Final = "0"
"""Nobody listens, or whoever did ended before he answered."""

LATE: Final = "late"
GARBLED: Final = "garbled"

ALLOWED: Final = frozenset({"202", "503", CLOSED})
"""What may be answered while processes and primaries come and go. All else would be a fault of
ours that repeating hides."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Pace:
    """What was asked for, and what was answered."""

    ports: list[int]
    ids: dict[int, str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    never: list[int] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    repeated: int = 0
    idle: dict[int, list[Connection]] = field(default_factory=dict)
    bearer: str = field(default_factory=token)

    async def pay(self, number: int, gate: asyncio.Semaphore) -> None:
        """One payout, until it is accepted."""
        request, began = self._request(number), time.perf_counter()
        try:
            for attempt in range(ATTEMPTS_MAX):
                port = self.ports[(number + attempt) % len(self.ports)]
                status, body = await self._ask(port, request)
                self.answers[status] += 1
                if status == "202":
                    self.ids[number] = json.loads(body)["payout_id"]
                    self.times_ms.append((time.perf_counter() - began) * 1000)
                    return
                self.repeated += 1
                await asyncio.sleep(PAUSE_S)
            self.never.append(number)
        finally:
            gate.release()

    async def _ask(self, port: int, request: bytes) -> tuple[str, bytes]:
        """Status and body, or CLOSED, LATE or GARBLED."""
        writer = None
        try:
            async with asyncio.timeout(ANSWER_S):
                kept = self.idle.setdefault(port, [])
                reader, writer = (
                    kept.pop() if kept else await asyncio.open_connection("127.0.0.1", port)
                )
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if b"connection: close" in head:
                    writer.close()
                else:
                    kept.append((reader, writer))
                return head[9:12].decode(), body
        except TimeoutError:  # an OSError, too
            status = LATE
        except (OSError, asyncio.IncompleteReadError):
            status = CLOSED
        except (ValueError, asyncio.LimitOverrunError):
            status = GARBLED
        if writer is not None:
            writer.close()
        return status, b""

    def _request(self, number: int) -> bytes:
        body = json.dumps(
            {
                "user_id": f"user-{number}",
                "recipient_address": RECIPIENT,
                "amount": AMOUNT,
                "currency": "USDT",
                "merchant_reference": f"pace-{number}",
            }
        )
        lines = [
            "POST /api/v1/payouts/direct HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: Bearer {self.bearer}",
            f"Idempotency-Key: pace-{number:020}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def main(out: Path, per_second: float, count_max: int, ports: list[int]) -> None:
    """Ask until told to stop."""
    pace, gate, stop = Pace(ports), asyncio.Semaphore(UNDER_WAY_MAX), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    began, tasks = time.perf_counter(), set()
    for number in range(count_max):
        await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
        await gate.acquire()
        if stop.is_set():
            break
        tasks.add(task := asyncio.create_task(pace.pay(number, gate)))
        task.add_done_callback(tasks.discard)
    asked_s = time.perf_counter() - began
    await asyncio.gather(*tasks)
    times = sorted(pace.times_ms) or [0.0]
    said = {
        "ids": [pace.ids[number] for number in sorted(pace.ids)],
        "never": pace.never,
        "answers": pace.answers,
        "repeated": pace.repeated,
        "asked_s": asked_s,
        "accepted_s": time.perf_counter() - began,
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[int(len(times) * 0.99)],
        "max_ms": times[-1],
    }
    out.write_text(json.dumps(said))


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(main(Path(given[0]), float(given[1]), int(given[2]), [int(p) for p in given[3:]]))
