"""One HTTP call to a java-tron node, bounded in time and size, and its error shapes.

Errors come with HTTP status 200, refusals under three different keys, and "nothing" as ``{}``.
This file knows those shapes, so that node.py only names endpoints.
"""

import asyncio
import zlib
from base64 import b64encode
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import httpcore
import httpx
import msgspec
from pydantic import SecretStr

from tron_payment.chain.answers import Answer
from tron_payment.chain.errors import AnswerTooLarge, AnswerTooLong, NodeRefused, NodeUnavailable

RESPONSE_BYTES_MAX: Final = 8 * 1024 * 1024
BLOCK_BYTES_MAX: Final = 64 * 1024 * 1024
"""A block has up to 2 MB, and JSON makes ten times that of the worst that a stranger may put in
(flags of an ABI); large logs make its receipts as large. A cap below would stop us for good."""

RATE_LIMIT_REST_S: Final = 10.0
RATE_LIMIT_REST_MAX_S: Final = 60.0
RATE_LIMIT_STATUSES: Final = frozenset({403, 429, 503})
"""TronGrid refuses with any of them when a quota is used up."""

API_KEY_HEADER: Final = b"TRON-PRO-API-KEY"
TARGETS_MAX: Final = 256
"""More than java-tron has endpoints."""

USER_AGENT: Final = b"tron-payment"
GZIP_BITS: Final = 16 + zlib.MAX_WBITS
CONNECT_S: Final = 20.0
"""Through Tor a circuit may take long; the call's own deadline bounds the whole."""

READ_S: Final = 30.0
EXTENSIONS: Final = {
    "timeout": {"connect": CONNECT_S, "read": READ_S, "write": READ_S, "pool": READ_S}
}
HTTP_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
)
MESSAGE_CHARACTERS_MAX: Final = 300
_DIGITS_MAX: Final = 9
ERROR: Final = "ERROR"
"""`NodeRefused.node_code` of a bare ``{"Error": text}``."""

_BUSY_TEXTS: Final = ("lack of computing resources", "exceeds the frequency limit", "exceed the")
"""How rate limiters refuse with HTTP status 200 (RateLimiterServlet, TronGrid)."""

A = TypeVar("A", bound=Answer)
T = TypeVar("T")
U = TypeVar("U")
_decoders: Final[dict[type, msgspec.json.Decoder[Any]]] = {}


