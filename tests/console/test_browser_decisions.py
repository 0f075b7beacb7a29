"""What people decide at the console, in headless Chromium, and what each role finds there."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from coincurve import PrivateKey

from tests.console.browsing import browse, installed, needs_browser
from tests.console.test_review import contradicted
from tests.e2e.addresses import fresh_address
from tests.e2e.service import SETTLE_S, Service, new_key, settled
from tron_payment.console.actions_table import ACTIONS
from tron_payment.console.pages import MENU
from tron_payment.contracts import signer_address
from tron_payment.http.permissions import Role, permissions_of

STEPS = [
    "quarantine is left by two persons", "a refund is sent and settles before our eyes",
    "a signature is handed in and the payout settles", "a webhook is sent again",
    "a failed payout is paid anew, once", "each role found what it may",
]  # fmt: skip
DO = "/console/do/"
FORMS = {
    "/console/payments": "payment:create",
    "/console/webhooks": "webhook:write",
    "/console/batches": "payout:batch",
    "/console/policy": "policy:propose",
    "/console/sign-out": "",
}
"""What a form that is no button of `ACTIONS` needs."""

pytestmark = needs_browser


@pytest.fixture(scope="module")
async def hook() -> AsyncIterator[tuple[str, list[str]]]:
    """Somebody's webhook receiver on this machine: its address, and the ids of what came."""
    came: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SETTLE_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)content-length: *([0-9]+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                came.extend(re.findall(r"(?i)\nwebhook-id: *(\S+)", head))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", came
    finally:
        server.close()


async def paid_invoice(service: Service) -> str:
    """An invoice of 5 USDT that was paid."""
    async with service.client("operator", "seller") as api, service.devnet() as devnet:
        wish = {"kind": "invoice", "amount": "5", "currency": "USDT"}
        key = {"Idempotency-Key": new_key()}
        made = (await api.post("/api/v1/payments/process", json=wish, headers=key)).json()
        money = {"address": made["address"], "amount": "5", "currency": "USDT"}
        (await devnet.post("/devnet/faucet", json=money)).raise_for_status()
        path = f"/api/v1/payments/{made['payment_id']}"
        async with asyncio.timeout(SETTLE_S):
            while (await api.get(path)).json()["status"] != "paid":
                await asyncio.sleep(0.2)
    found: str = made["payment_id"]
    return found


async def detached(service: Service, currency: str = "TRX") -> dict[str, str]:
    """A payout whose key is with us here: its request, a signature of it, and a wrong one."""
    key, other = PrivateKey(secrets.token_bytes(32)), PrivateKey(secrets.token_bytes(32))
    address = signer_address(key)
    async with (
        service.client("operator", "custodian") as api,
        service.client("treasurer", "looks") as desk,
        service.devnet() as devnet,
    ):
        for asset in ("TRX", "USDT"):
            money = {"address": address, "amount": "1000", "currency": asset}
            (await devnet.post("/devnet/faucet", json=money)).raise_for_status()
        body = {"label": "vault", "kind": "cold", "address": address}
        wallet = (await api.post("/api/v1/wallets", json=body)).json()["wallet_id"]
        wish = {
            "user_id": "frank",
            "recipient_address": fresh_address(),
            "amount": "12.5",
            "currency": currency,
            "wallet_id": wallet,
        }
        answer = await api.post(
            "/api/v1/payouts/direct", json=wish, headers={"Idempotency-Key": new_key()}
        )
        assert answer.status_code == 202, answer.text
        async with asyncio.timeout(SETTLE_S):
            while True:
                rows = (await desk.get("/api/v1/signing-requests?status=open")).json()["data"]
                mine = [each for each in rows if each["manifest"]["from_address"] == address]
                if mine:
                    break
                await asyncio.sleep(0.2)
    request = mine[0]

    def sign(by: PrivateKey) -> str:
        return by.sign_recoverable(bytes.fromhex(request["txid"]), hasher=None).hex()

    return {
        "signing": request["signing_request_id"],
        "signature": sign(key),
        "wrongSignature": sign(other),
        "detached": answer.json()["payout_id"],
    }


async def failed(service: Service) -> str:
    """A payout that has failed on the chain: the token was paused when its bytes arrived."""
    made = await detached(service, "USDT")
    async with (
        service.client("treasurer", "signer") as api,
        service.devnet() as devnet,
    ):
        await _owner(devnet, "pause")
        try:
            given = await api.post(
                f"/api/v1/signing-requests/{made['signing']}/signatures",
                json={"signature": made["signature"]},
            )
            assert given.is_success, given.text
            (payout,) = await settled(api, [made["detached"]])
        finally:
            await _owner(devnet, "unpause")
    assert payout["status"] == "failed", payout
    return made["detached"]


async def _owner(devnet: httpx.AsyncClient, function: str) -> None:
    body = {"function": function, "arguments": []}
    (await devnet.post("/devnet/usdt", json=body)).raise_for_status()


@pytest.fixture(scope="module")
async def seen(service: Service, hook: tuple[str, list[str]]) -> dict[str, Any]:
    """What the browser reports after the jobs."""
    await installed()
    async with service.client("operator", "integrator") as api:
        endpoint = await api.post(
            "/api/v1/payments/webhook-endpoints", json={"url": hook[0], "types": ["payment.late"]}
        )
        assert endpoint.status_code == 201, endpoint.text
    world = {
        "quarantined": await contradicted(service),
        "failed": await failed(service),
        "paid": await paid_invoice(service),
        "payer": fresh_address(),
        "endpoint": endpoint.json()["webhook_endpoint_id"],
        **await detached(service),
    }
    places = [path for _, path, _ in MENU] + [
        f"/console/quarantine/{await contradicted(service)}",
        f"/console/payouts/{await failed(service)}",
        f"/console/payments/{await paid_invoice(service)}",
        f"/console/signing/{(await detached(service))['signing']}",
        f"/console/webhooks/{world['endpoint']}",
    ]
    tokens = {role.value: service.token(role, f"decides-{role}") for role in Role}
    world["places"] = places
    return await browse("decide.mjs", service.url, json.dumps(tokens), json.dumps(world))


async def test_people_decide(seen: dict[str, Any], hook: tuple[str, list[str]]) -> None:
    assert seen.get("error") is None and seen["steps"] == STEPS
    assert seen["ownDecision"] == 0, "nobody carries out what they proposed"
    assert seen["left"] == "settled" and seen["refunded"] == "2"
    assert "signature" in seen["wrongSignature"] and seen["onceOnly"]
    assert len(hook[1]) == 2 and len(set(hook[1])) == 1, "the same message, twice"


async def test_axe_finds_nothing_serious(seen: dict[str, Any]) -> None:
    assert seen["serious"] == []


async def test_no_page_scrolls_sideways(seen: dict[str, Any]) -> None:
    assert seen["sideways"] == []


async def test_the_browser_has_nothing_to_complain_about(seen: dict[str, Any]) -> None:
    refused = re.compile(r"the server responded with a status of 4")
    assert [each for each in seen["messages"] if not refused.search(each)] == []
    assert seen["outside"] == []


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_finds_what_it_may_on_every_page(seen: dict[str, Any], role: Role) -> None:
    may, found = permissions_of(role), seen["roles"][role.value]
    shown = [path for _, path, needed in MENU if not needed or needed in may]
    assert found["menu"] == shown
    for _, path, _ in MENU:
        assert found["pages"][path]["status"] == (200 if path in shown else 403), path
    buttons = set()
    for path, page in found["pages"].items():
        for form in page["forms"]:
            if form.startswith(DO):
                needed = ACTIONS[form.removeprefix(DO)].permission
                buttons.add(form.removeprefix(DO))
            else:
                needed = "payment:refund" if form.endswith("/refund") else FORMS[form]
            assert not needed or needed in may, (path, form)
        if page["status"] != 200:
            assert set(page["forms"]) <= {"/console/sign-out"}, path
    if role is Role.OPERATOR:
        assert {"quarantine.propose", "payout.retry", "webhook.ping"} <= buttons
    if role in (Role.VIEWER, Role.AUDITOR):
        assert buttons <= {"books.reconcile"}, "they look"
