"""The front door: everything that holds for each request whatever answers it.

It gives the request its id, refuses odd headers, puts the security headers on the answer, lets
nobody unknown learn which paths exist, and writes one log line and one measurement.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, Message, Receive, Send
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tron_payment import logs
from tron_payment.core.errors import Unavailable
from tron_payment.http.exchange import SCOPE_KEY, Exchange
from tron_payment.http.gate import Gate, source_of
from tron_payment.http.headers import read_headers, request_id_of
from tron_payment.http.limits import SECURITY_HEADERS
from tron_payment.http.problems import PROBLEM_MEDIA_TYPE, Problem, problem_of
from tron_payment.metrics import Times

log = structlog.get_logger()

LATENCY_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
FAILURES: Final = (500, 503)
"""Shown as 0 where nothing has failed yet: `rate` does not see the first of what was not there."""

NO_ROUTE: Final = "(none)"
OPEN_REQUESTS_MAX: Final = 2_000
"""Requests answered at the same time, live status streams among them."""

OPEN_OF_A_SOURCE_MAX: Final = 1_000
"""The same from one address: it leaves as much to the others. Known callers and strangers behind a
gateway are one source, unless TRUSTED_PROXIES names it."""

PROBES: Final = frozenset({"/health", "/health/live", "/health/ready"})
"""Answered however many requests are open: they wait for nothing, or for what all of them share."""

OVERLOADED_RETRY_S: Final = 1
STOPPING_RETRY_S: Final = 1


class Overloaded(Unavailable, code="overloaded"):
    """Too many requests are open; nothing was done for this one."""


class Stopping(Unavailable, code="stopping"):
    """The service stops before this was done, or while it was: repeat it with the same key."""


class FrontDoor(Collector):
    """Wraps the application."""

    def __init__(
        self, gate: Gate, registry: CollectorRegistry, open_max: int = OPEN_REQUESTS_MAX
    ) -> None:
        self._gate = gate
        self._allowed: dict[str, bytes] = {}
        self._open = 0
        self._open_max = open_max
        self._open_of: Counter[str] = Counter()
        """By source; who has none open is not in it."""
        self._log = log.bind()  # once, as it is done for each line where nobody has
        self._times: dict[tuple[str, str, int], Times] = {}
        """By method, route and status."""
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        requests = CounterMetricFamily(
            "http_requests", "Requests answered", labels=("method", "route", "status")
        )
        seconds = HistogramMetricFamily(
            "http_request_seconds", "Time to the end of the answer", labels=("method", "route")
        )
        by_route: dict[tuple[str, str], Times] = {}
        for (method, route, status), times in list(self._times.items()):
            requests.add_metric((method, route, str(status)), times.count)
            others = by_route.get((method, route))
            by_route[method, route] = times if others is None else others + times
        for labels, times in by_route.items():
            times.show(seconds, labels)
            for status in FAILURES:
                if (*labels, status) not in self._times:
                    requests.add_metric((*labels, str(status)), 0)
        yield requests
        yield seconds

    def learn_methods(self, routes: Iterable[BaseRoute]) -> None:
        """Note which methods each path has; Litestar's own OPTIONS knows only some of them."""
        for route in routes:
            if isinstance(route, HTTPRoute):
                allowed = ", ".join(sorted(route.methods))
                self._allowed[route.path_format] = allowed.encode()

    async def handle(self, scope: Any, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Answer one request."""
        exchange = Exchange(request_id_of(scope["headers"]))
        scope[SCOPE_KEY] = exchange
        visit = _Visit(scope, exchange, self._gate, send, self._allowed)
        started = time.perf_counter()
        before = logs.request_id.set(exchange.request_id)
        probes = scope["path"] in PROBES and scope["method"] == "GET"
        source = None if probes else source_of(scope.get("client"))
        try:
            if source is not None:
                self._enter(source)
            exchange.headers = read_headers(scope["headers"])
        except Exception as exc:
            await visit.answer(problem_of(exc))
        else:
            try:
                await app(scope, receive, visit.send)
            except asyncio.CancelledError:  # only the server does this, when it ends
                if visit.status:
                    raise
                await visit.answer(problem_of(Stopping(retry_after_s=STOPPING_RETRY_S)))
        finally:
            if source is not None:
                self._leave(source)
            exchange.end()
            self._note(scope, visit.status, exchange, time.perf_counter() - started)
            logs.request_id.reset(before)

    def _enter(self, source: str) -> None:
        """Count a request, whatever becomes of it: `_leave` takes it back.

        Raises:
            Overloaded
        """
        self._open += 1
        self._open_of[source] += 1
        if self._open > self._open_max:
            raise Overloaded(retry_after_s=OVERLOADED_RETRY_S)
        if self._open_of[source] > OPEN_OF_A_SOURCE_MAX:
            raise Overloaded(
                f"at most {OPEN_OF_A_SOURCE_MAX} from one address at once",
                retry_after_s=OVERLOADED_RETRY_S,
            )

    def _leave(self, source: str) -> None:
        self._open -= 1
        self._open_of[source] -= 1
        if not self._open_of[source]:
            del self._open_of[source]

    def _note(self, scope: Any, status: int, exchange: Exchange, seconds: float) -> None:
        route = scope.get("path_template", NO_ROUTE) if "route_handler" in scope else NO_ROUTE
        method = scope["method"] if route != NO_ROUTE else NO_ROUTE
        kind = method, route, status
        if (times := self._times.get(kind)) is None:
            times = self._times[kind] = Times(LATENCY_BUCKETS_S)
        times.add(seconds)
        self._log.info(
            "request.answered",
            method=scope["method"],
            route=route,
            status=status,
            took_ms=round(seconds * 1000, 1),
            principal=exchange.principal.id if exchange.principal else None,
        )


class _Visit:
    """The sending side of one exchange."""

    def __init__(
        self, scope: Any, exchange: Exchange, gate: Gate, send: Send, allowed: Mapping[str, bytes]
    ) -> None:
        self._allowed = allowed
        self._scope = scope
        self._exchange = exchange
        self._gate = gate
        self._send = send
        self._replaced = False
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass the answer on; where no handler was found, only to those who are known."""
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            if "route_handler" not in self._scope:
                try:
                    await self._gate.admit(self._scope, {})
                except Exception as exc:
                    self._replaced = True
                    await self.answer(problem_of(exc))
                    return
            self.status = message["status"]
            headers = list(message["headers"])
            if self._scope["method"] == "OPTIONS":
                headers = self._with_all_methods(headers)
            message["headers"] = self._complete(headers)
        await self._send(message)

    async def answer(self, problem: Problem) -> None:
        """Send a refusal that is made here, outside Litestar."""
        body = problem.body(self._scope)
        headers = [
            (name.lower().encode(), value.encode()) for name, value in problem.all_headers().items()
        ]
        headers.append((b"content-type", PROBLEM_MEDIA_TYPE.encode()))
        headers.append((b"content-length", str(len(body)).encode()))
        self.status = problem.status
        await self._send(
            {
                "type": "http.response.start",
                "status": problem.status,
                "headers": self._complete(headers),
            }
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def _with_all_methods(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        allowed = self._allowed.get(self._scope.get("path_template", ""))
        if allowed is None:
            return headers
        return [*(pair for pair in headers if pair[0].lower() != b"allow"), (b"allow", allowed)]

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = dict(headers)
        for pair in SECURITY_HEADERS:
            if pair[0] not in present:
                headers.append(pair)
        headers += self._exchange.answer_headers
        headers.append((b"x-request-id", self._exchange.request_id.encode()))
        return headers
