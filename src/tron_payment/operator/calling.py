"""How commands speak to a service by its API: who asks, one call, a person's yes."""

import argparse
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from tron_payment.operator.report import Exit

PAYOUTS: Final = "/api/v1/payouts"
VARIABLE: Final = "TOKEN"
"""The variable that README.md and the tutorial have a token exported in."""

CALL_S: Final = 60.0
YES: Final = frozenset({"y", "yes"})


class NoToken(Exception):
    """Nothing says who asks, or it is no token. The message never has it."""


class ApiRefusal(Exception):
    """The API said no; `problem` is its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or status))
        self.code = str(problem.get("code", status))
        self.exit = Exit.UNAVAILABLE if problem.get("retryable") else Exit.FAILED


def token_of(options: argparse.Namespace) -> str:
    """The first line of ``--token-file``, else what `VARIABLE` holds.

    Raises:
        NoToken
        OSError: The file cannot be read.
    """
    if options.token_file is not None:
        text = options.token_file.read_text(encoding="utf-8", errors="replace")
        token: str = (text.splitlines() or [""])[0].strip()
        where = str(options.token_file)
    else:
        token, where = os.environ.get(VARIABLE, "").strip(), f"the variable {VARIABLE}"
    if not token and options.token_file is None:
        raise NoToken(f"say where the token is: export {VARIABLE}=…, or --token-file FILE")
    token = token.removeprefix("Bearer ")
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise NoToken(f"what is in {where} is no token")
    return token


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API at this address, as whoever the token names."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=CALL_S, trust_env=False
    ) as http:
        yield http


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
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in YES


def tell(lines: list[str]) -> None:
    """What is looked at before one says yes; the answer itself is on standard output."""
    print("\n".join(lines), file=sys.stderr)