class Pool(Protocol):
    """What carries requests: `transport.node_pool`."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response: ...


class Calls:
    """The HTTP side of one endpoint.

    It speaks to the pool of connections itself: httpx's client in between, with its cookies,
    redirects and sessions that nobody needs here, was half of the processor time of a call.
    """

    def __init__(
        self,
        alias: str,
        pool: Pool,
        api_key: SecretStr | None,
        deadline_s: float,
    ) -> None:
        self.alias = alias
        self.deadline_s = deadline_s
        self._pool = pool
        self._api_key = api_key
        """Opened only where the request is made."""

        self._targets: dict[str, Target] = {}

    def __repr__(self) -> str:
        return f"Calls({self.alias})"

    async def object(
        self,
        url: str,
        body: dict[str, Any],
        shape: type[A],
        bytes_max: int = RESPONSE_BYTES_MAX,
    ) -> A:
        """Ask for an object, which may be empty.

        Raises:
            NodeUnavailable: No answer in time, another HTTP status, too long, not this shape.
            NodeRefused: An ``Error`` in the answer.
        """
        answer: A = self.decode(await self.post(url, body, bytes_max), shape)
        if answer.Error:
            raise self._error(answer.Error)
        return answer

    async def array(
        self,
        url: str,
        body: dict[str, Any],
        shape: type[Any],
        bytes_max: int = RESPONSE_BYTES_MAX,
    ) -> Any:
        """Ask for a list; an object instead of one is an error or nothing, never a list."""
        content = await self.post(url, body, bytes_max)
        if content[:1] == b"{":
            problem = self.decode(content, Answer)
            raise self._error(problem.Error) if problem.Error else self.unavailable("no list")
        return self.decode(content, shape)

    def decode(self, content: bytes, shape: Any) -> Any:
        decoder = _decoders.get(shape)
        if decoder is None:
            decoder = _decoders[shape] = msgspec.json.Decoder(shape, strict=True)
        try:
            return decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # msgspec.ValidationError is a DecodeError; its text may quote the node: leave it out
            raise self.unavailable("the answer is not what was asked for") from None

    async def post(
        self, url: str, body: dict[str, Any], bytes_max: int = RESPONSE_BYTES_MAX
    ) -> bytes:
        """The body of a 200 answer."""
        began = False
        try:
            async with asyncio.timeout(self.deadline_s):
                response = await self._pool.handle_async_request(self._request(url, body))
                try:
                    if response.status != HTTPStatus.OK:
                        raise self._status(response)
                    began = True
                    return await self._content(response, bytes_max)
                finally:
                    await response.aclose()
        except TimeoutError:
            if began:
                reason = f"the answer does not end within {self.deadline_s:g} s"
                raise AnswerTooLong(self.alias, reason) from None
            raise self.unavailable(f"no answer within {self.deadline_s:g} s") from None
        except (*HTTP_ERRORS, httpx.InvalidURL, zlib.error, OSError) as error:
            # the name of the error only: its text may hold the URL with a key in its path
            raise self.unavailable(type(error).__name__) from None

    def _request(self, url: str, body: dict[str, Any]) -> httpcore.Request:
        if (target := self._targets.get(url)) is None:
            if len(self._targets) >= TARGETS_MAX:
                self._targets.clear()
            target = self._targets[url] = target_of(url)
        content = msgspec.json.encode(body)
        headers = [*target.headers, (b"Content-Length", b"%d" % len(content))]
        if self._api_key is not None and (key := self._api_key.get_secret_value()):
            headers.append((API_KEY_HEADER, key.encode("ascii", "replace")))
        return httpcore.Request(
            b"POST", target.url, headers=headers, content=content, extensions=EXTENSIONS
        )

    async def _content(self, response: httpcore.Response, bytes_max: int) -> bytes:
        """The body, unpacked; never more than `bytes_max` of it in memory."""
        encoding = _header(response, b"content-encoding").lower()
        if encoding not in ("", "identity", "gzip"):
            raise self.unavailable("the answer is packed in another way than asked for")
        unpacked = zlib.decompressobj(GZIP_BITS) if encoding == "gzip" else None
        content, received = bytearray(), 0
        async for chunk in response.aiter_stream():
            received += len(chunk)
            if unpacked is not None:
                chunk = unpacked.decompress(chunk, bytes_max - len(content) + 1)
            content += chunk
            if max(len(content), received) > bytes_max:
                raise AnswerTooLarge(self.alias, "the answer is too long")
        if unpacked is not None and not unpacked.eof:
            raise self.unavailable("the answer is cut off")
        return bytes(content)

    def unavailable(self, reason: str) -> NodeUnavailable:
        return NodeUnavailable(self.alias, reason)

    def _status(self, response: httpcore.Response) -> NodeUnavailable:
        reason = f"HTTP status {response.status}"
        if response.status not in RATE_LIMIT_STATUSES:
            return self.unavailable(reason)
        asked = _header(response, b"retry-after")
        known = asked.isascii() and asked.isdigit() and len(asked) < _DIGITS_MAX
        rest_s = min(float(asked), RATE_LIMIT_REST_MAX_S) if known else 0.0
        if response.status == HTTPStatus.TOO_MANY_REQUESTS:
            rest_s = rest_s or RATE_LIMIT_REST_S
        return NodeUnavailable(self.alias, reason, rest_s=rest_s)

    def refused(self, code: str, message: str) -> NodeRefused:
        return NodeRefused(code, printable(message), node=self.alias)

    def _error(self, text: str) -> NodeUnavailable | NodeRefused:
        if any(busy in text.lower() for busy in _BUSY_TEXTS):
            return NodeUnavailable(self.alias, "too many requests", rest_s=RATE_LIMIT_REST_S)
        return self.refused(ERROR, text)


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """An endpoint as the pool wants it, worked out once."""

    url: httpcore.URL
    headers: tuple[tuple[bytes, bytes], ...]


def target_of(url: str) -> Target:
    """Read a URL.

    Raises:
        httpx.InvalidURL: It is none.
    """
    read = httpx.URL(url)
    headers = [
        (b"Host", read.netloc),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"gzip"),
        (b"Content-Type", b"application/json"),
        (b"User-Agent", USER_AGENT),
    ]
    if read.username or read.password:
        credentials = f"{read.username}:{read.password}".encode()
        headers.append((b"Authorization", b"Basic " + b64encode(credentials)))
    target = httpcore.URL(
        scheme=read.raw_scheme, host=read.raw_host, port=read.port, target=read.raw_path
    )
    return Target(target, tuple(headers))


def _header(response: httpcore.Response, name: bytes) -> str:
    for key, value in response.headers:
        if key.lower() == name:
            return value.decode("latin-1").strip()
    return ""


def printable(text: str) -> str:
    """A stranger's text, short and on one line."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line[:MESSAGE_CHARACTERS_MAX]


async def both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """Two calls at once, as `all_of`, whose answers have two types."""
    first, second = asyncio.create_task(one), asyncio.create_task(other)
    await asyncio.gather(first, second, return_exceptions=True)
    return first.result(), second.result()


async def all_of(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Calls at once, and their answers in the same order. When one fails, its error comes after
    the others have ended, too, so that no call goes on behind the back of who made it."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]
