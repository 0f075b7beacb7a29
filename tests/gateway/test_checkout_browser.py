"""The checkout page in headless Chromium: paid by TronLink, and every state looked at.

`SHOTS=docs/screenshots` takes the pictures of docs/checkout.md on the way.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.gateway.chromium import CHROMIUM, NODE, NPM, Chromium, chromium, install, served
from tests.gateway.test_deposits import PAYER
from tests.gateway.world import SOLID_LAG, World, somebody, world

SHOTS = os.environ.get("SHOTS")
SIZES = {"desktop": (760, 720), "phone": (360, 740)}
SCHEMES = ("light", "dark")
COLOURS = ["color-contrast", "link-in-text-block"]
"""What axe judges by colours; all else is the same in the second scheme."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("console"),  # one npm folder, one installer
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(NODE is None or NPM is None, reason="no Node.js with npm"),
]


@dataclass
class Shop:
    """The service and its chain on real ports, and a browser."""

    world: World
    browser: Chromium
    url: str
    node: str

    async def open(self, invoice: Any, page: str = "page", **options: Any) -> None:
        url = f"{self.url}/checkout/{invoice['payment_id']}"
        await self.browser.do("open", page, url=url, **options)

    async def become(self, status: str, page: str = "page") -> Any:
        """The page once it shows this status, without anybody touching it."""
        await self.browser.do("wait", page, selector=f"#checkout[data-status={status}]")
        return await self.browser.do("read", page)

    async def inspect(self, name: str, page: str = "page") -> None:
        """In both sizes and schemes: nothing serious by axe, nothing that scrolls sideways."""
        for scheme in SCHEMES:
            for size, (width, height) in SIZES.items():
                await self.browser.do("look", page, width=width, height=height, scheme=scheme)
                only = None if scheme == SCHEMES[0] else COLOURS
                seen = await self.browser.do("axe", page, only=only)
                assert seen == [], (name, size, scheme)
                assert (await self.browser.do("read", page))["wide"] <= width, (name, size)
                if SHOTS:
                    path = str(Path(SHOTS).resolve() / f"checkout-{name}-{size}-{scheme}.png")
                    await self.browser.do("shot", page, path=path)
        await self.browser.do("look", page, width=320, height=600, scheme="light")
        assert (await self.browser.do("read", page))["wide"] <= 320, name


@pytest.fixture
async def shop(mongo: Mongo) -> AsyncIterator[Shop]:
    if problem := await install():
        pytest.skip(f"npm ci: {problem}")
    async with world(mongo) as made:
        await made.fund(PAYER.address, "5000")
        await made.fund(PAYER.address, "5000", "USDT")
        await made.solidify()
        app = made.http._transport.app  # type: ignore[attr-defined]
        async with (
            served(app) as url,
            served(made.devnet.asgi) as node,
            chromium() as browser,
        ):
            yield Shop(made, browser, url, node)


@pytest.mark.parametrize("currency", ["USDT", "TRX"])
async def test_it_is_paid_with_tronlink_and_turns_without_a_reload(
    shop: Shop, currency: str
) -> None:
    invoice = await shop.world.invoice(
        "25.5", currency, metadata={"description": "Order 4711: two mugs"}
    )
    wallet = {"node": shop.node, "key": PAYER.key.hex()}
    await shop.open(invoice, wallet=wallet)
    first = await shop.become("awaiting_payment")
    assert invoice["address"] in first["text"] and "Time left" in first["text"]
    await shop.browser.do("click", selector="#tronlink")
    await shop.browser.do("wait", selector="#tronlink-note:has-text('Sent.')")
    await shop.world.tick()
    await shop.browser.do("wait", selector=".state.seen")
    on_its_way = await shop.browser.do("read")
    assert on_its_way["headline"] == "Your payment is on its way"
    assert on_its_way["status"] == "awaiting_payment"
    if currency == "USDT":
        await shop.inspect("seen")
    await shop.world.tick(SOLID_LAG + 1)
    paid = await shop.become("paid")
    assert paid["headline"] == "Paid. Thank you!" and paid["title"].endswith("Thank you!")
    assert paid["loads"] == 1
    assert (paid["messages"], paid["outside"]) == ([], [])
    (deposit,) = (await shop.world.payment(invoice["payment_id"]))["deposits"]
    assert (deposit["outcome"], deposit["sender"]) == ("credited", PAYER.address)
    assert deposit["txid"] in paid["text"]
    if currency == "USDT":
        await shop.inspect("paid")


