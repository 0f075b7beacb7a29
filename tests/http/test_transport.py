"""What a connection may cost without a token: bytes, headers and time, over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from http_world import HANDLERS, NOW, anchor, bearer
from litestar import get, post
from litestar.params import JSONBody

from tron_payment.core.clock import ManualClock
from tron_payment.http import limits, transport
from tron_payment.http.app import HttpApp, create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.problems import PROBLEM_MEDIA_TYPE
from tron_payment.http.server import Server
from tron_payment.http.transport import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    PIPELINED_MAX,
    BoundedProtocol,
)
from tron_payment.loops import end
from tron_payment.serve import http_config
from tron_payment.settings import Settings

WITHIN_S = 20.0
SHORT_S = 0.3
HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"
LARGE_BYTES = 64 * 1024 * 1024
READ_MAX = 256 * 1024
"""What asyncio reads at once."""


@get("/trailers", opt={"open": True})
async def trailers(request: limits.StrictRequest) -> list[str]:
    """The names of the headers, after the body came."""
    await request.body()
    return sorted(request.headers)


@post("/notes", opt={"open": True})
async def take_note(data: JSONBody[dict[str, str]]) -> dict[str, int]:
    """Read a body of a stranger."""
    return {"fields": len(data)}


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the end; what was sent to a closed connection resets it."""
    read = []
    with suppress(ConnectionError):
        while part := await reader.read(READ_MAX):
            read.append(part)
    return b"".join(read) + bytes(reader._buffer)  # type: ignore[attr-defined]


@dataclass
class Listening:
    app: HttpApp
    server: Server
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, sent: bytes) -> bytes:
        """All that a connection answers until it is closed, by whomever."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(WITHIN_S):
                with suppress(ConnectionError):
                    writer.write(sent)
                    await writer.drain()
                return await rest(reader)
        finally:
            writer.close()

    def connection(self) -> Any:
        (connection,) = self.server.server_state.connections
        return connection


@asynccontextmanager
async def listening(*handlers: Any) -> AsyncIterator[Listening]:
    """A small application, served as the service is."""
    app = create_http(
        [*HANDLERS, trailers, take_note, *handlers],
        authenticator=Authenticator(anchor(ManualClock(NOW))),
    )
    settings = Settings()
    config = http_config(app, settings)
    config.host, config.port = "127.0.0.1", 0
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(WITHIN_S):
            while not server.started:
                await asyncio.sleep(0.01)
        yield Listening(app, server, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.force_exit = True
        server.end()
        await end(serving)


def refusal(answer: bytes) -> dict[str, Any]:
    """The problem; its form is that of every refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert f"content-type: {PROBLEM_MEDIA_TYPE}" in lines
    assert "connection: close" in lines and "x-content-type-options: nosniff" in lines
    found: dict[str, Any] = json.loads(body)
    assert lines[0].startswith(f"http/1.1 {found['status']} ")
    assert f"x-request-id: {found['request_id']}" in lines
    return found


async def endless(listen: Listening, begin: bytes, part: bytes, most: int) -> int:
    """How many bytes are taken of what has no end."""
    reader, writer = await listen.connect()
    taken = 0
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(begin)
            while taken < most and not reader.at_eof():
                writer.write(part)
                await writer.drain()
                taken += len(part)
                await asyncio.sleep(0)
    except ConnectionError:
        pass
    finally:
        writer.close()
    return taken


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (HEAD, b"X-A: " + b"a" * 60_000 + b"\r\n"),
        (HEAD + b"X-A: ", b"a" * 60_000),
        (HEAD + b"X", b"a" * 60_000),
        (b"GET /", b"a" * 60_000),
        (b"", b"\r\n" * 30_000),
        (
            b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            b"X-A: " + b"a" * 60_000 + b"\r\n",
        ),
        (
            b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2;",
            b"a" * 60_000,
        ),
    ],
    ids=["headers", "value", "name", "address", "lines", "trailers", "extension"],
)
async def test_nothing_without_an_end_is_read_without_an_end(begin: bytes, part: bytes) -> None:
    async with listening() as listen:
        taken = await endless(listen, begin, part, 50_000_000)
    assert taken < 10_000_000  # the kernel's buffers on both sides hold most of it


