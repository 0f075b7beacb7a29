"""A TRON full node for one machine: java-tron's HTTP API, real signatures, real bytecode.

``tron-payment devnet`` runs it as a process; tests use `Devnet` in their own process.
"""

import asyncio
import contextlib
import signal
import sys

import uvloop

from tron_payment.devnet import command
from tron_payment.devnet.config import DevnetConfig, parse_args
from tron_payment.devnet.devnet import Devnet
from tron_payment.devnet.server import serve, serving
from tron_payment.devnet.store import FolderInUse

__all__ = ["Devnet", "DevnetConfig", "main", "parse_args", "serve", "serving"]


def main(argv: list[str]) -> int:
    """Run a devnet until SIGINT or SIGTERM, or steer a running one; returns the exit status."""
    if argv and argv[0] in command.CONTROLS:
        return command.run(argv)
    config = parse_args(argv, command.listing())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_until_signal(config))
        except (FolderInUse, OSError) as error:  # a folder or port that is taken
            print(f"devnet: {error}", file=sys.stderr)
            return 1
    return 0


async def _until_signal(config: DevnetConfig) -> None:
    task = asyncio.ensure_future(serve(config))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
