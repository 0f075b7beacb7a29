"""Every refusal has one shape, the right status, and names what is wrong."""

import asyncio
import json
from typing import ClassVar, Literal

import httpx
import msgspec
import pytest
from http_world import HANDLERS, bearer, serve
from litestar import get
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError

from tron_payment.core.errors import Refused
from tron_payment.http.limits import decode_json
from tron_payment.http.principals import Role
from tron_payment.http.problems import DETAIL_TEXT_MAX, PARAM_TEXT_MAX

GOOD = {"to": "T", "amount": "12.5"}


def problem(answer: httpx.Response) -> dict:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == "https://tron-payment.dev/problems/" + body["code"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert {"title", "detail", "instance", "param", "retryable"} <= body.keys()
    return body


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "body_missing", None),
        (b"{", 400, "malformed_body", None),
        (b"nonsense", 400, "malformed_body", None),
        (b'{"to": "\xff", "amount": "1"}', 400, "malformed_body", None),
        (b'{"to": "T", "amount": 5, oops', 400, "malformed_body", None),
        (b"[" * 5000, 400, "malformed_body", None),
        (b'{"to": "T", "amount": "1"} x', 400, "malformed_body", None),
        (b"[]", 422, "invalid_field", None),
        (b"null", 422, "invalid_field", None),
        (b'"text"', 422, "invalid_field", None),
        (b'{"to": "T"}', 422, "missing_field", "amount"),
        (b'{"to": "T", "amount": "1", "extra": 1}', 422, "unknown_field", "extra"),
        (b'{"to": "T", "amount": 1}', 422, "invalid_amount", "amount"),
        (b'{"to": "T", "amount": 1.5}', 422, "invalid_amount", "amount"),
        (b'{"to": "T", "amount": "1", "max_fee_trx": 5}', 422, "invalid_amount", "max_fee_trx"),
        (b'{"to": "T", "amount": null}', 422, "invalid_field", "amount"),
        (b'{"to": 5, "amount": "1"}', 422, "invalid_field", "to"),
        (b'{"to": "T", "amount": "1", "urgent": "true"}', 422, "invalid_field", "urgent"),
        (b'{"to": "T", "amount": "1", "count": "3"}', 422, "invalid_field", "count"),
        (b'{"to": "T", "amount": "1", "count": 1e999}', 422, "invalid_field", "count"),
        (b'{"to": "T", "amount": "-1"}', 422, "invalid_amount", "amount"),
        (b'{"to": "T", "amount": "1e3"}', 422, "invalid_amount", "amount"),
        (b'{"to": "T", "amount": "0"}', 422, "invalid_amount", "amount"),
    ],
)
async def test_a_body_is_unreadable_or_unacceptable(body, status, code, param) -> None:
    async with serve() as world:
        answer = await world.client.post(
            "/orders", content=body, headers=bearer() | {"Content-Type": "application/json"}
        )
    found = problem(answer)
    assert (found["status"], found["code"], found["param"]) == (status, code, param)
    assert "\\u" not in answer.text and "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        ({"to": "T", "amount": 1}, "invalid_amount", "payouts[1].amount"),
        ({"to": "T", "amount": "1", "x": 0}, "unknown_field", "payouts[1].x"),
        ({"amount": "1"}, "missing_field", "payouts[1].to"),
    ],
)
async def test_a_field_deep_inside_is_named(row, code, param) -> None:
    async with serve() as world:
        answer = await world.client.post(
            "/batches", json={"payouts": [GOOD, row]}, headers=bearer()
        )
    found = problem(answer)
    assert (found["status"], found["code"], found["param"]) == (422, code, param)


class Colour(msgspec.Struct, forbid_unknown_fields=True):
    name: Literal["red", "green"] | None = None
    kinds: dict[str, Role] = {}

    ELSEWHERE: ClassVar[dict[str, str]] = {"shade": "the name says it"}


