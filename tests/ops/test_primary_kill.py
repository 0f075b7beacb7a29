"""Three real mongods; the primary is killed again and again while payouts are asked for."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.ops.installation import (
    Processes,
    devnet_argv,
    initiate,
    mongod_argv,
    until,
)
from tests.ops.live import BLOCK_MS, Live, configured
from tests.ops.test_rolling_restart import AMOUNT_UNITS, Gateway, all_of, paid_on_chain
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

MEMBERS = 3
KILLS = 20
CALLERS = 4
PAUSE_S = 3.0


@dataclass
class Set:
    """The members by port."""

    folder: Path
    processes: Processes
    members: dict[int, subprocess.Popen[bytes]]
    uri: str = ""

    def run(self, port: int) -> None:
        argv, env = mongod_argv(self.folder / f"mongo-{port}", port)
        self.members[port] = self.processes.spawn(argv, f"mongod-{port}.log", env)

    def primary(self) -> int | None:
        with MongoClient(self.uri, serverSelectionTimeoutMS=500) as client:
            address = client.admin.command("hello").get("primary", "")
        return int(address.rpartition(":")[2]) if address else None

    def kill_primary(self) -> float:
        """Seconds until another one takes writes; the killed one comes back afterwards."""
        port = until(self.primary, "a primary")
        started = time.monotonic()
        self.members[port].send_signal(signal.SIGKILL)
        self.members[port].wait()

        def another() -> bool:
            with suppress(PyMongoError):
                return self.primary() not in (None, port)
            return False

        until(another, "another primary", 60)
        away_s = time.monotonic() - started
        self.run(port)
        return away_s


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Live, Set]]:
    processes = Processes(tmp_path)
    members = Set(tmp_path, processes, {})
    try:
        for _ in range(MEMBERS):
            members.run(free_port())
        members.uri = initiate(list(members.members))
        port = free_port()
        processes.spawn(devnet_argv(tmp_path, port, BLOCK_MS), "devnet.log")
        live = configured(tmp_path, processes, members.uri, port)
        live.start()
        yield live, members
    finally:
        processes.end()
        shutil.rmtree(tmp_path, ignore_errors=True)


def test_no_acknowledged_payout_is_lost_or_doubled_when_primaries_are_killed(
    world: tuple[Live, Set],
) -> None:
    live, members = world
    gateway = Gateway(list(live.services))
    enough = threading.Event()
    ids: list[str] = []

    def ask(caller: int) -> None:
        number = caller * 100_000
        while not enough.is_set():
            ids.append(gateway.pay(number))
            number += 1

    pauses = []
    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(ask, caller) for caller in range(CALLERS)]
        try:
            for _ in range(KILLS):
                time.sleep(PAUSE_S)
                pauses.append(members.kill_primary())
        finally:
            enough.set()
        for caller in callers:
            caller.result()

    until(lambda: all(p["status"] == "settled" for p in all_of(live)), "all settled", 600)
    assert len(ids) >= KILLS * CALLERS, "each caller was served, too, between two kills"
    rows = all_of(live)
    assert {row["_id"] for row in rows} == set(ids)
    assert len({row["txid"] for row in rows}) == len(ids) == len(set(ids))
    assert paid_on_chain(live) == len(ids) * AMOUNT_UNITS
    code, report = live.command_json("reconcile")
    assert code == 0 and set(report["difference"].values()) <= {"0"}, report
    print(
        f"\n{KILLS} primaries killed, {len(ids)} payouts; another primary after "
        f"{', '.join(f'{s:.1f}' for s in pauses)} s; slowest answer {gateway.slowest_s:.1f} s, "
        f"{gateway.repeats} repeats: {dict(gateway.answers)}"
    )
