"""A token's contract may claim any amount: the books go on, say what they left out, and credit none
of it."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from tests.conftest import Mongo
from tests.gateway.test_deposit_rules import deployed, outcomes, send, token
from tests.gateway.test_deposits import PAYER, shop, shown
from tests.gateway.world import World, again
from tron_payment.core.address import Address
from tron_payment.core.clock import ManualClock
from tron_payment.db.audit import AuditEntry
from tron_payment.db.ledger import LedgerEntry
from tron_payment.engine.left_out import LEFT_OUT
from tron_payment.measuring import Measuring
from tron_payment.metrics import Figures
from tron_payment.wallets import Wallets

__all__ = ["shop"]  # the fixture

HUGE = 2**62 - 1


async def issue(shop: World, token: Address, units: int) -> None:
    """The contract makes more of its token, after it was registered."""
    await shop.send(PAYER, await shop.call(PAYER, token, "cc872b66" + f"{units:064x}"))
    await shop.tick()


async def told(shop: World) -> list[int]:
    entries = await AuditEntry.find({"action": LEFT_OUT}).to_list()
    return [(each.after or {})["count"] for each in entries]


async def figure(shop: World, days_later: int) -> float | None:
    figures = Figures()
    clock = ManualClock(shop.house.clock.now() + timedelta(days=days_later))
    house: Any = SimpleNamespace(house=replace(shop.house, clock=clock), modules=())
    await Measuring(house, figures, "test").look()
    return figures.get("ledger_left_out")


async def test_a_token_of_too_much_is_not_registered(shop: World) -> None:
    for supply, status in ((2**62, 422), (2**62 - 1, 201)):
        address = await deployed(shop, supply, f"B{status}", 9)
        made = await shop.post("/usdt/tokens", {"contract_address": address}, role="operator")
        assert made.status_code == status, made.text


async def test_more_than_the_books_take_in_one_block(shop: World) -> None:
    """The same block pays another invoice in USDT: that counts."""
    big = await token(shop, 10**9, "BIG", 9)
    await issue(shop, big, 2**66)
    invoice, other = await shop.invoice("1", "BIG"), await shop.invoice("25")
    await send(shop, big, invoice["address"], HUGE)
    await send(shop, big, invoice["address"], HUGE)
    await send(shop, big, invoice["address"], 2**65)
    await shop.pay(PAYER, other["address"], "25")
    await shop.solidify()
    assert shown(await shop.payment(other["payment_id"]))[0] == "paid"
    assert sorted(each for _, each in await outcomes(shop, invoice["payment_id"])) == [
        "credited",
        "not_booked",
        "not_booked",
    ]
    assert (await shop.payment(invoice["payment_id"]))["status"] == "overpaid"
    held = await shop.house.ledger.holdings(invoice["address"])
    assert sum(held["BIG"].values()) == HUGE
    assert await told(shop) == [2]
    assert [await figure(shop, day) for day in (0, 2)] == [1, 0], "for a day"
    [entry] = await LedgerEntry.find({"left_out": {"$ne": None}}).to_list()
    assert len(entry.left_out or ()) == 2
    assert await shop.house.ledger.verify() is None


async def test_more_than_the_books_take_in_two_blocks_and_a_restart(
    shop: World, mongo: Mongo
) -> None:
    big = await token(shop, 10**9, "BIG", 9)
    await issue(shop, big, 2**66)
    first, second = await shop.invoice("1", "BIG"), await shop.invoice("1", "BIG")
    other = await shop.invoice("25")
    await send(shop, big, first["address"], HUGE)
    await shop.solidify()
    await send(shop, big, second["address"], HUGE)
    await shop.solidify()
    assert [each for _, each in await outcomes(shop, second["payment_id"])] == ["not_booked"]
    assert (await shop.payment(second["payment_id"]))["status"] == "awaiting_payment"
    async with again(mongo, shop) as later:
        await later.house.ledger.view()
        await later.pay(PAYER, other["address"], "25")
        await later.solidify()
        assert shown(await later.payment(other["payment_id"]))[0] == "paid"
        wallet = await later.service(Wallets).find_by_address(later.treasury)
        wish = {"wallet_id": wallet.id, "to_address": PAYER.address}
        sent = await later.post("/usdt/transfer", {**wish, "amount": "1"}, role="operator")
        assert sent.status_code == 202, sent.text
        assert await told(later) == [1]
        balances = await later.house.ledger.recompute()
        assert max(abs(units) for units in balances.values()) <= HUGE
