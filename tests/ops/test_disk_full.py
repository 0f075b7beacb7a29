"""The store's disk is full: requests are refused, nothing promised is lost, and all goes on."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests import plain
from tests.ops.installation import mongod_argv, token, until
from tests.ops.live import RECIPIENT, Live, begin
from tests.ops.test_metrics import samples
from tests.ops.test_rolling_restart import checked, unsettled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk"),
]

DISK_MIB = 700
"""Room for a set's journals, and not much more."""

PIECE, PIECES = 1 << 20, 16
PIECE_SIZES = (PIECE, PIECE >> 6, PIECE >> 12)
"""Where no large document goes in any more, many small ones may."""

PAYOUTS_BEFORE, PAYOUTS_DURING = 5, 30
REFUSED_WITHIN_S = 60


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Live]:
    disk = tmp_path / "mongo"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs"]
    subprocess.run(["mount", *options, str(disk)], check=True)
    installation = None
    try:
        installation = begin(tmp_path)
        installation.start()
        yield installation
    finally:
        if installation is not None:
            installation.end()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def ask(here: Live, number: int) -> tuple[int, str]:
    """Status and id; the same number is the same payout."""
    body = {
        "user_id": f"user-{number}",
        "recipient_address": RECIPIENT,
        "amount": "10.5",
        "currency": "USDT",
    }
    headers = {"Authorization": f"Bearer {token()}", "Idempotency-Key": f"full-{number:020}"}
    url = here.url + "/api/v1/payouts/direct"
    answer = plain.post(url, json=body, headers=headers, timeout=30)
    assert answer.headers["content-type"].startswith("application/"), answer.text
    return answer.status_code, str(answer.json().get("payout_id", ""))


def fill(here: Live) -> None:
    """First the disk, then what is left of the store's own room; until it takes nothing more."""
    uri = (Path(here.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    options = {"serverSelectionTimeoutMS": 2_000, "socketTimeoutMS": 10_000, "retryWrites": False}
    with MongoClient(uri, **options) as client:  # type: ignore[arg-type]
        pieces = client["ballast"].create_collection("pieces")  # a full disk has no room for it
        _fill_disk(here.folder / "mongo" / "ballast")
        deadline = time.monotonic() + REFUSED_WITHIN_S
        for size in PIECE_SIZES:
            with suppress(PyMongoError):
                while time.monotonic() < deadline:
                    pieces.insert_many([{"piece": os.urandom(size)} for _ in range(PIECES)])
                    client.admin.command("fsync")  # a checkpoint, else once a minute


def _fill_disk(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast:
        piece = os.urandom(PIECE)
        with suppress(OSError):
            while ballast.write(piece) == PIECE:
                pass


def failures(here: Live) -> float:
    """What StoreFailing looks at: what the store refused, and whether there is none."""
    seen = samples(plain.get(here.url + "/metrics", timeout=30).text)
    away = 1 - seen["tronpay_mongo_writable"][()]
    return sum(seen.get("tronpay_mongo_failures_total", {}).values()) + away


def test_a_full_disk_refuses_and_loses_nothing(here: Live) -> None:
    promised: dict[int, str] = {}
    for number in range(PAYOUTS_BEFORE):
        status, payout_id = ask(here, number)
        assert status == 202
        promised[number] = payout_id
    until(lambda: unsettled(here) == 0, "settled before")

    before = failures(here)
    fill(here)
    answers: Counter[int] = Counter()
    for number in range(PAYOUTS_BEFORE, PAYOUTS_BEFORE + PAYOUTS_DURING):
        started = time.monotonic()
        status, payout_id = ask(here, number)
        took_s = time.monotonic() - started
        answers[status] += 1
        assert status in (202, 503) and took_s < 30, (status, took_s)
        if status == 202:
            promised[number] = payout_id
        if answers[503] >= 3:
            break
    assert answers[503], f"the store took everything: {answers}"
    assert plain.get(here.url + "/health/live").status_code == 200
    assert plain.get(here.url + "/health/ready", timeout=30).status_code == 503
    until(lambda: failures(here) > before, "what StoreFailing looks at")

    mongod = here.processes.running[0]
    ended_by_itself = mongod.poll() is not None
    if not ended_by_itself:
        mongod.send_signal(signal.SIGKILL)
    mongod.wait(timeout=30)
    (here.folder / "mongo" / "ballast").unlink()
    uri = (Path(here.environment["SECRETS_DIR"]) / "mongodb_uri").read_text()
    port = int(uri.partition("127.0.0.1:")[2].partition("/")[0])
    argv, env = mongod_argv(here.folder / "mongo", port)
    here.processes.spawn(argv, "mongod.log", env)
    until(lambda: plain.get(here.url + "/health").status_code == 200, "ready again", 120)
    for number in range(PAYOUTS_BEFORE + PAYOUTS_DURING):
        status, payout_id = ask(here, number)
        assert status == 202 and promised.setdefault(number, payout_id) == payout_id
    until(lambda: unsettled(here) == 0, "all settled", 180)
    checked(here, list(promised.values()))
    print(f"\nfull disk: {dict(answers)}; the store ended by itself: {ended_by_itself}")
