"""A small application behind real sockets, served as the service is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from http_world import HANDLERS, NOW, anchor
from litestar import get, post
from litestar.params import JSONBody

from tron_payment.core.clock import ManualClock
from tron_payment.http import limits
from tron_payment.http.app import HttpApp, create_http
from tron_payment.http.authentication import Authenticator
from tron_payment.http.server import Server
from tron_payment.loops import end
from tron_payment.serve import http_config
from tron_payment.settings import Settings

WITHIN_S = 20.0
SHORT_S = 0.3
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
