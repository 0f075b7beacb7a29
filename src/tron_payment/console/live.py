"""The stream that tells a page it is old: server-sent events, made of what the API says.

A page names the one it shows; the stream looks at the few answers of the API that decide how it
looks, as the person who watches, and says ``changed`` when they do. The page then asks for itself.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from tron_payment.console.api import Api, ApiProblem, at
from tron_payment.console.desk import Desk
from tron_payment.console.pages import PAGE_OPT
from tron_payment.core.errors import RateLimited
from tron_payment.http.streams import Streams

STREAM_OPT: Final[dict[str, Any]] = {**PAGE_OPT, "produces": ("text/event-stream",)}
LOOK_S: Final = 1.0
HEARTBEAT_LOOKS: Final = 15
LOOKS_MAX: Final = 600
"""Then the browser connects again by itself."""

STREAMS_MAX: Final = 200
STREAMS_PER_PERSON_MAX: Final = 8
"""Whoever finds no room asks again every few seconds, which always works."""

HISTORY: Final = "/api/v1/payouts/history"
LISTS: Final = {
    "/console": ("/status", f"{HISTORY}?limit=8"),
    "/console/payouts": (f"{HISTORY}?limit=25",),
    "/console/books": ("/api/v1/payments/reconciliation",),
    "/console/health": ("/status",),
}
"""What decides how a page looks."""

NOT_SHOWN: Final = {
    "/console": ("time", "loops", "orders"),
    "/console/health": ("time",),
}
"""What of these answers the page does not show, or what changes with every answer."""

THINGS: Final = {
    "payouts": "/api/v1/payouts/{id}",
    "batches": "/api/v1/payouts/batch/{id}?limit=25",
    "payments": "/api/v1/payments/{id}",
    "signing": "/api/v1/signing-requests/{id}",
    "webhooks": "/api/v1/payments/webhook-endpoints/{id}/deliveries?limit=25",
}


class TooManyWatchers(RateLimited, code="too_many_watchers"):
    """Too many pages are watched; they ask again every few seconds instead."""


_STREAMS: Final = Streams(STREAMS_MAX, STREAMS_PER_PERSON_MAX, TooManyWatchers)


def watched(page: str) -> tuple[str, ...]:
    """The answers of the API that decide how a page looks.

    Raises:
        NotFoundException: No page that changes by itself.
    """
    path = page.partition("?")[0]
    if path in LISTS:
        return LISTS[path]
    kind, _, name = path.removeprefix("/console/").partition("/")
    if kind not in THINGS or not name or "/" in name:
        raise NotFoundException
    return (at(THINGS[kind], id=name),)


@get("/console/live", media_type="text/event-stream", opt=STREAM_OPT)
async def live(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    page: Annotated[str, QueryParameter(max_length=300)],
) -> ServerSentEvent:
    """Say when a page has changed."""
    paths = watched(page)
    _STREAMS.hold(request.scope, desk.visitor.subject)
    not_shown = NOT_SHOWN.get(page.partition("?")[0], ())
    return ServerSentEvent(_stream(desk.api, paths, not_shown))


async def _stream(
    api: Api, paths: tuple[str, ...], not_shown: tuple[str, ...]
) -> AsyncIterator[ServerSentEventMessage]:
    shown = ""
    for look in range(LOOKS_MAX):
        try:
            now = await _seen(api, paths, not_shown)
        except ApiProblem:
            return  # the token is over, or the thing is gone: the page finds out by itself
        if shown and now != shown:
            yield ServerSentEventMessage(event="changed", data=now)
        elif look % HEARTBEAT_LOOKS == 0:
            yield ServerSentEventMessage(event="same", data=now)
        shown = now
        await asyncio.sleep(LOOK_S)


async def _seen(api: Api, paths: tuple[str, ...], not_shown: tuple[str, ...]) -> str:
    """One hash of everything that decides; what the person may not see counts as nothing."""
    answers = [await api.get(paths[0])] if len(paths) == 1 else await api.all(*paths)
    shown = [
        {name: value for name, value in (answer or {}).items() if name not in not_shown}
        for answer in answers
    ]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


HANDLERS: Final = (live,)