async def test_longer_headers_are_refused_and_as_long_ones_are_read() -> None:
    head = HEAD + b"Connection: close\r\nX-A: "
    as_long = head + b"a" * (HEADER_BYTES_MAX - len(head) - 4) + b"\r\n\r\n"
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(HEADERS_MAX - 2))
    async with listening() as listen:
        read = await listen.say(as_long)
        whole = refusal(await listen.say(head + b"a" * HEADER_BYTES_MAX + b"\r\n\r\n"))
        begun = refusal(await listen.say(head + b"a" * HEADER_BYTES_MAX))
        counted = await listen.say(HEAD + b"Connection: close\r\n" + many + b"\r\n")
        more = refusal(await listen.say(HEAD + many + b"X-B: 1\r\nX-C: 1\r\n\r\n"))
        under_way = refusal(await listen.say(HEAD + many + b"X-B: 1\r\n" * 3))
    assert read.startswith(b"HTTP/1.1 200 ") and counted.startswith(b"HTTP/1.1 200 ")
    for found in (whole, begun, more, under_way):
        assert (found["status"], found["code"]) == (431, "headers_too_large")


async def test_what_is_not_http_is_refused_as_everything_is() -> None:
    async with listening() as listen:
        found = refusal(await listen.say(b"HELLO\r\n\r\n"))
    assert (found["status"], found["code"]) == (400, "malformed")


@pytest.mark.parametrize("earlier", [b"", HEAD + b"\r\n"], ids=["first", "next"])
async def test_headers_come_in_time_however_they_trickle(
    monkeypatch: pytest.MonkeyPatch, earlier: bytes
) -> None:
    monkeypatch.setattr(transport, "HEAD_S", SHORT_S)
    async with listening() as listen:
        reader, writer = await listen.connect()
        if earlier:
            writer.write(earlier)
            assert b" 200 " in await reader.readuntil(b'"ok"}')
        writer.write(HEAD)
        async with asyncio.timeout(WITHIN_S):
            with suppress(ConnectionError):
                while not reader.at_eof() and not reader._buffer:  # type: ignore[attr-defined]
                    writer.write(b"X: 1\r\n")
                    await asyncio.sleep(SHORT_S / 20)
            found = refusal(await rest(reader))
        writer.close()
    assert (found["status"], found["code"], found["retryable"]) == (408, "too_slow", True)


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", HEAD + b"\r\n\r\n", HEAD + b"Content-Length: 9\r\n\r\n"],
    ids=["nothing", "a line", "a line afterwards", "less than announced"],
)
async def test_no_connection_stays_for_nothing(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """uvicorn forgets its own deadline as soon as anything comes."""
    monkeypatch.setattr(transport, "HEAD_S", SHORT_S)
    async with listening() as listen:
        reader, writer = await listen.connect()
        writer.write(sent)
        async with asyncio.timeout(WITHIN_S):
            if HEAD in sent:
                assert b" 200 " in await reader.readuntil(b'"ok"}')
                writer.write(b"\r\n" if b"Length" not in sent else b"a")
            assert await reader.read() == b""  # closed without a word
        writer.close()


async def test_an_answer_may_take_longer_than_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_S", SHORT_S)

    @get("/slow", opt={"open": True})
    async def slow() -> dict[str, str]:
        await asyncio.sleep(SHORT_S * 3)
        return {"slow": "yes"}

    async with listening(slow) as listen:
        answer = await listen.say(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sized", [True, False])
async def test_a_body_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, sized: bool
) -> None:
    monkeypatch.setattr(limits, "BODY_S", SHORT_S)
    length = b"Content-Length: 10" if sized else b"Transfer-Encoding: chunked"
    head = b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + length
    async with listening() as listen:
        found = refusal(await listen.say(head + b"\r\n\r\n"))
        assert listen.app.front._open == 0
    assert (found["status"], found["code"], found["retryable"]) == (408, "too_slow", True)


async def test_a_body_that_trickles_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_S", SHORT_S)
    async with listening() as listen:
        reader, writer = await listen.connect()
        writer.write(
            b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 60000\r\n\r\n"
        )
        async with asyncio.timeout(WITHIN_S):
            with suppress(ConnectionError):
                while not reader._buffer:  # type: ignore[attr-defined]
                    writer.write(b" ")
                    await asyncio.sleep(SHORT_S / 20)
            found = refusal(await rest(reader))
        writer.close()
    assert found["code"] == "too_slow"


async def test_a_form_with_files_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BODY_S", SHORT_S)
    form = "multipart/form-data"

    @post("/forms", opt={"open": True, "consumes": (form,)})
    async def take_form(request: limits.StrictRequest) -> dict[str, int]:
        return {"fields": len(await request.form())}

    async with listening(take_form) as listen:
        answer = await listen.say(
            b"POST /forms HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        )
    assert refusal(answer)["code"] == "too_slow"


@get("/large", opt={"open": True, "produces": ("*/*",)}, media_type="text/plain")
async def large() -> bytes:
    """More than the kernel keeps for a client."""
    return b"x" * LARGE_BYTES


async def test_an_answer_that_nobody_takes_holds_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S)
    async with listening(large) as listen:
        _, writer = await listen.connect()  # its reader takes a little and then waits for us
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        async with asyncio.timeout(WITHIN_S):
            while not listen.app.front._open:
                await asyncio.sleep(0.01)
            while listen.app.front._open or listen.server.server_state.connections:
                await asyncio.sleep(0.01)
        writer.close()


async def test_an_answer_that_is_taken_slowly_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S)
    taken, slept = 0, 0.0
    async with listening(large) as listen:
        reader, writer = await listen.connect()
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(WITHIN_S * 3):
            while part := await reader.read(READ_MAX):
                taken += len(part)
                if slept < SHORT_S * 5:
                    slept += SHORT_S / 20
                    await asyncio.sleep(SHORT_S / 20)
        writer.close()
    assert taken > LARGE_BYTES


