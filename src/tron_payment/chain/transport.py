"""HTTP to the nodes: direct, or through a SOCKS proxy that also resolves the names.

The environment is not read and redirects are not followed, so nothing leaves by another way.
"""

from typing import Final
from urllib.parse import urlsplit

import httpx

from tron_payment.chain.pool import DirectTransport
from tron_payment.chain.socks import SocksTransport

CONNECT_S: Final = 20.0
"""Through Tor a circuit may take long; the node client's own deadline bounds the whole call."""

READ_S: Final = 30.0
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
    transport: httpx.AsyncBaseTransport
    if socks_proxy is None:
        transport = DirectTransport(_LIMITS)
    else:
        transport = SocksTransport(_proxy(socks_proxy, isolation), _LIMITS)
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(READ_S, connect=CONNECT_S),
    )


def _proxy(socks_proxy: str, isolation: str) -> httpx.Proxy:
    url = urlsplit(socks_proxy)
    if url.scheme not in _SOCKS_SCHEMES or not url.hostname or not url.port:
        raise ValueError("the SOCKS proxy is socks5h://host:port")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return httpx.Proxy(f"socks5h://{host}:{url.port}", auth=(isolation, "x"))
