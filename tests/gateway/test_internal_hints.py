"""The look at the newest blocks: one node shows them, and no invoice is paid by what it says."""

from typing import Any

from tests.gateway.test_deposits import PAYER
from tests.gateway.test_internal_liars import follow_to_the_end, says
from tests.gateway.test_internal_transfers import (
    AMOUNT_SUN,
    PAID,
    Three,
    books,
    three,
    unswept,
)
from tron_payment.core.address import Address, address_bytes
from tron_payment.engine import InternalVerdict
from tron_payment.gateway.hints import Hints

__all__ = ["three", "unswept"]

STEPS = 40


async def looks_at_the_head(three: Three) -> Hints:
    (loop,) = [each for each in three.shop.assembly.loops.all if each.name == "gateway.hints"]
    hints = loop.step.__self__  # type: ignore[attr-defined]
    assert isinstance(hints, Hints)
    hints._nodes = three.nodes
    for _ in range(STEPS):
        if not await hints.step():
            return hints
    raise AssertionError("it never comes to an end")


async def test_one_liar_of_three_pays_no_invoice_with_nothing(unswept: Three) -> None:
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    other = await three.shop.invoice("25", "TRX")
    await follow_to_the_end(three)
    to = address_bytes(Address(invoice["address"])).hex()
    lying = True

    def invents(receipt: dict[str, Any]) -> None:
        if lying:
            receipt["internal_transactions"] = [
                {
                    "caller_address": "41" + "11" * 20,
                    "transferTo_address": to,
                    "callValueInfo": [{"callValue": AMOUNT_SUN}],
                    "note": b"call".hex(),
                }
            ]

    says(three.made[0], invents)
    await three.shop.pay(PAYER, other["address"], "1", "TRX")
    await three.shop.devnet.mine()
    hints = await looks_at_the_head(three)
    shown = hints.of(invoice["payment_id"], 0, 0)
    assert {each.units for each in shown} == {AMOUNT_SUN}, "on a screen, as one node says"
    assert await InternalVerdict.find_all().to_list() == []
    lying = False  # nobody contradicts anybody
    await follow_to_the_end(three)
    found = await three.shop.payment(invoice["payment_id"])
    assert (found["status"], found["received"]) == ("awaiting_payment", "0")
    assert await books(three, invoice) == 0


async def test_what_was_on_its_way_is_paid_when_it_is_there(unswept: Three) -> None:
    three = unswept
    invoice = await three.shop.invoice("25", "TRX")
    await three.pays(invoice)
    await three.shop.devnet.mine()
    hints = await looks_at_the_head(three)
    assert [each.units for each in hints.of(invoice["payment_id"], 0, 0)] == [AMOUNT_SUN]
    await follow_to_the_end(three)
    assert await three.outcome(invoice) == PAID
    assert await books(three, invoice) == AMOUNT_SUN
