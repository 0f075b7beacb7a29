"""The work people do at the console: upload, watch, invoice, freeze, compare the books."""

import csv
import io
import re
from collections.abc import Awaitable, Callable

from tests.console.conftest import SignIn
from tests.console.world import RECIPIENT, pay
from tests.e2e.service import Service

ROWS = f"""user_id,recipient_address,amount,currency,merchant_reference
ann,{RECIPIENT},11,USDT,batch-a
bob,not-an-address,11,USDT,batch-b
cid,{RECIPIENT},0.01,USDT,batch-c
dee,{RECIPIENT},12,USDT,batch-d
"""
Eventually = Callable[..., Awaitable[None]]


async def test_a_batch_is_checked_and_priced_before_it_is_sent_once(
    sign_in: SignIn, eventually: Eventually
) -> None:
    browser = await sign_in("operator")
    before = (await browser.get("/console/batches")).text
    checked = await browser.post("/console/batches", files={"file": ("b.csv", ROWS, "text/csv")})
    assert checked.status_code == 200
    assert 'id="good">2<' in checked.text and 'id="bad">2<' in checked.text
    assert "invalid_address" in checked.text and "amount_below_minimum" in checked.text
    assert "expected now; at most" in checked.text and "Send 2 payouts" in checked.text
    assert before.count("/console/batches/bat_") == (
        (await browser.get("/console/batches")).text.count("/console/batches/bat_")
    ), "checking stores nothing"

    key = re.search(r'name="key" value="([^"]+)"', checked.text)
    assert key is not None
    form = {"key": (None, key.group(1)), "content": (None, ROWS.replace("\n", "\r\n"))}
    sent = await browser.post("/console/batches/send", files=form)
    again = await browser.post("/console/batches/send", files=form)
    where = sent.headers["location"]
    assert sent.status_code == 303 and again.headers["location"] == where

    async def finished() -> bool:
        return "completed" in (await browser.get(where)).text

    await eventually(finished, within_s=60.0)
    page = (await browser.get(where)).text
    assert "2 of 2" in page and "hx-trigger" not in page, "what has ended is not asked again"
    exported = list(csv.DictReader(io.StringIO((await browser.get(f"{where}/export")).text)))
    assert [row["status"] for row in exported] == ["settled", "refused", "refused", "settled"]


async def test_a_file_that_is_no_batch_is_told_and_kept(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    answer = await browser.post("/console/batches", files={"content": (None, "a,b\n1,2\n")})
    assert answer.status_code == 200
    assert "the first three are required" in answer.text and "1,2" in answer.text


async def test_payouts_are_found_and_exported(sign_in: SignIn, service: Service) -> None:
    made = await pay(service, user_id="=cmd|x", merchant_reference="find-me-1")
    browser = await sign_in("operator")
    for text in (made["payout_id"], "find-me-1", "find-m"):
        found = await browser.get("/console/payouts", params={"find": text})
        assert "Found: 1." in found.text and made["payout_id"] in found.text
    file = await browser.get("/console/payouts.csv", params={"find": "find-me-1"})
    (row,) = csv.DictReader(io.StringIO(file.text))
    assert row["user_id"] == "'=cmd|x" and row["payout_id"] == made["payout_id"]
    assert "attachment" in file.headers["content-disposition"]


async def test_a_life_shows_its_proof(
    sign_in: SignIn, service: Service, eventually: Eventually
) -> None:
    made = await pay(service)
    browser = await sign_in("viewer")
    where = f"/console/payouts/{made['payout_id']}"

    async def settled() -> bool:
        return "Settled in solidified block" in (await browser.get(where)).text

    await eventually(settled, within_s=60.0)
    page = (await browser.get(f"{where}?look=1")).text
    assert "What to do:" in page and "asked to pay 12.5 USDT" in page
    assert "Proof on the chain" in page and "solidified" in page and "energy" in page.lower()


async def test_an_invoice_is_made_once_and_canceled(sign_in: SignIn) -> None:
    browser = await sign_in("merchant")
    key = "console-test-invoice-1"
    form = {"amount": "5", "currency": "USDT", "description": "shoes", "key": key}
    made = await browser.post("/console/payments", data=form)
    again = await browser.post("/console/payments", data=form)
    where = made.headers["location"]
    assert again.headers["location"] == where
    page = (await browser.get(where)).text
    assert "/checkout/inv_" in page and "shoes" in page
    done = await browser.post("/console/do/payment.cancel", data={"id": where.rpartition("/")[2]})
    assert done.status_code == 303
    shown = (await browser.get(done.headers["location"])).text
    assert "The invoice was canceled." in shown and "canceled" in shown


async def test_a_wallet_is_frozen_and_let_go(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    listed = (await browser.get("/console/wallets")).text
    wallet = re.findall(r"/console/wallets/(wal_\w+)\">deployer", listed)[0]
    for name, word in (("wallet.freeze", "frozen"), ("wallet.thaw", "may pay again")):
        done = await browser.post(f"/console/do/{name}", data={"id": wallet})
        assert done.status_code == 303
        assert word in (await browser.get(done.headers["location"])).text


async def test_the_books_are_compared_by_a_button(sign_in: SignIn) -> None:
    browser = await sign_in("auditor")
    done = await browser.post("/console/do/books.reconcile", data={"id": ""})
    assert done.status_code == 303
    assert "A reconciliation is running" in (await browser.get(done.headers["location"])).text


async def test_a_webhooks_secret_is_shown_once(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    form = {"url": "https://example.com/hook", "types": "payout.settled", "description": "<i>x"}
    made = await browser.post("/console/webhooks", data=form)
    assert made.status_code == 200, made.text
    secret = re.search(r"whsec_[^<\s\"]+", made.text)
    assert secret is not None and "<i>x" not in made.text
    assert secret.group() not in (await browser.get("/console/webhooks")).text
    where = re.findall(r"/console/webhooks/whk_\w+", made.text)[0]
    assert "Deliveries" in (await browser.get(where)).text


async def test_charts_are_drawn_with_words(sign_in: SignIn, service: Service) -> None:
    await pay(service)
    browser = await sign_in("operator")
    page = (await browser.get("/console/charts?look=1")).text
    assert page.count('role="img" aria-label="') >= 4 and "as a table" in page
