"""Webhooks: endpoints, deliveries, redelivery; and the events that they carry."""

import json
from typing import Any, Final

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.forms import FORM_OPT, form_of
from tron_payment.console.happenings import sentence
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

ENDPOINTS: Final = "/api/v1/payments/webhook-endpoints"
EVENTS: Final = "/api/v1/payments/events"
PAGE_ROWS: Final = 25
PENDING: Final = "pending"


@get("/console/webhooks", opt=PAGE_OPT)
async def webhooks(desk: NamedDependency[Desk], cursor: Text = None) -> Any:
    """Endpoints, and the form for a new one."""
    return await _endpoints(desk, None, cursor)


@post("/console/webhooks", status_code=200, opt=FORM_OPT)
async def create(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Any:
    """Make an endpoint; its secret is on this page only."""
    fields = await form_of(request)
    made = await desk.api.call(
        "POST",
        ENDPOINTS,
        {
            "url": fields.get("url", ""),
            "types": fields.get("types", "").replace(",", " ").split(),
            "description": fields.get("description", ""),
        },
    )
    return await _endpoints(desk, made, None)


@get("/console/webhooks/{endpoint_id:str}", opt=PAGE_OPT)
async def endpoint(
    endpoint_id: FromPath[str], desk: NamedDependency[Desk], cursor: Text = None, done: Text = None
) -> Any:
    """One endpoint with its deliveries, newest first."""
    path = at(ENDPOINTS + "/{id}", id=endpoint_id)
    found = await desk.api.get(path)
    rows = await desk.api.get(f"{path}/deliveries", cursor=cursor, limit=PAGE_ROWS)
    return desk.page(
        "webhook.html",
        "/console/webhooks",
        done=done,
        endpoint=found,
        rows=rows,
        moving=cursor is None and any(row["status"] == PENDING for row in rows["data"]),
    )


@get("/console/events", opt=PAGE_OPT)
async def events(desk: NamedDependency[Desk], cursor: Text = None) -> Any:
    """Events, newest first, each as a sentence and with its content."""
    rows = await desk.api.get(EVENTS, cursor=cursor, limit=PAGE_ROWS, order="newest")
    for row in rows["data"]:
        row["sentence"] = sentence(row)
        row["text"] = json.dumps(row["data"], indent=2, ensure_ascii=False)
    return desk.page("events.html", "/console/events", rows=rows)


async def _endpoints(desk: Desk, made: dict[str, Any] | None, cursor: str | None) -> Any:
    rows = await desk.api.get(ENDPOINTS, cursor=cursor, limit=PAGE_ROWS)
    return desk.page("webhooks.html", "/console/webhooks", rows=rows, made=made)


HANDLERS: Final = (webhooks, create, endpoint, events)
