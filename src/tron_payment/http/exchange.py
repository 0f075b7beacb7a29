"""What is known about one HTTP request while it is answered; it travels in the ASGI scope."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tron_payment.http.principals import Principal

SCOPE_KEY: Final = "tron_payment.exchange"


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    request_id: str
    principal: "Principal | None" = None
    answer_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Added to the answer, whatever it will be: rate limits and the like."""


def exchange_of(scope: Any) -> Exchange:
    """The exchange that the front door put into the scope."""
    exchange: Exchange = scope[SCOPE_KEY]
    return exchange
