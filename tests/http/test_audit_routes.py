"""Requests that change something, by their real handlers: each leaves one entry.

What needs no chain is asked here. The others are `Idempotency.run`'s, as test_http_journal.py has
it; that none is left out is shown by test_every_route.py.
"""

import base64
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from http_world import NOW, bearer
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.core.address import address_of
from tron_payment.db.audit import AuditEntry
from tron_payment.db.connect import connect
from tron_payment.http.journal import PendingAct
from tron_payment.http.totp import hotp, step_at
from tron_payment.wallets.keys import Secret, SigningKey
from tron_payment.wallets.messages import message_digest

API = "/api/v1"
PASSWORD = "a password of an audit test"
LATER = 4_000_000_000


def fresh_address() -> str:
    return address_of(secrets.token_bytes(20))


@dataclass
class Asked:
    """A request that was answered well."""

    request_id: str
    route: str
    actor: str
    object_id: str | None


@dataclass
class Story:
    """The application, and what it was asked."""

    app: Whole
    templates: dict[str, re.Pattern[str]]
    asked: list[Asked] = field(default_factory=list)

    async def ask(
        self,
        who: str,
        route: str,
        body: Any = None,
        *,
        name: str = "",
        object_id: str | None = None,
        root: str = API,
    ) -> Any:
        """One request that must succeed; its answer."""
        method, path = route.split(" ")
        request_id = f"audit-request-{len(self.asked):04}"
        headers = bearer(role=who, sub=f"audit-{who}{name}", exp=LATER)
        headers["X-Request-ID"] = request_id
        answer = await self.app.client.request(method, root + path, json=body, headers=headers)
        assert answer.status_code < 300, (route, answer.text)
        template = next(t for t, found in self.templates.items() if found.fullmatch(root + path))
        route = f"{method} {template}"
        self.asked.append(Asked(request_id, route, f"audit-{who}{name}", object_id))
        return answer.json() if answer.content else None


@pytest.fixture
async def story(mongo_uri: str, tmp_path: Any) -> AsyncIterator[Story]:
    store = await connect(mongo_uri, f"audit_{uuid4().hex[:12]}", DOCUMENTS)
    try:
        async with whole(store, options(tmp_path)) as app:
            paths = sorted(
                (r.path_format for r in app.app.routes), key=lambda each: each.count("{")
            )
            patterns = {path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in paths}
            yield Story(app, patterns)
    finally:
        await store.client.drop_database(store.database.name)
        await store.close()


async def test_every_act_of_a_person_leaves_one_entry(story: Story) -> None:
    await of_wallets(story)
    await of_webhooks_and_reports(story)
    await of_keys_and_factors(story)
    await of_the_policy(story)
    await story.ask("operator", "POST /policy/kill-switch", {"on": True, "reason": "a test"})
    await story.ask("treasurer", "POST /policy/kill-switch", {"on": False, "reason": "over"})
    await story.ask("admin", "POST /config/reload", root="", object_id="configuration")
    assert len({each.route for each in story.asked}) >= MANY
    while await story.app.journal.step():
        pass
    assert await PendingAct.count() == 0
    wrong = []
    for each in story.asked:
        rows = await AuditEntry.find({"request_id": each.request_id}).to_list()
        found = [(row.route, row.actor, bool(row.object_id)) for row in rows]
        if found != [(each.route, each.actor, True)]:
            wrong.append((each, found, [row.action for row in rows]))
        elif each.object_id not in (None, rows[0].object_id):
            wrong.append((each, rows[0].object_id, [row.action for row in rows]))
    assert not wrong, wrong


MANY = 30
"""Routes that this test asks; fewer would mean that it lost some."""