async def test_a_batch_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_S", SHORT_S)
    headers = "".join(f"{name}: {value}\r\n" for name, value in bearer().items())
    async with listening() as listen:
        reader, writer = await listen.connect()
        body = b'{"payouts": []}'
        writer.write(
            b"POST /batches HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n%b\r\n" % (len(body), headers.encode())
        )
        await asyncio.sleep(SHORT_S * 2)
        writer.write(body)
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    assert limits.body_s({"body": "batch"}) == limits.BATCH_BODY_S


async def test_a_large_body_in_small_parts_is_no_head() -> None:
    """More of what is between the parts than headers may be."""
    parts = b"1\r\n \r\n" * (HEADER_BYTES_MAX // 4) + b"2\r\n{}\r\n0\r\n\r\n"
    assert len(parts) > HEADER_BYTES_MAX
    async with listening() as listen:
        answer = await listen.say(
            b"POST /notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + parts
        )
    assert answer.startswith(b"HTTP/1.1 201 "), answer


async def test_what_follows_a_body_changes_no_header() -> None:
    async with listening() as listen:
        answer = await listen.say(
            b"GET /trailers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\nOrigin: http://x\r\n\r\n"
        )
    assert answer.startswith(b"HTTP/1.1 200 ") and b"origin" not in answer


async def test_requests_that_wait_on_a_connection_are_bounded() -> None:
    one = HEAD + b"\r\n"
    async with listening() as listen:
        few = await listen.say(one * (PIPELINED_MAX - 1) + HEAD + b"Connection: close\r\n\r\n")
        reader, writer = await listen.connect()
        writer.write(one * (READ_MAX // len(one)))
        async with asyncio.timeout(WITHIN_S):
            many = await rest(reader)
        writer.close()
    assert few.count(b"HTTP/1.1 200 OK") == PIPELINED_MAX
    assert many.count(b"HTTP/1.1 200 OK") <= PIPELINED_MAX


async def test_a_socket_cannot_be_turned_into_something_else() -> None:
    """An upgrade would leave the bounds."""
    async with listening() as listen:
        answer = await listen.say(
            HEAD + b"Upgrade: websocket\r\nConnection: upgrade, close\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        config = listen.server.config
        assert config.http_protocol_class is BoundedProtocol and config.ws_protocol_class is None
    assert b" 101 " not in answer.split(b"\r\n")[0]
