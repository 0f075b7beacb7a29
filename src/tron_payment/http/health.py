"""Says whether the process lives, whether it is ready, and how much it has done.

A check is an async function that returns when all is well and raises when not. Its answer is kept
for `CHECK_CACHE_S`, so that a storm of probes costs nothing. What is told to strangers is the
names of the failing checks, never their reasons: these are in the log.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tron_payment.core.errors import Unavailable

log = structlog.get_logger()

CHECK_CACHE_S: Final = 1.0
CHECK_LIMIT_S: Final = 3.0
RETRY_AFTER_S: Final = 2
METRICS_TYPES: Final = ("text/plain", "application/openmetrics-text", "application/json")

Check = Callable[[], Awaitable[object]]
Report = Callable[[], Awaitable[Mapping[str, Any]]]


class NotReady(Unavailable, code="not_ready"):
    """The service cannot do its work now."""


class Health:
    """Runs the checks, all at once, and remembers the result for a moment."""

    def __init__(
        self, checks: Mapping[str, Check], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._checks = dict(checks)
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._known: tuple[float, dict[str, bool]] | None = None

    async def results(self) -> dict[str, bool]:
        """Each check's name and whether it passed, at most `CHECK_CACHE_S` old."""
        async with self._lock:
            if self._known is None or self._monotonic() - self._known[0] >= CHECK_CACHE_S:
                passed = await asyncio.gather(*(self._run(name) for name in self._checks))
                self._known = self._monotonic(), dict(zip(self._checks, passed, strict=True))
            return self._known[1]

    async def _run(self, name: str) -> bool:
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                await self._checks[name]()
        except Exception as error:
            log.warning("check.failed", check=name, error=f"{type(error).__name__}: {error}")
            return False
        return True

    async def require(self) -> dict[str, Any]:
        """The body of a good answer.

        Raises:
            NotReady: Its `extra` names the failed checks.
        """
        results = await self.results()
        failed = sorted(name for name, passed in results.items() if not passed)
        if failed:
            raise NotReady(
                "failing: " + ", ".join(failed),
                retry_after_s=RETRY_AFTER_S,
                extra={"failed": failed, "checks": _words(results)},
            )
        return {"status": "ok", "checks": _words(results)}


def _words(results: Mapping[str, bool]) -> dict[str, str]:
    return {name: "ok" if passed else "failed" for name, passed in results.items()}


def health_router(
    checks: Mapping[str, Check],
    registry: CollectorRegistry,
    *,
    status: Report,
    stats: Report,
    module_stats: Mapping[str, Report] | None = None,
) -> Router:
    """The service's own routes at the root.

    Args:
        checks: What must hold for `/health/ready`, which `/health` is.
        registry: What `/metrics` prints; no address, user or txid may be in it.
        status, stats: Make the bodies of `/status` and `/stats`.
        module_stats: By the former services' names: `/payout-router/stats` and so on.
    """
    health = Health(checks)

    @get(
        ["/health", "/health/ready"],
        opt={"open": True},
        summary="Whether the service can do its work",
    )
    async def ready() -> dict[str, Any]:
        return await health.require()

    @get("/health/live", opt={"open": True}, summary="Whether the process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @get(
        "/metrics",
        opt={"open": True, "produces": METRICS_TYPES},
        media_type="text/plain",
        summary="Prometheus metrics",
    )
    async def metrics() -> Response[bytes]:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    handlers: list[HTTPRouteHandler] = [ready, live, metrics]
    handlers.append(_report("/status", status, "How the service is"))
    handlers.append(_report("/stats", stats, "What the service has done"))
    for name, report in (module_stats or {}).items():
        handlers.append(_report(f"/{name}/stats", report, f"What the {name} has done"))
    return Router("/", route_handlers=handlers, tags=["service"])


def _report(path: str, report: Report, summary: str) -> HTTPRouteHandler:
    name = path.strip("/").replace("/", "_").replace("-", "_")

    @get(path, opt={"permission": "service:read"}, summary=summary, operation_id=name)
    async def answer() -> dict[str, Any]:
        return dict(await report())

    return answer
