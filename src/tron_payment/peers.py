"""Hosts as settings name them: where they are, and whether they are ours or the internet's."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

Endpoint = tuple[str, int]
"""Host in lower case without brackets, and port."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
SOCKS_SCHEMES: Final = ("socks5", "socks5h")
_PRIVATE_SUFFIXES: Final = (".internal", ".localhost")


def endpoint(url: str) -> Endpoint:
    """Host and port of a URL.

    Raises:
        ValueError: No host, or no port and a scheme without a usual one.
    """
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    if not parts.hostname or port is None:
        raise ValueError("not a URL with a host and a port")
    return plain_host(parts.hostname), port


def plain_host(host: str) -> str:
    """One form for every way to write a host."""
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return host


def is_address(host: str) -> bool:
    """True for an IP address: it needs no look-up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def is_private(host: str) -> bool:
    """True for hosts of our own network: private addresses, and names that only it can know.

    A name without a dot is a neighbour in the container network; `.internal` is reserved for
    private use (ICANN, 2024). Everything else is the internet's, `.onion` included: Tor alone
    can reach it.
    """
    host = plain_host(host)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_SUFFIXES)
    return address.is_private and not address.is_unspecified
