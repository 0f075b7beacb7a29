"""The pool of connections to the nodes: bounded, reused, and nothing is lost by a canceled call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tron_payment.chain.pool import DirectTransport

PLACES = 3
PATIENCE_S = 60.0


class Counter:
    """A server that answers when told, and counts who is connected."""

    def __init__(self) -> None:
        self.made = self.open = self.under_way = self.most = 0
        self.go = asyncio.Event()
        self.keeps = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.under_way += 1
                self.most = max(self.most, self.under_way)
                await self.go.wait()
                self.under_way -= 1
                end = b"" if self.keeps else b"Connection: close\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + end + b"\r\nok")
                await writer.drain()
                if not self.keeps:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def served(counter: Counter) -> AsyncIterator[httpx.AsyncClient]:
    server = await asyncio.start_server(counter.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=PLACES, max_keepalive_connections=PLACES)
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", transport=DirectTransport(limits), trust_env=False
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield client
    finally:
        counter.go.set()
        await client.aclose()
        server.close()


async def test_as_many_as_there_are_places_and_each_is_used_again() -> None:
    counter = Counter()
    async with served(counter) as client:
        asking = [asyncio.create_task(client.get("/")) for _ in range(5 * PLACES)]
        while counter.under_way < PLACES:
            await asyncio.sleep(0.01)
        counter.go.set()
        assert [answer.text for answer in await asyncio.gather(*asking)] == ["ok"] * 5 * PLACES
        assert counter.most == PLACES and counter.made == PLACES


async def test_canceled_calls_give_their_places_back() -> None:
    counter = Counter()
    async with served(counter) as client:
        for _ in range(3):
            asking = [asyncio.create_task(client.get("/")) for _ in range(2 * PLACES)]
            while counter.under_way < PLACES:
                await asyncio.sleep(0.01)
            for each in asking:
                each.cancel()
            await asyncio.wait(asking)
            counter.under_way = 0
        counter.go.set()
        assert (await client.get("/")).text == "ok"


async def test_an_answer_left_unread_is_not_read_by_the_next_caller() -> None:
    counter = Counter()
    counter.go.set()
    async with served(counter) as client:
        async with client.stream("GET", "/") as answer:
            assert answer.status_code == 200
        assert (await client.get("/")).text == "ok"
        assert counter.made == 2


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    counter = Counter()
    counter.go.set()
    counter.keeps = False
    async with served(counter) as client:
        for made in (1, 2, 3):
            assert (await client.get("/")).text == "ok"
            assert counter.made == made


async def test_another_scheme_is_refused() -> None:
    async with served(Counter()) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
