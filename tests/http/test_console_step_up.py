"""Approving at the console with a second factor: its forms bring the code to the API."""

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from http_world import NOW, bearer, token
from pydantic import SecretStr
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.audit import Audit
from tron_payment.db.connect import connect
from tron_payment.http.step_up import StepUp
from tron_payment.http.totp import hotp, step_at
from tron_payment.settings import Settings
from tron_payment.wallets import build_sealing

ORIGIN = "http://service"
SEALING = build_sealing(Settings.model_construct(wallet_encryption_key=SecretStr("ab" * 32)))
BAND = {"above": "5000", "approvals": "1", "currency": "USDT"}


@pytest.fixture
async def app(mongo_uri: str, tmp_path: Any) -> AsyncIterator[Whole]:
    store = await connect(mongo_uri, f"console_{uuid4().hex[:12]}", DOCUMENTS)
    settings = options(tmp_path, STEP_UP_REQUIRED="true", PUBLIC_BASE_URL=ORIGIN)
    try:
        async with whole(store, settings) as made:
            yield made
    finally:
        await store.client.drop_database(store.database.name)
        await store.close()


@asynccontextmanager
async def sign_in(app: Whole, role: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with somebody of this role signed in."""
    transport = httpx.ASGITransport(app.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}
    ) as browser:
        made = token(role=role, sub=f"console-{role}", exp=4_000_000_000)
        answer = await browser.post("/console/sign-in", data={"token": made})
        assert answer.status_code == 303, answer.text
        yield browser


async def test_an_approval_at_the_console_needs_the_code(app: Whole) -> None:
    async with sign_in(app, "operator") as operator:
        done = await operator.post("/console/policy", data=BAND)
        assert done.status_code == 303, done.text
    headers = bearer(role="approver", sub="console-approver", exp=4_000_000_000)
    made = (await app.client.post("/api/v1/me/totp", headers=headers)).json()
    secret = base64.b32decode(made["secret"])
    step = step_at(NOW.timestamp())
    confirmed = await app.client.post(
        "/api/v1/me/totp/confirm", json={"code": hotp(secret, step)}, headers=headers
    )
    assert confirmed.status_code == 200, confirmed.text
    step_up = StepUp(app.clock, SEALING, Audit(app.clock), required=True)
    await step_up.release("console-approver", made["fingerprint"], None)

    async with sign_in(app, "approver") as approver:
        page = (await approver.get("/console/policy")).text
        (form,) = re.findall(r"<form[^>]*/console/do/policy\.approve.*?</form>", page, re.DOTALL)
        assert 'name="totp_code"' in form and 'autocomplete="one-time-code"' in form
        (reject,) = re.findall(r"<form[^>]*/console/do/policy\.reject.*?</form>", page, re.DOTALL)
        assert 'name="totp_code"' in reject, "both decide"
        proposal = re.findall(r'name="id" value="(pol_\w+)"', form)[0]
        wish = {"id": proposal}
        bare = await approver.post("/console/do/policy.approve", data=wish)
        assert bare.status_code == 403 and "X-TOTP-Code" in bare.text
        wrong = await approver.post(
            "/console/do/policy.approve", data=wish | {"totp_code": hotp(secret, step)}
        )
        assert wrong.status_code == 403, "used already, to confirm"
        done = await approver.post(
            "/console/do/policy.approve", data=wish | {"totp_code": hotp(secret, step + 1)}
        )
        assert done.status_code == 303, done.text
        assert "The policy is in force." in (await approver.get(done.headers["location"])).text


async def test_the_kill_switch_goes_off_only_with_the_code(app: Whole) -> None:
    """On is free for all who may: stopping must never wait for a device."""
    headers = bearer(role="treasurer", sub="tr-1", exp=4_000_000_000)
    path = "/api/v1/policy/kill-switch"
    on = await app.client.post(path, json={"on": True, "reason": "a test"}, headers=headers)
    assert on.status_code == 200, on.text
    off = {"on": False, "reason": "over"}
    for more, code in (
        ({}, "step_up_required"),
        ({"X-TOTP-Code": "123456"}, "step_up_not_enrolled"),
    ):
        refused = await app.client.post(path, json=off, headers=headers | more)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    (switch,) = (await app.client.get(path, headers=headers)).json()
    assert switch["on"] is True
    async with sign_in(app, "treasurer") as treasurer:
        page = (await treasurer.get("/console/policy")).text
        (form,) = re.findall(r"<form[^>]*/console/do/switch\.off.*?</form>", page, re.DOTALL)
        assert 'name="totp_code"' in form
    made = (await app.client.post("/api/v1/me/totp", headers=headers)).json()
    secret, step = base64.b32decode(made["secret"]), step_at(NOW.timestamp())
    body = {"code": hotp(secret, step)}
    assert (
        await app.client.post("/api/v1/me/totp/confirm", json=body, headers=headers)
    ).status_code == 200
    step_up = StepUp(app.clock, SEALING, Audit(app.clock), required=True)
    await step_up.release("tr-1", made["fingerprint"], None)
    code = {"X-TOTP-Code": hotp(secret, step + 1)}
    done = await app.client.post(path, json=off, headers=headers | code)
    assert done.status_code == 200 and done.json()["on"] is False, done.text
