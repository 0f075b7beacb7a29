"""Traces for an OpenTelemetry collector on our own network: log lines, redacted already, as spans.

OTLP over HTTP in its JSON form (opentelemetry.io/docs/specs/otlp), which needs no library; why
none is used is in docs/decisions/0002-traces-without-a-library.md. A request is one trace, an
order from its signature to its end another. What the collector does not take is dropped: traces
are for looking, the journal is for knowing.
"""

import asyncio
import hashlib
import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import httpx
import msgspec
import structlog

from tron_payment.loops import Loop

QUEUE_MAX: Final = 4_096
BATCH_MAX: Final = 512
EXPORT_S: Final = 5.0
DEADLINE_S: Final = 3.0
PATH: Final = "/v1/traces"
TRACED_BY: Final = ("request_id", "order_id", "payout_id", "batch_id", "payment_id")
"""The first of these that a line has names its trace."""

HIDDEN: Final = frozenset({"event", "level", "ts", "took_ms", "principal", "exception"})
_INTERNAL, _SERVER, _OK, _ERROR = 1, 2, 1, 2

log = structlog.get_logger()


class CollectorAway(Exception):
    """The collector did not take the spans; they are gone."""


class Spans:
    """Collects spans from log lines (`logs.watchers`), and sends them on.

    Args:
        endpoint: ``http://otel-collector:4318``; the egress guard knows it as a neighbour.
    """

    def __init__(self, endpoint: str, service: str, version: str) -> None:
        self._url = endpoint.rstrip("/") + PATH
        self._resource = {
            "service.name": service,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        }
        self._waiting: deque[dict[str, Any]] = deque(maxlen=QUEUE_MAX)
        self._http = httpx.AsyncClient(trust_env=False, timeout=DEADLINE_S)
        self.dropped = 0

    @property
    def loops(self) -> tuple[Loop, ...]:
        return (Loop("telemetry.export", self.step, EXPORT_S, "tron-client"),)

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take one log line; lines that belong to nothing make no span."""
        name = next((key for key in TRACED_BY if line.get(key)), None)
        if name is None:
            return
        if len(self._waiting) == QUEUE_MAX:
            self.dropped += 1
        self._waiting.append(_span(line, str(line[name])))

    async def step(self) -> bool:
        """Send one batch; True when more waits.

        Raises:
            CollectorAway: It does not answer with 200; the batch is gone.
        """
        count = min(len(self._waiting), BATCH_MAX)
        if not count:
            return False
        spans = [self._waiting.popleft() for _ in range(count)]
        resource = {"attributes": _attributes(self._resource)}
        scope = {"scope": {"name": "tron_payment"}, "spans": spans}
        body = msgspec.json.encode(
            {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                headers = {"content-type": "application/json"}
                answer = await self._http.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, OSError, TimeoutError) as error:
            self.dropped += count
            raise CollectorAway(type(error).__name__) from None
        if answer.status_code != httpx.codes.OK:
            self.dropped += count
            raise CollectorAway(f"HTTP status {answer.status_code}")
        return len(self._waiting) >= BATCH_MAX

    async def close(self) -> None:
        await self._http.aclose()


def _span(line: Mapping[str, Any], of: str) -> dict[str, Any]:
    ended_ns = _nanoseconds(line.get("ts"))
    took_ns = int(float(line.get("took_ms") or 0) * 1_000_000)
    served = line.get("event") == "request.answered"
    name = str(line.get("event", ""))
    if served:
        name = f"{line.get('method')} {line.get('route')}"
    status = line.get("status")
    bad = line.get("level") in ("error", "critical") or (isinstance(status, int) and status >= 500)
    return {
        "traceId": hashlib.sha256(of.encode()).hexdigest()[:32],
        "spanId": os.urandom(8).hex(),
        "name": name,
        "kind": _SERVER if served else _INTERNAL,
        "startTimeUnixNano": str(ended_ns - took_ns),
        "endTimeUnixNano": str(ended_ns),
        "attributes": _attributes({k: v for k, v in line.items() if k not in HIDDEN}),
        "status": {"code": _ERROR if bad else _OK},
    }


def _nanoseconds(ts: object) -> int:
    if isinstance(ts, str):
        moment = datetime.fromisoformat(ts)
        return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
    return time.time_ns()


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for key, value in values.items():
        kind: dict[str, Any]
        if isinstance(value, bool):
            kind = {"boolValue": value}
        elif isinstance(value, int):
            kind = {"intValue": str(value)}
        elif value is None:
            continue
        else:
            kind = {"stringValue": str(value)}
        found.append({"key": key, "value": kind})
    return found
