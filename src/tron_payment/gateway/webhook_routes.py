"""HTTP of webhooks: endpoints, what was delivered, events to pull, notices in."""

import hashlib
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from litestar import Controller, Request, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_201_CREATED,
    HTTP_202_ACCEPTED,
    HTTP_204_NO_CONTENT,
)

from tron_payment.core.clock import rfc3339
from tron_payment.core.redaction import Silent
from tron_payment.db.acts import describe
from tron_payment.db.events import Event
from tron_payment.gateway.service import Gateway
from tron_payment.gateway.webhook_documents import Delivery, WebhookEndpoint
from tron_payment.gateway.webhook_urls import URL_LENGTH_MAX
from tron_payment.gateway.webhooks import Webhooks
from tron_payment.http.paging import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    InvalidCursor,
    Page,
    PageRequest,
    provide_page,
)
from tron_payment.http.permissions import sees_all
from tron_payment.http.principals import Principal

READ: dict[str, Any] = {"permission": "webhook:read"}
WRITE: dict[str, Any] = {"permission": "webhook:write"}
NOTICE: dict[str, Any] = {"open": True, "rate": "write", "problems": ("401",)}
TYPES_MAX = 50
SEQ_DIGITS_MAX = 18
EventType = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]+\.([a-z_]+|\*)$(?!\n)", max_length=64)]
Types = Annotated[list[EventType], msgspec.Meta(max_length=TYPES_MAX)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=URL_LENGTH_MAX)]
Description = Annotated[str, msgspec.Meta(max_length=200)]


class EndpointRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Url
    types: Types = []
    description: Description = ""
    everything: bool = False


class EndpointUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    enabled: bool | None = None


