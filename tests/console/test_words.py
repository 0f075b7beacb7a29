"""Words for people: every term, event and loop has some, and they stand where one looks."""

import asyncio
import re
from html import unescape
from pathlib import Path

from tests.console.conftest import SignIn
from tests.console.glossary_page import page
from tests.console.world import pay
from tests.e2e.service import Service
from tron_payment.console.glossary import TERMS
from tron_payment.console.happenings import HAS, sentence
from tron_payment.console.works import WORKS
from tron_payment.payouts import WAITS
from tron_payment.payouts.domain import FOR_SOMEBODY

STUCK_S = 60.0
DOCS = Path(__file__).parents[2] / "docs"


def test_the_glossary_is_the_codes_own() -> None:
    assert (DOCS / "glossary.md").read_text() == page()
    assert list(TERMS) == sorted(TERMS, key=str.lower)
    assert not [term for term, meaning in TERMS.items() if meaning.endswith(".")]


def test_every_event_is_a_sentence() -> None:
    types = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)`", (DOCS / "events.md").read_text(), re.M))
    assert set(HAS) == types - {"webhook_endpoint.ping"}
    paid = {"amount": "12.5", "currency": "USDT", "user_id": "alice"}
    told = sentence({"type": "payout.settled", "data": paid})
    assert told == "A payout of 12.50 USDT to alice was paid."
    refund = {"kind": "invoice", "amount": "9", "refund": {"amount": "2", "currency": "USDT"}}
    assert (
        sentence({"type": "refund.queued", "data": refund}) == "A refund of 2.00 USDT is in line."
    )
    assert sentence({"type": "payment.paid", "data": {"kind": "invoice"}}) == "An invoice is paid."
    assert sentence({"type": "batch.completed", "data": {}}).startswith("A batch is finished")


def test_what_waits_for_somebody_is_something_to_wait_for() -> None:
    assert set(WAITS) > FOR_SOMEBODY


async def test_every_loop_says_what_it_does(service: Service, sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    async with service.client("operator") as api:
        loops = {each["name"] for each in (await api.get("/status")).json()["loops"]}
    assert loops <= set(WORKS), loops - set(WORKS)
    text = unescape((await browser.get("/console/health")).text)
    assert all(WORKS[name] in text for name in loops)


async def test_the_glossary_is_below_every_page(sign_in: SignIn) -> None:
    browser = await sign_in("viewer")
    for path in ("/console", "/console/health", "/console/payouts"):
        assert 'href="/console/glossary"' in (await browser.get(path)).text
    assert "a millionth of a TRX" in (await browser.get("/console/glossary")).text.lower().replace(
        "trx", "TRX"
    )


async def test_what_is_stuck_is_on_the_overview_and_what_happened_is_told_newest_first(
    service: Service, sign_in: SignIn
) -> None:
    browser = await sign_in("operator")
    async with service.client("operator") as api:
        made = await pay(service, user_id="stuck-person", amount="12", max_fee_trx="0.1")
        path = f"/api/v1/payouts/{made['payout_id']}"
        try:
            async with asyncio.timeout(STUCK_S):
                while not (await api.get(path)).json()["waiting_for"]:
                    await asyncio.sleep(0.2)
            overview = (await browser.get("/console")).text
            assert "Stuck until somebody does something" in overview
            assert f"/console/payouts/{made['payout_id']}" in overview
            page = (await browser.get(f"/console/payouts/{made['payout_id']}")).text
            assert "and its maximum is 0.1 TRX" in page and "call it back" in page
        finally:
            assert (await api.post(f"{path}/cancel")).status_code == 200
    events = (await browser.get("/console/events")).text
    told = [
        events.index(f"A payout of 12.00 USDT to stuck-person {HAS[kind]}.")
        for kind in ("payout.canceled", "payout.queued")
    ]
    assert told == sorted(told)
