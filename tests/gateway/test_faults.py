"""Nodes that fail, lag, lie and fork: nothing is missed, credited twice or credited early."""

from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER, shown
from tests.gateway.world import SOLID_LAG, World
from tron_payment.core.errors import AppError
from tron_payment.gateway import Deposit

ROUNDS_MAX = 400


@pytest.fixture
async def shop(gateway: World) -> World:
    await gateway.fund(PAYER.address, "5000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.solidify()
    return gateway


async def fault(world: World, **rule: Any) -> None:
    answer = await world.chain.post("/devnet/faults", json=rule)
    assert answer.status_code == 201, answer.text


async def struggle(world: World, invoice: Any, status: str) -> None:
    """Step as the loops do, failing and trying again, until the invoice gets there."""
    (follow,) = [each for each in world.assembly.loops.all if each.name == "chain.follow"]
    for _ in range(ROUNDS_MAX):
        world.assembly.house.nodes.members[0].breaker.succeeded()  # a test has no time to rest
        try:
            if not await follow.step() and (
                (await world.payment(invoice["payment_id"]))["status"] == status
            ):
                return
        except AppError:
            continue
    raise AssertionError(await world.payment(invoice["payment_id"]))


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 429, "probability": 0.4},
        {"kind": "status", "status": 503, "probability": 0.4},
        {"kind": "html", "probability": 0.4},
        {"kind": "truncate", "probability": 0.4},
        {"kind": "drop_answer", "probability": 0.3},
        {"kind": "lag", "blocks": 3, "probability": 0.5},
    ],
    ids=lambda rule: str(rule.get("status", rule["kind"])),
)
async def test_bad_answers_cost_time_and_nothing_else(shop: World, rule: dict[str, Any]) -> None:
    invoice = await shop.invoice("25")
    for amount in ("10", "5", "10"):
        await shop.pay(PAYER, invoice["address"], amount)
        await shop.devnet.mine()
    await fault(shop, path="/walletsolidity/*", **rule)
    await shop.devnet.mine(SOLID_LAG + 4)
    await struggle(shop, invoice, "paid")
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("paid", "25", "0", "0")
    assert await Deposit.find_all().count() == 3


async def test_a_payment_in_an_orphaned_block_is_seen_and_never_credited(shop: World) -> None:
    invoice = await shop.invoice("25")
    txid = await shop.pay(PAYER, invoice["address"], "25")
    await shop.tick()
    assert (await shop.payment(invoice["payment_id"]))["seen"]
    forked = await shop.chain.post("/devnet/fork", json={"depth": 1, "drop": [txid]})
    assert forked.status_code == 200, forked.text
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("awaiting_payment", "0", "0", "25")
    assert (payment["seen"], payment["deposits"]) == ([], [])


async def test_a_payment_that_a_fork_moves_to_another_block_is_credited_once(
    shop: World,
) -> None:
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.tick()
    await shop.chain.post("/devnet/fork", json={"depth": 1, "wait_blocks": 3})
    await shop.tick(4)
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert shown(payment) == ("paid", "25", "0", "0")
    assert len(payment["deposits"]) == 1
