"""One call over a real socket: what is sent, and answers of every kind, packed ones too."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpcore
import pytest
from pydantic import SecretStr

from tron_payment import chain
from tron_payment.chain.calls import API_KEY_HEADER, TARGETS_MAX, Calls
from tron_payment.chain.errors import AnswerTooLong

PATIENCE_S = 20.0
BYTES_MAX = 10_000
ANSWER = json.dumps({"num": 5}).encode()


@dataclass
class Server:
    """Gives one answer to everything, and keeps what it was sent."""

    answer: bytes = ANSWER
    headers: tuple[str, ...] = ()
    status: str = "200 OK"
    cut_at: int | None = None
    connections: int = 0
    seen: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                self.seen.append(head + await reader.readexactly(length))
                lines = (f"HTTP/1.1 {self.status}", *self.headers)
                size = f"Content-Length: {len(self.answer)}"
                writer.write("\r\n".join((*lines, size, "\r\n")).encode())
                writer.write(self.answer[: self.cut_at])
                await writer.drain()
                if self.cut_at is not None:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(server: Server, key: str = "") -> AsyncIterator[Calls]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    pool = chain.node_pool(None, "a")
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield Calls("a", pool, SecretStr(key), PATIENCE_S / 2)
    finally:
        await pool.aclose()
        listening.close()


async def ask(calls: Calls, server: Server, path: str = "/wallet/x", user: str = "") -> bytes:
    return await calls.post(f"http://{user}127.0.0.1:{server.port}{path}", {"a": 1}, BYTES_MAX)


async def test_the_request_says_who_and_what_and_connections_are_used_again() -> None:
    server = Server()
    async with served(server, key="the-key") as calls:
        for _ in range(3):
            assert await ask(calls, server, "/wallet/x?y=1", "who:s%2Fecret@") == ANSWER
    assert server.connections == 1
    head, _, body = server.seen[-1].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /wallet/x?y=1 HTTP/1.1"
    assert body == b'{"a":1}'
    for line in (
        b"Host: 127.0.0.1:%d" % server.port,
        b"Content-Type: application/json",
        b"Accept-Encoding: gzip",
        b"Authorization: Basic d2hvOnMvZWNyZXQ=",
        API_KEY_HEADER + b": the-key",
    ):
        assert line in lines, line


async def test_a_packed_answer_is_unpacked_and_never_beyond_the_bound() -> None:
    server = Server(gzip.compress(ANSWER), ("Content-Encoding: gzip",))
    async with served(server) as calls:
        assert await ask(calls, server) == ANSWER
        server.answer = gzip.compress(b"a" * BYTES_MAX)
        assert await ask(calls, server) == b"a" * BYTES_MAX
        for size in (BYTES_MAX + 1, 50_000_000):
            server.answer = gzip.compress(b"a" * size)
            with pytest.raises(chain.NodeUnavailable, match="too long"):
                await ask(calls, server)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (Server(b"a" * (BYTES_MAX + 1)), "too long"),
        (Server(b"not packed", ("Content-Encoding: gzip",)), "error"),
        (Server(gzip.compress(ANSWER)[:-9], ("Content-Encoding: gzip",)), "cut off"),
        (Server(ANSWER, ("Content-Encoding: br",)), "another way"),
        (Server(cut_at=3), "RemoteProtocolError"),
        (Server(status="502 Bad Gateway"), "HTTP status 502"),
        (Server(status="302 Found", headers=("Location: http://127.0.0.1:1/",)), "status 302"),
    ],
    ids=["long", "not packed", "packed and cut", "other packing", "cut", "status", "redirect"],
)
async def test_what_is_no_answer_says_why_and_the_next_call_is_well(
    server: Server, reason: str
) -> None:
    async with served(server) as calls:
        for _ in range(3):
            with pytest.raises(chain.NodeUnavailable, match=reason):
                await ask(calls, server)
        well = Server()
        server.answer, server.headers, server.status = well.answer, (), well.status
        server.cut_at = None
        assert await ask(calls, server) == ANSWER


class Stalling:
    """Its answers begin at once and never end."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        async def body() -> AsyncIterator[bytes]:
            yield ANSWER[:3]
            await asyncio.Event().wait()

        return httpcore.Response(200, content=body())


async def test_an_answer_that_began_and_does_not_end_in_time_is_too_long() -> None:
    stalling = Calls("a", Stalling(), None, deadline_s=0.05)
    with pytest.raises(AnswerTooLong, match=r"does not end within 0\.05 s"):
        await stalling.post("http://a.example/wallet/x", {}, BYTES_MAX)


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/x", "http://a b/", "nonsense"])
async def test_a_url_that_is_none_is_a_node_that_does_not_answer(url: str) -> None:
    async with served(Server()) as calls:
        with pytest.raises(chain.NodeUnavailable):
            await calls.post(url, {})


async def test_what_is_kept_of_urls_is_bounded() -> None:
    server = Server()
    async with served(server) as calls:
        for number in range(TARGETS_MAX + 3):
            await ask(calls, server, f"/wallet/{number}")
        assert len(calls._targets) <= TARGETS_MAX
