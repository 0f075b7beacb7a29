"""What is known about one HTTP request while it is answered; it travels in the ASGI scope."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from tron_payment.http.headers import Headers
from tron_payment.http.principals import Principal

SCOPE_KEY: Final = "tron_payment.exchange"


class Exchange(msgspec.Struct):
    """One request and its answer."""

    request_id: str
    headers: Headers = {}
    """Of the request; none before `read_headers` has passed them."""

    principal: Principal | None = None
    answer_headers: list[tuple[bytes, bytes]] = []
    """Added to the answer, whatever it will be: rate limits and the like."""

    ask_code: Callable[[], Awaitable[None]] | None = None
    """Takes one code of the caller's second factor, where approvals need one."""

    at_end: list[Callable[[], None]] = []
    """Called once the answer has ended, however that came; none of them may raise."""

    def end(self) -> None:
        """Give back what was held for the answer."""
        while self.at_end:
            self.at_end.pop()()

    def __repr__(self) -> str:
        return f"Exchange({self.request_id})"  # its headers hold a token


class CodeCheck:
    """What a handler calls when the content, and not the route, asks for a second factor."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self) -> None:
        """
        Raises:
            CodeMissing, NotEnrolled, CodeWrong, CodeLocked: Where codes are required.
        """
        if self._exchange.ask_code is not None:
            await self._exchange.ask_code()


def exchange_of(scope: Any) -> Exchange:
    """The exchange that the front door put into the scope."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange
