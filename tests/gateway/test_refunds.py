"""Money back: of what came in, to a checked address, never more, once."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.gateway.test_deposits import PAYER, shown
from tests.gateway.test_reconciliation import run
from tests.gateway.world import World, again, somebody
from tron_payment.db.ledger import Pocket

CAROL = somebody(0xCA201)


async def paid(world: World, amount: str = "25", currency: str = "USDT") -> Any:
    """An invoice that was paid."""
    await world.fund(PAYER.address, "5000")
    await world.fund(PAYER.address, "5000", "USDT")
    await world.tick()
    invoice = await world.invoice(amount, currency)
    await world.pay(PAYER, invoice["address"], amount, currency)
    await world.solidify()
    return invoice


def body(invoice: Any, amount: str, to: str = CAROL) -> dict[str, Any]:
    return {"payment_id": invoice["payment_id"], "amount": amount, "to_address": to}


@pytest.mark.parametrize("currency", ["USDT", "TRX"])
async def test_a_refund_is_an_order_and_the_invoice_follows_it(
    gateway: World, currency: str
) -> None:
    invoice = await paid(gateway, "25", currency)
    answer = await gateway.post("/payments/refund", body(invoice, "10") | {"reason": "broken"})
    assert answer.status_code == 202, answer.text
    refund = answer.json()
    assert (refund["status"], refund["amount"], refund["currency"]) == ("queued", "10", currency)
    assert refund["refund_id"].startswith("ref_")
    await gateway.tick(3)
    waiting = await gateway.payment(invoice["payment_id"])
    assert shown(waiting) == ("paid", "25", "0", "0")
    assert waiting["refunds"][0]["status"] == "signed"
    await gateway.solidify()
    payment = await gateway.payment(invoice["payment_id"])
    assert shown(payment) == ("partially_refunded", "25", "10", "0")
    (done,) = payment["refunds"]
    assert (done["status"], done["reason"]) == ("settled", "broken")
    assert done["txid"] and done["block_number"]
    rest = await gateway.post("/payments/refund", body(invoice, "15"))
    assert rest.status_code == 202
    await gateway.tick(3)
    await gateway.solidify()
    assert shown(await gateway.payment(invoice["payment_id"])) == ("refunded", "25", "25", "0")
    assert (await run(gateway))["balanced"]


async def test_never_more_than_was_received_however_many_ask_at_once(gateway: World) -> None:
    invoice = await paid(gateway)
    answers = await asyncio.gather(
        *(gateway.post("/payments/refund", body(invoice, "10")) for _ in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [202, 202, 409, 409, 409, 409]
    refused = [a.json() for a in answers if a.status_code == 409]
    assert {each["code"] for each in refused} == {"refund_exceeds_received"}
    await gateway.tick(3)
    await gateway.solidify()
    assert shown(await gateway.payment(invoice["payment_id"]))[2] == "20"
    more = await gateway.post("/payments/refund", body(invoice, "5.000001"))
    assert more.json()["code"] == "refund_exceeds_received"
    assert (await gateway.post("/payments/refund", body(invoice, "5"))).status_code == 202


async def test_only_credited_money_is_given_back(gateway: World) -> None:
    await gateway.fund(PAYER.address, "5000")
    await gateway.fund(PAYER.address, "500", "USDT")
    await gateway.tick()
    invoice = await gateway.invoice("25")
    await gateway.pay(PAYER, invoice["address"], "25")
    await gateway.tick(5)
    early = await gateway.post("/payments/refund", body(invoice, "1"))
    assert (early.status_code, early.json()["code"]) == (409, "refund_exceeds_received")


async def test_the_same_key_refunds_once(gateway: World) -> None:
    invoice = await paid(gateway)
    key = "refund-once-please"
    first = await gateway.post("/payments/refund", body(invoice, "5"), key=key)
    await gateway.tick(3)
    await gateway.solidify()
    second = await gateway.post("/payments/refund", body(invoice, "5"), key=key)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    await gateway.tick(3)
    await gateway.solidify()
    assert shown(await gateway.payment(invoice["payment_id"]))[2] == "5"


async def test_a_refund_that_cannot_be_paid_frees_its_part(gateway: World) -> None:
    invoice = await paid(gateway)
    answer = await gateway.post("/payments/refund", body(invoice, "25"))
    payment = await gateway.payment(invoice["payment_id"])
    order_id = (await stored(invoice)).refunds[answer.json()["refund_id"]].order_id
    await gateway.house.engine.cancel(order_id)
    await gateway.work()
    payment = await gateway.payment(invoice["payment_id"])
    assert (payment["refunds"][0]["status"], payment["status"]) == ("canceled", "paid")
    assert (await gateway.post("/payments/refund", body(invoice, "25"))).status_code == 202
    again_ = await gateway.post("/payments/refund", body(invoice, "25"))
    assert again_.status_code == 409


async def test_an_order_lost_in_a_crash_is_placed_by_whoever_comes(
    gateway: World, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoice = await paid(gateway)

    async def die(_: object) -> bool:
        raise RuntimeError("killed")

    monkeypatch.setattr(gateway.house.engine, "place", die)
    key = "killed-in-the-middle"
    lost = await gateway.post("/payments/refund", body(invoice, "5"), key=key)
    assert lost.status_code == 500
    async with again(mongo, gateway) as world:
        await world.tick(3)
        await world.solidify()
        payment = await world.payment(invoice["payment_id"])
        assert shown(payment) == ("partially_refunded", "25", "5", "0")
        repeat = await world.post("/payments/refund", body(invoice, "5"), key=key)
        assert repeat.status_code == 202
        await world.tick(3)
        await world.solidify()
        assert shown(await world.payment(invoice["payment_id"]))[2] == "5"


async def test_addresses_that_must_not_be_paid(gateway: World) -> None:
    invoice = await paid(gateway)
    own = invoice["address"]
    contract = gateway.usdt
    nobody = somebody(0)
    for address, code in (
        (own, "recipient_is_own"),
        (gateway.treasury, "recipient_is_own"),
        (contract, "recipient_is_contract"),
        (nobody, "recipient_refused"),
        (CAROL[:-1] + "x", "invalid_address"),
    ):
        answer = await gateway.post("/payments/refund", body(invoice, "1", address))
        assert (answer.status_code, answer.json()["code"]) == (422, code), address


async def test_another_merchants_payment_is_not_there(gateway: World) -> None:
    invoice = await paid(gateway)
    other = await gateway.post("/payments/refund", body(invoice, "1"), sub="shop-2")
    assert other.status_code == 404
    viewer = await gateway.post("/payments/refund", body(invoice, "1"), role="viewer")
    assert viewer.status_code == 403


async def test_deposits_are_swept_when_they_are_worth_the_fee(gateway: World) -> None:
    small, large = await paid(gateway, "5"), await paid(gateway, "500")
    treasury = gateway.treasury
    ledger = gateway.house.ledger
    before = await ledger.balance(treasury, Pocket.AVAILABLE, "USDT")
    for _ in range(6):
        await gateway.tick(3)
        await gateway.solidify()
    after = await ledger.balance(treasury, Pocket.AVAILABLE, "USDT")
    assert after - before == 500_000_000
    assert await ledger.balance(small["address"], Pocket.AVAILABLE, "USDT") == 5_000_000
    assert await ledger.balance(large["address"], Pocket.AVAILABLE, "USDT") == 0
    left_sun = await ledger.balance(large["address"], Pocket.AVAILABLE, "TRX")
    assert 0 <= left_sun < 7_000_000
    payment = await gateway.payment(large["payment_id"])
    assert shown(payment) == ("paid", "500", "0", "0")
    assert (await run(gateway))["balanced"]


async def stored(invoice: Any) -> Any:
    from tron_payment.gateway import Payment

    return await Payment.get(invoice["payment_id"])
