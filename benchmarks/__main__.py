"""``python -m benchmarks [--only NAME ...] [--profile FILE]``."""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console

from benchmarks import (
    batches,
    console,
    devnet_blocks,
    faults,
    following,
    gateway,
    payouts,
    reads,
    starts,
    wallets,
)
from benchmarks.report import Row, print_table

WIDTH: Final = 150
ON_THE_SERVICES_LOOP: Final = frozenset({"following"})
"""Those that measure the service within this very process; it runs on uvloop."""

BENCHMARKS: Final[dict[str, Callable[[Path | None], Awaitable[list[Row]]]]] = {
    "payouts": payouts.run,
    "batches": batches.run,
    "faults": faults.run,
    "reads": reads.run,
    "starts": starts.run,
    "wallets": wallets.run,
    "devnet": devnet_blocks.run,
    "following": following.run,
    "gateway": gateway.run,
    "console": console.run,
}


def main() -> None:
    """Run them one after another and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME")
    parser.add_argument("--profile", type=Path, help="cProfile of the service, for `payouts`")
    given = parser.parse_args()
    screen, rows = Console(width=WIDTH), list[Row]()
    for name in given.only or BENCHMARKS:
        began = time.perf_counter()
        screen.print(f"{name} ...", end=" ")
        run = uvloop.run if name in ON_THE_SERVICES_LOOP else asyncio.run
        rows += run(_one(name, given.profile))
        screen.print(f"{time.perf_counter() - began:.0f} s")
    print_table(rows, screen)
    if given.profile is not None and given.profile.exists():
        payouts.print_profile(given.profile, screen)


async def _one(name: str, profile: Path | None) -> list[Row]:
    return await BENCHMARKS[name](profile)


if __name__ == "__main__":
    main()
