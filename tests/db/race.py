"""Start other processes, let them begin together, read what each one says."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("other_process.py")


async def other_process(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def race(mongo: Any, *tasks: Sequence[str]) -> list[Any]:
    """Each task is its name and arguments; the answers in the same order."""
    replicas = await asyncio.gather(
        *(other_process(name, mongo.uri, mongo.name, *rest) for name, *rest in tasks)
    )
    try:
        async with asyncio.timeout(120):
            for replica in replicas:
                assert replica.stdout is not None
                assert await replica.stdout.readline() == b"ready\n"
            said = await asyncio.gather(*(each.communicate(b"go\n") for each in replicas))
    finally:
        for replica in replicas:
            if replica.returncode is None:
                replica.kill()
                await replica.wait()
    return [json.loads(answer) for answer, _ in said]