async def test_who_declines_in_tronlink_can_try_again(shop: Shop) -> None:
    invoice = await shop.world.invoice("25")
    wallet = {"node": shop.node, "key": PAYER.key.hex(), "declines": True}
    await shop.open(invoice, wallet=wallet)
    await shop.browser.do("click", selector="#tronlink")
    await shop.browser.do("wait", selector="#tronlink-note:has-text('was not sent')")
    await shop.browser.do("wait", selector="#tronlink:enabled")
    await shop.world.solidify()
    assert (await shop.world.payment(invoice["payment_id"]))["received"] == "0"


async def test_each_state_looks_right(shop: Shop) -> None:
    """Waiting, in part, overpaid and given back; wrong money, expired and late."""
    world, browser = shop.world, shop.browser
    described = {"description": "Order 4711: two mugs"}
    invoice = await world.invoice(
        "25", metadata=described, return_url="https://shop.example/orders/4711"
    )
    await shop.open(invoice)
    assert (await shop.become("awaiting_payment"))["headline"] == "Waiting for your payment"
    await shop.inspect("waiting")
    await world.pay(PAYER, invoice["address"], "10")
    await world.solidify()
    part = await shop.become("partially_paid")
    assert "10 USDT arrived, 15 USDT are missing" in part["text"]
    await shop.inspect("partial")
    await world.pay(PAYER, invoice["address"], "16")
    await world.solidify()
    over = await shop.become("overpaid")
    assert "1 USDT more than asked" in over["text"]
    await shop.inspect("overpaid")
    refund = {"payment_id": invoice["payment_id"], "amount": "1", "to_address": somebody(0xCA201)}
    assert (await world.post("/payments/refund", refund)).status_code == 202
    await world.tick(3)
    await world.solidify()
    back = await shop.become("partially_refunded")
    assert "1 of 26 USDT went back" in back["text"]
    await shop.inspect("refunded")

    late = await world.invoice("25", expires_in_s=600, metadata=described)
    await shop.open(late, "late")
    await world.pay(PAYER, late["address"], "3", "TRX")
    await world.wait(601)
    expired = await shop.become("expired", "late")
    assert "Please do not pay any more" in expired["text"]
    assert "3 TRX arrived, but this invoice is in USDT" in expired["text"]
    await shop.inspect("expired", "late")
    await world.pay(PAYER, late["address"], "25")
    await world.solidify()
    assert (await shop.become("paid_late", "late"))["headline"] == "Paid after the time was over"
    await shop.inspect("late", "late")
    for page in ("page", "late"):
        seen = await browser.do("read", page)
        assert (seen["loads"], seen["messages"], seen["outside"]) == (1, [], [])


async def test_by_keyboard_and_with_the_clipboard(shop: Shop) -> None:
    invoice = await shop.world.invoice("25", return_url="https://shop.example/")
    await shop.open(invoice, wallet={"node": shop.node, "key": PAYER.key.hex()})
    await shop.browser.do("wait", selector="#tronlink:visible")
    stops = await shop.browser.do("tab", times=4)
    assert [stop["text"] for stop in stops] == [
        "Copy the address",
        "Copy the amount",
        "Pay with TronLink",
        "Back to the shop",
    ]
    assert all(stop["seen"] for stop in stops)
    await shop.browser.do("click", selector=".copy >> nth=0")
    await shop.browser.do("wait", selector="text=Copied")
    assert await shop.browser.do("clipboard") == invoice["address"]


async def test_without_scripts_everything_to_pay_is_there(shop: Shop) -> None:
    invoice = await shop.world.invoice("25")
    await shop.open(invoice, js=False)
    await shop.browser.do("wait", selector=f"code:has-text('{invoice['address']}')")
    await shop.browser.do("wait", selector="svg.qr")
    await shop.world.pay(PAYER, invoice["address"], "25")
    await shop.world.solidify()
    await shop.open(invoice, "again", js=False)
    await shop.browser.do("wait", "again", selector="#checkout[data-status=paid]")
