"""Log lines become spans at a collector; secrets and strangers do not get there."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tron_payment import egress, logs, telemetry
from tron_payment.configuration import load
from tron_payment.settings import ConfigurationError
from tron_payment.telemetry import BATCH_MAX, QUEUE_MAX, CollectorAway, Spans

DEVELOPMENT = {"LUCID_ENV": "development"}


@dataclass
class Collector:
    """Takes OTLP over HTTP."""

    port: int = 0
    status: int = 200
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.paths.append(head.split()[1])
        length = int(head.partition("content-length:")[2].split()[0])
        self.bodies.append(json.loads(await reader.readexactly(length)))
        close = "Content-Length: 2\r\nConnection: close"
        writer.write(f"HTTP/1.1 {self.status} X\r\n{close}\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for body in self.bodies
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    found = Collector()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def spans(collector: Collector) -> AsyncIterator[Spans]:
    made = Spans(f"http://127.0.0.1:{collector.port}/", "tron-payment", "0.1.0")
    try:
        yield made
    finally:
        await made.close()


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


async def test_a_request_and_an_order_are_traces(collector: Collector, spans: Spans) -> None:
    at = "2026-11-20T12:00:00.250000Z"
    request = {"method": "POST", "route": "/api/v1/payouts/direct", "request_id": "req_1"}
    spans({"event": "request.answered", "ts": at, "took_ms": 50.0, "status": 202, **request})
    spans({"event": "order.signed", "ts": at, "order_id": "ord_1", "txid": "ab" * 32})
    spans({"event": "order.concluded", "ts": at, "order_id": "ord_1", "status": "settled"})
    spans({"event": "block.applied", "ts": at, "block": 7})
    assert await spans.step() is False
    assert collector.paths == ["/v1/traces"]
    (resource,) = collector.bodies[0]["resourceSpans"]
    named = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
    assert named["service.name"] == {"stringValue": "tron-payment"}
    served, signed, concluded = collector.spans
    assert served["name"] == "POST /api/v1/payouts/direct" and served["kind"] == 2
    length_ns = int(served["endTimeUnixNano"]) - int(served["startTimeUnixNano"])
    assert length_ns == 50_000_000 and served["endTimeUnixNano"].endswith("250000000")
    assert attributes(served)["status"] == "202"
    assert signed["traceId"] == concluded["traceId"] != served["traceId"]
    for span in collector.spans:
        assert len(span["traceId"]) == 32 and len(span["spanId"]) == 16
    assert len({span["spanId"] for span in collector.spans}) == 3


async def test_only_redacted_lines_are_shown(
    collector: Collector, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "watchers", [spans])
    line = {"event": "x.happened", "order_id": "ord_1", "private_key": "7" * 64, "note": "6" * 64}
    logs.show(None, "info", logs.redact(None, "info", line))
    spans({"event": "x.happened", "order_id": "ord_2", "principal": "alice"})
    await spans.step()
    text = json.dumps(collector.bodies)
    assert "7" * 64 not in text and "6" * 64 not in text and "alice" not in text
    assert logs.REDACTED in text


async def test_what_a_collector_does_not_take_is_dropped_and_counted(
    collector: Collector, spans: Spans
) -> None:
    collector.status = 503
    spans({"event": "x.happened", "order_id": "ord_1"})
    with pytest.raises(CollectorAway):
        await spans.step()
    assert spans.dropped == 1 and await spans.step() is False


async def test_a_collector_that_hangs_ends_by_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    monkeypatch.setattr(telemetry, "DEADLINE_S", 0.05)
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    made = Spans(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "s", "v")
    try:
        made({"event": "x.happened", "order_id": "ord_1"})
        with pytest.raises(CollectorAway):
            await made.step()
    finally:
        release.set()
        await made.close()
        server.close()


async def test_the_queue_is_bounded(collector: Collector, spans: Spans) -> None:
    for number in range(QUEUE_MAX + 10):
        spans({"event": "x.happened", "order_id": f"ord_{number}"})
    assert spans.dropped == 10
    assert await spans.step() is True
    assert len(collector.spans) == BATCH_MAX


def test_a_collector_is_a_neighbour_of_our_own_network() -> None:
    inner = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector:4318"}
    assert ("otel-collector", 4318) in egress.neighbours(load(DEVELOPMENT | inner))
    with pytest.raises(ConfigurationError, match="own network"):
        load(DEVELOPMENT | {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com"})
