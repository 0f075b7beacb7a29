"""Two people: what one proposes or asks for, another one decides."""

import asyncio
import re
from typing import Final

import httpx

from tests.console.conftest import SignIn
from tests.console.world import asked_change, detached, pay
from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key

SHOWN_S: Final = 30.0
BAND: Final = {"above": "5000", "approvals": "1", "currency": "USDT"}


async def test_a_policy_is_proposed_by_one_and_put_into_force_by_another(
    sign_in: SignIn, service: Service
) -> None:
    operator, approver, viewer = [await sign_in(r) for r in ("operator", "approver", "viewer")]
    done = await operator.post("/console/policy", data=BAND)
    assert done.headers["location"] == "/console/policy?done=policy.propose"
    shown = (await operator.get("/console/policy")).text
    assert "1 above 5,000 USDT" in shown and "/console/do/policy.approve" not in shown
    shown = (await approver.get("/console/policy")).text
    assert "/console/do/policy.approve" in shown
    assert "/console/do/" not in (await viewer.get("/console/policy")).text
    proposal = re.findall(r'name="id" value="(pol_\w+)"', shown)[0]
    forged = await operator.post("/console/do/policy.approve", data={"id": proposal})
    assert forged.status_code == 403
    done = await approver.post("/console/do/policy.approve", data={"id": proposal})
    assert done.status_code == 303
    assert "The policy is in force." in (await approver.get(done.headers["location"])).text

    made = await pay(service, amount="6000", metadata={"why": "<b>bonus"})
    where = f"/console/payouts/{made['payout_id']}"
    assert "Payouts to approve" in (await approver.get("/console")).text
    page = (await approver.get(where)).text
    assert "0 of 1 approvals" in page and "/console/do/payout.approve" in page
    assert "/console/do/payout.approve" not in (await operator.get(where)).text
    order_hash = re.findall(r'name="order_hash" value="(\w+)"', page)[0]
    wrong = {"id": made["payout_id"], "order_hash": order_hash[::-1]}
    assert (await approver.post("/console/do/payout.approve", data=wrong)).status_code >= 400
    seen = {"id": made["payout_id"], "order_hash": order_hash}
    done = await approver.post("/console/do/payout.approve", data=seen)
    assert done.status_code == 303
    page = (await approver.get(where)).text
    assert "1 of 1 approvals" in page and "by console-approver" in page

    other = await pay(service, amount="6001")
    rejected = {"id": other["payout_id"], "reason": "<i>not now"}
    done = await approver.post("/console/do/payout.reject", data=rejected)
    page = (await approver.get(done.headers["location"])).text
    assert "The payout was rejected." in page and "<i>not now" not in page


async def page_with(client: httpx.AsyncClient, path: str, text: str) -> str:
    """The page, once the work behind it has come so far."""
    async with asyncio.timeout(SHOWN_S):
        while text not in (page := (await client.get(path)).text):
            await asyncio.sleep(0.2)
    return page


async def test_who_approves_a_call_sees_what_it_says(sign_in: SignIn, service: Service) -> None:
    """The band of the test above is in force; a call without TRX lies in none, and waits too."""
    approver, contract, data = await sign_in("approver"), fresh_address(), "095ea7b3" + "00" * 64
    async with service.client() as api:
        answer = await api.post(
            "/api/v1/payments/process",
            json={"kind": "contract", "contract_address": contract, "data": data},
            headers={"Idempotency-Key": new_key()},
        )
    assert answer.status_code == 202, answer.text
    page = await page_with(approver, "/console/approvals", contract)
    assert "a contract that is not known here" in page
    assert f'<td class="whole extra"><span class="mono">{contract}</span></td>' in page
    assert f'<span class="phone">to <span class="mono breaks">{contract}</span></span>' in page
    assert "approve(address,uint256)" in page and data in page
    assert "You approve a call of a contract that is not known here" in page


async def test_who_approves_a_batch_sees_whole_addresses(sign_in: SignIn, service: Service) -> None:
    """Whoever makes addresses that begin and end like another's finds some within hours."""
    approver, recipient = await sign_in("approver"), fresh_address()
    rows = f"user_id,recipient_address,amount,currency,route\nann,{recipient},6002,USDT,direct\n"
    async with service.client() as api:
        answer = await api.post(
            "/api/v1/payouts/batch",
            content=rows,
            headers={"Idempotency-Key": new_key(), "Content-Type": "text/csv"},
        )
    assert answer.status_code == 202, answer.text
    where = f"/console/batches/{answer.json()['batch_id']}"
    page = await page_with(approver, where, "/console/do/batch.approve")
    assert f'title="{recipient}">{recipient}</span>' in page, "on a desktop"
    assert f'<span class="phone mono breaks">{recipient}</span>' in page


