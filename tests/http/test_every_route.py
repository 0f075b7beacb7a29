"""Generated from the application itself: every route, every role and nobody, against the table."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from gateway_policy import ANYBODY, POLICY, passes
from http_world import bearer
from litestar.routes import HTTPRoute
from whole_app import Whole, options, whole

from tron_payment.app import DOCUMENTS
from tron_payment.db.connect import Store, connect
from tron_payment.http.acting import NONE, READING, REQUEST, kind_of
from tron_payment.http.fields import ADDRESS_PATTERN
from tron_payment.http.headers import SINGLE
from tron_payment.http.limits import JSON, KEY_PATTERN
from tron_payment.http.permissions import PERMISSIONS, STEP_UP
from tron_payment.http.principals import Role
from tron_payment.payouts.domain import REFERENCE_PATTERN, USER_ID_PATTERN

ROUTES_MIN = 200
"""Paths and methods, each prefix counted; fewer would mean that this test lost some."""

ROLE_NAMES = [role.value for role in Role]


@dataclass(frozen=True)
class Way:
    """One method of one path."""

    method: str
    path: str
    opt: dict[str, Any]

    @property
    def permission(self) -> str | None:
        return self.opt.get("permission")

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def ways(app: Any) -> Iterator[Way]:
    """Every way in, its parameters filled with what no object has for a name."""
    for route in app.routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is not guarded"
        yield from ways_of(route)


def ways_of(route: HTTPRoute) -> Iterator[Way]:
    parts = [
        each if isinstance(each, str) else ("1" if each.type is int else "no-such-thing")
        for each in route.path_components
    ]
    for handler in route.route_handlers:
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
            yield Way(str(method), "/" + "/".join(parts), handler.opt)


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    """One database for all of this file: no test here leaves anything that another would see."""
    made = await connect(mongo_uri, f"routes_{uuid4().hex[:12]}", DOCUMENTS)
    try:
        yield made
    finally:
        await made.client.drop_database(made.database.name)
        await made.close()


@pytest.fixture(scope="module")
async def app(store: Store, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    async with whole(store, options(tmp_path_factory.mktemp("secrets"))) as made:
        yield made


async def ask(app: Whole, way: Way, headers: dict[str, str]) -> tuple[int, str]:
    answer = await app.client.request(way.method, way.path, headers=headers)
    is_problem = answer.headers.get("content-type") == "application/problem+json"
    return answer.status_code, answer.json()["code"] if is_problem else ""


async def test_every_route_by_every_role_and_by_nobody(app: Whole) -> None:
    found = list(ways(app.app))
    assert len(found) >= ROUTES_MIN
    wrong = []
    for way in found:
        status, code = await ask(app, way, {})
        if way.opt.get("open"):
            if code in ("token_missing", "missing_permission"):
                wrong.append((str(way), "nobody", status, code))
            continue
        if (status, code) != (401, "token_missing"):
            wrong.append((str(way), "nobody", status, code))
        for role in Role:
            status, code = await ask(app, way, bearer(role=role.value, sub=f"route-{role}"))
            allowed = role in PERMISSIONS[str(way.permission)]
            refused = status == 401 or (status, code) == (403, "missing_permission")
            if allowed == refused or (not allowed and status != 403):
                wrong.append((str(way), role.value, status, code))
    assert not wrong


async def test_the_gateways_policy_lets_everybody_through_whom_the_service_lets_in(
    app: Whole,
) -> None:
    inner = {"GET /metrics", "GET /health/live"}
    wrong = []
    found = list(ways(app.app))
    paths = {way.path for way in found}
    for way in found:
        if "/api/v1" + way.path.removeprefix("/tron") in paths:
            continue  # an older path of the same: the policy may leave it out
        let_in = passes(way.method, way.path)
        wanted = {ANYBODY} if way.opt.get("open") else set(PERMISSIONS[str(way.permission)])
        if str(way) in inner:
            wanted = set()
        elif way.path.startswith("/schema"):  # open here; from outside for whoever may call at all
            wanted = {role.value for role in Role}
        if not wanted <= let_in or (ANYBODY in let_in) != (ANYBODY in wanted):
            wrong.append((str(way), sorted(wanted - let_in), sorted(let_in)))
    assert not wrong


def test_the_gateways_policy_lets_the_headers_through_that_the_service_reads() -> None:
    forwarded = {name.lower().encode() for name in POLICY["headers"]["forward"]}
    made = {name.lower().encode() for name in POLICY["headers"]["set"]}
    assert SINGLE - {b"transfer-encoding"} <= forwarded | made
    assert {b"cookie", b"origin", b"webhook-id", b"webhook-timestamp"} <= forwarded
    assert b"webhook-signature" in forwarded


async def test_every_permission_of_a_route_is_in_the_table_and_the_reverse(app: Whole) -> None:
    used = {way.permission for way in ways(app.app) if way.permission}
    asked_inside = {  # by the content, with `require`
        "killswitch:on",
        "killswitch:off",
        "payment:create",
        "reconciliation:run",
        "wallet:override",
    }
    assert used <= PERMISSIONS.keys()
    idle = PERMISSIONS.keys() - used - asked_inside
    assert idle <= IDLE, "a row that nothing asks for"


IDLE = {"schema:read", "payout:hold", "staking:approve", "refund:approve", "quarantine:propose"}
"""Rows that the gateway's tokens know and no route asks for; in development the schema's too."""


async def test_every_route_that_changes_something_comes_into_the_audit_log(app: Whole) -> None:
    """All but quotes and estimates, which change nothing, and pages that ask the API themselves.

    That it then is there, once, is shown by test_http_journal.py.
    """
    silent = {
        way.path.removeprefix("/api/v1").removeprefix("/tron")
        for way in ways(app.app)
        if way.method not in READING and kind_of(way.opt, way.method) == NONE
    }
    asks_the_api = {path for path in silent if path.startswith("/console")}
    assert silent - asks_the_api == {"/payouts/quote", "/usdt/estimate-gas", "/payments/webhook"}
    keyed = {
        way.path.removeprefix("/api/v1")
        for way in ways(app.app)
        if kind_of(way.opt, way.method) == REQUEST and way.path.startswith("/api/v1")
    }
    assert len(keyed) >= 15
    asks_for_a_key = {
        re.sub(r"\{(payout|wallet|change)_id\}", "no-such-thing", path)
        for path, item in (await app.client.get("/schema", headers=bearer()))
        .json()["paths"]
        .items()
        for operation in item.values()
        if "Idempotency-Key" in {each["name"] for each in operation.get("parameters", ())}
    }
    assert keyed == {path.removeprefix("/api/v1") for path in asks_for_a_key}


async def test_what_is_open_is_open_on_purpose(app: Whole) -> None:
    open_paths = {way.path for way in ways(app.app) if way.opt.get("open")}
    strangers = {
        path
        for path in open_paths
        if not path.startswith(("/console", "/checkout", "/static", "/health", "/schema"))
        and not path.removeprefix("/api/v1").removeprefix("/tron").startswith("/sign/")
    }
    assert strangers == {"/metrics", "/api/v1/payments/webhook"}


async def test_in_production_the_schema_is_behind_the_gate(store: Store, tmp_path: Any) -> None:
    (tmp_path / "jwt_secret_key").write_text("s" * 40)
    (tmp_path / "mongodb_uri").write_text("mongodb://store/?replicaSet=rs0")
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    settings = options(
        tmp_path, LUCID_ENV="production", TRON_NETWORK="private", TRON_NODE_URL="http://node:8090"
    )
    async with whole(store, settings) as app:
        for path in ("/schema", "/schema/", "/schema/openapi.json", "/schema/swagger"):
            assert (await app.client.get(path)).status_code == 401, path
        known = await app.client.get("/schema", headers=bearer())
        assert known.status_code == 200 and known.json()["openapi"].startswith("3.1")
        strangers = await app.client.get("/schema/swagger", headers=bearer())
        assert strangers.status_code == 404


async def test_nothing_that_strangers_get_tells_what_runs_here(app: Whole) -> None:
    """No version, no framework, no language: in no header and no body of a refusal or a probe."""
    words = ("litestar", "uvicorn", "python", "pymongo", "msgspec", "0.1.0", "traceback", "mongo")
    for method, path in (
        ("GET", "/health/live"),
        ("GET", "/health"),
        ("GET", "/nowhere"),
        ("GET", "/api/v1/payouts"),
        ("POST", "/api/v1/payouts"),
        ("POST", "/api/v1/payments/webhook"),
        ("BREW", "/"),
        ("GET", "/checkout/inv_nothing"),
        ("GET", "/status"),
        ("GET", "/config"),
    ):
        answer = await app.client.request(method, path)
        shown = f"{answer.headers} {answer.text}".lower()
        assert "server" not in answer.headers and "x-powered-by" not in answer.headers
        assert not [word for word in words if word in shown], (path, shown)


async def test_every_list_has_a_limit(app: Whole) -> None:
    """A page holds 1 to 100 rows on every route that has pages; more is refused, not cut."""
    lists = [
        way
        for way in ways(app.app)
        if way.method == "GET" and "limit" in way.opt.get("known_parameters", ())
    ]
    assert len(lists) >= 20
    for way in lists:
        for limit in ("0", "-1", "101", "", "9" * 30):
            role = sorted(PERMISSIONS[str(way.permission)])[0]
            headers = bearer(role=role.value, sub="pages")
            answer = await app.client.get(f"{way.path}?limit={limit}", headers=headers)
            assert answer.status_code == 422, (str(way), limit, answer.text)
            assert answer.json()["param"] == "limit"


async def test_approvals_are_marked_in_the_document(app: Whole) -> None:
    """Every route that approves asks for a second factor where one is required."""
    approving = {way.path: way for way in ways(app.app) if way.path.endswith("/approve")}
    approving.pop("/api/v1/usdt/approve"), approving.pop("/tron/usdt/approve")
    assert len(approving) >= 5
    assert all(way.permission in STEP_UP for way in approving.values()), approving


async def test_with_a_required_second_factor_a_token_alone_approves_nothing(
    store: Store, tmp_path: Any
) -> None:
    async with whole(store, options(tmp_path, STEP_UP_REQUIRED="true")) as app:
        marked = [way for way in ways(app.app) if way.permission in STEP_UP]
        assert len(marked) >= 10
        for way in marked:
            role = sorted(PERMISSIONS[str(way.permission)])[0]
            headers = bearer(role=role.value, sub="approver-1")
            assert await ask(app, way, headers) == (403, "step_up_required"), str(way)
        document = (await app.client.get("/schema", headers=bearer())).json()
        operation = document["paths"]["/api/v1/payouts/{payout_id}/approve"]["post"]
        assert operation["x-step-up"] is True
        assert "X-TOTP-Code" in {each["name"] for each in operation["parameters"]}


async def test_options_names_every_method_of_a_path(app: Whole) -> None:
    """Also where two handlers of one path were registered one after the other."""
    wrong = []
    for route in app.app.routes:
        assert isinstance(route, HTTPRoute)
        if "OPTIONS" not in route.methods:
            continue
        path = next(way.path for way in ways_of(route))
        answer = await app.client.options(path, headers=bearer())
        if answer.status_code != 204 or set(answer.headers["allow"].split(", ")) != route.methods:
            wrong.append((path, answer.status_code, answer.headers.get("allow")))
    assert not wrong


async def test_the_document_names_every_media_type_and_every_good_status(app: Whole) -> None:
    """What a handler says that it produces, and dry runs, are in the document."""
    document = (await app.client.get("/schema", headers=bearer())).json()
    wrong = []
    for route in app.app.routes:
        item = document["paths"].get(route.path_format, {})
        for handler in route.route_handlers:
            for method in handler.http_methods & {"GET", "POST"}:
                operation = item.get(method.lower())
                produced = {kind for kind in handler.opt.get("produces", ()) if "*" not in kind} - {
                    JSON
                }
                if operation is None or not produced:
                    continue
                named = {
                    kind
                    for status, answer in operation["responses"].items()
                    if status.startswith("2")
                    for kind in answer.get("content", {})
                }
                if not produced <= named:
                    wrong.append((route.path_format, produced - named))
    assert not wrong
    paths = document["paths"]
    for name in ("payouts/initiate", "payouts/batch", "usdt/transfer", "usdt/approve"):
        assert {"200", "202"} <= set(paths[f"/api/v1/{name}"]["post"]["responses"]), name
    assert "202" in paths["/api/v1/payments/reconciliation"]["get"]["responses"]
    assert "401" in paths["/api/v1/payments/webhook"]["post"]["responses"]


def patterns_in(part: Any) -> Iterator[str]:
    """Every pattern that the document tells, at any depth."""
    if isinstance(part, dict):
        if isinstance(part.get("pattern"), str):
            yield part["pattern"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from patterns_in(each)


async def test_no_pattern_of_the_document_admits_a_line_break_at_its_end(app: Whole) -> None:
    """`$` alone lies before one, too: "INV-77" and the same with a line break were two names."""
    document = (await app.client.get("/schema", headers=bearer())).json()
    found = sorted(set(patterns_in(document)))
    assert {REFERENCE_PATTERN, USER_ID_PATTERN, KEY_PATTERN, ADDRESS_PATTERN} <= set(found)
    for pattern in found:
        assert re.fullmatch(r"\^[^$]*\$\(\?!\\n\)", pattern), f"end it with $(?!\\n): {pattern}"
    assert re.search(REFERENCE_PATTERN, "INV-77")
    assert not re.search(REFERENCE_PATTERN, "INV-77\n")