class Paint(msgspec.Struct, forbid_unknown_fields=True):
    colours: list[Colour]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"colors": []}', "this field does not exist; did you mean colours?"),
        (b'{"colours": [{"nmae": "red"}]}', "this field does not exist; did you mean name?"),
        (b'{"colours": [{"weight": 1}]}', "this field does not exist"),
        (b'{"colours": [{"Kinds": {}}]}', "this field does not exist; did you mean kinds?"),
        (b'{"colours": [{"shade": 1}]}', "this field does not exist; the name says it"),
        (
            b'{"colours": [], "idempotencyKey": "x"}',
            "this field does not exist; send the header Idempotency-Key",
        ),
        (b'{"colours": [{"name": "blue"}]}', "'blue' is none of green, red"),
        (b'{"colours": [{"name": "' + b"b" * 99 + b'"}]}', None),
        (
            b'{"colours": [{"kinds": {"x": "boss"}}]}',
            "'boss' is none of " + ", ".join(role.value for role in Role),
        ),
    ],
)
def test_what_could_have_been_meant_is_said(content: bytes, detail: str | None) -> None:
    with pytest.raises(Refused) as refusal:
        decode_json(content, Paint)
    assert detail in (None, refusal.value.detail) and len(refusal.value.detail) < 120


class Sale(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="sale"):
    amount: str = ""


class Gift(msgspec.Struct, forbid_unknown_fields=True, tag_field="kind", tag="gift"):
    to_address: str = ""


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b'{"kind": "sale", "value": "1"}', "; did you mean amount?"),
        (b'{"kind": "sale", "address": "T"}', ""),
        (b'{"kind": "gift", "address": "T"}', "; did you mean to_address?"),
    ],
)
def test_the_tag_says_which_fields_there_are(content: bytes, hint: str) -> None:
    with pytest.raises(Refused) as refusal:
        decode_json(content, Sale | Gift)
    assert refusal.value.detail == "this field does not exist" + hint


async def test_a_parameter_that_is_nearly_right_is_named() -> None:
    async with serve() as world:
        found = problem(await world.client.get("/orders/1?limits=5", headers=bearer()))
    assert found["detail"] == "did you mean limit?"


async def test_a_good_request_is_answered() -> None:
    async with serve() as world:
        answer = await world.client.post("/orders", json=GOOD, headers=bearer())
    assert (answer.status_code, answer.json()) == (202, {"principal": "user-1", "amount": "12.5"})
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in answer.headers


async def test_our_own_refusals_keep_code_param_and_extra() -> None:
    async with serve() as world:
        found = problem(await world.client.get("/orders/7", headers=bearer()))
    assert found["code"] == "already_there"
    assert (found["title"], found["detail"]) == ("It exists.", "seven is taken")
    assert (found["param"], found["payout_id"], found["retryable"]) == ("number", "pay_x", False)
    assert found["instance"] == "/orders/7"


async def test_a_refusal_without_words_of_its_own_says_what_to_do() -> None:
    async with serve() as world:
        found = problem(await world.client.get("/orders/7"))
    assert found["title"] == "Send a bearer token or an API key."
    assert found["detail"] == "send Authorization: Bearer TOKEN; people sign in at /console"


