"""A process that is behind passes over the blocks that concern nobody here, and misses nothing."""

import asyncio
from typing import Any

from tests.gateway.test_deposits import PAYER, shown
from tests.gateway.world import SOLID_LAG, World
from tron_payment.chain import Follower, MongoCursors, SolidBlock
from tron_payment.chain.answers import LogPart
from tron_payment.contracts import artifact
from tron_payment.core.address import address_bytes
from tron_payment.db.events import Event

BEFORE, BETWEEN, AFTER = 9, 12, 7


async def read_up(follower: Follower) -> None:
    """Let everything be read that is being read."""
    for _ in range(100_000):
        if all(task.done() for task in follower._ahead.values()):
            return
        await asyncio.sleep(0)
    raise AssertionError("the blocks are never read")


async def catch_up(made: World) -> list[int]:
    """Follow to the head; the blocks that were handled one by one."""
    follower, handled = made.assembly.follower, list[int]()

    async def note(block: SolidBlock) -> None:
        handled.append(block.number)

    real = follower._handlers
    follower._handlers = [note, *real]
    while await follower.step():
        await read_up(follower)
    follower._handlers = real
    return handled


async def number(made: World) -> int:
    at = await made.house.cursors.load()
    assert at is not None
    return int(at.number)


async def test_payments_among_quiet_blocks_are_credited_and_every_block_is_certified(
    gateway: World,
) -> None:
    await gateway.fund(PAYER.address, "50000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.solidify()
    first, second = await gateway.invoice("25"), await gateway.invoice("30")
    await gateway.solidify()
    start = await number(gateway)
    await gateway.devnet.mine(BEFORE)
    await gateway.pay(PAYER, first["address"], "25")
    await gateway.devnet.mine(BETWEEN)
    await gateway.pay(PAYER, second["address"], "10")
    await gateway.devnet.mine(AFTER + SOLID_LAG)
    handled = await catch_up(gateway)
    paid, partly = start + BEFORE + SOLID_LAG + 1, start + BEFORE + BETWEEN + SOLID_LAG + 1
    end = await number(gateway)
    assert {paid, paid - 1, partly, partly - 1, end} <= set(handled)
    assert len(handled) < end - start, "blocks are passed over"
    assert shown(await gateway.payment(first["payment_id"])) == ("paid", "25", "0", "0")
    assert shown(await gateway.payment(second["payment_id"]))[:2] == ("partially_paid", "10")
    certify: Any = next(
        module.dependencies["certificates"]
        for module in gateway.assembly.modules
        if module.name == "network"
    )
    assert set(range(start + 1, end + 1)) <= set(certify._seen)


async def test_an_invoice_that_ends_among_quiet_blocks_ends_before_it_is_paid(
    gateway: World,
) -> None:
    """What is due by the chain's time is done before the next block that concerns us."""
    await gateway.fund(PAYER.address, "50000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.solidify()
    invoice = await gateway.invoice("25")
    await gateway.devnet.mine(BEFORE)
    await gateway.devnet.mine(skip_ms=30 * 24 * 3600 * 1000)
    await gateway.devnet.mine(BETWEEN)
    await gateway.pay(PAYER, invoice["address"], "25")
    await gateway.devnet.mine(1 + SOLID_LAG)
    await catch_up(gateway)
    await gateway.work()
    told = await Event.find({"object_id": invoice["payment_id"]}).sort("object_seq").to_list()
    kinds = [each.type for each in told]
    assert kinds.index("payment.expired") < kinds.index("payment.deposit_credited")


async def test_what_the_issuer_does_is_not_passed_over(gateway: World) -> None:
    follower = gateway.assembly.follower
    await gateway.solidify()
    at = await MongoCursors().load()
    assert at is not None and follower._quiet is not None
    blocks = [await gateway.nodes.solid_block(at.number - back) for back in (3, 2, 1, 0)]
    assert await follower._quiet(blocks) == 4
    log = LogPart(
        address_bytes(gateway.usdt)[1:].hex(), [artifact("TestUSDT").topic("Pause").hex()], ""
    )
    noticed = next(each for each in await _busy(gateway) if each.transactions)
    transaction = noticed.transactions[0]
    transaction.receipt.log.append(log)
    assert await follower._quiet([*blocks, noticed]) == 4


async def _busy(gateway: World) -> list[SolidBlock]:
    """Blocks in which strangers pay each other."""
    await gateway.fund(PAYER.address, "1")
    await gateway.solidify()
    end = await number(gateway)
    found = [await gateway.nodes.solid_block(each) for each in range(end - 25, end + 1)]
    assert gateway.assembly.follower._quiet is not None
    return [each for each in found if await gateway.assembly.follower._quiet([each]) == 1]
