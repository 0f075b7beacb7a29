"""Reading blocks as large as the main net's, watching ten thousand addresses."""

import json
import random
import time
from typing import Final

from tests.chain.scripted import client_of, fixed
from tests.chain.test_throughput import busy_block

from benchmarks.report import Row
from tron_payment import chain

BLOCKS: Final = 40
WATCHED: Final = 10_000
ROUNDS: Final = 3


async def run(profile: object) -> list[Row]:
    """Blocks a second on one core, beside reading the same bytes with `json.loads` alone."""
    dice = random.Random(1)
    watched = {dice.randbytes(20) for _ in range(WATCHED)}
    answers = []
    for number in range(1, BLOCKS + 1):
        block = busy_block(number, dice)
        answers.append((json.dumps(block.json()).encode(), json.dumps(block.receipts()).encode()))
    ours = min([await _read(answers, watched) for _ in range(ROUNDS)])
    bare = min(_loads(answers) for _ in range(ROUNDS))
    return [
        Row(
            what="blocks followed, 300 transactions each",
            figure=f"{BLOCKS / ours:.0f}/s",
            beside=f"{BLOCKS / bare:.0f}/s",
            ratio=bare / ours,
            notes=f"{WATCHED} addresses watched; beside: json.loads of both answers, no more",
        )
    ]


async def _read(answers: list[tuple[bytes, bytes]], watched: set[bytes]) -> float:
    nodes = [[client_of(fixed(answer)) for answer in pair] for pair in answers]
    began = time.process_time()
    for number, (blocks, receipts) in enumerate(nodes, start=1):
        solid = chain.join(await blocks.block(number), await receipts.receipts(number))
        assert solid.touching(watched) == []
    return time.process_time() - began


def _loads(answers: list[tuple[bytes, bytes]]) -> float:
    began = time.process_time()
    for block, receipts in answers:
        json.loads(block)
        json.loads(receipts)
    return time.process_time() - began