async def test_a_bug_is_told_without_detail() -> None:
    async with serve() as world:
        answer = await world.client.get("/orders/500", headers=bearer())
    assert problem(answer)["code"] == "internal"
    assert "secret detail" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "param"),
    [
        ("GET", "/nowhere", 404, "not_found", None),
        ("GET", "/orders/1/2", 404, "not_found", None),
        ("GET", "/orders/abc", 404, "not_found", None),
        ("GET", "/schema/strange", 404, "not_found", None),
        ("DELETE", "/orders/1", 405, "method_not_allowed", None),
        ("GET", "/orders", 405, "method_not_allowed", None),
        ("GET", "/orders/1?limit=0", 422, "invalid_parameter", "limit"),
        ("GET", "/orders/1?limit=101", 422, "invalid_parameter", "limit"),
        ("GET", "/orders/1?limit=many", 422, "invalid_parameter", "limit"),
        ("GET", "/orders/1?limit=1.5", 422, "invalid_parameter", "limit"),
        ("GET", "/orders/1?limit=5&limit=6", 422, "invalid_parameter", "limit"),
        ("GET", "/orders/1?limits=5", 422, "unknown_parameter", "limits"),
        ("GET", "/orders/1?x", 422, "unknown_parameter", "x"),
        ("GET", "/orders/1?" + "&".join(["a=1"] * 200), 400, "malformed", None),
    ],
)
async def test_paths_methods_and_parameters(method, path, status, code, param) -> None:
    async with serve() as world:
        answer = await world.client.request(method, path, headers=bearer())
    found = problem(answer)
    assert (found["status"], found["code"], found["param"]) == (status, code, param)
    if status == 405:
        assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"}


