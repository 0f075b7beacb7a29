"""How commands speak to a service by its API: who asks, one call, a person's yes."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from tron_payment.bearer import WAYS, is_private
from tron_payment.core.terminal import printable
from tron_payment.operator.report import Exit

API: Final = "/api/v1"
PAYOUTS: Final = f"{API}/payouts"
CALL_S: Final = 60.0
PORTS: Final = frozenset({None, *range(1, 65536)})
URL_SHOWN: Final = 100
YES: Final = frozenset({"y", "yes"})


class NoAddress(Exception):
    """What was given as the service's address is none, or none that a token is sent to."""


class ApiRefusal(Exception):
    """The API said no; `problem` is its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.code = str(problem.get("code", status))
        self.exit = Exit.UNAVAILABLE if problem.get("retryable") else Exit.FAILED


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service at this address, `API` in it or not, as whoever the token names.

    Raises:
        NoAddress
    """
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=_base(url), headers=headers, timeout=CALL_S, trust_env=False
    ) as http:
        yield http


def _base(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url.rstrip("/").removesuffix(API))
        known = found.scheme in ("http", "https") and found.host and found.port in PORTS
    except (httpx.InvalidURL, ValueError):  # its host is decoded when it is read
        known = False
    if not known:
        raise NoAddress(f"--url https://HOST:PORT; {url[:URL_SHOWN]!r} is no address of a service")
    if not is_private(found.scheme, found.host):
        raise NoAddress(f"{url[:URL_SHOWN]!r} would have the token in clear: {WAYS}")
    return found


async def call(
    http: httpx.AsyncClient,
    method: str,
    path: str,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """
    Raises:
        ApiRefusal
        httpx.HTTPError: No answer.
    """
    answer = await http.request(method, path, content=content, headers=headers)
    try:
        body = answer.json()
    except ValueError:
        body = {"detail": "the answer is not JSON"}
    if answer.status_code >= 400:
        raise ApiRefusal(answer.status_code, body)
    return dict(body)


def agreed(question: str) -> bool:
    """Only a person at a terminal can say yes."""
    if not sys.stdin.isatty():
        print("This is no terminal: --yes does it without asking.", file=sys.stderr)
        return False
    print(f"{printable(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in YES


def tell(lines: list[str]) -> None:
    """What is looked at before one says yes; the answer itself is on standard output."""
    print("\n".join(map(printable, lines)), file=sys.stderr)
