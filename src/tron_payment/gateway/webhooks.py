"""Use cases of webhook endpoints: make, look, change, rotate, and what was delivered there."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
import structlog

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import Conflict, NotFound, Refused
from tron_payment.core.ids import derived_id, new_id
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.db.events import Event, Events
from tron_payment.gateway import webhook_documents as store
from tron_payment.gateway.webhook_documents import (
    Delivery,
    DeliveryStatus,
    EndpointStatus,
    WebhookEndpoint,
)
from tron_payment.gateway.webhook_signing import ROOT_BYTES, EndpointKeys, Root
from tron_payment.gateway.webhook_urls import LOOPBACK, check_url
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter, sees_all
from tron_payment.http.principals import Principal
from tron_payment.settings import Settings
from tron_payment.wallets import KeyUnreadable, Sealing

log = structlog.get_logger()

ENDPOINTS_PER_PRINCIPAL_MAX: Final = 20
PREVIOUS_SECRET_LIFETIME: Final = timedelta(hours=24)
PING: Final = "webhook_endpoint.ping"
RESEALED_AT_ONCE: Final = 500

V = TypeVar("V")


class EndpointNotFound(NotFound, code="webhook_endpoint_not_found"):
    """There is no such webhook endpoint, or it is not yours."""


class DeliveryNotFound(NotFound, code="delivery_not_found"):
    """There is no such delivery to this endpoint."""


class TooManyEndpoints(Conflict, code="too_many_endpoints"):
    """You have as many webhook endpoints as one may have."""


class EndpointDisabled(Conflict, code="endpoint_disabled"):
    """The endpoint is disabled; enable it first."""


class NotYourEvents(Refused, code="not_your_events"):
    """You may hear of your own objects only."""


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a rotation of the key-encryption keys did to roots."""

    resealed: int
    unreadable: tuple[str, ...]
    """Endpoints whose root does not open: the older key is missing, or their secret is rotated."""


