"""What a look at a start costs when every block is as long as an answer may be: its memory, and how
long it keeps everything else waiting. Measured in a process of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.conftest import Mongo
from tron_payment.chain.calls import BLOCK_BYTES_MAX

SCRIPT = Path(__file__).with_name("long_blocks.py")
ROOT = SCRIPT.parents[2]
BLOCKS = 3
LENGTH = 60 * 1024 * 1024
PATIENCE_S = 250
STILL_S_MAX = 2.0
"""Of processor time: to take one answer apart, or to decode some transactions."""

TOOK_BYTES_MAX = 6 * BLOCK_BYTES_MAX
"""One answer, its copies while it is taken apart, and what the allocator keeps of another."""


async def test_the_longest_blocks_are_in_memory_one_at_a_time(mongo: Mongo) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        mongo.uri,
        mongo.name,
        str(BLOCKS),
        str(LENGTH),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found = json.loads(said.splitlines()[-1])
    print(found)
    assert found["begun"] == 0 and found["sent_bytes"] > 2 * BLOCKS * LENGTH * 0.9
    assert found["still_s"] < STILL_S_MAX, found
    assert found["took_bytes"] < TOOK_BYTES_MAX, found
