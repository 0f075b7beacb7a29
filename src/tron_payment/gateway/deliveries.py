"""Brings events to webhook endpoints: once each if all goes well, in order within an object.

A delivery that fails is tried again for three days, further and further apart, and later events of
the same object wait for it. An endpoint that fails in a row rests; one that has failed for three
days is switched off and its owner told by `/events`.

Each endpoint with something due has a lane of its own, in turn, and an owner has so many lanes: who
answers late or never, or has much to be told, keeps nobody else's webhooks.
"""

import asyncio
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import structlog

from tron_payment.chain import http_client
from tron_payment.core.clock import Clock
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import insert_many_once
from tron_payment.db.events import Event, Events
from tron_payment.gateway import webhook_documents as store
from tron_payment.gateway import webhook_queue_documents as queue
from tron_payment.gateway.webhook_documents import (
    Attempt,
    Delivery,
    DeliveryStatus,
    EndpointStatus,
    WebhookEndpoint,
)
from tron_payment.gateway.webhook_urls import WebhookUrlRefused
from tron_payment.gateway.webhooks import Webhooks, delivery_of
from tron_payment.loops import end
from tron_payment.settings import Settings
from tron_payment.wallets import KeyUnreadable

EVENTS_AT_ONCE: Final = 200
DEADLINE_S: Final = 15.0
LANES_MAX: Final = 32
LANES_PER_PRINCIPAL: Final = 4
LOOKED_AT: Final = 100
"""Endpoints that are read together."""

AT_ONCE_PER_LANE: Final = 8
"""Deliveries under way to one endpoint; one at a time while its last one failed."""

LANE_S: Final = 10.0
"""Nothing more is begun in a lane after this: its endpoint takes its turn again."""

SLOW_S: Final = 2.0
"""Whose answer took longer gives its lane back at once."""

STEP_S: Final = 1.0
"""A step waits so long for its lanes; those that take longer go on beside the next ones."""

WAKE_EVERY_S: Final = 300.0
"""Between two looks for what is parked although its endpoint is on; one is at the start."""

CLAIM: Final = timedelta(seconds=60)
"""Longer than an attempt can take; after a crash the delivery is due again then."""

GIVE_UP_AFTER: Final = timedelta(hours=72)
REST_AFTER_FAILURES: Final = 5
REST: Final = timedelta(seconds=60)
CLIENTS_MAX: Final = 64
BACKOFF_S: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
"""Pauses after the first, second, ... failure; the last one repeats."""

GONE: Final = 410
USER_AGENT: Final = "tron-payment-webhooks/1"

log = structlog.get_logger()


