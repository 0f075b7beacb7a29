"""Where a webhook may go: https to a DNS name, or a v3 onion. Pure; nothing is resolved here.

Names are resolved by the proxy's exit, never by us: a look-up before the call would tell our
interest to somebody and could be answered differently a moment later.
"""

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from tron_payment.core.errors import Refused

URL_LENGTH_MAX: Final = 2_048
HOST_LENGTH_MAX: Final = 253
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost"})
PRIVATE_SUFFIXES: Final = (
    ".local",
    ".localhost",
    ".localdomain",
    ".internal",
    ".intranet",
    ".lan",
    ".home.arpa",
    ".corp",
    ".home",
)
"""Names that mean something inside networks only."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_ONION_V3: Final = re.compile(r"([a-z0-9-]+\.)*[a-z2-7]{56}\.onion")


class WebhookUrlRefused(Refused, code="webhook_url_refused"):
    """A webhook goes to an https address with a public DNS name, or to a v3 onion."""


def check_url(url: str, *, denied: Collection[str] = (), allow_loopback: bool = False) -> None:
    """See that we may post there.

        scheme   host                              verdict
        https    DNS name with a dot, port 443     go
        http(s)  v3 onion                          go
        http     127.0.0.1, localhost              in development only
        any      an IP address in any notation,    no
                 a private or own name, userinfo

    Args:
        denied: Names of our own, with all below them.
        allow_loopback: The development mode.

    Raises:
        WebhookUrlRefused
    """
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or "\\" in url:
        raise _refused("it is too long or has odd characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("it cannot be read") from None
    if "@" in parts.netloc:
        raise _refused("it has credentials in it")
    if parts.fragment:
        raise _refused("it has a fragment")
    if allow_loopback and parts.scheme == "http" and host in LOOPBACK:
        return
    if _ONION_V3.fullmatch(host):
        if parts.scheme not in ("http", "https"):
            raise _refused("an onion is reached by http or https")
        return
    if parts.scheme != "https":
        raise _refused("it is not https")
    if port not in (None, 443):
        raise _refused("the port is 443")
    _check_name(host)
    for name in denied:
        if host == name or host.endswith("." + name):
            raise _refused("this is one of our own names")


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > HOST_LENGTH_MAX or len(labels) < 2:
        raise _refused("the host has no public name")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("the host is not a DNS name")
    if _NUMBER.fullmatch(labels[-1]):
        raise _refused("the host is an IP address")
    if f".{host}".endswith(PRIVATE_SUFFIXES) or labels[-1] == "onion":
        raise _refused("the host has no public name")


def _refused(why: str) -> WebhookUrlRefused:
    return WebhookUrlRefused(why, param="url")
