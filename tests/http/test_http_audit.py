"""The audit log by HTTP: who may read it, page after page, and its signed head."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_world import NOW, anchor, bearer, serve

from tron_payment.core.clock import ManualClock, rfc3339
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.audit_heads import HeadSigner, read_head
from tron_payment.http.api_key_routes import api_keys_router
from tron_payment.http.api_keys import ApiKey, ApiKeys
from tron_payment.http.audit_routes import audit_router
from tron_payment.http.authentication import Authenticator

SIGNER = HeadSigner(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))
AUDITOR = bearer(role="auditor", sub="aud-1", exp=4_000_000_000)


@pytest.fixture
async def log(mongo: Any) -> Audit:
    """Seven entries, one a minute: three people, two actions, seven objects."""
    await mongo.connect([AuditEntry, ApiKey])
    clock = ManualClock(NOW)
    made = Audit(clock)
    for n in range(1, 8):
        await made.append(
            Act(
                actor=f"usr-{n % 3}",
                role="treasurer",
                action="payout.approve" if n % 2 else "payout.reject",
                object_id=f"pay-{n}",
                after={"status": "queued"},
                request_id=f"req-{n}",
            )
        )
        clock.advance(timedelta(minutes=1))
    return made


def world(log: Audit, signer: HeadSigner | None = SIGNER) -> Any:
    clock = ManualClock(NOW + timedelta(hours=1))
    keys = ApiKeys(clock, log)
    return serve(
        [audit_router(log, clock, signer), api_keys_router(keys)],
        clock=clock,
        authenticator=Authenticator(anchor(clock), keys=keys),
    )


async def seqs(client: Any, **params: Any) -> list[int]:
    answer = await client.get("/audit", params=params, headers=AUDITOR)
    assert answer.status_code == 200, answer.text
    return [row["seq"] for row in answer.json()["data"]]


@pytest.mark.parametrize(
    ("role", "status"),
    [
        *((role, 200) for role in ("auditor", "admin", "compliance")),
        *((role, 403) for role in ("viewer", "merchant", "operator", "approver", "treasurer")),
    ],
)
async def test_who_may_read(log: Audit, role: str, status: int) -> None:
    async with world(log) as made:
        headers = bearer(role=role, exp=4_000_000_000)
        for path in ("/audit", "/audit/head"):
            assert (await made.client.get(path, headers=headers)).status_code == status
            assert (await made.client.get(path)).status_code == 401


async def test_pages_newest_first_and_stable_while_entries_are_added(log: Audit) -> None:
    async with world(log) as made:
        first = (await made.client.get("/audit?limit=3", headers=AUDITOR)).json()
        assert [row["seq"] for row in first["data"]] == [7, 6, 5] and first["has_more"]
        await log.append(Act(actor="x", role="admin", action="a.b", object_id=""))
        rest, cursor = [], first["next_cursor"]
        while cursor:
            page = await made.client.get(f"/audit?limit=3&cursor={cursor}", headers=AUDITOR)
            rest += [row["seq"] for row in page.json()["data"]]
            cursor = page.json()["next_cursor"]
        assert rest == [4, 3, 2, 1]


async def test_entries_show_everything_that_fixes_them(log: Audit) -> None:
    async with world(log) as made:
        rows = (await made.client.get("/audit", headers=AUDITOR)).json()["data"]
        assert rows[0]["prev_hash"] == rows[1]["hash"]
        shown = rows[0]
        assert (shown["actor"], shown["action"], shown["object_id"]) == (
            "usr-1",
            "payout.approve",
            "pay-7",
        )
        assert (shown["before"], shown["after"]) == (None, {"status": "queued"})
        assert shown["at"] == rfc3339(NOW + timedelta(minutes=6))


async def test_filters(log: Audit) -> None:
    def at(minutes: int) -> str:
        return rfc3339(NOW + timedelta(minutes=minutes))

    async with world(log) as made:
        get = made.client
        assert await seqs(get, actor="usr-1") == [7, 4, 1]
        assert await seqs(get, action="payout.reject") == [6, 4, 2]
        assert await seqs(get, object_id="pay-5") == [5]
        assert await seqs(get, object_id="nothing") == []
        assert await seqs(get, created_after=at(2), created_before=at(4)) == [4, 3]
        assert await seqs(get, actor="usr-1", created_after=at(3), cursor="7") == [4]


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("actor=a&action=b", "invalid_parameter", "action"),
        ("cursor=0", "invalid_cursor", "cursor"),
        ("cursor=-1", "invalid_cursor", "cursor"),
        ("cursor=1.5", "invalid_cursor", "cursor"),
        ("cursor=9999999999999999999", "invalid_cursor", "cursor"),
        ("cursor=%7B%22%24gt%22%3A0%7D", "invalid_cursor", "cursor"),
        ("created_after=2026-01-01T00:00:00", "invalid_parameter", "created_after"),
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=101", "invalid_parameter", "limit"),
        ("actor=" + "a" * 129, "invalid_parameter", "actor"),
        ("actor[$ne]=a", "unknown_parameter", "actor[$ne]"),
    ],
)
async def test_bad_queries_are_refused(log: Audit, query: str, code: str, param: str) -> None:
    async with world(log) as made:
        answer = await made.client.get(f"/audit?{query}", headers=AUDITOR)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert answer.json()["param"] == param


async def test_the_head_is_signed_and_verifies(log: Audit) -> None:
    async with world(log) as made:
        answer = await made.client.get("/audit/head", headers=AUDITOR)
        signed = read_head(json.dumps(answer.json()), SIGNER.public_key)
        assert signed.head == await log.head()
        assert await log.verify(known=signed.head) is None
    async with world(log, signer=None) as made:
        plain = (await made.client.get("/audit/head", headers=AUDITOR)).json()
        assert plain["seq"] == 7 and plain["signature"] is None


async def test_an_empty_log_has_no_head(mongo: Any) -> None:
    await mongo.connect([AuditEntry, ApiKey])
    async with world(Audit(ManualClock(NOW))) as made:
        answer = await made.client.get("/audit/head", headers=AUDITOR)
        assert (answer.status_code, answer.json()["code"]) == (404, "audit_log_empty")
        assert await seqs(made.client) == []


async def test_keys_are_in_the_log_and_their_secrets_are_not(log: Audit) -> None:
    root = bearer(role="admin", sub="root-1", exp=4_000_000_000)
    second = bearer(role="admin", sub="root-2", exp=4_000_000_000)
    wish = {
        "label": "shop",
        "principal": "shop-1",
        "role": "merchant",
        "scopes": ["payout:create"],
    }
    async with world(log) as made:
        post = made.client.post
        request = root | {"X-Request-ID": "req_of-the-admin"}
        created = (await post("/api-keys", json=wish, headers=request)).json()
        key_id = created["key"]["key_id"]
        own = await post(f"/api-keys/{key_id}/approve", headers=root)
        assert own.status_code == 403
        assert (await post(f"/api-keys/{key_id}/approve", headers=second)).status_code == 200
        again = await post(f"/api-keys/{key_id}/approve", headers=second)
        assert again.status_code == 200
        rotated = await post(f"/api-keys/{key_id}/rotate", json={}, headers=root)
        assert rotated.status_code == 201
        assert (await made.client.delete(f"/api-keys/{key_id}", headers=root)).status_code == 200
        answer = await made.client.get("/audit?limit=4", headers=root)
        rows = answer.json()["data"][::-1]
        assert [(row["action"], row["actor"]) for row in rows] == [
            ("apikey.create", "root-1"),
            ("apikey.approve", "root-2"),
            ("apikey.rotate", "root-1"),
            ("apikey.revoke", "root-1"),
        ]
        assert {rows[n]["object_id"] for n in (0, 1, 3)} == {key_id}
        assert rows[2]["after"]["rotated_from"] == key_id
        assert rows[0]["request_id"] == "req_of-the-admin"
        assert rows[0]["after"]["scopes"] == ["payout:create"]
        for secret in (created["secret"], rotated.json()["secret"]):
            assert secret.partition(".")[2] not in answer.text
    assert await log.verify() is None
