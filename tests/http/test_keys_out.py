"""Keys leave and come in only with a code of one's own device, where one is required."""

import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from http_world import NOW, bearer
from pydantic import SecretStr
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.db.connect import connect
from tron_payment.http.step_up import StepUp
from tron_payment.http.totp import hotp, step_at
from tron_payment.settings import Settings
from tron_payment.wallets import build_sealing

Opened = Callable[[str], AbstractAsyncContextManager[Whole]]

SEALING = build_sealing(Settings.model_construct(wallet_encryption_key=SecretStr("ab" * 32)))
PASSWORD = "a password of the caller's own"
API = "/api/v1"


@pytest.fixture
def opened(mongo_uri: str, tmp_path: Any) -> Opened:
    @asynccontextmanager
    async def opening(required: str) -> AsyncIterator[Whole]:
        store = await connect(mongo_uri, f"keys_{uuid4().hex[:12]}", DOCUMENTS)
        try:
            async with whole(store, options(tmp_path, STEP_UP_REQUIRED=required)) as app:
                yield app
        finally:
            await store.client.drop_database(store.database.name)
            await store.close()

    return opening


class Person:
    """Asks the service; with a device, once it has been enrolled and released."""

    def __init__(self, app: Whole, role: str) -> None:
        self.app, self.name = app, f"{role}-1"
        self.headers = bearer(role=role, sub=self.name, exp=4_000_000_000)
        self.secret = b""
        self.step = step_at(NOW.timestamp()) - 1

    async def ask(self, path: str, body: Any, code: str | None = None) -> tuple[int, Any]:
        headers = self.headers | ({} if code is None else {"X-TOTP-Code": code})
        answer = await self.app.client.post(f"{API}{path}", json=body, headers=headers)
        return answer.status_code, answer.json()

    async def enrol(self) -> None:
        _, made = await self.ask("/me/totp", None)
        self.secret = base64.b32decode(made["secret"])
        status, shown = await self.ask("/me/totp/confirm", {"code": self.code()})
        assert status == 200, shown
        step_up = StepUp(self.app.clock, SEALING, Audit(self.app.clock), required=True)
        await step_up.release(self.name, made["fingerprint"], None)

    def code(self) -> str:
        """The next one: each is good once."""
        self.step += 1
        return hotp(self.secret, self.step)


async def wallet(app: Whole) -> str:
    maker = Person(app, "operator")
    status, made = await maker.ask("/wallets", {"label": f"hot-{secrets.token_hex(3)}"})
    assert status == 201, made
    wallet_id: str = made["wallet_id"]
    return wallet_id


@pytest.mark.parametrize("role", ["operator", "treasurer"])
async def test_a_token_alone_takes_and_brings_no_key(opened: Opened, role: str) -> None:
    async with opened("true") as app:
        person, its = Person(app, role), await wallet(app)
        ways: list[tuple[str, Any]] = [
            (f"/wallets/{its}/backup", {"password": PASSWORD}),
            (f"/wallets/{its}/restore", {"backup": "x", "password": PASSWORD}),
            ("/wallets/restore", {"backup": "x", "password": PASSWORD}),
        ]
        if role == "operator":
            key = {"label": "brought", "private_key": secrets.token_hex(32)}
            ways.append(("/wallets/import", key))
        for path, body in ways:
            for code, problem in ((None, "step_up_required"), ("123456", "step_up_not_enrolled")):
                status, told = await person.ask(path, body, code)
                assert (status, told["code"]) == (403, problem), path
        await person.enrol()
        for path, body in ways:
            status, told = await person.ask(path, body)
            assert (status, told["code"]) == (403, "step_up_required"), path
        assert await AuditEntry.find({"action": "wallet.backup"}).count() == 0
        status, kept = await person.ask(*ways[0], person.code())
        assert status == 200 and list(kept) == ["backup"], "with the device it is theirs to do"


async def test_what_docs_security_says_of_a_service_without_second_factors(
    opened: Opened,
) -> None:
    """Known and written down: there one operator's token takes a key; the audit log tells."""
    async with opened("false") as app:
        person = Person(app, "operator")
        status, kept = await person.ask(
            f"/wallets/{await wallet(app)}/backup", {"password": PASSWORD}
        )
        assert (status, list(kept)) == (200, ["backup"])
        assert await AuditEntry.find({"action": "wallet.backup"}).count() == 1
