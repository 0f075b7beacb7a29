"""Bad input gets the documented problem and changes nothing, in the API's view and in the store."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from bson import encode

from tests.e2e.addresses import fresh_address
from tests.e2e.service import Service, new_key, settled

RECIPIENT = fresh_address()
BODY = {
    "user_id": "alice",
    "recipient_address": RECIPIENT,
    "amount": "12.5",
    "currency": "USDT",
}
WATCHED = (
    "payouts",
    "orders",
    "requests",
    "transfers",
    "stakes",
    "wallets",
    "ledger_entries",
    "ledger_balances",
    "ledger_head",
)
PROBLEM = {
    "type", "title", "status", "detail", "instance", "code", "param", "request_id", "retryable",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One bad request: what differs from a good one, and what comes back."""

    name: str
    status: int
    code: str
    body: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    token: str = "good"
    path: str = "/api/v1/payouts/direct"
    key: str | None = ""
    raw: bytes | None = None


CASES = (
    Case(name="no token", status=401, code="token_missing", token="none"),
    Case(name="unsigned", status=401, code="token_invalid", token="unsigned"),
    Case(name="expired", status=401, code="token_expired", token="expired"),
    Case(name="forged", status=401, code="token_invalid", token="forged"),
    Case(name="other issuer", status=401, code="token_invalid", token="issuer"),
    Case(name="other audience", status=401, code="token_invalid", token="audience"),
    Case(name="changed claims", status=401, code="token_invalid", token="changed"),
    Case(
        name="X-User-ID unlike the claim",
        status=401,
        code="context_mismatch",
        headers={"X-User-ID": "mallory"},
    ),
    Case(
        name="X-User-Role unlike the claim",
        status=401,
        code="context_mismatch",
        headers={"X-User-Role": "admin"},
    ),
    Case(name="a role that may not", status=403, code="missing_permission", token="viewer"),
    Case(name="an admin moves no money", status=403, code="missing_permission", token="admin"),
    Case(
        name="a merchant has no direct route",
        status=403,
        code="missing_permission",
        token="merchant",
    ),
    Case(name="no key", status=400, code="idempotency_key_missing", key=None),
    Case(name="a short key", status=400, code="idempotency_key_invalid", key="short"),
    Case(name="amount as float", status=422, code="invalid_amount", body={"amount": 12.5}),
    Case(name="amount as integer", status=422, code="invalid_amount", body={"amount": 12}),
    Case(name="amount negative", status=422, code="invalid_amount", body={"amount": "-12.5"}),
    Case(name="amount zero", status=422, code="invalid_amount", body={"amount": "0"}),
    Case(name="amount exponent", status=422, code="invalid_amount", body={"amount": "1e2"}),
    Case(name="amount comma", status=422, code="invalid_amount", body={"amount": "12,5"}),
    Case(
        name="amount too precise",
        status=422,
        code="invalid_amount",
        body={"amount": "12.0000001"},
    ),
    Case(
        name="amount below the minimum",
        status=422,
        code="amount_below_minimum",
        body={"amount": "9.999999"},
    ),
    Case(
        name="amount above the maximum",
        status=422,
        code="amount_above_maximum",
        body={"amount": "10000.000001"},
    ),
    Case(
        name="address with a wrong checksum",
        status=422,
        code="invalid_address",
        body={"recipient_address": RECIPIENT[:-1] + ("a" if RECIPIENT[-1] != "a" else "b")},
    ),
    Case(
        name="address of another chain",
        status=422,
        code="invalid_address",
        body={"recipient_address": "0x742d35Cc6634C0532925a3b844Bc9e7595f2bD45"},
    ),
    Case(name="unknown field", status=422, code="unknown_field", body={"colour": "blue"}),
    Case(name="missing field", status=422, code="missing_field", without=("user_id",)),
    Case(name="unknown currency", status=422, code="invalid_field", body={"currency": "BTC"}),
    Case(
        name="not verified",
        status=422,
        code="kyc_not_verified",
        path="/api/v1/payouts/kyc",
    ),
    Case(
        name="the caller says verified",
        status=422,
        code="kyc_not_verified",
        path="/api/v1/payouts/initiate",
        body={"kyc_verified": True},
    ),
    Case(
        name="TRX by a router",
        status=422,
        code="route_currency",
        path="/api/v1/payouts/v0",
        body={"currency": "TRX"},
    ),
    Case(name="not JSON", status=400, code="malformed_body", raw=b'{"amount": '),
    Case(name="a large body", status=413, code="body_too_large", raw=b" " * 70_000),
    Case(
        name="not JSON by its type",
        status=415,
        code="unsupported_media_type",
        headers={"Content-Type": "text/plain"},
    ),
    Case(
        name="somebody's wallet",
        status=404,
        code="wallet_not_found",
        body={"wallet_id": "wal_aaaaaaaaaaaaaaaaaaaaaaaa"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_bad_input_is_refused_and_changes_nothing(service: Service, case: Case) -> None:
    before = await everything(service)
    headers = {"Content-Type": "application/json", **case.headers}
    if (token := made(service, case.token)) is not None:
        headers["Authorization"] = f"Bearer {token}"
    if case.key is not None:
        headers["Idempotency-Key"] = case.key or new_key()
    wanted = {n: v for n, v in (BODY | dict(case.body)).items() if n not in case.without}
    async with service.caller(headers) as api:
        answer = await (
            api.post(case.path, content=case.raw)
            if case.raw is not None
            else api.post(case.path, json=wanted)
        )
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (case.status, case.code), problem
    assert problem.keys() >= PROBLEM - {"param"}, problem
    assert problem["status"] == case.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert await everything(service) == before


async def test_a_key_with_another_content_or_operation_is_refused(service: Service) -> None:
    key = {"Idempotency-Key": new_key()}
    body = BODY | {"recipient_address": fresh_address()}
    async with service.client() as api:
        first = await api.post("/api/v1/payouts/direct", json=body, headers=key)
        await settled(api, [first.json()["payout_id"]])
        before = await everything(service)
        for path, changed in (
            ("/api/v1/payouts/direct", body | {"amount": "12.6"}),
            ("/api/v1/payouts/v0", body),
            ("/payouts/initiate", body),
        ):
            answer = await api.post(path, json=changed, headers=key)
            assert answer.status_code == 422, answer.text
            assert answer.json()["code"] == "idempotency_key_reused"
    assert await everything(service) == before


async def test_a_refused_request_does_not_take_its_key(service: Service) -> None:
    key = {"Idempotency-Key": new_key()}
    async with service.client() as api:
        bad = await api.post("/api/v1/payouts/direct", json=BODY | {"amount": "1"}, headers=key)
        assert bad.status_code == 422
        good = await api.post("/api/v1/payouts/direct", json=BODY, headers=key)
        assert good.status_code == 202
        await settled(api, [good.json()["payout_id"]])


async def test_a_dry_run_stores_nothing(service: Service) -> None:
    before = await everything(service)
    async with service.client() as api:
        answer = await api.post("/api/v1/payouts/direct", json=BODY | {"dry_run": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()["dry_run"] is True
    assert await everything(service) == before


async def test_without_a_token_nothing_but_health_and_metrics_answers(service: Service) -> None:
    async with service.caller() as nobody:
        for path in ("/health", "/health/live", "/health/ready", "/metrics"):
            assert (await nobody.get(path)).status_code == 200, path
        for path in (
            "/status",
            "/stats",
            "/config",
            "/api/v1/payouts/history",
            "/payouts",
            "/tron/network/info",
            "/no/such/path",
        ):
            assert (await nobody.get(path)).status_code == 401, path


async def everything(service: Service) -> dict[str, Any]:
    """What a refusal must leave as it was: the history, and every money document of the store."""
    async with service.client("auditor", "auditor") as api:
        history = (await api.get("/api/v1/payouts/history", params={"limit": 100})).json()
    found: dict[str, Any] = {"history": history}
    async with service.mongo() as mongo:
        database = mongo[service.settings.payment_db_name]
        for name in WATCHED:
            digest, size = hashlib.sha256(), 0
            async for document in database[name].find().sort("_id"):
                digest.update(encode(document))
                size += 1
            found[name] = (size, digest.hexdigest())
    return found


def made(service: Service, kind: str) -> str | None:
    """A good token, or one with a fault."""
    settings = service.settings
    secret, now = settings.jwt_secret_key.get_secret_value(), int(time.time())
    claims = {
        "sub": "e2e",
        "role": "operator",
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + 3_600,
    }
    match kind:
        case "none":
            return None
        case "unsigned":
            return jwt.encode(claims, None, algorithm="none")
        case "expired":
            return jwt.encode(claims | {"exp": now - 60}, secret, algorithm="HS256")
        case "forged":
            return jwt.encode(claims, "f" * 64, algorithm="HS256")
        case "issuer":
            return jwt.encode(claims | {"iss": "somebody"}, secret, algorithm="HS256")
        case "audience":
            return jwt.encode(claims | {"aud": "something"}, secret, algorithm="HS256")
        case "changed":
            good = jwt.encode(claims | {"role": "viewer"}, secret, algorithm="HS256").split(".")
            other = jwt.encode(claims, "f" * 64, algorithm="HS256").split(".")
            return ".".join((good[0], other[1], good[2]))
        case "good":
            return service.token()
    return service.token(kind)
