"""What may be given back and to whom follows from the credited deposits, however many others there
are and whatever the payment says; and what has expired stays so."""

from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.test_doors import enforce
from tests.gateway.test_refunds import body, paid
from tests.gateway.world import SOLID_LAG, Payer, World
from tron_payment.db.events import Event
from tron_payment.gateway import deposit_documents
from tron_payment.gateway.documents import Payment


async def test_dust_hides_neither_the_payer_nor_what_was_paid(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deposit_documents, "SHOWN_MAX", 3)
    other = Payer(0xBAD)
    for payer in (other, PAYER):
        await gateway.fund(payer.address, "500")
    await gateway.fund(PAYER.address, "500", "USDT")
    await gateway.tick()
    invoice = await gateway.invoice("25", "USDT")
    for number in range(1, 6):
        await gateway.pay(other, invoice["address"], f"0.{number:06}", "TRX")
    await gateway.solidify()
    for amount in ("10", "15"):
        await gateway.pay(PAYER, invoice["address"], amount, "USDT")
        await gateway.devnet.mine()
    await gateway.solidify()
    seen = (await gateway.payment(invoice["payment_id"]))["deposits"]
    assert [each["outcome"] for each in seen] == ["wrong_currency", "credited", "credited"]
    assert [each["block_number"] for each in seen] == sorted(e["block_number"] for e in seen)
    await enforce(gateway, allow_list=True)
    assert (await gateway.post("/payments/refund", body(invoice, "1"))).status_code == 422
    back = await gateway.post("/payments/refund", body(invoice, "25", PAYER.address))
    assert back.status_code == 202, back.text


@pytest.mark.parametrize(("said", "left"), [(250_000_000, "25"), (20_000_000, "20")])
async def test_a_refund_gives_back_no_more_than_the_deposits_have_brought(
    gateway: World, said: int, left: str
) -> None:
    """The payment's own number was changed by somebody who can write to the store."""
    invoice = await paid(gateway, "25")
    await Payment.get_pymongo_collection().update_one(
        {"_id": invoice["payment_id"]}, {"$set": {"received_units": said}}
    )
    answer = await gateway.post("/payments/refund", body(invoice, "26"))
    assert (answer.status_code, answer.json()["code"]) == (409, "refund_exceeds_received")
    assert f"at most {left} " in answer.json()["detail"]
    assert (await gateway.post("/payments/refund", body(invoice, "5"))).status_code == 202
    rest = str(int(left) - 5)
    assert (await gateway.post("/payments/refund", body(invoice, rest))).status_code == 202
    assert (await gateway.post("/payments/refund", body(invoice, "1"))).status_code == 409


async def test_what_has_expired_stays_expired_when_a_refund_ends_before_the_block_is_done(
    gateway: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor still stands at the block before, by whose time it would be open."""
    await gateway.fund(PAYER.address, "500")
    await gateway.fund(PAYER.address, "500", "USDT")
    await gateway.tick()
    invoice = await gateway.invoice("25", "USDT", expires_in_s=3600)
    await gateway.pay(PAYER, invoice["address"], "10", "USDT")
    await gateway.solidify()
    gateway.quiet = frozenset({"engine.dispatch", "engine.tell"})
    assert (await gateway.post("/payments/refund", body(invoice, "5"))).status_code == 202

    async def now() -> Any:
        return await Payment.find_one({"_id": invoice["payment_id"]})

    (part,) = (await now()).refunds.values()
    await gateway.house.engine.cancel(part.order_id)
    cursors, told = gateway.assembly.follower._cursor, []
    real = cursors.advance

    async def advance(*given: Any, **more: Any) -> Any:
        if (await now()).status == "expired" and not told:
            told.append(await gateway.house.engine.tell())
        return await real(*given, **more)

    monkeypatch.setattr(cursors, "advance", advance)
    await gateway.devnet.mine(skip_ms=4_000_000)
    await gateway.tick(SOLID_LAG + 2)
    assert told
    events = await Event.find({"object_id": invoice["payment_id"]}).sort("+object_seq").to_list()
    kinds = [each.type for each in events]
    assert kinds.count("payment.expired") == 1
    assert kinds[-1] == "refund.canceled" and (await now()).status == "expired"
