"""What one connection may cost: bytes and time before a request is known, time to take an answer.

uvicorn bounds none of these. Whoever sends headers without an end, or slowly, or takes no answer,
would otherwise fill the memory or keep connections for nothing; no token is needed for that.
"""

import asyncio
import fcntl
import struct
import termios
from collections.abc import Callable
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from tron_payment.core.errors import AppError, Malformed
from tron_payment.core.ids import new_id
from tron_payment.http.exchange import SCOPE_KEY, Exchange
from tron_payment.http.limits import SECURITY_HEADERS
from tron_payment.http.problems import PROBLEM_MEDIA_TYPE, TooSlow, problem_of

log = structlog.get_logger()

HEADER_BYTES_MAX: Final = 64 * 1024
"""Of a request's address and headers, of what ends a body in parts, and of what is between two of
its parts. What is not known to be more before it was read is at most one read longer."""

HEADERS_MAX: Final = 100
HEAD_S: Final = 10.0
"""From a connection's start, or the first bytes of its next request, to the end of the headers."""

TAKE_S: Final = 30.0
TAKEN_BYTES_MIN: Final = 64 * 1024
"""Of what waits to be sent the other side takes so much in this time, or all that is left: an
answer that nobody takes would keep its request open for ever, and its connection after it."""

PIPELINED_MAX: Final = 100
"""Requests that wait on a connection for the answer to the one before."""


class HeadersTooLarge(AppError, code="headers_too_large"):
    """The address and headers are longer, or more, than this service reads."""

    status = 431


class _Refused(Exception):
    """Ends the parsing."""


class _Heard:
    """A connection's transport, of which one hears that it is closed, by whomever.

    What is asked of it for each request is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport, closed: Callable[[], None]) -> None:
        self._transport = transport
        self._closed = closed
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        self._transport.close()
        self._closed()

    def forget(self) -> None:
        """Nobody listens any more, and nobody is kept in memory for it."""
        self._closed = _nothing


def _nothing() -> None:
    pass


def untaken_bytes(transport: Any) -> int:
    """What was written and has not reached the other side: kept here, or by the kernel.

    The kernel takes more from us only when a third of what it keeps is gone, which with a slow
    reader takes minutes. Where it does not say how much it keeps, that counts as nothing.
    """
    try:
        kept = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # none here, or closed already
        kept = bytes(4)
    (count,) = struct.unpack("i", kept)
    return int(transport.get_write_buffer_size()) + int(count)


class BoundedProtocol(HttpToolsProtocol):
    """One connection.

    `_unread` are bytes that were neither the rest of a head nor of a body: it begins anew where
    one of these ends, so that a large body costs nothing and a head without an end is seen.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unread = 0
        self._in_head = False
        self._fault: AppError | None = None
        self._late: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._heard = _Heard(transport, self._closed)
        super().connection_made(self._heard)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._taken()
        self._heard.forget()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The other side sends no more. The loop would close its own transport, unheard."""
        super().eof_received()
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()
        if self.transport.is_closing():
            self._closed()

    def data_received(self, data: bytes) -> None:
        """Of a request that came whole nothing is left to look at here."""
        self._unread += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread > HEADER_BYTES_MAX or (self.headers and len(self.headers) > HEADERS_MAX):
            self._refuse(HeadersTooLarge())
        elif self._late is None and not self._answering():
            self._await_head()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise _Refused
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        too_many = len(self.headers) > HEADERS_MAX
        if too_many or (self._unread > HEADER_BYTES_MAX and self._head_bytes() > HEADER_BYTES_MAX):
            self._fault = HeadersTooLarge()
            raise _Refused
        super().on_headers_complete()
        self.headers = []  # what may follow the body would change headers that were judged already
        self._unread = 0
        self._in_head = False
        self._head_came()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's, for all that cannot be parsed; the bounds end the parsing, too."""
        self._refuse(self._fault or Malformed(msg))

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _await_head(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self._too_late)

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if self.transport.is_closing() or self._answering():
            return
        if self._in_head:
            self._refuse(TooSlow("the headers did not come in time"))
        else:
            self.transport.close()

    def _closed(self) -> None:
        """Nothing more is said; the connection ends when all that was said is taken."""
        if self.transport.get_write_buffer_size():
            self._await_taking()

    def _await_taking(self) -> None:
        if self._taking is None:
            before = untaken_bytes(self.transport)
            self._taking = self.loop.call_later(TAKE_S, self._look_taken, before)

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _look_taken(self, before: int) -> None:
        self._taking = None
        if before - untaken_bytes(self.transport) >= TAKEN_BYTES_MIN:
            self._await_taking()
        else:
            log.info("connection.not_taken")
            self.transport.abort()

    def _refuse(self, error: AppError) -> None:
        """Say so where nothing else is being said, and hang up."""
        log.info("connection.refused", code=error.code)
        if not self._answering():
            self.transport.write(self._answer(error))
        self.transport.close()

    def _answer(self, error: AppError) -> bytes:
        exchange = Exchange(new_id("req"))
        problem = problem_of(error)
        body = problem.body({"path": "", SCOPE_KEY: exchange})
        lines = [
            *self.server_state.default_headers,
            *SECURITY_HEADERS,
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (b"x-request-id", exchange.request_id.encode()),
        ]
        head = b"".join(b"%b: %b\r\n" % pair for pair in lines)
        return STATUS_LINE[problem.status] + head + b"\r\n" + body
