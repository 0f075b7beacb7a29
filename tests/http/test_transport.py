"""What a connection may cost without a token: bytes, headers and time, over real sockets."""

import asyncio
import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from http_world import bearer
from listening import READ_MAX, SHORT_S, WITHIN_S, Listening, listening, rest
from litestar import get, post

from tron_payment.http import limits, transport
from tron_payment.http.problems import PROBLEM_MEDIA_TYPE
from tron_payment.http.transport import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    PIPELINED_MAX,
    BoundedProtocol,
)

HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\n"


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


async def test_a_batch_that_stops_coming_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PART_S", SHORT_S)
    headers = "".join(f"{name}: {value}\r\n" for name, value in bearer().items())
    async with listening() as listen:
        answer = await listen.say(
            b"POST /batches HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n%b\r\n"
            % (2 * limits.PART_BYTES, headers.encode())
            + b" " * (limits.PART_BYTES + 1)
        )
    assert refusal(answer)["code"] == "too_slow"


async def test_a_batch_is_waited_for_as_long_as_its_parts_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The largest one comes at the slowest pace at which it can come."""
    now, until = 1_000.0, []

    def timeout_at(ends_at: float) -> asyncio.Timeout:
        until.append(ends_at)
        return asyncio.timeout(None)

    clock = SimpleNamespace(time=lambda: now)
    ours = SimpleNamespace(get_running_loop=lambda: clock, timeout_at=timeout_at)
    monkeypatch.setattr(limits, "asyncio", ours)
    part = b" " * (limits.PART_BYTES // 2)

    async def receive() -> Any:
        nonlocal now
        now += limits.BATCH_BODY_S * len(part) / limits.BATCH_BODY_BYTES_MAX
        return {"type": "http.request", "body": part, "more_body": True}

    read = limits._receiving(receive, limits.BATCH_BODY_S)
    began, come = now, 0
    while come < limits.BATCH_BODY_BYTES_MAX:
        come += len((await read())["body"])
        assert now <= until[-1] <= began + limits.BATCH_BODY_S, "it came in time"
    await read()
    assert until[-1] == began + limits.BATCH_BODY_S < now, "and more of it would not"


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