class EndpointView(Silent, msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint; `secret` is shown when it is new, and never again."""

    webhook_endpoint_id: str
    url: str
    types: list[str]
    description: str
    everything: bool
    status: str
    reason: str | None
    public_key: str
    failing_since: str | None
    secret: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(
        cls, each: WebhookEndpoint, webhooks: Webhooks, *, with_secret: bool = False
    ) -> "EndpointView":
        return cls(
            webhook_endpoint_id=each.id,
            url=each.url,
            types=each.types,
            description=each.description,
            everything=each.everything,
            status=each.status.value,
            reason=each.reason or None,
            public_key=webhooks.public_key(each),
            failing_since=None if each.failing_since is None else rfc3339(each.failing_since),
            secret=webhooks.keys(each).shared(each.generation) if with_secret else None,
            created_at=rfc3339(each.created_at),
            updated_at=rfc3339(each.updated_at),
        )


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One try; `status_code` 0 is no answer."""

    at: str
    status_code: int
    error: str | None
    took_ms: int


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    delivery_id: str
    event_id: str
    type: str
    object_id: str
    sequence: int
    status: str
    attempts: list[AttemptView]
    next_attempt_at: str | None
    delivered_at: str | None
    created_at: str

    @classmethod
    def of(cls, each: Delivery) -> "DeliveryView":
        pending = each.status.value == "pending"
        return cls(
            delivery_id=each.id,
            event_id=each.event_id,
            type=each.type,
            object_id=each.object_id,
            sequence=each.object_seq,
            status=each.status.value,
            attempts=[
                AttemptView(
                    at=rfc3339(attempt.at),
                    status_code=attempt.status_code,
                    error=attempt.error or None,
                    took_ms=attempt.took_ms,
                )
                for attempt in each.log
            ],
            next_attempt_at=rfc3339(each.next_at) if pending else None,
            delivered_at=None if each.delivered_at is None else rfc3339(each.delivered_at),
            created_at=rfc3339(each.created_at),
        )


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; `sequence` counts the events of one object."""

    event_id: str
    type: str
    object_id: str
    sequence: int
    at: str
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> "EventView":
        return cls(
            event_id=event.id,
            type=event.type,
            object_id=event.object_id,
            sequence=event.object_seq,
            at=rfc3339(event.at),
            data=event.data,
        )


class NoticeTaken(msgspec.Struct, frozen=True, kw_only=True):
    received: bool
    duplicate: bool


class WebhookEndpointController(Controller):
    """`/payments/webhook-endpoints`: where you hear of what happens."""

    path = "/payments/webhook-endpoints"
    tags = ("webhooks",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @post("/", status_code=HTTP_201_CREATED, opt=WRITE)
    async def create(
        self,
        data: JSONBody[EndpointRequest],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> EndpointView:
        """Add an endpoint; the answer has its secret, once."""
        made = await gateway.webhooks.create(
            principal,
            url=data.url,
            types=list(data.types),
            description=data.description,
            everything=data.everything,
        )
        describe(action="webhook.create", object_id=made.id, after=_facts(made))
        return EndpointView.of(made, gateway.webhooks, with_secret=True)

    @get("/", opt=READ)
    async def page(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> Page[EndpointView]:
        """Your endpoints, oldest first."""
        webhooks = gateway.webhooks
        return await gateway.webhooks.page(
            principal, page, lambda each: EndpointView.of(each, webhooks)
        )

    @get("/{endpoint_id:str}", opt=READ)
    async def read(
        self,
        endpoint_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> EndpointView:
        """One endpoint."""
        found = await gateway.webhooks.get(principal, endpoint_id)
        return EndpointView.of(found, gateway.webhooks)

    @put("/{endpoint_id:str}", opt=WRITE)
    async def update(
        self,
        endpoint_id: FromPath[str],
        data: JSONBody[EndpointUpdate],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> EndpointView:
        """Change an endpoint, or switch it on and off."""
        before = await gateway.webhooks.get(principal, endpoint_id)
        changed = await gateway.webhooks.update(
            principal,
            endpoint_id,
            url=data.url,
            types=data.types,
            description=data.description,
            enabled=data.enabled,
        )
        describe(action="webhook.update", before=_facts(before), after=_facts(changed))
        return EndpointView.of(changed, gateway.webhooks)

    @delete("/{endpoint_id:str}", status_code=HTTP_204_NO_CONTENT, opt=WRITE)
    async def delete(
        self,
        endpoint_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> None:
        """Send nothing there any more."""
        before = await gateway.webhooks.get(principal, endpoint_id)
        await gateway.webhooks.delete(principal, endpoint_id)
        describe(action="webhook.delete", before=_facts(before))

    @post("/{endpoint_id:str}/rotate-secret", status_code=HTTP_200_OK, opt=WRITE)
    async def rotate(
        self,
        endpoint_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> EndpointView:
        """A new secret; messages carry the old one's signature too for a day."""
        changed = await gateway.webhooks.rotate(principal, endpoint_id)
        describe(action="webhook.rotate", after={"generation": changed.generation})
        return EndpointView.of(changed, gateway.webhooks, with_secret=True)

    @post("/{endpoint_id:str}/ping", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def ping(
        self,
        endpoint_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> DeliveryView:
        """Send a test message; one that has not arrived yet is sent again instead of another."""
        sent = await gateway.webhooks.ping(principal, endpoint_id)
        describe(action="webhook.ping", after={"delivery_id": sent.id})
        return DeliveryView.of(sent)

    @get("/{endpoint_id:str}/deliveries", opt=READ)
    async def deliveries(
        self,
        endpoint_id: FromPath[str],
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> Page[DeliveryView]:
        """What was and is to be delivered there, newest first."""
        return await gateway.webhooks.deliveries(principal, endpoint_id, page, DeliveryView.of)

    @post(
        "/{endpoint_id:str}/deliveries/{delivery_id:str}/redeliver",
        status_code=HTTP_202_ACCEPTED,
        opt=WRITE,
    )
    async def redeliver(
        self,
        endpoint_id: FromPath[str],
        delivery_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> DeliveryView:
        """Send it again, with the same id and body."""
        again = await gateway.webhooks.redeliver(principal, endpoint_id, delivery_id)
        describe(action="webhook.redeliver", object_id=endpoint_id, after={"delivery_id": again.id})
        return DeliveryView.of(again)


class EventController(Controller):
    """`/payments/events` to pull, `/payments/webhook` for notices from outside."""

    path = "/payments"
    tags = ("webhooks",)

    @get("/events", opt={"permission": "event:read"})
    async def events(
        self,
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
        limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
        cursor: Annotated[str | None, QueryParameter(max_length=SEQ_DIGITS_MAX)] = None,
        order: Annotated[Literal["oldest", "newest"], QueryParameter()] = "oldest",
    ) -> Page[EventView]:
        """Events of your objects, oldest first. Keep `next_cursor`: it goes on from there, also
        when there is nothing more now. `order=newest` is for looking back: newest first."""
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidCursor(param="cursor")
        owner = None if sees_all(principal, "events") else principal.id
        if order == "newest":
            last = int(cursor) if cursor else None
            found = await gateway.events.before(last, owner=owner, limit=limit + 1)
        else:
            found = await gateway.events.after(int(cursor or 0), owner=owner, limit=limit + 1)
        shown = found[:limit]
        return Page(
            data=[EventView.of(each) for each in shown],
            has_more=len(found) > limit,
            next_cursor=str(shown[-1].seq) if shown else cursor,
        )

    @post("/webhook", status_code=HTTP_200_OK, opt=NOTICE)
    async def notice(
        self, request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]
    ) -> NoticeTaken:
        """Take a notice that is signed by the rules of Standard Webhooks."""
        headers = request.headers
        is_new = await gateway.notices.take(
            headers.get("webhook-id"),
            headers.get("webhook-timestamp"),
            headers.get("webhook-signature"),
            await request.body(),
        )
        return NoticeTaken(received=True, duplicate=not is_new)


def _facts(each: WebhookEndpoint) -> dict[str, Any]:
    """What the audit log keeps of an endpoint: of its address, which may hold a token, the host."""
    return {
        "host": urlsplit(each.url).hostname or "",
        "url_sha256": hashlib.sha256(each.url.encode()).hexdigest(),
        "types": list(each.types),
        "everything": each.everything,
        "status": each.status.value,
    }
