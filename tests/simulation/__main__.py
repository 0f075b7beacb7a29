"""Run many seeds: ``python -m tests.simulation [--seeds 1000] [--start K] [--counter FILE]``.

It goes on where the counter file says that it was stopped; every seed that fails is printed with
its schedule and noted there. ``--start`` runs from a seed without the file.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.engine.points import Points
from tests.engine.world import ALL_DOCUMENTS
from tests.simulation.run import Violation, simulate
from tron_payment.db.connect import connect
from tron_payment.db.embedded import EmbeddedMongod

SHOW_EVERY = 50
COUNTER = Path("var/simulation.json")


@dataclass
class Tally:
    """What has been run so far, kept in the counter file."""

    next_seed: int = 1
    runs: int = 0
    steps: int = 0
    kills: int = 0
    forks: int = 0
    attempts: int = 0
    orders: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path | None) -> "Tally":
        return cls(**json.loads(path.read_text())) if path and path.exists() else cls()

    def save(self, path: Path | None) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(self), indent=1))

    def told(self, seconds: float) -> str:
        return (
            f"{self.runs} runs, {sum(self.orders.values())} orders {self.orders}, "
            f"{self.attempts} attempts, {self.steps} steps, {self.kills} kills, "
            f"{self.forks} forks, TRX by contracts {self.sent}, "
            f"{len(self.failed)} violations {self.failed}; {seconds:.0f} s"
        )


async def main(args: argparse.Namespace) -> int:
    if args.start is not None:
        args.counter = None
    tally = Tally.load(args.counter)
    tally.next_seed = args.start or tally.next_seed
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=memory) as folder:
        server = EmbeddedMongod(Path(folder))
        uri = await server.start()
        try:
            store = await connect(uri, "simulation", ALL_DOCUMENTS)
            points = Points()
            with pytest.MonkeyPatch.context() as patch:
                points.watch(patch)
                for _ in range(args.seeds):
                    await one(tally, points, args)
                    tally.save(args.counter)
                    if tally.runs % SHOW_EVERY == 0:
                        print(tally.told(time.monotonic() - began), flush=True)
            await store.close()
        finally:
            await server.stop()
    print(tally.told(time.monotonic() - began))
    return 1 if tally.failed else 0


async def one(tally: Tally, points: Points, args: argparse.Namespace) -> None:
    seed = tally.next_seed
    tally.next_seed += 1
    tally.runs += 1
    try:
        report = await simulate(seed, points, args.steps, contracts_send=args.contracts_send)
    except Violation as violation:
        tally.failed.append(seed)
        print(violation, flush=True)
        return
    tally.steps += report.steps
    tally.kills += report.kills
    tally.forks += report.forks
    tally.attempts += report.attempts
    tally.orders = dict(Counter(tally.orders) + report.statuses)
    tally.sent = dict(Counter(tally.sent) + report.sent)
    if args.verbose:
        print(report, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--start", type=int)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--counter", type=Path, default=COUNTER)
    parser.add_argument("--contracts-send", action="store_true", help="in every run, not two of 7")
    parser.add_argument("--verbose", action="store_true")
    sys.exit(asyncio.run(main(parser.parse_args())))
