"""Whose money and how little of it counts for an invoice: watched strangers, dust, remainders."""

import pytest

from tests.gateway.test_deposits import PAYER, shop, shown
from tests.gateway.world import Payer, World
from tron_payment.contracts import artifact
from tron_payment.core.address import Address, address_bytes, address_of_hex

__all__ = ["shop"]  # the fixture


def word(address: Address) -> str:
    return address_bytes(address)[1:].rjust(32, b"\0").hex()


async def token(shop: World, supply: int, symbol: str, decimals: int) -> Address:
    """A token of the payer's, registered."""
    address = await deployed(shop, supply, symbol, decimals)
    made = await shop.post("/usdt/tokens", {"contract_address": address}, role="operator")
    assert made.status_code == 201, made.text
    await shop.tick(25)
    return address


async def deployed(shop: World, supply: int, symbol: str, decimals: int) -> Address:
    code = artifact("TestUSDT").init_code(supply, symbol, symbol, decimals)
    wish = {
        "owner_address": PAYER.raw.hex(),
        "name": "T",
        "abi": "[]",
        "bytecode": code.hex(),
        "fee_limit": 10_000_000_000,
        "consume_user_resource_percent": 100,
        "origin_energy_limit": 10_000_000,
    }
    built = (await shop.chain.post("/wallet/deploycontract", json=wish)).json()
    await shop.send(PAYER, built)
    await shop.tick()
    path = "/wallet/gettransactioninfobyid"
    info = (await shop.chain.post(path, json={"value": built["txID"]})).json()
    await shop.solidify()
    return address_of_hex(info["contract_address"])


async def send(shop: World, token: Address, to: Address, units: int) -> None:
    data = "a9059cbb" + word(to) + f"{units:064x}"
    await shop.send(PAYER, await shop.call(PAYER, token, data))


async def outcomes(shop: World, payment_id: str) -> list[tuple[str, str]]:
    payment = await shop.payment(payment_id)
    return sorted((str(each["amount"]), each["outcome"]) for each in payment["deposits"])


@pytest.mark.parametrize("payer", [PAYER])
async def test_a_watched_stranger_pays_and_is_paid_back(shop: World, payer: Payer) -> None:
    """Somebody watches an exchange's address; another merchant's invoice is paid from there."""
    invoice = await shop.invoice("25")
    watch = {"label": "exchange", "address": payer.address}
    made = await shop.post("/wallets/import", watch, role="operator")
    assert (made.status_code, made.json()["kind"]) == (201, "watch")
    await shop.solidify()
    await shop.pay(payer, invoice["address"], "25")
    await shop.solidify()
    payment_id = invoice["payment_id"]
    assert shown(await shop.payment(payment_id))[:2] == ("paid", "25")
    assert await outcomes(shop, payment_id) == [("25", "credited")]
    wish = {"payment_id": payment_id, "amount": "25", "to_address": payer.address}
    refund = await shop.post("/payments/refund", wish, role="operator")
    assert refund.status_code == 202, refund.text
    await shop.tick(3)
    await shop.solidify()
    assert (await shop.payment(payment_id))["status"] == "refunded"


async def test_what_is_still_asked_for_can_be_paid_however_little_it_is(shop: World) -> None:
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "24.9995")
    await shop.solidify()
    payment = await shop.payment(invoice["payment_id"])
    assert (payment["status"], payment["due"]) == ("partially_paid", "0.0005")
    await shop.pay(PAYER, invoice["address"], payment["due"])
    await shop.solidify()
    assert (await shop.payment(invoice["payment_id"]))["status"] == "paid"
    found = await outcomes(shop, invoice["payment_id"])
    assert found == [("0.0005", "credited"), ("24.9995", "credited")]


async def test_the_remainder_may_come_in_the_same_block(shop: World) -> None:
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "24.9995")
    await shop.pay(PAYER, invoice["address"], "0.0005")
    await shop.solidify()
    assert (await shop.payment(invoice["payment_id"]))["status"] == "paid"


async def test_dust_is_by_the_decimals_of_the_token(shop: World) -> None:
    eurx = await token(shop, 10**9, "EURX", 2)
    invoice = await shop.invoice("15", "EURX")
    await send(shop, eurx, invoice["address"], 999)
    await send(shop, eurx, invoice["address"], 501)
    await shop.solidify()
    assert (await shop.payment(invoice["payment_id"]))["status"] == "paid"
    found = await outcomes(shop, invoice["payment_id"])
    assert found == [("5.01", "credited"), ("9.99", "credited")]
