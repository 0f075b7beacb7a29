"""What people do that needs no chain, route by route, and that each of it leaves an audit entry.

The whole service (e2e/test_audit.py) and the application without children
(http/test_audit_routes.py) are asked the same; what needs a chain's state is asked beside a devnet
(payouts/test_audit.py).
"""

import base64
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
from pymongo.asynchronous.collection import AsyncCollection

from tron_payment.core.address import address_of
from tron_payment.http.totp import hotp, step_at
from tron_payment.wallets.keys import Secret, SigningKey
from tron_payment.wallets.messages import message_digest

API = "/api/v1"
PASSWORD = "a password of an audit test"

SILENT = frozenset({"POST /payouts/quote", "POST /usdt/estimate-gas", "POST /payments/webhook"})
"""Whatever their method, they leave nothing: two only read, and a notice is a hint of nobody's."""

BESIDE_A_CHAIN = frozenset(
    {
        *("POST /staking/unstake", "POST /staking/undelegate", "POST /staking/delegate"),
        *("POST /staking/vote", "POST /staking/withdraw", "POST /staking/cancel-unstake"),
        *("POST /payments/refund", "POST /payouts/{payout_id}/retry", "POST /usdt/tokens"),
        "PUT /wallets/{wallet_id}/permissions",
        "POST /wallets/permission-changes/{change_id}/agree",
        "POST /wallets/permission-changes/{change_id}/refuse",
        "POST /signing-requests/{signing_request_id}/signatures",
        "POST /payouts/quarantine/{object_id}/propose",
        "POST /payouts/quarantine/{object_id}/resolve",
        "POST /policy/unexplained/{txid}/acknowledge",
        "POST /policy/unproved/{txid}/accept",
    }
)
"""They need a chain's state that takes a story of its own: payouts/test_audit.py tells it."""


@dataclass
class Asked:
    """A request that was answered well."""

    request_id: str
    route: str
    actor: str
    object_id: str | None


class Templates:
    """Finds the route that a path belongs to."""

    def __init__(self, paths: Iterable[str]) -> None:
        ordered = sorted(paths, key=lambda each: each.count("{"))
        self._patterns = {path: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)) for path in ordered}

    def of(self, path: str) -> str:
        return next(t for t, found in self._patterns.items() if found.fullmatch(path))


class Story(ABC):
    """Sends requests as people of any role, and remembers them.

    Args:
        paths: Templates of the routes that are there.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self.asked: list[Asked] = []
        self._templates = Templates(paths)
        self._numbers = count()

    @abstractmethod
    def now(self) -> datetime:
        """By the clock that the asked one has."""

    @abstractmethod
    async def send(
        self, who: str, name: str, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> httpx.Response:
        """One request as ``audit-<who><name>``, in the role `who`."""

    async def ask(
        self,
        who: str,
        route: str,
        body: Any = None,
        *,
        key: str = "",
        name: str = "",
        object_id: str | None = None,
        root: str = API,
    ) -> Any:
        """One request that must succeed; its answer."""
        method, path = route.split(" ")
        request_id = f"audit-request-{next(self._numbers):04}"
        headers = {"X-Request-ID": request_id, **({"Idempotency-Key": key} if key else {})}
        answer = await self.send(who, name, method, root + path, body, headers)
        assert answer.status_code < 300, (route, answer.text)
        asked_for = f"{method} {self._templates.of(root + path)}"
        self.asked.append(Asked(request_id, asked_for, f"audit-{who}{name}", object_id))
        return answer.json() if answer.content else None

    async def must_be_in(self, log: AsyncCollection[Any]) -> None:
        """One entry for each, by who, which route, and about what."""
        wrong = []
        for each in self.asked:
            entries = await log.find({"request_id": each.request_id}).to_list()
            rows = [(entry["route"], entry["actor"], entry["object_id"]) for entry in entries]
            wrong += [fault] if (fault := wrong_entries(each, rows)) else []
        assert not wrong, wrong


def wrong_entries(each: Asked, rows: list[tuple[str, str, str]]) -> str:
    """What is not as it must be: one row (route, actor, object id) for it; empty when all is."""
    wanted = (each.route, each.actor)
    if [(route, actor) for route, actor, _ in rows] != [wanted] or not rows[0][2]:
        return f"{each}: {rows}"
    if each.object_id not in (None, rows[0][2]):
        return f"{each}: about {rows[0][2]}"
    return ""


def fresh_address() -> str:
    return address_of(secrets.token_bytes(20))


async def acts_of_people(it: Story) -> None:
    """All of them."""
    await of_wallets(it)
    await of_webhooks_and_reports(it)
    await of_keys_and_factors(it)
    await of_the_policy(it)


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
    plain = await it.ask("admin", "POST /api-keys", wish | {"scopes": ["service:read"]})
    key_id = plain["key"]["key_id"]
    await it.ask("admin", f"POST /api-keys/{key_id}/rotate", {"overlap_s": 0})
    await it.ask("admin", f"DELETE /api-keys/{key_id}", object_id=key_id)
    strong = wish | {"role": "operator", "scopes": ["payout:create"]}
    waits = (await it.ask("admin", "POST /api-keys", strong))["key"]["key_id"]
    await it.ask("admin", f"POST /api-keys/{waits}/approve", name="-2", object_id=waits)

    for name in ("-lost", "-kept"):
        made = await it.ask("approver", "POST /me/totp", name=name)
        secret = base64.b32decode(made["secret"])
        step = step_at(it.now().timestamp())
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
    until = (it.now() + timedelta(days=1)).isoformat()
    person = {"level": "1", "expires_at": until, "recipient_address": fresh_address()}
    await it.ask("compliance", "PUT /payouts/recipients/audit-user/kyc", person)
