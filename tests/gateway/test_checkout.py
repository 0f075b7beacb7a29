"""The checkout page: everybody's who has its address, and nothing on it is from elsewhere."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.world import World, somebody


class Outside(HTMLParser):
    """Everything that a page would load, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "style") or (name == "href" and tag != "a"):
                self.loaded.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.loaded.append(f"{tag} {name}")
            if name == "id":
                self.ids.append(value or "")


async def look(world: World, invoice: Any) -> str:
    answer = await world.http.get(
        f"/checkout/{invoice['payment_id']}", headers={"accept": "text/html"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return answer.text


@pytest.fixture
async def shop(gateway: World) -> World:
    await gateway.fund(PAYER.address, "5000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.tick()
    return gateway


async def test_the_page_says_what_to_pay_where_and_until_when(shop: World) -> None:
    invoice = await shop.invoice(
        "25.5", metadata={"description": "Order <b>7</b>"}, return_url="https://shop.example/7"
    )
    html = await look(shop, invoice)
    assert invoice["address"] in html
    assert "<strong>25.5</strong> USDT" in html
    assert invoice["expires_at"] in html
    assert "Order &lt;b&gt;7&lt;/b&gt;" in html
    assert 'href="https://shop.example/7"' in html
    assert "<svg" in html and shop.usdt in html


async def test_nothing_is_loaded_and_the_policy_names_just_this_page(shop: World) -> None:
    import base64
    import hashlib

    invoice = await shop.invoice("25")
    answer = await shop.http.get(f"/checkout/{invoice['payment_id']}")
    parser = Outside()
    parser.feed(answer.text)
    assert parser.loaded == []
    assert len(parser.ids) == len(set(parser.ids))
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", answer.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_nobody_learns_more_than_a_payer_may_know(shop: World) -> None:
    invoice = await shop.invoice("25", metadata={"customer": "Jane Doe"})
    for path in ("", "/status"):
        text = (await shop.http.get(f"/checkout/{invoice['payment_id']}{path}")).text
        assert "Jane" not in text
        assert "shop-1" not in text
        assert "wal_" not in text
    missing = await shop.http.get("/checkout/inv_nothing")
    assert (missing.status_code, "No such invoice" in missing.text) == (404, True)
    assert (await shop.http.get("/checkout/inv_nothing/status")).status_code == 404


async def status(shop: World, invoice: Any) -> Any:
    answer = await shop.http.get(f"/checkout/{invoice['payment_id']}/status")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_every_state_has_its_words(shop: World) -> None:
    invoice = await shop.invoice("25", expires_in_s=600)
    assert "Waiting for your payment" in (await status(shop, invoice))["html"]
    await shop.pay(PAYER, invoice["address"], "10")
    await shop.tick()
    seen = await status(shop, invoice)
    assert (seen["status"], seen["seen"]) == ("awaiting_payment", True)
    assert "on its way" in seen["html"]
    assert "<svg" not in seen["html"]
    await shop.solidify()
    part = await status(shop, invoice)
    assert (part["status"], part["due"], part["seen"]) == ("partially_paid", "15", False)
    assert "15 USDT" in part["html"]
    await shop.pay(PAYER, invoice["address"], "16")
    await shop.solidify()
    over = await status(shop, invoice)
    assert over["status"] == "overpaid"
    assert "1 USDT more than asked" in over["html"]
    body = {
        "payment_id": invoice["payment_id"],
        "amount": "1",
        "to_address": somebody(0xCA201),
    }
    assert (await shop.post("/payments/refund", body)).status_code == 202
    await shop.tick(3)
    await shop.solidify()
    back = await status(shop, invoice)
    assert back["status"] == "partially_refunded"
    assert "1 of 26 USDT went back" in back["html"]


async def test_wrong_money_is_told_and_an_expired_invoice_warns(shop: World) -> None:
    invoice = await shop.invoice("25", expires_in_s=600)
    await shop.pay(PAYER, invoice["address"], "3", "TRX")
    await shop.wait(601)
    html = (await status(shop, invoice))["html"]
    assert "3 TRX" in html and "was not credited" in html
    assert "Please do not pay any more" in html
    assert "tronlink" not in html


async def test_the_stream_tells_the_state_at_once_and_then_changes(shop: World) -> None:
    from tron_payment.gateway import Gateway
    from tron_payment.gateway.checkout import routes

    invoice = await shop.invoice("25")
    stream = routes._changes(invoice["payment_id"], shop.service(Gateway), shop.house)
    first = await anext(stream)
    assert first.event == "invoice"
    assert json.loads(str(first.data))["status"] == "awaiting_payment"
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.solidify()
    second = await anext(stream)
    assert json.loads(str(second.data))["status"] == "paid"
    await stream.aclose()  # type: ignore[attr-defined]


def test_streams_are_counted_and_bounded() -> None:
    from contextlib import ExitStack

    from tron_payment.gateway.checkout.routes import (
        STREAMS_PER_INVOICE_MAX,
        Streams,
        TooManyStreams,
    )

    streams = Streams()
    with ExitStack() as stack:
        for _ in range(STREAMS_PER_INVOICE_MAX):
            streams.check("inv_1")
            stack.enter_context(streams.watching("inv_1"))
        with pytest.raises(TooManyStreams):
            streams.check("inv_1")
        streams.check("inv_2")
    streams.check("inv_1")
