"""Reconciliation of what a token's contract claims and the books have no room for."""

from typing import Any

from tests.gateway.test_deposit_rules import send, token
from tests.gateway.test_deposits import shop
from tests.gateway.test_no_room import HUGE, issue
from tests.gateway.test_reconciliation import run
from tests.gateway.world import World

__all__ = ["shop"]  # the fixture


async def test_it_is_named_and_no_difference(shop: World) -> None:
    big = await token(shop, 10**9, "BIG", 9)
    await issue(shop, big, 2**66)
    invoice = await shop.invoice("1", "BIG")
    await send(shop, big, invoice["address"], HUGE)
    await send(shop, big, invoice["address"], 2**65)
    await shop.solidify()
    report: Any = await run(shop)
    (row,) = [each for each in report["rows"] if each["beyond_books"]]
    assert (row["address"], row["currency"]) == (invoice["address"], "BIG")
    assert float(row["difference"]) == 0 and float(row["chain"]) > float(row["ledger"]) > 0
    assert not any(float(each) for each in report["difference"].values())
    assert report["balanced"] is True and report["complete"] is True
