"""HTTP of the checkout page: open to whoever has an invoice's address, which nobody can guess."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import ServerSentEvent, ServerSentEventMessage
from litestar.status_codes import HTTP_200_OK, HTTP_404_NOT_FOUND

from tron_payment.core.errors import AppError, RateLimited
from tron_payment.core.money import TRX
from tron_payment.gateway.checkout import pages
from tron_payment.gateway.checkout.pages import POLICY, Screen
from tron_payment.gateway.domain import PaymentNotFound
from tron_payment.gateway.service import Gateway
from tron_payment.http.rate_limits import RateClass
from tron_payment.http.streams import Streams
from tron_payment.module import House

LOOK_S: Final = 1.0
HEARTBEAT_LOOKS: Final = 15
LOOKS_MAX: Final = 600
"""Then the browser connects again by itself."""

HTML: Final[dict[str, Any]] = {"open": True, "produces": ("text/html",)}
STREAM: Final[dict[str, Any]] = {
    "open": True,
    "produces": ("text/event-stream",),
    "rate": RateClass.READ,
}

STREAMS_MAX: Final = 500
STREAMS_PER_INVOICE_MAX: Final = 10
"""Open streams hold a request each; who finds no room asks `/status` again and again."""


class TooManyStreams(RateLimited, code="too_many_streams"):
    """Too many browsers watch; ask for the status instead."""


class CheckoutState(msgspec.Struct, frozen=True, kw_only=True):
    """What a payer may know of an invoice; `html` is the part of the page that changes.

    `seen`: all that is due is on its way, in blocks that are not solidified. `seen_amount` is how
    much is, `missing` what is due besides. Paid is an invoice by its `status` alone.
    """

    payment_id: str
    status: str
    amount: str
    currency: str
    received: str
    due: str
    refunded: str
    expires_at: str
    seen: bool
    seen_amount: str
    missing: str
    html: str

    @classmethod
    def of(cls, screen: Screen) -> "CheckoutState":
        payment = screen.payment
        return cls(
            payment_id=payment.payment_id,
            status=payment.status,
            amount=payment.amount,
            currency=payment.currency,
            received=payment.received or "0",
            due=payment.due or "0",
            refunded=payment.refunded or "0",
            expires_at=payment.expires_at or "",
            seen=payment.seen_in_full,
            seen_amount=payment.seen_amount or "0",
            missing=screen.missing,
            html=screen.fragment(),
        )


@get("/{payment_id:str}", media_type=MediaType.HTML, opt=HTML)
async def page(
    payment_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    house: NamedDependency[House],
) -> Response[str]:
    """The checkout page."""
    screen = await _screen(payment_id, gateway, house)
    return Response(
        pages.missing() if screen is None else screen.page(),
        status_code=HTTP_404_NOT_FOUND if screen is None else HTTP_200_OK,
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": POLICY},
    )


@get("/{payment_id:str}/status", opt={"open": True})
async def status(
    payment_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    house: NamedDependency[House],
) -> CheckoutState:
    """The invoice as it stands, for browsers without a stream."""
    screen = await _screen(payment_id, gateway, house)
    if screen is None:
        raise PaymentNotFound
    return CheckoutState.of(screen)


@get("/{payment_id:str}/events", media_type="text/event-stream", opt=STREAM)
async def events(
    request: Request[Any, Any, Any],
    payment_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    house: NamedDependency[House],
    streams: NamedDependency[Streams],
) -> ServerSentEvent:
    """The invoice now and whenever it changes."""
    streams.hold(request.scope, payment_id)
    if await _screen(payment_id, gateway, house) is None:
        raise PaymentNotFound
    return ServerSentEvent(_changes(payment_id, gateway, house))


def checkout_router() -> Router:
    """`/checkout/...`, mounted at the root."""
    streams = Streams(STREAMS_MAX, STREAMS_PER_INVOICE_MAX, TooManyStreams)

    def provide() -> Streams:
        return streams

    return Router(
        "/checkout",
        route_handlers=[page, status, events],
        dependencies={"streams": Provide(provide, sync_to_thread=False)},
        include_in_schema=False,
    )


async def _changes(
    payment_id: str, gateway: Gateway, house: House
) -> AsyncIterator[ServerSentEventMessage]:
    shown = b""
    for look in range(LOOKS_MAX):
        try:
            screen = await _screen(payment_id, gateway, house)
        except AppError:
            screen = None  # the store is away for a moment: the page stays as it is
        if screen is not None:
            content = msgspec.json.encode(CheckoutState.of(screen))
            digest = hashlib.sha256(content).digest()
            if digest != shown:
                shown = digest
                yield ServerSentEventMessage(data=content.decode(), event="invoice")
            elif look % HEARTBEAT_LOOKS == 0:
                yield ServerSentEventMessage(comment="still here", data=None)
        await asyncio.sleep(LOOK_S)


async def _screen(payment_id: str, gateway: Gateway, house: House) -> Screen | None:
    view = await gateway.invoices.open_view(payment_id)
    if view is None:
        return None
    tokens = gateway.tokens
    token = None if view.currency == TRX.code else tokens.get(view.currency).contract
    return Screen(view, token, tokens.asset(view.currency).decimals, house.clock.now())