class Deliveries:
    """Gives events to endpoints and sends them."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        events: Events,
        webhooks: Webhooks,
        settings: Settings,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._events = events
        self._webhooks = webhooks
        self._proxy = settings.tor_proxy or None
        self._may_go_directly = settings.is_development
        self._clients: OrderedDict[str, httpx.AsyncClient] = OrderedDict()
        self._lanes: dict[str, asyncio.Task[bool]] = {}
        self._owners: dict[str, str] = {}
        """Whose each lane is."""

        self._last = ""
        """The endpoint that was the last to get a lane."""

        self._woken, self._wake_at = "", 0.0
        """The endpoint that was the last to be looked at for what is parked; when to look next."""

    async def fan_out(self) -> bool:
        """Make a delivery of each new event for each endpoint that wants it. Safe to repeat."""
        seq = await store.feed_seq()
        events = await self._events.after(seq, limit=EVENTS_AT_ONCE)
        if not events:
            return False
        endpoints = await store.listening({event.owner for event in events})
        now = self._clock.now()
        deliveries = [
            delivery_of(self._secret, endpoint, event, now)
            for event in events
            for endpoint in endpoints
            if event.seq > endpoint.from_seq
            and endpoint.wants(event.type)
            and (endpoint.everything or endpoint.principal == event.owner)
        ]
        if deliveries:
            await insert_many_once(deliveries)
        await store.advance_feed(events[-1].seq)
        return True

    async def step(self) -> bool:
        """Give lanes to endpoints with something due; True while something is sent.

        Raises:
            What a lane has ended with since the last step.
        """
        await self._wake()
        await self._begin_lanes(self._clock.now())
        if self._lanes:
            await asyncio.wait(self._lanes.values(), timeout=STEP_S)
        ended = [self._lanes.pop(name) for name, lane in list(self._lanes.items()) if lane.done()]
        self._owners = {name: self._owners[name] for name in self._lanes}
        ended = [lane for lane in ended if not lane.cancelled()]
        errors = [error for lane in ended if (error := lane.exception()) is not None]
        if errors:
            raise errors[0]
        return bool(self._lanes) or any(lane.result() for lane in ended)

    async def close(self) -> None:
        """End what is under way; it is due again a minute after it was begun."""
        await end(*self._lanes.values())
        self._lanes.clear()
        self._owners.clear()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _begin_lanes(self, now: datetime) -> None:
        """In turn: on from the endpoint that was the last to get a lane."""
        due = await queue.endpoints_with_due(now)
        after = bisect_right(due, self._last)
        turn = [name for name in (*due[after:], *due[:after]) if name not in self._lanes]
        for at in range(0, len(turn), LOOKED_AT):
            if len(self._lanes) >= LANES_MAX:
                return
            names = turn[at : at + LOOKED_AT]
            endpoints = await store.by_ids(names)
            for name in names:
                await self._begin_lane(name, endpoints.get(name), now)

    async def _begin_lane(self, name: str, endpoint: WebhookEndpoint | None, now: datetime) -> None:
        if endpoint is None or endpoint.status is not EndpointStatus.ENABLED:
            await store.park_while_off(name, now)
            return
        if endpoint.resting_until is not None and now < endpoint.resting_until:
            return
        of_owner = sum(owner == endpoint.principal for owner in self._owners.values())
        if of_owner >= LANES_PER_PRINCIPAL or len(self._lanes) >= LANES_MAX:
            return
        self._last = name
        self._owners[name] = endpoint.principal
        self._lanes[name] = asyncio.create_task(self._lane(endpoint), name=f"webhooks to {name}")

    async def _wake(self) -> None:
        """What is parked for endpoints that are on: whoever parked it died before his second look,
        or whoever switched it on before he had woken it. Some at a time, and then a pause."""
        if time.monotonic() < self._wake_at:
            return
        names = await queue.endpoints_with_parked(self._woken, LOOKED_AT)
        endpoints = await store.by_ids(names) if names else {}
        for name, endpoint in endpoints.items():
            if endpoint.status is EndpointStatus.ENABLED:
                log.warning("webhook.woken", endpoint_id=name)
                await store.unpark(name, self._clock.now())
        if len(names) == LOOKED_AT:
            self._woken = names[-1]
        else:
            self._woken, self._wake_at = "", time.monotonic() + WAKE_EVERY_S

    async def _lane(self, endpoint: WebhookEndpoint) -> bool:
        """Send what is due for one endpoint, until it fails, is slow, or its time is over.

        True when something was tried.
        """
        ends_at, tried = time.monotonic() + LANE_S, False
        seen: WebhookEndpoint | None = endpoint
        while seen is not None and seen.status is EndpointStatus.ENABLED:
            now = self._clock.now()
            due = await queue.due_for(seen.id, now)
            if not due:
                break
            chosen = await self._choose(due, now)
            tried |= bool(chosen)
            if not await self._deliver_all(chosen, seen, ends_at) or time.monotonic() > ends_at:
                break
            seen = (await store.by_ids([seen.id])).get(seen.id)
        return tried

    async def _deliver_all(
        self, chosen: Sequence[Delivery], endpoint: WebhookEndpoint, ends_at: float
    ) -> bool:
        """So many at once; False when one failed or was slow: then no more are begun."""
        places = asyncio.Semaphore(1 if endpoint.failures else AT_ONCE_PER_LANE)
        well = True

        async def one(delivery: Delivery) -> None:
            nonlocal well
            async with places:
                if not well or time.monotonic() > ends_at:
                    return
                began_at = time.monotonic()
                done = await self._deliver(delivery, endpoint)
                if not done or time.monotonic() - began_at > SLOW_S:
                    well = False

        ended = await asyncio.gather(*(one(each) for each in chosen), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        return well

    async def _choose(self, due: Sequence[Delivery], now: datetime) -> list[Delivery]:
        """The first undelivered event of each object."""
        chosen: list[Delivery] = []
        seen: set[str] = set()
        for delivery in due:
            if delivery.object_id in seen:
                continue
            seen.add(delivery.object_id)
            first = await queue.first_pending(delivery)
            if first is None:
                continue
            if first.next_at > now:
                await queue.hold_back(first, first.next_at)
                continue
            chosen.append(first)
        return chosen

    async def _deliver(self, delivery: Delivery, endpoint: WebhookEndpoint) -> bool:
        """Try once; False when it failed."""
        if not await queue.claim(delivery, self._clock.now() + CLAIM):
            return True
        started = time.perf_counter()
        code, error = await self._send(delivery, endpoint)
        now = self._clock.now()
        took_ms = round((time.perf_counter() - started) * 1000)
        attempt = Attempt(now, code, error, took_ms)
        log.info(
            "webhook.attempted",
            delivery_id=delivery.id,
            endpoint_id=endpoint.id,
            status=code,
            error=error or None,
        )
        if 200 <= code < 300:
            delivered = {"status": DeliveryStatus.DELIVERED.value, "delivered_at": now}
            await store.note_attempt(delivery, attempt, delivered)
            await queue.release_next(delivery, now)
            if endpoint.failures:
                unset = ("failing_since", "resting_until")
                await store.write_endpoint(endpoint.id, {"failures": 0}, unset)
            return True
        await self._failed(delivery, endpoint, attempt)
        return False

    async def _failed(
        self, delivery: Delivery, endpoint: WebhookEndpoint, attempt: Attempt
    ) -> None:
        now = attempt.at
        if now - delivery.since >= GIVE_UP_AFTER:
            failed = {"status": DeliveryStatus.FAILED.value}
            await store.note_attempt(delivery, attempt, failed)
            await queue.release_next(delivery, now)
        else:
            pause_s = BACKOFF_S[min(delivery.attempts, len(BACKOFF_S) - 1)]
            next_at = now + timedelta(seconds=pause_s)
            await store.note_attempt(delivery, attempt, {"next_at": next_at})
            await queue.hold_back(delivery, next_at)
        since = endpoint.failing_since or now
        failures = endpoint.failures + 1
        changes = {"failures": failures, "failing_since": since}
        if failures >= REST_AFTER_FAILURES:
            changes["resting_until"] = now + REST
        if not await store.write_endpoint(endpoint.id, changes, (), _as_seen(endpoint)):
            return  # its owner has changed it since: this says nothing of it as it is now
        if attempt.status_code == GONE:
            await self._disable(endpoint, now, "it answered 410 Gone")
        elif now - since >= GIVE_UP_AFTER:
            await self._disable(endpoint, now, "it has not answered for three days")

    async def _disable(self, endpoint: WebhookEndpoint, now: datetime, reason: str) -> None:
        changes = {"status": EndpointStatus.DISABLED.value, "reason": reason, "updated_at": now}
        if not await store.write_endpoint(endpoint.id, changes, (), _as_seen(endpoint)):
            return  # deleted or changed in this moment: it is as its owner wants it
        await store.park_while_off(endpoint.id, now)
        log.error("webhook.disabled", endpoint_id=endpoint.id, reason=reason)
        stamp = str(endpoint.failing_since or now)
        await self._events.append_many(
            [
                Event(
                    id=derived_id("evt", self._secret, endpoint.id, "disabled", stamp),
                    type="webhook_endpoint.disabled",
                    object_id=endpoint.id,
                    owner=endpoint.principal,
                    object_seq=endpoint.failures + 1,
                    at=now,
                    data={"webhook_endpoint_id": endpoint.id, "reason": reason},
                )
            ]
        )

    async def _send(self, delivery: Delivery, endpoint: WebhookEndpoint) -> tuple[int, str]:
        """Post once; the answer's status and nothing else of it, or 0 and what went wrong."""
        try:
            self._webhooks.check(endpoint.url)
        except WebhookUrlRefused as refusal:
            return 0, refusal.detail
        if self._proxy is None and not self._may_go_directly:
            return 0, "there is no proxy to go through"
        now = self._clock.now()
        try:
            keys = self._webhooks.keys(endpoint)
        except KeyUnreadable as error:
            log.error("webhook.key_unreadable", endpoint_id=endpoint.id)
            return 0, error.detail
        headers = keys.headers(delivery.event_id, now, delivery.body, endpoint.generations(now)) | {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
        }
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._client(endpoint.principal).stream(
                    "POST", endpoint.url, content=delivery.body, headers=headers
                ) as answer,
            ):
                return answer.status_code, ""
        except TimeoutError:
            return 0, "no answer in time"
        except httpx.HTTPError as error:
            return 0, type(error).__name__

    def _client(self, principal: str) -> httpx.AsyncClient:
        """A merchant's own way out: the proxy gives each SOCKS user a circuit of its own."""
        client = self._clients.get(principal)
        if client is None:
            client = http_client(self._proxy, f"webhook:{principal}")
            self._clients[principal] = client
        self._clients.move_to_end(principal)
        while len(self._clients) > CLIENTS_MAX:
            self._clients.popitem(last=False)
        return client


def _as_seen(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """It is still the one that was tried: whatever its owner changes, this changes too."""
    return {"updated_at": endpoint.updated_at, "url": endpoint.url}
