"""How many long bodies are in the memory at once: of all callers, and of each.

A long one may take minutes to come and is kept until it is answered, so that rates bound nothing.
One of ordinary size always finds room: the requests that are open at all bound these.
"""

from typing import Any, Final

from litestar.handlers import BaseRouteHandler

from tron_payment.core.errors import RateLimited
from tron_payment.http.headers import Headers, header
from tron_payment.http.limits import BODY_BYTES_MAX, body_bytes_max
from tron_payment.http.streams import Streams

LONG_BODIES_MAX: Final = 8
"""Of callers with a token, in this process. What comes is 8 MiB at most, and 80 MB when read."""

LONG_BODIES_OF_ONE_MAX: Final = 2
PAGE_BODIES_MAX: Final = 4
"""Of pages, beside those: a page that asks the API with what it was sent finds the API's room."""

PAGE_BODIES_OF_ONE_MAX: Final = 2
"""From one address: who it is, is known later."""


class TooManyBodies(RateLimited, code="too_many_bodies"):
    """Too many long bodies are being read; nothing was done for this one."""


class Bodies:
    """Counts long bodies, from before any of it is read to the end of the answer."""

    def __init__(self) -> None:
        self._known = Streams(LONG_BODIES_MAX, LONG_BODIES_OF_ONE_MAX, TooManyBodies)
        self._pages = Streams(PAGE_BODIES_MAX, PAGE_BODIES_OF_ONE_MAX, TooManyBodies)

    def hold(self, scope: Any, headers: Headers, handler: BaseRouteHandler, whose: str) -> None:
        """Count the body of this request if it may be a long one.

        Args:
            whose: The caller; of an open handler, where they come from.

        Raises:
            TooManyBodies: No room, for this caller or at all.
        """
        if body_bytes_max(handler.opt) > BODY_BYTES_MAX and _may_be_long(headers):
            streams = self._pages if handler.opt.get("open") else self._known
            streams.hold(scope, whose)


def _may_be_long(headers: Headers) -> bool:
    if b"transfer-encoding" in headers:
        return True
    length = header(headers, b"content-length")
    return length is not None and int(length) > BODY_BYTES_MAX
