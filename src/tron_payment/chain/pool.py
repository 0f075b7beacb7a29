"""A connection pool that costs the same whatever its size.

httpcore 1.0.9 looks at every connection, and polls the sockets of the idle ones, whenever a request
begins or ends: with 32 broadcasts under way that was a sixth of the service's processor time. Here
the idle connections lie on a stack; one that is taken is the only one looked at.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import Any, Final

import httpcore
import httpx
from httpcore import ConnectionNotAvailable
from httpcore._synchronization import AsyncShieldCancellation

SCHEMES: Final = (b"http", b"https")

Place = tuple[bytes, bytes, int]


class StackPool(httpcore.AsyncConnectionPool):
    """httpcore's pool, HTTP/1.1 only, with its own bookkeeping.

    At most `max_connections` requests are under way; the others wait their turn, as long as their
    caller does. A connection whose answer was not read to its end is closed.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._places = asyncio.Semaphore(self._max_connections)
        self._idle: dict[Place, list[httpcore.AsyncConnectionInterface]] = {}

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        if request.url.scheme not in SCHEMES:
            raise httpcore.UnsupportedProtocol(f"no such scheme: {request.url.scheme!r}")
        await self._places.acquire()
        connection: httpcore.AsyncConnectionInterface | None = None
        try:
            while True:
                connection = await self._take(request.url.origin)
                try:
                    response = await connection.handle_async_request(request)
                    break
                except ConnectionNotAvailable:
                    continue  # it closed as we took it; nothing was sent
        except BaseException:
            with AsyncShieldCancellation():
                if connection is not None:
                    await connection.aclose()
            self._places.release()
            raise
        origin, taken = request.url.origin, connection
        return httpcore.Response(
            status=response.status,
            headers=response.headers,
            content=_Body(response.stream, lambda: self._give_back(origin, taken)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        idle, self._idle = self._idle, {}
        with AsyncShieldCancellation():
            for connections in idle.values():
                for connection in connections:
                    await connection.aclose()

    async def _take(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        idle = self._idle.get(_place(origin), [])
        while idle:
            connection = idle.pop()
            if connection.is_idle() and not connection.has_expired():
                return connection
            await connection.aclose()
        return self.create_connection(origin)

    async def _give_back(
        self, origin: httpcore.Origin, connection: httpcore.AsyncConnectionInterface
    ) -> None:
        try:
            idle = self._idle.setdefault(_place(origin), [])
            if connection.is_idle():
                idle.append(connection)
            else:
                await connection.aclose()
            if len(idle) > 1 and idle[0].has_expired():
                await idle.pop(0).aclose()  # what lies deepest was not needed for longest
        finally:
            self._places.release()


def _place(origin: httpcore.Origin) -> Place:
    return origin.scheme, origin.host, origin.port


@cache
def tls() -> ssl.SSLContext:
    """Whom we believe over TLS, read once: a start has several clients, and it takes 20 ms each."""
    return httpx.create_ssl_context(trust_env=False)


class DirectTransport(httpx.AsyncHTTPTransport):
    """httpx's own, without a proxy, on such a pool."""

    def __init__(self, limits: httpx.Limits) -> None:
        super().__init__(verify=tls(), limits=limits, trust_env=False)
        self._pool = self.pool = StackPool(
            ssl_context=tls(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
        )


class _Body:
    """The answer's body; its end, or its reader's, gives the connection back, once."""

    def __init__(self, stream: Any, done: Callable[[], Awaitable[None]]) -> None:
        self._stream = stream
        self._done: Callable[[], Awaitable[None]] | None = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        with AsyncShieldCancellation():
            try:
                await self._stream.aclose()
            finally:
                await done()
