"""Another replica for the tests of races: ``python other_process.py <task> <uri> <database> ...``.

Waits for a line on its standard input before it begins, so that all begin together, and prints
one line of JSON.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from beanie import Document

from tron_payment.core.clock import SystemClock
from tron_payment.db import installation
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.connect import connect
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.db.events import Event, Events
from tron_payment.db.installation import Installation


class Counter(Document):
    id: str  # type: ignore[assignment]
    version: int = 0
    total: int = 0

    class Settings:
        name = "counters"


async def go() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def count(rounds: str) -> Any:
    """Add one so many times by compare-and-set; how often it won and lost."""
    await insert_once(Counter(id="c"))
    await go()
    won = lost = 0
    while won < int(rounds):
        seen = await Counter.get("c")
        assert seen is not None
        try:
            await compare_and_set(Counter, "c", version=seen.version, set={"total": seen.total + 1})
            won += 1
        except LostRace:
            lost += 1
    return {"won": won, "lost": lost}


async def audit(name: str, acts: str) -> Any:
    """Append so many acts, in crowds of uneven size; their numbers."""
    log = Audit(SystemClock())
    seqs: list[int] = []
    await go()
    for crowd in _crowds(int(acts)):
        entries = await asyncio.gather(
            *(
                log.append(Act(actor=name, role="admin", action="try", object_id=f"{name}{n}"))
                for n in crowd
            )
        )
        seqs += [entry.seq for entry in entries]
    return seqs


async def events(name: str, many: str) -> Any:
    """The same with events."""
    outbox = Events()
    now = SystemClock().now()
    await go()
    for crowd in _crowds(int(many)):
        made = [
            Event(id=f"evt_{name}{n}", type="t", object_id=name, owner=name, object_seq=n, at=now)
            for n in crowd
        ]
        await asyncio.gather(*(outbox.append_many(some) for some in (made[:3], made[3:])))
    return int(many)


def _crowds(many: int) -> list[range]:
    """0 to `many` in pieces of 1 to 30, so that two processes overlap by halves."""
    pieces, start = [], 0
    dice = random.Random(sys.argv[4])
    while start < many:
        end = min(start + dice.randint(1, 30), many)
        pieces.append(range(start, end))
        start = end
    return pieces


async def install(genesis_id: str) -> Any:
    await go()
    try:
        return (await installation.load(genesis_id, SystemClock())).secret.hex()
    except installation.InstallationMismatch as refusal:
        return refusal.code


TASKS: dict[str, Any] = {"count": count, "audit": audit, "events": events, "install": install}


async def own_a_server(folder: str) -> None:
    """Run the folder's server until killed."""
    server = EmbeddedMongod(Path(folder))
    uri = await server.start()
    print(json.dumps({"uri": uri, "pid": server.pid}), flush=True)
    await server.supervise()


async def main(task: str, *rest: str) -> None:
    if task == "own":
        await own_a_server(*rest)
        return
    uri, name, *arguments = rest
    store = await connect(uri, name, [Counter, AuditEntry, Event, Installation])
    print(json.dumps(await TASKS[task](*arguments)), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
