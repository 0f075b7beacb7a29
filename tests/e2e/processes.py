"""Commands as a terminal starts them: each with a bound, and nothing of it left behind."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

COMMAND_S: Final = 300.0


async def run(
    *argv: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    within_s: float = COMMAND_S,
) -> tuple[int, str, str]:
    """Exit code, output and errors of a process without a terminal.

    It has a session of its own, so that whatever it has started ends with it.
    """
    child = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()


async def command(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """`tron-payment` with these words, as `run`."""
    return await run(sys.executable, "-m", "tron_payment.cli", *words, env=env)