async def of_wallets(it: Story) -> None:
    one = await it.ask("operator", "POST /wallets", {"label": "audit-1"})
    two = await it.ask(
        "operator", "POST /wallets/create", {"label": "audit-2", "password": PASSWORD}
    )
    raw = secrets.token_bytes(32)
    imported = await it.ask(
        "operator", "POST /wallets/import", {"label": "audit-3", "private_key": raw.hex()}
    )
    first, second = f"/wallets/{one['wallet_id']}", f"/wallets/{two['wallet_id']}"
    await it.ask("operator", f"PUT {first}", {"label": "audit-1b"}, object_id=one["wallet_id"])
    await it.ask(
        "operator",
        f"POST {second}/verify-password",
        {"password": PASSWORD},
        object_id=two["wallet_id"],
    )
    wish = {"password": PASSWORD, "wallet_password": PASSWORD}
    kept = await it.ask("operator", f"POST {second}/backup", wish, object_id=two["wallet_id"])
    back = {"backup": kept["backup"], "password": PASSWORD}
    await it.ask("operator", f"POST {second}/restore", back, object_id=two["wallet_id"])
    await it.ask("operator", "POST /wallets/restore", back)
    third = f"/wallets/{imported['wallet_id']}"
    challenge = await it.ask("operator", f"POST {third}/ownership-challenge")
    proof = SigningKey(Secret(raw)).sign(message_digest(challenge["message"].encode())).hex()
    await it.ask(
        "operator",
        f"POST {third}/ownership-proof",
        {"challenge_id": challenge["challenge_id"], "signature": proof},
    )
    await it.ask("operator", f"DELETE {first}", object_id=one["wallet_id"])


async def of_webhooks_and_reports(it: Story) -> None:
    base = "/payments/webhook-endpoints"
    made = await it.ask("merchant", f"POST {base}", {"url": "https://hooks.example/audit"})
    its = made["webhook_endpoint_id"]
    await it.ask("merchant", f"PUT {base}/{its}", {"description": "mine"}, object_id=its)
    await it.ask("merchant", f"POST {base}/{its}/rotate-secret", object_id=its)
    sent = await it.ask("merchant", f"POST {base}/{its}/ping", object_id=its)
    again = f"{base}/{its}/deliveries/{sent['delivery_id']}/redeliver"
    await it.ask("merchant", f"POST {again}", object_id=its)
    await it.ask("merchant", f"DELETE {base}/{its}", object_id=its)
    await it.ask("auditor", "POST /payments/exports", {})


async def of_keys_and_factors(it: Story) -> None:
    wish = {"label": "reads", "principal": "audit-program", "role": "viewer"}
    plain = await it.ask("admin", "POST /api-keys", wish | {"scopes": ["payout:read"]})
    key_id = plain["key"]["key_id"]
    await it.ask("admin", f"POST /api-keys/{key_id}/rotate", {"overlap_s": 0})
    await it.ask("admin", f"DELETE /api-keys/{key_id}", object_id=key_id)
    strong = wish | {"role": "operator", "scopes": ["payout:create"]}
    waits = (await it.ask("admin", "POST /api-keys", strong))["key"]["key_id"]
    await it.ask("admin", f"POST /api-keys/{waits}/approve", name="-2", object_id=waits)

    for name in ("-lost", "-kept"):
        made = await it.ask("approver", "POST /me/totp", name=name)
        secret = base64.b32decode(made["secret"])
        step = step_at(NOW.timestamp())
        await it.ask("approver", "POST /me/totp/confirm", {"code": hotp(secret, step)}, name=name)
        body = {"principal": f"audit-approver{name}", "fingerprint": made["fingerprint"]}
        await it.ask("admin", "POST /totp/release", body, object_id=body["principal"])
        if name == "-lost":
            lost = {"principal": "audit-approver-lost"}
            await it.ask("admin", "POST /totp/reset", lost, object_id=lost["principal"])
        else:
            code = {"code": hotp(secret, step + 1)}
            await it.ask("approver", "POST /me/totp/remove", code, name=name)


async def of_the_policy(it: Story) -> None:
    address = fresh_address()
    await it.ask("operator", "POST /policy/allow-list", {"recipient_address": address})
    await it.ask("approver", f"POST /policy/allow-list/{address}/approve", object_id=address)
    await it.ask("operator", f"DELETE /policy/allow-list/{address}", object_id=address)
    no = (await it.ask("operator", "POST /policy/proposals", {}))["proposal_id"]
    await it.ask("approver", f"POST /policy/proposals/{no}/reject", object_id=no)
    band = {"currency": "USDT", "above": "5000", "approvals": 1, "approvers": []}
    yes = await it.ask("operator", "POST /policy/proposals", {"approval_bands": [band]})
    its = yes["proposal_id"]
    await it.ask("approver", f"POST /policy/proposals/{its}/approve", object_id=its)
    until = (NOW + timedelta(days=1)).isoformat()
    person = {"level": "1", "expires_at": until, "recipient_address": fresh_address()}
    await it.ask("compliance", "PUT /payouts/recipients/audit-user/kyc", person)
