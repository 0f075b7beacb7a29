"""Quarantine and the audit log at the console: two people, and what each of them may."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx

from tests.console.conftest import SignIn
from tests.console.world import contradicted, pay, told_by_too_few
from tests.e2e.service import Service
from tron_payment.console import live

Eventually = Callable[..., Awaitable[None]]


async def test_what_is_quarantined_is_let_out_by_two_people(
    sign_in: SignIn, service: Service
) -> None:
    payout = await contradicted(service)
    operator, approver, viewer = [await sign_in(r) for r in ("operator", "approver", "viewer")]
    where = f"/console/quarantine/{payout}"
    assert "In quarantine" in (await operator.get("/console")).text
    assert where in (await operator.get(f"/console/payouts/{payout}")).text
    assert where in (await operator.get("/console/quarantine")).text
    assert "Its event is missing." in (await operator.get(where)).text, "before nodes are asked"
    page = (await operator.get(f"{where}?look=1")).text
    assert "It was paid" in page and "Its event is missing." in page
    assert "/console/do/" not in (await viewer.get(where)).text
    assert "/console/do/quarantine.agree" not in (await approver.get(where)).text

    wrong = {"id": payout, "outcome": "failed", "note": "a guess"}
    assert (await operator.post("/console/do/quarantine.propose", data=wrong)).status_code == 409
    wish = {"id": payout, "outcome": "settled", "note": "seen <b>in the block"}
    done = await operator.post("/console/do/quarantine.propose", data=wish)
    assert done.status_code == 303 and "<b>in" not in (await operator.get(where)).text
    forged = await operator.post("/console/do/quarantine.agree", data={"id": payout})
    assert forged.status_code == 403
    assert "/console/do/quarantine.agree" in (await approver.get(where)).text
    done = await approver.post("/console/do/quarantine.agree", data={"id": payout})
    assert done.status_code == 303
    assert "It left quarantine" in (await approver.get(done.headers["location"])).text
    assert 'class="tag good">settled' in (await viewer.get(f"/console/payouts/{payout}")).text

    auditor = await sign_in("auditor")
    page = (await auditor.get("/console/audit", params={"by": "object_id", "find": payout})).text
    assert "quarantine.propose" in page and "quarantine.resolved" in page
    assert "console-approver" in page and "<b>in" not in page


async def test_what_nobody_will_prove_is_closed_with_a_reason(
    sign_in: SignIn, service: Service
) -> None:
    txid = await told_by_too_few(service, "5 sun to T<b>")
    approver, viewer = [await sign_in(role) for role in ("approver", "viewer")]
    action, where = "/console/do/unproved.accept", "/console/quarantine"
    shown = (await viewer.get(where)).text
    assert txid in shown and "T&lt;b&gt;" in shown and action not in shown
    page = (await approver.get(where)).text
    assert action in page and "never credited" in page and 'name="reason"' in page
    why = "the explorer does not have it"
    forged = await viewer.post(action, data={"id": txid, "reason": why})
    assert forged.status_code == 403
    assert (await approver.post(action, data={"id": txid})).status_code == 422
    assert txid in (await approver.get(where)).text
    done = await approver.post(action, data={"id": txid, "reason": why})
    assert done.status_code == 303
    after = (await approver.get(done.headers["location"])).text
    assert "counts nowhere" in after and txid not in after
    auditor = await sign_in("auditor")
    log = (await auditor.get("/console/audit", params={"by": "object_id", "find": txid})).text
    assert "unproved.accept" in log and why in log


async def test_the_audit_log_is_searched_and_its_head_is_taken_along(sign_in: SignIn) -> None:
    auditor = await sign_in("auditor")
    assert "The head of the log" in (await auditor.get("/console/audit")).text
    sought = {"by": "action", "find": "wallet.create"}
    assert "treasury" in (await auditor.get("/console/audit", params=sought)).text
    found = (await auditor.get("/console/audit", params={"by": "action", "find": "nothing"})).text
    assert "No such entry" in found
    head = await auditor.get("/console/audit/head.json")
    assert re.fullmatch(r"[0-9a-f]{64}", head.json()["hash"])
    assert "attachment" in head.headers["content-disposition"]
    assert (await (await sign_in("operator")).get("/console/audit/head.json")).status_code == 403


async def test_a_page_that_changes_is_told_so(sign_in: SignIn, service: Service) -> None:
    browser = await sign_in("operator")
    made = await pay(service)
    where = f"/console/payouts/{made['payout_id']}"
    events: list[str] = []
    async with browser.stream("GET", "/console/live", params={"page": where}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))
            if "changed" in events:
                break
    assert events[0] in ("same", "changed")
    assert (await browser.get("/console/live", params={"page": "/console/x/y"})).status_code == 404
    assert (await browser.get("/console/live", params={"page": f"{where}/z"})).status_code == 404


async def test_a_person_watches_so_many_pages_however_many_are_opened_at_once(
    sign_in: SignIn,
) -> None:
    browser = await sign_in("viewer")
    most = live.STREAMS_PER_PERSON_MAX

    async def watch(stack: AsyncExitStack) -> int:
        stream = browser.stream("GET", "/console/live", params={"page": "/console"})
        return (await stack.enter_async_context(stream)).status_code

    async with AsyncExitStack() as stack:
        opened = await asyncio.gather(*(watch(stack) for _ in range(most * 2)))
        assert sorted(opened) == [200] * most + [429] * most
    async with AsyncExitStack() as stack, asyncio.timeout(60):  # what was held is given back
        while await watch(stack) != 200:
            await asyncio.sleep(0.1)


async def test_what_one_session_found_out_is_not_shown_to_a_weaker_one(
    service: Service, browser_of: Callable[[], httpx.AsyncClient]
) -> None:
    """Of the same person in the same role, by a token that may less."""
    await pay(service)
    tokens = {
        "weak": service.token("operator", "two-tokens", permissions=["service:read"]),
        "full": service.token("operator", "two-tokens"),
    }
    pages = {}
    for name in ("full", "weak"):
        browser = browser_of()
        signed_in = await browser.post("/console/sign-in", data={"token": tokens[name]})
        assert signed_in.status_code == 303, signed_in.text
        pages[name] = (await browser.get("/console/charts?look=1")).text
    assert "payout:read" in pages["weak"] and "payout:read" not in pages["full"]