async def test_who_looks_for_what_to_sign_sees_whole_addresses(
    sign_in: SignIn, service: Service
) -> None:
    made, treasurer = await detached(service), await sign_in("treasurer")
    async with service.client("treasurer", "looks") as desk:
        seen = (await desk.get(f"/api/v1/signing-requests/{made['signing']}")).json()
    page = (await treasurer.get("/console/signing?status=open")).text
    recipient = seen["manifest"]["to_address"]
    assert f'<td class="whole extra"><span class="mono">{recipient}</span></td>' in page
    assert f'<span class="phone mono breaks">{recipient}</span>' in page


async def test_who_may_sign_is_asked_by_one_and_agreed_to_by_another(
    sign_in: SignIn, service: Service
) -> None:
    change, auditor, operator = (
        await asked_change(service),
        await sign_in("auditor"),
        await sign_in("operator"),
    )
    treasurer = await sign_in("treasurer")
    where = f"/console/permission-changes/{change}"
    for page in ("/console", "/console/approvals"):
        assert where in (await treasurer.get(page)).text, page
    shown = (await treasurer.get(where)).text
    assert "from outside" in shown and "the account's own" in shown and "by asks" in shown
    assert "Owner: 1 needed" in shown and "Transfer, TriggerContract" in shown
    assert "Good until" in shown and "/console/do/permissions.agree" in shown
    change_hash = re.findall(r'name="change_hash" value="(\w+)"', shown)[0]
    seen = {"id": change, "change_hash": change_hash}
    for who in (auditor, operator):
        page = (await who.get(where)).text
        assert "from outside" in page and "/console/do/permissions" not in page
        for what in ("agree", "refuse"):
            forged = await who.post(f"/console/do/permissions.{what}", data=seen)
            assert forged.status_code == 403
    wrong = {"id": change, "change_hash": change_hash[::-1]}
    assert (await treasurer.post("/console/do/permissions.agree", data=wrong)).status_code == 409
    for _ in range(2):
        done = await treasurer.post("/console/do/permissions.agree", data=seen)
        assert done.headers["location"] == f"{where}?done=permissions.agree"
    page = (await treasurer.get(done.headers["location"])).text
    assert "You agreed: the change is on its way" in page and "/console/do/perm" not in page
    assert "by console-treasurer" in page
    assert where not in (await treasurer.get("/console/approvals")).text
    late = await treasurer.post("/console/do/permissions.refuse", data=seen)
    assert late.status_code == 409


async def test_who_asked_takes_it_back_and_does_not_agree(
    sign_in: SignIn, service: Service
) -> None:
    change, treasurer = await asked_change(service, "console-treasurer"), await sign_in("treasurer")
    where = f"/console/permission-changes/{change}"
    shown = (await treasurer.get(where)).text
    assert "Take it back" in shown and "/console/do/permissions.agree" not in shown
    seen = {"id": change, "change_hash": re.findall(r'name="change_hash" value="(\w+)"', shown)[0]}
    own = await treasurer.post("/console/do/permissions.agree", data=seen)
    assert own.status_code == 409
    done = await treasurer.post("/console/do/permissions.refuse", data=seen)
    assert "It was refused" in (await treasurer.get(done.headers["location"])).text


async def test_the_kill_switch_is_turned_by_those_who_may(sign_in: SignIn) -> None:
    operator, treasurer = await sign_in("operator"), await sign_in("treasurer")
    done = await operator.post("/console/do/switch.on", data={"reason": "a test"})
    try:
        page = (await operator.get(done.headers["location"])).text
        assert "Everything is stopped since" in page and "/console/do/switch.off" not in page
        forged = await operator.post("/console/do/switch.off", data={})
        assert forged.status_code == 403
    finally:
        done = await treasurer.post("/console/do/switch.off", data={"reason": "over"})
    assert "Nothing is stopped." in (await treasurer.get(done.headers["location"])).text


async def test_what_no_header_can_hold_is_found_nowhere_and_is_no_code(sign_in: SignIn) -> None:
    operator, approver = await sign_in("operator"), await sign_in("approver")
    for strange in ("ключ", "a b", "a\nb", "x" * 300):
        lost = await operator.post("/console/do/payout.retry", data={"id": strange})
        assert lost.status_code == 404, lost.text[:300]
    coded = {"id": "pay_x", "totp_code": "ключ"}
    assert (await approver.post("/console/do/payout.approve", data=coded)).status_code < 500
