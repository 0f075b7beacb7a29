"""Registered tokens: what invoices ask for goes to the treasury, too, and comes back from there."""

from typing import Any

from tests.gateway.test_deposit_rules import send, token
from tests.gateway.test_deposits import PAYER, shop
from tests.gateway.test_reconciliation import run
from tests.gateway.test_refunds import body
from tests.gateway.test_sweeps import rest
from tests.gateway.world import World
from tron_payment.core.address import Address
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.sweep_documents import Sweep

__all__ = ["shop"]


async def available(world: World, address: str) -> dict[str, int]:
    held = await world.house.ledger.holdings(Address(address))
    return {asset: pockets.get("available", 0) for asset, pockets in held.items()}


async def statuses() -> list[tuple[str, str, int]]:
    found: list[Any] = await Sweep.find({}).sort("+created_at").to_list()
    return [(each.asset, each.status.value, each.units) for each in found]


async def test_what_an_invoice_asks_for_is_swept_and_can_be_paid_back(shop: World) -> None:
    eurx = await token(shop, 10**9, "EURX", 2)
    invoice = await shop.invoice("5000", "EURX")
    await send(shop, eurx, invoice["address"], 500_000)
    await shop.solidify()
    await rest(shop)
    assert ("EURX", "settled", 500_000) in await statuses()
    assert (await available(shop, invoice["address"]))["EURX"] == 0
    assert (await available(shop, shop.treasury))["EURX"] == 500_000
    answer = await shop.post("/payments/refund", body(invoice, "5000", PAYER.address))
    assert answer.status_code == 202, answer.text
    await rest(shop)
    assert (await shop.payment(invoice["payment_id"]))["status"] == "refunded"
    assert (await run(shop))["balanced"] is True


async def test_a_small_part_of_what_was_asked_for_waits_for_more(shop: World) -> None:
    """Nobody knows the token's price: what a stranger sends in crumbs must cost us nothing."""
    eurx = await token(shop, 10**9, "EURX", 2)
    invoice = await shop.invoice("5000", "EURX", expires_in_s=60)
    await send(shop, eurx, invoice["address"], 49_999)
    await shop.wait(120)
    await shop.tick(3)
    assert await statuses() == []
    assert await Payment.find({"sweepable": True}).count() == 0
    await send(shop, eurx, invoice["address"], 1)
    await rest(shop)
    assert ("EURX", "settled", 50_000) in await statuses()


async def test_usdt_at_the_address_of_an_invoice_in_another_token_moves_as_well(
    shop: World,
) -> None:
    eurx = await token(shop, 10**9, "EURX", 2)
    invoice = await shop.invoice("50", "EURX")
    await shop.pay(PAYER, invoice["address"], "40", "USDT")
    await send(shop, eurx, invoice["address"], 5_000)
    await shop.solidify()
    for _ in range(3):
        await rest(shop)
    moved = {(asset, status, units) for asset, status, units in await statuses()}
    assert {("USDT", "settled", 40_000_000), ("EURX", "settled", 5_000)} <= moved
