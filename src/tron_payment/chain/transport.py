"""HTTP to the nodes: direct, or through a SOCKS proxy that also resolves the names.

The environment is not read and redirects are not followed, so nothing leaves by another way.
"""

from typing import Final
from urllib.parse import urlsplit

import httpcore
import httpx

from tron_payment.chain.calls import CONNECT_S, READ_S
from tron_payment.chain.pool import DirectTransport
from tron_payment.chain.socks import SocksTransport

CONNECTIONS_MAX: Final = 64
KEEPALIVE_S: Final = 240.0
"""Below five minutes, so that a circuit is renewed."""

_LIMITS: Final = httpx.Limits(
    max_connections=CONNECTIONS_MAX,
    max_keepalive_connections=CONNECTIONS_MAX,
    keepalive_expiry=KEEPALIVE_S,
)
_SOCKS_SCHEMES: Final = ("socks5", "socks5h")


def http_client(socks_proxy: str | None, isolation: str) -> httpx.AsyncClient:
    """A client that goes one way only.

    Its only pool is the one of the given transport: httpx's own ``proxy=`` keeps a direct pool
    beside it. httpx ignores its time-outs during the SOCKS handshake, so callers bound the call.

    Args:
        socks_proxy: ``socks5h://host:port``, or None to connect directly.
        isolation: SOCKS user name; the proxy gives each its own circuit (IsolateSOCKSAuth).
    """
    return httpx.AsyncClient(
        transport=_transport(socks_proxy, isolation),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
    )


def node_pool(socks_proxy: str | None, isolation: str) -> httpcore.AsyncConnectionPool:
    """The connections of such a client without the client, for `NodeClient`; close it."""
    return _transport(socks_proxy, isolation).pool


def _transport(socks_proxy: str | None, isolation: str) -> DirectTransport | SocksTransport:
    if socks_proxy is None:
        return DirectTransport(_LIMITS)
    return SocksTransport(_proxy(socks_proxy, isolation), _LIMITS)


def _proxy(socks_proxy: str, isolation: str) -> httpx.Proxy:
    url = urlsplit(socks_proxy)
    if url.scheme not in _SOCKS_SCHEMES or not url.hostname or not url.port:
        raise ValueError("the SOCKS proxy is socks5h://host:port")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return httpx.Proxy(f"socks5h://{host}:{url.port}", auth=(isolation, "x"))
