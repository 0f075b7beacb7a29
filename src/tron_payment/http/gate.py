"""The gate behind the front door: who are you (401), how often (429), may you (403), is the
outside of the request as it must be (413, 415, 400, 422), is there room for a long body (429), and
is it really you who approves (403).

It is middleware and not Litestar guards, which cost a copy of the handler each.

Every handler says in ``opt`` what it needs: ``{"permission": "payout:create"}`` or
``{"open": True}``; `check_routes` lets no app start with a handler that says neither. ``rate``
names another class than the method's. What strangers write is counted for each source.
"""

from collections.abc import Iterable
from functools import lru_cache, partial
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from litestar.handlers import BaseRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Receive, Send

from tron_payment.http.authentication import Authenticator
from tron_payment.http.bodies import Bodies
from tron_payment.http.exchange import Exchange, exchange_of
from tron_payment.http.headers import Headers, header
from tron_payment.http.limits import check_surface
from tron_payment.http.permissions import PERMISSIONS, STEP_UP, MissingPermission, require
from tron_payment.http.principals import Principal
from tron_payment.http.rate_limits import RateClass, RateLimiter
from tron_payment.http.step_up import CODE_HEADER, CodeMissing, StepUp

NOBODY: Final = "-"
"""Whose bucket an open handler with a rate uses when the server does not know who connected."""

NETWORK_BITS: Final = 64
"""Of an IPv6 address: whoever has one of them has the whole network."""

SOURCES_KEPT: Final = 10_000
"""Addresses that need not be read again."""

_CODE: Final = CODE_HEADER.lower().encode()
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class UnguardedRoute(RuntimeError):
    """A handler says neither which permission it needs nor that it is open."""


class Gate:
    """Authenticates, then counts."""

    def __init__(
        self, authenticator: Authenticator, limiter: RateLimiter, step_up: StepUp | None = None
    ) -> None:
        self._authenticator = authenticator
        self._limiter = limiter
        self._bodies = Bodies()
        self._step_up = step_up if step_up is not None and step_up.required else None

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """The middleware; `check_routes` sees that all that is behind it is HTTP."""
        return partial(self.handle, app)

    async def handle(self, app: ASGIApp, scope: Any, receive: Receive, send: Send) -> None:
        """Admit a request that has a handler; nothing of its body is read before."""
        handler = scope["route_handler"]
        exchange = await self.admit(scope, handler.opt)
        principal, headers = exchange.principal, exchange.headers
        check_permission(principal, handler)
        step_up = self._step_up
        whose = source_of(scope.get("client")) if principal is None else principal.id
        if step_up is None or principal is None:
            self._check_outside(scope, headers, handler, whose)
        elif handler.opt.get("permission") in STEP_UP:
            code = _code_in(headers)
            self._check_outside(scope, headers, handler, whose)
            await step_up.check(principal, code)  # what is refused before uses up no code
        else:
            self._check_outside(scope, headers, handler, whose)
            exchange.ask_code = lambda: step_up.check(principal, _code_in(headers))
        await app(scope, receive, send)

    def _check_outside(
        self, scope: Any, headers: Headers, handler: BaseRouteHandler, whose: str
    ) -> None:
        check_surface(scope, headers, handler)
        self._bodies.hold(scope, headers, handler, whose)

    async def admit(self, scope: Any, opt: dict[str, Any]) -> Exchange:
        """Learn who calls and count the request; the exchange of the scope.

        Raises:
            Unauthenticated, Forbidden, TooManyRequests
        """
        exchange = exchange_of(scope)
        asked, reading = opt.get("rate"), scope["method"] in _READING
        if opt.get("open"):
            if asked is None and not reading:
                asked = RateClass.WRITE
            if asked is not None:
                await self._limiter.admit(
                    source_of(scope.get("client")), RateClass(asked), exchange.answer_headers
                )
            return exchange
        exchange.principal = await self._authenticator.authenticate(exchange.headers)
        usual = RateClass.READ if reading else RateClass.WRITE
        kind = usual if asked is None else RateClass(asked)
        await self._limiter.admit(exchange.principal.id, kind, exchange.answer_headers)
        return exchange


def _code_in(headers: Headers) -> str:
    """
    Raises:
        CodeMissing
    """
    code = header(headers, _CODE)
    if code is None:
        raise CodeMissing(param=CODE_HEADER)
    return code


def source_of(client: tuple[str, int] | None) -> str:
    """Where an unknown caller comes from: an IPv4 address, an IPv6 network.

    Behind proxies that TRUSTED_PROXIES names, it is the last address that they do not vouch for.
    """
    return NOBODY if client is None else _source(client[0])


@lru_cache(SOURCES_KEPT)
def _source(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return NOBODY
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(ip_network((int(address), NETWORK_BITS), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


def check_permission(principal: Principal | None, handler: BaseRouteHandler) -> None:
    """See that the caller has the handler's permission.

    Raises:
        MissingPermission: They have not.
    """
    permission = handler.opt.get("permission")
    if principal is not None and permission in principal.permissions:
        return
    if handler.opt.get("open") or getattr(handler, "http_methods", None) == {"OPTIONS"}:
        return
    if principal is None or permission is None:
        raise MissingPermission()
    require(principal, permission)


def check_routes(routes: Iterable[BaseRoute]) -> None:
    """Assert that every handler has its row or is open on purpose.

    Raises:
        UnguardedRoute: Names the handlers that are not.
    """
    faults = []
    for route in routes:
        handlers = route.route_handlers if isinstance(route, HTTPRoute) else []
        if not handlers:
            faults.append(f"{route.path}: only HTTP handlers are guarded")
        for handler in handlers:
            if handler.http_methods == {"OPTIONS"}:
                continue
            permission = handler.opt.get("permission")
            if bool(handler.opt.get("open")) == (permission is not None):
                faults.append(f"{route.path}: {handler} needs a permission or open, not both")
            elif permission is not None and permission not in PERMISSIONS:
                faults.append(f"{route.path}: {permission} is not in the table")
    if faults:
        raise UnguardedRoute("; ".join(faults))
