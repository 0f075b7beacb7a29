"""A SOCKS transport that survives a frozen proxy.

httpcore 1.0.9 knows no time-out during the SOCKS handshake, and a call that is canceled there
leaves its socket open and its place in the pool taken for ever: after as many deadlines as the
pool has places, nothing gets out any more, even when the proxy is well again (seen with 64).
"""

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
from httpcore._async.socks_proxy import AsyncSocks5Connection
from httpcore._backends.auto import AutoBackend
from socksio.exceptions import SOCKSError

from tron_payment.chain.pool import StackPool, tls


class SocksTransport(httpx.AsyncHTTPTransport):
    """httpx's own, with connections that give their place back when they are canceled."""

    def __init__(self, proxy: httpx.Proxy, limits: httpx.Limits) -> None:
        super().__init__(verify=tls(), proxy=proxy, limits=limits, trust_env=False)
        user, password = proxy.auth or ("", "")
        self._pool = self.pool = _Pool(
            proxy_url=str(proxy.url).replace("socks5h://", "socks5://"),
            proxy_auth=(user.encode(), password.encode()),
            ssl_context=tls(),
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
        )


class _Pool(StackPool, httpcore.AsyncSOCKSProxy):
    def create_connection(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        return _Connection(
            _Backend(),
            proxy_origin=self._proxy_url.origin,
            remote_origin=origin,
            proxy_auth=self._proxy_auth,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_expiry,
        )


class _Connection(AsyncSocks5Connection):
    def __init__(self, backend: "_Backend", **options: Any) -> None:
        super().__init__(network_backend=backend, **options)
        self._backend = backend

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        try:
            return await self._through_the_proxy(request)
        except BaseException:
            if self._connection is None:
                self._connect_failed = True  # what httpcore does for other failures
                await self._backend.close()
            raise

    async def _through_the_proxy(self, request: httpcore.Request) -> httpcore.Response:
        try:
            return await super().handle_async_request(request)
        except SOCKSError as error:  # httpcore lets it through when the answer is no SOCKS
            raise httpcore.ProxyError(type(error).__name__) from None


class _Backend(httpcore.AsyncNetworkBackend):
    """Remembers the socket of a connection that is being made."""

    def __init__(self) -> None:
        self._backend = AutoBackend()
        self.stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.stream = await self._backend.connect_tcp(
            host, port, timeout, local_address, socket_options
        )
        return self.stream

    async def close(self) -> None:
        """Close what was opened for a connection that was never made."""
        if self.stream is not None:
            await self.stream.aclose()
            self.stream = None
