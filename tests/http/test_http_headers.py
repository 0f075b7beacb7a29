"""Headers that name the caller come once, spelt plainly, and repeat the token."""

import pytest
from http_world import bearer, serve, token

from tron_payment.http.headers import request_id_of

TOKEN = b"Bearer " + token().encode()
AUTH = (b"authorization", TOKEN)

CASES: list[tuple[str, list[tuple[bytes, bytes]], int]] = [
    ("plain", [AUTH], 200),
    ("any case of the name", [(b"AuthoriZation", TOKEN)], 200),
    ("lower-case scheme", [(b"authorization", TOKEN.replace(b"Bearer", b"bearer"))], 200),
    ("nothing", [], 401),
    ("another scheme", [(b"authorization", b"Basic dXNlcjpwdw==")], 401),
    ("scheme only", [(b"authorization", b"Bearer")], 401),
    ("no scheme", [(b"authorization", token().encode())], 401),
    ("two spaces", [(b"authorization", b"Bearer  " + token().encode())], 401),
    ("scheme glued", [(b"authorization", b"Bearer" + token().encode())], 401),
    ("comma list", [(b"authorization", TOKEN + b", " + TOKEN)], 401),
    ("authorization twice", [AUTH, AUTH], 400),
    ("authorization twice in two cases", [AUTH, (b"Authorization", b"Bearer x")], 400),
    ("token in another header", [(b"x-authorization", TOKEN)], 401),
    ("proxy header", [(b"proxy-authorization", TOKEN)], 401),
    ("control character", [(b"authorization", TOKEN + b"\x00")], 400),
    ("line break", [(b"authorization", TOKEN + b"\r\nx-user-id: admin")], 400),
    ("trailing space", [(b"authorization", TOKEN + b" ")], 400),
    ("leading tab", [(b"authorization", b"\t" + TOKEN)], 400),
    ("not ASCII", [(b"authorization", b"Bearer \xe9")], 400),
    ("both credentials", [AUTH, (b"x-api-key", b"key_abc")], 401),
    ("an unknown API key", [(b"x-api-key", b"key_abc")], 401),
    ("an unknown API key as bearer", [(b"authorization", b"Bearer key_abc")], 401),
    ("context repeats", [AUTH, (b"x-user-id", b"user-1"), (b"x-user-role", b"merchant")], 200),
    ("context id only", [AUTH, (b"x-user-id", b"user-1")], 200),
    ("context id differs", [AUTH, (b"x-user-id", b"user-2")], 401),
    ("context id empty", [AUTH, (b"x-user-id", b"")], 401),
    ("context id in another case", [AUTH, (b"x-user-id", b"User-1")], 401),
    ("context id list", [AUTH, (b"x-user-id", b"user-1, user-2")], 401),
    ("context role differs", [AUTH, (b"x-user-role", b"admin")], 401),
    ("context role empty", [AUTH, (b"x-user-role", b"")], 401),
    ("context role in another case", [AUTH, (b"x-user-role", b"Merchant")], 401),
    ("context without a token", [(b"x-user-id", b"user-1"), (b"x-user-role", b"admin")], 401),
    ("context id twice, equal", [AUTH, (b"x-user-id", b"user-1"), (b"x-user-id", b"user-1")], 400),
    ("context id twice", [AUTH, (b"x-user-id", b"user-1"), (b"X-USER-ID", b"user-2")], 400),
    ("underscores", [AUTH, (b"x_user_id", b"admin")], 400),
    ("half an underscore", [AUTH, (b"x-user_id", b"admin")], 400),
    ("underscore role", [AUTH, (b"X_User_Role", b"admin")], 400),
    ("space before the colon", [AUTH, (b"x-user-id ", b"user-1")], 400),
    ("squeezed", [AUTH, (b"xuserid", b"admin")], 400),
    ("other context is ignored", [AUTH, (b"x-user-permissions", b"config:read")], 200),
    ("glued authorization", [AUTH, (b"authori-zation", b"Bearer x")], 400),
    ("context header by another spelling", [AUTH, (b"x-userid", b"admin")], 400),
    ("underscore key", [AUTH, (b"idempotency_key", b"k" * 16)], 400),
    ("key twice", [AUTH, (b"idempotency-key", b"k" * 16), (b"idempotency-key", b"k" * 16)], 400),
    ("key too short", [AUTH, (b"idempotency-key", b"k" * 15)], 400),
    ("key too long", [AUTH, (b"idempotency-key", b"k" * 256)], 400),
    ("key with a space", [AUTH, (b"idempotency-key", b"k" * 16 + b" k")], 400),
    ("request id twice", [AUTH, (b"x-request-id", b"a" * 8), (b"x-request-id", b"b" * 8)], 400),
    ("underscore request id", [AUTH, (b"x_request_id", b"a" * 8)], 400),
    ("length twice", [AUTH, (b"content-length", b"0"), (b"content-length", b"0")], 400),
    ("length with a sign", [AUTH, (b"content-length", b"+0")], 400),
    ("negative length", [AUTH, (b"content-length", b"-1")], 400),
    ("length list", [AUTH, (b"content-length", b"0, 0")], 400),
    ("length in hex", [AUTH, (b"content-length", b"0x0")], 400),
    ("length empty", [AUTH, (b"content-length", b"")], 400),
    ("length endless", [AUTH, (b"content-length", b"9" * 30)], 400),
    (
        "length and chunks",
        [AUTH, (b"content-length", b"0"), (b"transfer-encoding", b"chunked")],
        400,
    ),
    ("host twice", [AUTH, (b"host", b"a"), (b"host", b"b")], 400),
    ("content type twice", [AUTH, (b"content-type", b"a/b"), (b"content-type", b"a/b")], 400),
    ("a name with a control character", [AUTH, (b"x-a\x00", b"1")], 400),
    ("a value with a control character", [AUTH, (b"x-a", b"1\x00")], 400),
    ("other headers pass", [AUTH, (b"x-forwarded-for", b"10.0.0.1"), (b"x_custom", b"1")], 200),
    ("cookies twice pass", [AUTH, (b"cookie", b"a=1"), (b"cookie", b"b=2")], 200),
]


async def test_every_header_trick_is_refused() -> None:
    assert len(CASES) >= 60
    wrong = {}
    async with serve() as world:
        transport = world.client._transport
        for name, headers, status in CASES:
            found = await raw_status(transport.app, headers)
            if found != status:
                wrong[name] = (status, found)
    assert not wrong


async def raw_status(app, headers: list[tuple[bytes, bytes]]) -> int:
    """Call the application as a server would, with headers that no client would send."""
    sent = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/orders/1",
        "raw_path": b"/orders/1",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8090),
        "state": {},
    }
    await app(scope, receive, send)
    answered = [name for name, _ in sent[0]["headers"] if name.lower() == b"x-request-id"]
    assert len(answered) == 1
    return sent[0]["status"]


@pytest.mark.parametrize("given", ["abcd1234", "A_b-" * 16])
async def test_a_good_request_id_comes_back(given: str) -> None:
    async with serve() as world:
        answer = await world.client.get("/orders/1", headers=bearer() | {"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "a b c d e f", "id;drop=1", "ärgerlich"])
def test_a_bad_request_id_is_replaced(given: str) -> None:
    new = request_id_of([(b"x-request-id", given.encode())])
    assert new.startswith("req_") and new != given
