"""Reading blocks as large as the main net's costs little: a restart catches up fast."""

import json
import random
import time

from tron_payment import chain
from tron_payment.chain.transactions import TRANSFER_TOPIC
from tron_payment.core.address import address_of

from .scripted import ScriptedBlock, ScriptedTransaction, client_of, fixed

BLOCKS = 4
TRANSACTIONS_PER_BLOCK = 300
WATCHED_ADDRESSES = 10_000
BLOCKS_PER_CPU_SECOND_MIN = 150
TOKEN = bytes.fromhex("a614f803b6fd780986a42c78ec9c7f77e6ded13c")


def busy_block(number: int, dice: random.Random, token: bytes = TOKEN) -> ScriptedBlock:
    """Token transfers and TRX transfers between strangers, three to two."""
    transactions = []
    for index in range(TRANSACTIONS_PER_BLOCK):
        sender, recipient = dice.randbytes(20), dice.randbytes(20)
        receipt: dict[str, object] = {"receipt": {"net_usage": 268}}
        contract: chain.Contract = chain.Transfer(address_of(sender), address_of(recipient), 5)
        if index % 5 < 3:
            data = bytes.fromhex("a9059cbb") + recipient.rjust(32, b"\0") + bytes(32)
            contract = chain.TriggerContract(address_of(sender), address_of(token), data)
            topics = [TRANSFER_TOPIC, *(side.hex().rjust(64, "0") for side in (sender, recipient))]
            log = {"address": token.hex(), "topics": topics, "data": "00" * 32}
            receipt = {
                "contract_address": "41" + token.hex(),
                "receipt": {"energy_fee": 1, "energy_usage_total": 64_285, "result": "SUCCESS"},
                "log": [log],
            }
        raw = chain.encode(chain.RawData(contract, b"\0\1", bytes(8), 2**41, 2**41 + index))
        transactions.append(ScriptedTransaction(raw, receipt))
    return ScriptedBlock(number, "0" * 64, 1, tuple(transactions))


async def test_a_hundred_and_fifty_large_blocks_a_second_on_one_core() -> None:
    dice = random.Random(1)
    watched = {dice.randbytes(20) for _ in range(WATCHED_ADDRESSES)}
    nodes = []
    for number in range(1, BLOCKS + 1):
        block = busy_block(number, dice)
        answers = json.dumps(block.json()).encode(), json.dumps(block.receipts()).encode()
        nodes.append([client_of(fixed(answer)) for answer in answers])
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        for number, (blocks, receipts) in enumerate(nodes, start=1):
            solid = chain.join(await blocks.block(number), await receipts.receipts(number))
            assert solid.touching(watched) == []
            assert len(solid.transactions) == TRANSACTIONS_PER_BLOCK
        best = min(best, time.process_time() - started)
    assert BLOCKS / best > BLOCKS_PER_CPU_SECOND_MIN, f"{BLOCKS / best:.0f} blocks a second"