class Webhooks:
    """The webhook endpoints of this installation.

    Args:
        secret: The installation's; ids are derived from it, and the keys of older endpoints.
        sealing: Closes and opens the endpoints' roots.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        sealing: Sealing,
        events: Events,
        settings: Settings,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._sealing = sealing
        self._events = events
        self._allow_loopback = settings.is_development
        names = (urlsplit(url).hostname for url in (settings.base_url, settings.api_gateway_url))
        self._denied = tuple(name for name in names if name and name not in LOOPBACK)

    def keys(self, endpoint: WebhookEndpoint) -> EndpointKeys:
        """What signs for it.

        Raises:
            KeyUnreadable: Its root does not open with the keys of this process.
        """
        if endpoint.root is None:
            return EndpointKeys(self._secret, endpoint.id, None)
        opened = self._sealing.open(_owner(endpoint.id), endpoint.root)
        root = Root(opened, endpoint.root_first, endpoint.root_last)
        return EndpointKeys(self._secret, endpoint.id, root)

    def public_key(self, endpoint: WebhookEndpoint) -> str:
        """What a receiver checks its Ed25519 signatures with."""
        if endpoint.root_first <= endpoint.generation <= endpoint.root_last:
            return endpoint.public_key
        return EndpointKeys(self._secret, endpoint.id, None).public(endpoint.generation)

    def check(self, url: str) -> None:
        """
        Raises:
            WebhookUrlRefused
        """
        check_url(url, denied=self._denied, allow_loopback=self._allow_loopback)

    async def create(
        self,
        principal: Principal,
        *,
        url: str,
        types: list[str],
        description: str = "",
        everything: bool = False,
    ) -> WebhookEndpoint:
        """Make an endpoint that hears of everything from now on.

        Raises:
            WebhookUrlRefused, NotYourEvents, TooManyEndpoints
        """
        self.check(url)
        if everything and not sees_all(principal, "events"):
            raise NotYourEvents(param="everything")
        if await store.count_endpoints(principal.id) >= ENDPOINTS_PER_PRINCIPAL_MAX:
            raise TooManyEndpoints
        now = self._clock.now()
        endpoint_id = new_id("whk")
        endpoint = WebhookEndpoint(
            id=endpoint_id,
            **self._new_root(endpoint_id, 1),
            principal=principal.id,
            url=url,
            description=description,
            types=types,
            everything=everything,
            from_seq=await self._events.head_seq(),
            created_at=now,
            updated_at=now,
        )
        await insert_once(endpoint)
        return endpoint

    async def get(self, principal: Principal, endpoint_id: str) -> WebhookEndpoint:
        """
        Raises:
            EndpointNotFound
        """
        found = await store.endpoint(endpoint_id, owner_filter(principal, "webhooks"))
        if found is None:
            raise EndpointNotFound
        return found

    async def page(
        self, principal: Principal, page: PageRequest, view: Callable[[WebhookEndpoint], V]
    ) -> Page[V]:
        """Endpoints, oldest first."""
        where: dict[str, Any] = owner_filter(principal, "webhooks")
        asked = [status.value for status in page.statuses_of(EndpointStatus)]
        shown = asked or [EndpointStatus.ENABLED.value, EndpointStatus.DISABLED.value]
        where["status"] = {"$in": [each for each in shown if each != EndpointStatus.DELETED.value]}
        return await fetch_page(WebhookEndpoint, where, page, view)

    async def update(
        self, principal: Principal, endpoint_id: str, **changes: Any
    ) -> WebhookEndpoint:
        """Change url, types, description, or switch on and off.

        Raises:
            EndpointNotFound, WebhookUrlRefused
        """
        endpoint = await self.get(principal, endpoint_id)
        now = self._clock.now()
        enabled = changes.pop("enabled", None)
        fields = {name: value for name, value in changes.items() if value is not None}
        if "url" in fields:
            self.check(fields["url"])
        unset: tuple[str, ...] = ()
        if enabled is not None:
            status = EndpointStatus.ENABLED if enabled else EndpointStatus.DISABLED
            fields |= {"status": status.value, "reason": "" if enabled else "by its owner"}
            fields |= {"failures": 0}
            unset = ("failing_since", "resting_until")
        if not await store.write_endpoint(endpoint.id, fields | {"updated_at": now}, unset):
            raise EndpointNotFound
        if enabled:
            await store.unpark(endpoint.id, now)
        elif enabled is not None:
            await store.park_while_off(endpoint.id, now)
        return await self.get(principal, endpoint_id)

    async def rotate(self, principal: Principal, endpoint_id: str) -> WebhookEndpoint:
        """A new secret; what is sent carries both signatures for a day.

        An endpoint that has no root of its own yet, or one that does not open any more, gets one:
        then its public key is another one, too.

        Raises:
            EndpointNotFound
            LostRace: It was rotated in this moment by another request.
        """
        endpoint = await self.get(principal, endpoint_id)
        now = self._clock.now()
        following = endpoint.generation + 1
        changes: dict[str, Any] = {
            "generation": following,
            "previous_until": now + PREVIOUS_SECRET_LIFETIME,
            "updated_at": now,
        }
        is_own = endpoint.root is not None and endpoint.root_last == endpoint.generation
        if is_own and self._opens(endpoint):
            changes["root_last"] = following
        else:
            changes |= self._new_root(endpoint.id, following)
            if is_own:
                changes["previous_until"] = now  # nobody signs with the last one any more
        as_seen = {"generation": endpoint.generation}
        if not await store.write_endpoint(endpoint.id, changes, (), as_seen):
            await self.get(principal, endpoint_id)
            raise LostRace(f"the secret of {endpoint.id} was rotated in this moment")
        return await self.get(principal, endpoint_id)

    async def reseal(self) -> Resealed:
        """Wrap every root under the newest key; the roots stay. Safe to repeat."""
        resealed, unreadable = 0, set[str]()
        current = self._sealing.current
        while batch := await store.under_other_keks(
            current, skip=unreadable, limit=RESEALED_AT_ONCE
        ):
            for each in batch:
                assert each.root is not None
                as_seen = {"generation": each.generation, "root.kek_id": each.root["kek_id"]}
                try:
                    root = self._sealing.reseal(_owner(each.id), each.root)
                except KeyUnreadable:
                    unreadable.add(each.id)
                    log.error("webhook.key_unreadable", endpoint_id=each.id)
                    continue
                if await store.write_endpoint(each.id, {"root": root}, (), as_seen):
                    resealed += 1
        return Resealed(resealed, tuple(sorted(unreadable)))

    def _opens(self, endpoint: WebhookEndpoint) -> bool:
        try:
            self.keys(endpoint)
        except KeyUnreadable:
            return False
        return True

    def _new_root(self, endpoint_id: str, generation: int) -> dict[str, Any]:
        """The fields of a root that begins with this generation."""
        raw = secrets.token_bytes(ROOT_BYTES)
        root = Root(raw, generation, generation)
        return {
            "root": self._sealing.seal(_owner(endpoint_id), raw),
            "root_first": generation,
            "root_last": generation,
            "public_key": EndpointKeys(self._secret, endpoint_id, root).public(generation),
        }

    async def delete(self, principal: Principal, endpoint_id: str) -> None:
        """Send nothing there any more.

        Raises:
            EndpointNotFound
        """
        endpoint = await self.get(principal, endpoint_id)
        now = self._clock.now()
        changes = {"status": EndpointStatus.DELETED.value, "updated_at": now}
        if not await store.write_endpoint(endpoint.id, changes, ("root",)):
            raise EndpointNotFound
        await store.park_while_off(endpoint.id, now)

    async def ping(self, principal: Principal, endpoint_id: str) -> Delivery:
        """Send a test message. One that has not arrived yet is sent again now, instead of another.

        Raises:
            EndpointNotFound, EndpointDisabled
        """
        endpoint = await self.get(principal, endpoint_id)
        if endpoint.status is not EndpointStatus.ENABLED:
            raise EndpointDisabled
        now = self._clock.now()
        if (waiting := await store.waiting_ping(endpoint.id, now)) is not None:
            return waiting
        event = Event(
            id=new_id("evt"),
            seq=store.PING_SEQ,
            type=PING,
            object_id=endpoint.id,
            owner=endpoint.principal,
            object_seq=0,
            at=now,
            data={"webhook_endpoint_id": endpoint.id},
        )
        delivery = delivery_of(self._secret, endpoint, event, now)
        await insert_once(delivery)
        return delivery

    async def deliveries(
        self,
        principal: Principal,
        endpoint_id: str,
        page: PageRequest,
        view: Callable[[Delivery], V],
    ) -> Page[V]:
        """What was and is to be delivered there, newest first.

        Raises:
            EndpointNotFound
        """
        endpoint = await self.get(principal, endpoint_id)
        where: dict[str, Any] = {"endpoint_id": endpoint.id}
        if statuses := page.statuses_of(DeliveryStatus):
            where["status"] = {"$in": [each.value for each in statuses]}
        return await fetch_page(Delivery, where, page, view, newest_first=True)

    async def redeliver(self, principal: Principal, endpoint_id: str, delivery_id: str) -> Delivery:
        """Send it again, with the same id and body.

        Raises:
            EndpointNotFound, DeliveryNotFound, EndpointDisabled
        """
        endpoint = await self.get(principal, endpoint_id)
        if endpoint.status is not EndpointStatus.ENABLED:
            raise EndpointDisabled
        delivery = await store.redeliver(delivery_id, endpoint.id, self._clock.now())
        if delivery is None:
            raise DeliveryNotFound
        return delivery


def _owner(endpoint_id: str) -> str:
    """The name that a root is bound to: copied to another endpoint, it does not open."""
    return f"webhook:{endpoint_id}"


def delivery_of(secret: bytes, endpoint: WebhookEndpoint, event: Event, now: datetime) -> Delivery:
    """An event for an endpoint; the same two are always the same delivery."""
    return Delivery(
        id=derived_id("dlv", secret, endpoint.id, event.id),
        endpoint_id=endpoint.id,
        event_id=event.id,
        event_seq=event.seq,
        type=event.type,
        object_id=event.object_id,
        object_seq=event.object_seq,
        body=body_of(event),
        next_at=now,
        since=now,
        created_at=now,
    )


def body_of(event: Event) -> bytes:
    """What is sent: `sequence` counts the events of one object from 1 on, without gaps."""
    return msgspec.json.encode(
        {
            "id": event.id,
            "type": event.type,
            "timestamp": rfc3339(event.at),
            "object_id": event.object_id,
            "sequence": event.object_seq,
            "data": event.data,
        }
    )
