"""What people look over: orders to approve, what is in quarantine, and the audit log."""

import json
from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Looks
from tron_payment.console.overview import CHANGES, NEEDS_ROWS, Text
from tron_payment.console.pages import PAGE_OPT

APPROVALS: Final = "/api/v1/payouts/approvals"
QUARANTINE: Final = "/api/v1/payouts/quarantine"
UNEXPLAINED: Final = "/api/v1/policy/unexplained"
UNPROVED: Final = "/api/v1/policy/unproved"
AUDIT: Final = "/api/v1/audit"
PAGE_ROWS: Final = 50
AUDIT_FILTERS: Final = ("object_id", "actor", "action")
"""The audit log is searched by one of them: each has its index."""

PLACES: Final = {
    "pay_": "/console/payouts/",
    "bat_": "/console/batches/",
    "wal_": "/console/wallets/",
    "inv_": "/console/payments/",
    "whk_": "/console/webhooks/",
    "sig_": "/console/signing/",
    "prm_": "/console/permission-changes/",
}
"""Which page shows a thing, by the beginning of its id."""


EVIDENCE: Final = Looks(60.0)
"""What the chain proves: nodes may be asked for every block of a transaction's lifetime."""


@get("/console/approvals", opt=PAGE_OPT)
async def approvals(desk: NamedDependency[Desk], done: Text = None) -> Any:
    """Everything that waits for somebody's approval: transfers and refunds, payouts, batches, and
    who may sign for an account."""
    orders = await desk.api.get(APPROVALS)
    payouts, batches, changes = await desk.api.all(
        f"/api/v1/payouts/history?status=awaiting_approval&limit={PAGE_ROWS}",
        f"/api/v1/payouts/batch?status=awaiting_approval&limit={NEEDS_ROWS}",
        f"{CHANGES}?status=asked&limit={PAGE_ROWS}",
    )
    return desk.page(
        "approvals.html",
        "/console/approvals",
        done=done,
        orders=orders["data"],
        payouts=[row for row in payouts["data"] if not row["batch_id"]] if payouts else [],
        batches=batches["data"] if batches else [],
        changes=changes["data"] if changes else [],
    )


@get("/console/permission-changes/{change_id:str}", opt=PAGE_OPT)
async def permission_change(
    change_id: FromPath[str], desk: NamedDependency[Desk], done: Text = None
) -> Any:
    """Who would sign for an account, as one person asks for it; another one agrees or refuses."""
    found = await desk.api.get(at(CHANGES + "/{id}", id=change_id))
    return desk.page(
        "permission_change.html",
        "/console/approvals",
        done=done,
        change=found,
        own=found["asked_by"] == desk.visitor.subject,
    )


@get("/console/quarantine", opt=PAGE_OPT)
async def quarantine(desk: NamedDependency[Desk], done: Text = None) -> Any:
    """What the chain contradicts, movements of our money that nobody here ordered, and TRX that too
    few nodes tell."""
    held = await desk.api.get(QUARANTINE)
    unexplained, unproved = await desk.api.all(UNEXPLAINED, UNPROVED)
    return desk.page(
        "quarantine.html",
        "/console/quarantine",
        done=done,
        held=held["data"],
        unexplained=unexplained["data"] if unexplained else [],
        unproved=unproved["data"] if unproved else [],
    )


@get("/console/quarantine/{object_id:str}", opt=PAGE_OPT)
async def quarantined(
    object_id: FromPath[str],
    desk: NamedDependency[Desk],
    done: Text = None,
    look: Text = None,
) -> Any:
    """One thing in quarantine: what the chain proves, what was proposed, and the decision.

    What the chain proves comes after; with `look` the page waits for it.
    """
    path = at(QUARANTINE + "/{id}", id=object_id)
    found = await desk.api.get(path, look="false")
    seen = await desk.look(EVIDENCE, path, patient=bool(look))
    return desk.page(
        "quarantined.html",
        "/console/quarantine",
        done=done,
        held=found,
        seen=seen,
        proves=seen.value["proves"] if seen.value else None,
        evidence=[_plain(each) for each in seen.value["evidence"]] if seen.value else [],
        own=bool(found["case"]) and found["case"]["proposed_by"] == desk.visitor.subject,
    )


@get("/console/audit", opt=PAGE_OPT)
async def audit(
    desk: NamedDependency[Desk],
    by: Text = None,
    find: Text = None,
    since: Text = None,
    cursor: Text = None,
) -> Any:
    """Who did what to which object, newest first, and the head that fixes all of it."""
    name = by if by in AUDIT_FILTERS else AUDIT_FILTERS[0]
    find = (find or "").strip()
    wanted = {name: find} if find else {}
    after = f"{since}T00:00:00Z" if since else None
    rows = await desk.api.get(AUDIT, limit=PAGE_ROWS, cursor=cursor, created_after=after, **wanted)
    head = await desk.api.maybe(f"{AUDIT}/head")
    for row in rows["data"]:
        row["text"] = _change(row)
        row["link"] = link_of(row["object_id"])
    return desk.page(
        "audit.html",
        "/console/audit",
        rows=rows,
        head=head,
        head_text=json.dumps(head) if head else "",
        by=name,
        filters=AUDIT_FILTERS,
        find=find,
        since=since or "",
    )


@get("/console/audit/head.json", opt={**PAGE_OPT, "produces": ("application/json", "text/html")})
async def audit_head(desk: NamedDependency[Desk]) -> Response[str]:
    """The head of the audit log as a file, to be kept where this installation cannot reach."""
    head = await desk.api.get(f"{AUDIT}/head")
    name = f"audit-head-{head['seq']}.json"
    return Response(
        json.dumps(head) + "\n",
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def link_of(object_id: str) -> str:
    """The page of a thing; empty when it has none."""
    place = PLACES.get(object_id[:4])
    return at(place + "{id}", id=object_id) if place and "/" not in object_id else ""


def _change(row: dict[str, Any]) -> str:
    """What an act changed, as text; empty when it says nothing of it."""
    shown = {name: row[name] for name in ("before", "after") if row[name]}
    return json.dumps(shown, indent=2, ensure_ascii=False) if shown else ""


def _plain(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """One piece of evidence as names and values, the empty ones left out."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in evidence.items()
        if value not in (None, "", {})
    ]


HANDLERS: Final = (approvals, permission_change, quarantine, quarantined, audit, audit_head)
