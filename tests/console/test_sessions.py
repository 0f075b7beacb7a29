"""Who gets in, how they get out, and whose forms count."""

from collections.abc import Callable
from urllib.parse import urlencode

import httpx
import pytest

from tests.console.conftest import SignIn
from tests.e2e.processes import command
from tests.e2e.service import Service

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
BrowserOf = Callable[[], httpx.AsyncClient]
PAGES = (
    "/console", "/console/payouts", "/console/batches", "/console/payments", "/console/wallets",
    "/console/signing", "/console/staking", "/console/books", "/console/webhooks",
    "/console/events", "/console/policy", "/console/health", "/console/charts",
    "/console/payouts.csv",
)  # fmt: skip
FORMS = (
    "/console/sign-in", "/console/sign-out", "/console/payments", "/console/webhooks",
    "/console/payments/inv_x/refund", "/console/do/books.reconcile", "/console/do/payout.cancel",
    "/console/policy", "/console/do/switch.on",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_nobody_sees_a_page(browser_of: BrowserOf, path: str) -> None:
    browser = browser_of()
    answer = await browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in")
    live = await browser.get(path, headers={"HX-Request": "true"})
    assert (live.status_code, live.headers["hx-redirect"]) == (401, "/console/sign-in")


async def test_a_token_signs_in_and_the_cookie_is_kept_from_scripts(
    browser_of: BrowserOf, service: Service
) -> None:
    browser = browser_of()
    token = service.token("viewer", "somebody")
    answer = await browser.post("/console/sign-in", data={"token": f"Bearer {token}"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/console" in cookie
    assert token not in answer.headers["set-cookie"]
    assert "somebody" in (await browser.get("/console")).text


@pytest.mark.parametrize(
    "token",
    ["a.b.c", "", "\u00e9.b.c", "\u0430.b.c", "a\r\nX-User-ID: x", "\0", "\ud800", "a" * 60_000],
    ids=["wrong", "none", "accent", "Cyrillic", "two lines", "null", "half a character", "long"],
)
async def test_a_wrong_token_does_not(browser_of: BrowserOf, token: str) -> None:
    browser = browser_of()
    content = urlencode({"token": token}, errors="surrogatepass")
    answer = await browser.post("/console/sign-in", content=content, headers=FORM)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text


async def test_a_key_of_a_form_that_no_header_has_is_refused(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    answer = await browser.post(
        "/console/payments", data={"amount": "1", "currency": "USDT", "key": "\u00e9" * 20}
    )
    assert answer.status_code == 400 and "copy it again" in answer.text


async def test_a_command_makes_another_link(browser_of: BrowserOf, service: Service) -> None:
    code, printed, _ = await command("console-link", "--role", "viewer", env=service.environment)
    assert code == 0
    browser = browser_of()
    assert (await browser.get(printed.strip())).headers["location"] == "/console"
    assert "demo-viewer" in (await browser.get("/console")).text
    assert (await browser_of().get(printed.strip())).status_code == 401


async def test_the_printed_link_signs_in_once(browser_of: BrowserOf, printed_link: str) -> None:
    first = browser_of()
    answer = await first.get(printed_link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert (await first.get("/console")).status_code == 200
    again = await browser_of().get(printed_link)
    assert again.status_code == 401 and "set-cookie" not in again.headers


async def test_sign_out_ends_the_session_for_every_copy_of_the_cookie(
    browser_of: BrowserOf, sign_in: SignIn
) -> None:
    browser = await sign_in("viewer")
    thief = browser_of()
    thief.cookies = httpx.Cookies(browser.cookies)
    assert (await thief.get("/console")).status_code == 200
    assert (await browser.post("/console/sign-out")).status_code == 303
    assert (await thief.get("/console")).status_code == 303


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://["])
async def test_a_foreign_form_does_nothing(sign_in: SignIn, path: str, origin: str) -> None:
    browser = await sign_in("operator")
    browser.headers.pop("Origin")
    headers = {"Origin": origin} if origin else {}
    answer = await browser.post(path, data={"token": "x", "id": "x"}, headers=headers)
    assert answer.status_code == 403 and answer.json()["code"] == "foreign_form"
    assert (await browser.get("/console")).status_code == 200


async def test_a_foreign_upload_does_nothing(sign_in: SignIn) -> None:
    browser = await sign_in("operator")
    answer = await browser.post(
        "/console/batches/send",
        files={"content": (None, "user_id,recipient_address,amount\n")},
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status_code == 403
