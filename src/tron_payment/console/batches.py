"""Batches: a CSV is checked row by row and priced before anything is sent."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from tron_payment.console.api import ApiProblem, at
from tron_payment.console.desk import Desk
from tron_payment.console.forms import UPLOAD_OPT, new_key, upload_of
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT
from tron_payment.console.payouts import MOVING

BATCHES: Final = "/api/v1/payouts/batch"
CSV: Final = "text/csv"
PAGE_ROWS: Final = 25
SHOWN_QUOTES: Final = 200
"""Checked rows that the page lists; the totals count all."""

SHOWN_BEFORE: Final = 5
"""Batches and payouts that are named as those in which rows were sent before; pairs of rows."""

STATUSES: Final = (
    "awaiting_approval", "queued", "processing", "completed", "completed_with_errors", "canceled",
)  # fmt: skip


@get("/console/batches", opt=PAGE_OPT)
async def batches(
    desk: NamedDependency[Desk], status: Text = None, cursor: Text = None, done: Text = None
) -> Any:
    """Batches, newest first, and the upload."""
    rows = await desk.api.get(BATCHES, status=status, cursor=cursor, limit=PAGE_ROWS)
    return _list(desk, rows, status, done)


@post("/console/batches", status_code=200, opt=UPLOAD_OPT)
async def check(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Any:
    """Say of each row what would become of it and what all would cost; nothing is sent."""
    fields = await upload_of(request)
    content = fields.get("file", "") or fields.get("content", "")
    path = f"{BATCHES}?dry_run=true"
    try:
        checked = await desk.api.send(path, content.encode(), CSV)
    except ApiProblem as refusal:
        rows = await desk.api.get(BATCHES, limit=PAGE_ROWS)
        return _list(desk, rows, None, None, refusal.detail, content)
    return desk.page(
        "batch_check.html",
        "/console/batches",
        checked=checked,
        before=_before(checked["quotes"][:SHOWN_QUOTES]),
        same=[row for row in checked["quotes"] if row["same_as_row"]][:SHOWN_BEFORE],
        content=content,
        key=new_key(),
        shown=SHOWN_QUOTES,
    )


@post("/console/batches/send", opt=UPLOAD_OPT)
async def send(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Send what was checked; the form's key makes a second press find the first one's batch."""
    fields = await upload_of(request)
    made = await desk.api.send(
        BATCHES, fields.get("content", "").encode(), CSV, key=fields.get("key") or new_key()
    )
    where = at("/console/batches/{id}", id=made["batch_id"])
    return Redirect(where, status_code=HTTP_303_SEE_OTHER)


@get("/console/batches/{batch_id:str}", opt=PAGE_OPT)
async def batch(
    batch_id: FromPath[str], desk: NamedDependency[Desk], cursor: Text = None, done: Text = None
) -> Any:
    """One batch with its rows, accepted and refused."""
    found = await desk.api.get(at(BATCHES + "/{id}", id=batch_id), cursor=cursor, limit=PAGE_ROWS)
    ended = sum(count for status, count in found["counts"].items() if status not in MOVING)
    return desk.page(
        "batch.html",
        "/console/batches",
        done=done,
        batch=found,
        ended=ended,
        moving=found["status"] in MOVING,
    )


@get("/console/batches/{batch_id:str}/export", opt={**PAGE_OPT, "produces": (CSV, "text/html")})
async def export(batch_id: FromPath[str], desk: NamedDependency[Desk]) -> Response[bytes]:
    """Every row of the upload with what became of it."""
    content, media_type = await desk.api.file(at(BATCHES + "/{id}/export", id=batch_id))
    name = at("{id}.csv", id=batch_id)
    return Response(
        content,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _before(quotes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Batches, single payouts and schedules that rows were sent in before, newest first."""
    found: dict[str, dict[str, Any]] = {}
    for each in (row["earlier"] for row in quotes if row["earlier"]):
        name = each["batch_id"] or each["payout_id"] or each["schedule_id"]
        seen = found.setdefault(name, {**each, "count": 0})
        seen["count"] += 1
    newest = sorted(found.values(), key=lambda each: each["created_at"], reverse=True)
    return newest[:SHOWN_BEFORE]


def _list(
    desk: Desk,
    rows: dict[str, Any],
    status: str | None,
    done: str | None,
    problem: str | None = None,
    content: str = "",
) -> Any:
    return desk.page(
        "batches.html",
        "/console/batches",
        done=done,
        rows=rows,
        chosen=status or "",
        statuses=STATUSES,
        problem=problem,
        content=content,
    )


HANDLERS: Final = (batches, check, send, batch, export)