@pytest.mark.parametrize("path", ["/nowhere", "/orders", "/schema", "/schema/x", "/orders/1"])
async def test_nobody_learns_which_paths_exist(path: str) -> None:
    async with serve() as world:
        answer = await world.client.get(path)
    assert problem(answer)["code"] == "token_missing"
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AutoReconnect("10.0.0.1:27017"), 503, "unavailable"),
        (ServerSelectionTimeoutError("10.0.0.1"), 503, "unavailable"),
        (OperationFailure("bad query"), 500, "internal"),
    ],
)
async def test_a_lost_store_is_503(error: Exception, status: int, code: str) -> None:
    @get("/broken", opt={"permission": "payout:read"})
    async def broken() -> None:
        raise error

    async with serve([broken]) as world:
        answer = await world.client.get("/broken", headers=bearer())
    found = problem(answer)
    assert (found["status"], found["code"]) == (status, code)
    assert "10.0.0.1" not in answer.text
    if status == 503:
        assert answer.headers["retry-after"] and found["retryable"] is True


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("Application/JSON", 202),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/msgpack", 415),
        ("application/json5", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_only_json_is_read(content_type: str | None, status: int) -> None:
    headers = bearer() | ({} if content_type is None else {"Content-Type": content_type})
    async with serve() as world:
        answer = await world.client.post("/orders", content=json.dumps(GOOD), headers=headers)
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/json", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("image/*", 406),
        (";;;", 406),
        ("a" * 2000, 406),
    ],
)
async def test_an_answer_must_be_acceptable(accept: str, status: int) -> None:
    async with serve() as world:
        answer = await world.client.get("/orders/1", headers=bearer() | {"Accept": accept})
    assert answer.status_code == status


async def test_bodies_have_a_limit_announced_or_not() -> None:
    text = json.dumps({"to": "T" * 70_000, "amount": "1"}).encode()

    async def chunks():
        for start in range(0, len(text), 1000):
            yield text[start : start + 1000]

    headers = bearer() | {"Content-Type": "application/json"}
    async with serve() as world:
        announced = await world.client.post("/orders", content=text, headers=headers)
        streamed = await world.client.post("/orders", content=chunks(), headers=headers)
        batch = await world.client.post(
            "/batches", json={"payouts": [GOOD] * 10_000}, headers=headers
        )
        huge = await world.client.post("/batches", content=b"x" * 9_000_000, headers=headers)
    assert problem(announced)["code"] == "body_too_large"
    assert problem(streamed)["code"] == "body_too_large"
    assert (batch.status_code, batch.json()) == (202, {"rows": 10_000})
    assert problem(huge)["code"] == "body_too_large"


async def test_refusals_come_in_the_promised_order() -> None:
    """401, 403, 415, 400, 422: each wrong request is refused for the first thing wrong."""
    bad = b'{"to": 5'
    viewer = bearer(role="viewer")
    async with serve(HANDLERS) as world:
        post = world.client.post
        assert (await post("/orders", content=bad)).status_code == 401
        assert (await post("/orders", content=bad, headers=viewer)).status_code == 403
        assert (await post("/orders", content=bad, headers=bearer())).status_code == 415
        json_type = bearer() | {"Content-Type": "application/json"}
        assert (await post("/orders", content=bad, headers=json_type)).status_code == 400
        assert (await post("/orders", content=b"{}", headers=json_type)).status_code == 422


async def test_too_many_open_requests_are_told_to_come_back() -> None:
    here, release = asyncio.Event(), asyncio.Event()

    @get("/slow", opt={"permission": "payout:read"})
    async def slow() -> None:
        here.set()
        await release.wait()

    async with serve([slow, *HANDLERS]) as world:
        world.client._transport.app.front._open_max = 1
        first = asyncio.create_task(world.client.get("/slow", headers=bearer()))
        await here.wait()
        refused = await world.client.get("/orders/1", headers=bearer())
        release.set()
        assert (await first).status_code == 200
        assert (await world.client.get("/orders/1", headers=bearer())).status_code == 200
    found = problem(refused)
    assert (found["status"], found["code"], found["retryable"]) == (503, "overloaded", True)
    assert refused.headers["retry-after"] == "1"


async def test_what_is_cut_off_when_the_server_stops_is_told_to_repeat() -> None:
    """Uvicorn cancels what is not answered by its deadline; a 500 would say that we are broken."""
    here = asyncio.Event()

    @get("/slow", opt={"permission": "payout:read"})
    async def slow() -> None:
        here.set()
        await asyncio.Event().wait()

    async with serve([slow]) as world:
        open_request = asyncio.create_task(world.client.get("/slow", headers=bearer()))
        await here.wait()
        open_request.cancel()
        cut_off = await open_request
    found = problem(cut_off)
    assert (found["status"], found["code"], found["retryable"]) == (503, "stopping", True)
    assert cut_off.headers["retry-after"] == "1"


class Way(msgspec.Struct, forbid_unknown_fields=True):
    route: Literal["v0", "kyc"] = "v0"
    note: str = ""


class Ways(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[Way] = []
    route: Literal["v0", "kyc"] = "v0"


LIKE_A_PATH = "x - at `$.note"


@pytest.mark.parametrize(
    ("content", "code", "param", "detail"),
    [
        ({"route": LIKE_A_PATH}, "invalid_field", "route", "'x - at $.note' is none of "),
        ({"rows": [{"route": f"{LIKE_A_PATH}`"}]}, "invalid_field", "rows[0].route", "none of"),
        ({LIKE_A_PATH: 1}, "unknown_field", LIKE_A_PATH, "does not exist"),
        ({"rows": [{LIKE_A_PATH: 1}]}, "unknown_field", f"rows[0].{LIKE_A_PATH}", "does not"),
        ({"x - at `$." + "a" * 500 + "!": 1}, "unknown_field", "x - at `$." + "a" * 90, "not"),
        ({"rows": [{"note": 1}]}, "invalid_field", "rows[0].note", "Expected str, got int"),
    ],
)
def test_what_came_may_look_like_a_path(content, code, param, detail) -> None:
    with pytest.raises(Refused) as found:
        decode_json(msgspec.json.encode(content), Ways)
    assert (found.value.code, found.value.param) == (code, param)
    assert detail in found.value.detail


@pytest.mark.parametrize("content", [{"route": " - at `$." * 900_000}, {" - at `$." * 900_000: 1}])
def test_of_megabytes_that_came_little_is_told(content) -> None:
    with pytest.raises(Refused) as found:
        decode_json(msgspec.json.encode(content), Ways)
    assert len(found.value.param) <= PARAM_TEXT_MAX and len(found.value.detail) <= DETAIL_TEXT_MAX
