"""Assembles the HTTP floor: `create_http` makes a Litestar application out of routers."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler, Receive, Scope, Send
from prometheus_client import CollectorRegistry

from tron_payment.http.acting import Acting
from tron_payment.http.authentication import Authenticator
from tron_payment.http.exchange import CodeCheck, exchange_of
from tron_payment.http.front import FrontDoor
from tron_payment.http.gate import Gate, check_routes
from tron_payment.http.given import Given, give
from tron_payment.http.journal import Journal
from tron_payment.http.limits import (
    BATCH_BODY_BYTES_MAX,
    StrictRequest,
    learn_parameters,
)
from tron_payment.http.older_paths import add_paths
from tron_payment.http.openapi import openapi_config
from tron_payment.http.principals import Principal
from tron_payment.http.problems import respond_with_problem
from tron_payment.http.rate_limits import RateLimiter
from tron_payment.http.step_up import StepUp

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


class HttpApp(Litestar):
    """Litestar behind our front door."""

    front: FrontDoor

    async def __call__(self, scope: Scope | Any, receive: Receive | Any, send: Send | Any) -> None:
        if scope["type"] == "http":
            await self.front.handle(scope, receive, send, super().__call__)
        else:
            await super().__call__(scope, receive, send)


def create_http(
    routers: Sequence[ControllerRouterHandler],
    *,
    authenticator: Authenticator,
    dependencies: Mapping[str, Provide] | None = None,
    limiter: RateLimiter | None = None,
    step_up: StepUp | None = None,
    journal: Journal | None = None,
    registry: CollectorRegistry | None = None,
    lifespan: Sequence[Lifespan] = (),
    further: Sequence[tuple[Router, Sequence[str]]] = (),
    title: str = "tron-payment",
    version: str = "0.1.0",
    open_schema: bool = False,
    **more: Any,
) -> HttpApp:
    """Build the application.

    Args:
        routers: Handlers, each with ``permission`` or ``open`` in its ``opt``.
        authenticator: Says who calls; it cannot exist without a trust anchor.
        dependencies: Added to `principal` and `request_id`, which every handler may ask for.
        limiter: The default rates when not given.
        step_up: Asks for a second factor's code where approvals need one.
        journal: Brings what is done into the audit log.
        registry: Where request counts and times go; one of our own when not given.
        lifespan: Entered at start, left at stop, in this order.
        further: Routers among `routers` and the prefixes at which they are reached, too.
        open_schema: Let everybody read ``/schema``.
        more: Passed on to Litestar: plugins, template configuration, state.

    Raises:
        UnguardedRoute: A handler names neither a permission nor that it is open.
    """
    gate = Gate(authenticator, limiter or RateLimiter(), step_up)
    app = HttpApp(
        route_handlers=list(routers),
        dependencies={
            "principal": Given(principal_in),
            "request_id": Given(request_id_in),
            "code_check": Given(code_check_in),
            **(dependencies or {}),
        },
        middleware=[gate] if journal is None else [gate, Acting(journal)],
        exception_handlers={Exception: respond_with_problem},
        request_class=StrictRequest,
        request_max_body_size=BATCH_BODY_BYTES_MAX,
        lifespan=list(lifespan),
        openapi_config=openapi_config(title=title, version=version, open_schema=open_schema),
        logging_config=None,
        **more,
    )
    app.front = FrontDoor(gate, registry or CollectorRegistry())
    add_paths(app, further)
    check_routes(app.routes)
    learn_parameters(app.routes)
    give(app.routes)
    app.front.learn_methods(app.routes)
    return app


def principal_in(scope: Any) -> Principal:
    """Who calls; only for handlers that are not open."""
    principal = exchange_of(scope).principal
    assert principal is not None, "an open handler asked for its principal"
    return principal


def request_id_in(scope: Any) -> str:
    """The id of this request, for logs and audit."""
    return exchange_of(scope).request_id


def code_check_in(scope: Any) -> CodeCheck:
    """Asks for the caller's second factor; for handlers whose content decides about that."""
    return CodeCheck(exchange_of(scope))
