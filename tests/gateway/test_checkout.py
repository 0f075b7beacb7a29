"""The checkout page: everybody's who has its address, and nothing on it is from elsewhere."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.gateway.test_deposits import PAYER
from tests.gateway.world import World, somebody
from tron_payment.gateway import Gateway
from tron_payment.gateway.checkout import routes


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
    assert (seen["status"], seen["seen"]) == ("awaiting_payment", False)
    assert (seen["seen_amount"], seen["missing"], seen["due"]) == ("10", "15", "25")
    assert "A part is on its way" in seen["html"] and "✓" not in seen["html"]
    assert "<strong>10 USDT</strong>" in seen["html"]
    assert "<strong>15 USDT</strong> are missing" in seen["html"]
    assert "<svg" in seen["html"] and 'data-units="15000000"' in seen["html"]
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


async def test_what_would_not_be_credited_is_not_on_its_way(shop: World) -> None:
    """Neither a speck of another currency nor dust hides the address or draws a tick."""
    invoice = await shop.invoice("1000")
    await shop.pay(PAYER, invoice["address"], "0.000001", "TRX")
    await shop.pay(PAYER, invoice["address"], "1000", "TRX")
    await shop.pay(PAYER, invoice["address"], "0.000999")
    await shop.tick()
    shown = await status(shop, invoice)
    assert (shown["seen"], shown["seen_amount"], shown["missing"]) == (False, "0", "1000")
    assert "on its way" not in shown["html"] and "✓" not in shown["html"]
    assert invoice["address"] in shown["html"]
    payment = await shop.payment(invoice["payment_id"])
    assert (payment["seen"], payment["seen_amount"], payment["seen_in_full"]) == ([], "0", False)


async def test_the_address_goes_when_all_that_is_due_is_on_its_way(shop: World) -> None:
    """The sum counts: what has been credited, and several transfers in one block or more."""
    invoice = await shop.invoice("25")
    await shop.pay(PAYER, invoice["address"], "5")
    await shop.solidify()
    await shop.pay(PAYER, invoice["address"], "10")
    await shop.tick()
    part = await status(shop, invoice)
    assert (part["seen"], part["seen_amount"], part["missing"]) == (False, "10", "10")
    assert "5 USDT arrived before" in part["html"] and invoice["address"] in part["html"]
    await shop.pay(PAYER, invoice["address"], "10")
    await shop.tick()
    whole = await status(shop, invoice)
    assert (whole["status"], whole["received"]) == ("partially_paid", "5"), "nothing is paid yet"
    assert (whole["seen"], whole["seen_amount"], whole["missing"]) == (True, "20", "0")
    assert "Your payment is on its way" in whole["html"] and "✓" in whole["html"]
    assert invoice["address"] not in whole["html"]
    await shop.solidify()
    paid = await status(shop, invoice)
    assert (paid["status"], paid["seen"], paid["seen_amount"]) == ("paid", False, "0")


async def test_many_small_transfers_hide_no_large_one(shop: World) -> None:
    from tron_payment.gateway.hints import SEEN_PER_PAYMENT_MAX

    invoice = await shop.invoice("25")
    for _ in range(SEEN_PER_PAYMENT_MAX + 1):
        await shop.pay(PAYER, invoice["address"], "0.001")
    await shop.tick()
    assert (await status(shop, invoice))["seen"] is False
    await shop.pay(PAYER, invoice["address"], "25")
    await shop.tick()
    shown = await status(shop, invoice)
    assert shown["seen"] is True
    payment = await shop.payment(invoice["payment_id"])
    assert len(payment["seen"]) == SEEN_PER_PAYMENT_MAX and payment["seen_in_full"]


async def test_wrong_money_is_told_and_an_expired_invoice_warns(shop: World) -> None:
    invoice = await shop.invoice("25", expires_in_s=600)
    await shop.pay(PAYER, invoice["address"], "3", "TRX")
    await shop.wait(601)
    html = (await status(shop, invoice))["html"]
    assert "3 TRX" in html and "was not credited" in html
    assert "Please do not pay any more" in html
    assert "tronlink" not in html


async def test_the_stream_tells_the_state_at_once_and_then_changes(shop: World) -> None:
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


async def test_streams_of_an_invoice_are_bounded_however_many_ask_at_once(
    shop: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks into the store before it begins: all that ask meanwhile count already."""
    invoice, other = await shop.invoice("25"), await shop.invoice("26")
    most = routes.STREAMS_PER_INVOICE_MAX
    release = asyncio.Event()

    async def until_released(*_: Any) -> AsyncIterator[str]:
        await release.wait()
        yield "over"

    monkeypatch.setattr(routes, "_changes", until_released)

    def watch(payment_id: str) -> asyncio.Task[Any]:
        path, headers = f"/checkout/{payment_id}/events", {"accept": "text/event-stream"}
        return asyncio.create_task(shop.http.get(path, headers=headers))

    for _ in range(2):  # what was held is given back
        release.clear()
        mine = [watch(invoice["payment_id"]) for _ in range(most * 3)]
        async with asyncio.timeout(60):
            while sum(task.done() for task in mine) < most * 2:
                await asyncio.sleep(0.01)
            unknown = [(await watch("inv_" + "0" * 24)).status_code for _ in range(most * 2)]
            theirs = watch(other["payment_id"])
            release.set()
            answers = await asyncio.gather(*mine, theirs)
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * (most + 1) + [429] * most * 2
        assert unknown == [404] * most * 2
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["code"] == "too_many_streams" and refused.headers["retry-after"]


async def test_opening_a_stream_is_counted_against_its_source(shop: World) -> None:
    answer = await shop.http.get(
        f"/checkout/inv_{'0' * 24}/events", headers={"accept": "text/event-stream"}
    )
    assert answer.headers["ratelimit-limit"]
