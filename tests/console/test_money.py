"""Where the money is, what pays, and what would be paid twice: said on the pages themselves."""

import re
from collections.abc import Awaitable, Callable
from html import unescape

import httpx

from tests.console.conftest import SignIn
from tests.console.world import RECIPIENT, pay
from tests.e2e.service import Service, new_key, settled

ROWS = f"""user_id,recipient_address,amount
twice-1,{RECIPIENT},411
twice-2,{RECIPIENT},12.5
"""
Eventually = Callable[..., Awaitable[None]]


async def routers(service: Service) -> dict[str, str]:
    async with service.client("viewer", "looks") as api:
        found: dict[str, str] = (await api.get("/api/v1/tron/network/info")).json()["routers"]
    assert all(found.values()) and list(found) == ["v0", "kyc"]
    return found


async def check(browser: httpx.AsyncClient, rows: str) -> str:
    answer = await browser.post("/console/batches", files={"file": ("b.csv", rows, "text/csv")})
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_wallets_show_the_routers_and_what_is_left_in_them(
    sign_in: SignIn, service: Service
) -> None:
    there = await routers(service)
    browser = await sign_in("viewer")
    page = (await browser.get("/console/wallets?look=1")).text
    card = page.partition('id="routers"')[2].partition("</section>")[0]
    for route, address in there.items():
        assert address in card and f'<th scope="row">{route}' in card
    async with service.client("viewer", "looks") as api:
        held = (await api.get(f"/api/v1/usdt/balance/{there['kyc']}")).json()["balance"]
    assert f"{int(held):,}.00" in card, "nobody pays by kyc here"


async def test_a_payout_names_what_pays_it_and_who_signs(sign_in: SignIn, service: Service) -> None:
    v0 = (await routers(service))["v0"]
    made = await pay(service)
    wish = {"user_id": "dora", "recipient_address": RECIPIENT, "amount": "13"}
    async with service.client("operator", "payer") as api:
        direct = await api.post(
            "/api/v1/payouts/direct", json=wish, headers={"Idempotency-Key": new_key()}
        )
        assert direct.status_code == 202, direct.text
        await settled(api, [made["payout_id"], direct.json()["payout_id"]])
        treasury = (await api.get(f"/api/v1/wallets/{made['wallet_id']}")).json()["address"]
    browser = await sign_in("operator")
    by_router = (await browser.get(f"/console/payouts/{made['payout_id']}?look=1")).text
    facts, _, proof = by_router.partition("Proof on the chain")
    assert f'router v0 (contract <span class="mono breaks">{v0}</span>)' in facts
    assert re.search(r"Signed, and fee paid, by</dt><dd><a [^>]*>treasury</a>", facts)
    assert f'{v0}</span> <span class="hint">router v0</span>' in proof
    itself = (await browser.get(f"/console/payouts/{direct.json()['payout_id']}?look=1")).text
    assert f'Paid from</dt><dd>treasury <span class="mono breaks">{treasury}</span>' in itself


async def test_a_file_that_was_sent_is_not_sent_again_unknowingly(
    sign_in: SignIn, eventually: Eventually
) -> None:
    browser = await sign_in("operator")
    first = await check(browser, ROWS)
    assert "sent before" not in first and "423.50 <small>USDT" in first
    assert all(f'<td class="number">{row}</td><td>twice-{row}' in first for row in (1, 2))
    key = re.search(r'name="key" value="([^"]+)"', first)
    assert key is not None
    form = {"key": (None, key.group(1)), "content": (None, ROWS)}
    where = (await browser.post("/console/batches/send", files=form)).headers["location"]

    again = await check(browser, ROWS)
    assert "These very rows were sent before: sending them again pays again." in again
    assert f'href="{where}"' in again and "Send 2 payouts again" in again
    other = await check(browser, ROWS.replace("12.5", "12.6"))
    assert "1 of the good rows was sent before: sending it again pays again." in other
    assert f'href="{where}"' in other and "Send 2 payouts, 1 of them again" in other

    moving = (await browser.get(where)).text
    live = moving.partition('id="live"')[2]
    assert "batch.cancel" in live or "completed" in live

    async def finished() -> bool:
        return "completed" in (await browser.get(where)).text

    await eventually(finished, within_s=60.0)
    assert "batch.cancel" not in (await browser.get(where)).text


async def test_the_plan_is_drawn_from_the_figures_beside_it(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    page = unescape((await browser.get("/console/staking?look=1&payouts_per_day=500")).text)
    drawn = re.search(r'aria-label="Costs of each way in 30 days: ([^"]+)"', page)
    rows = re.findall(r'<th scope="row">([a-z ]+)</th><td class="number">([\d,.]+)</td>', page)
    assert drawn is not None and len(rows) >= 3
    for way, total in rows:
        assert f"{way} {float(total.replace(',', '')):,.2f} TRX" in drawn[1]
    assert "plan.svg" not in page


async def test_the_books_say_what_is_listed(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    page = (await browser.get("/console/books")).text
    found = re.search(r"([\d,]+) addresses, (?:all listed|([\d,]+) with money, listed)", page)
    assert found is not None, page
    listed = set(re.findall(r'<span class="mono hint extra">(T\w{33})</span>', page))
    assert len(listed) == int(found[2] or found[1])
    assert "router v0" in page and "router kyc" in page


async def test_rows_of_a_file_that_say_the_same_are_named(sign_in: SignIn) -> None:
    rows = [f"{who},{RECIPIENT},12.25" for who in ("same-1", "same-2", "same-1")]
    page = await check(
        await sign_in("operator"), "\n".join(["user_id,recipient_address,amount", *rows])
    )
    said = page.partition('id="same"')[2].partition("</p>")[0]
    assert "1 of the good rows says the same" in said and "(row 3 as 1)" in said
    assert page.count("same as row 1<") == 1 and 'id="before"' not in page
