"""What needs somebody, and how the house is."""

import asyncio
from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.console.charts import lag_bars
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Look, Looks
from tron_payment.console.pages import PAGE_OPT
from tron_payment.console.works import WORKS

NEEDS_ROWS: Final = 10
CHANGES: Final = "/api/v1/wallets/permission-changes"
RECENT_ROWS: Final = 8
PRICES: Final = Looks(60.0)
READINESS: Final = Looks(5.0)
COUNTS: Final = Looks(2.0)
Text = Annotated[str | None, QueryParameter(max_length=300)]
"""A parameter of a page's address."""


@get("/console", opt=PAGE_OPT)
async def overview(desk: NamedDependency[Desk], done: Text = None) -> Any:
    """What needs me, and how the house is."""
    history = "/api/v1/payouts/history"
    waiting = f"status=awaiting_approval&limit={NEEDS_ROWS}"
    stats, found = await asyncio.gather(
        _counts(desk),
        _seen(
            desk,
            service=("service:read", "/status"),
            books=("reconciliation:read", "/api/v1/payments/reconciliation"),
            quarantined=("payout:read", f"{history}?status=quarantined&limit={NEEDS_ROWS}"),
            waiting=("payout:read", f"{history}?{waiting}"),
            stuck=("payout:read", f"{history}?waiting_for=somebody&limit={NEEDS_ROWS}"),
            batches=("payout:read", f"/api/v1/payouts/batch?{waiting}"),
            signing=("signing:read", f"/api/v1/signing-requests?status=open&limit={NEEDS_ROWS}"),
            recent=("payout:read", f"{history}?limit={RECENT_ROWS}"),
            orders=("policy:read", "/api/v1/payouts/approvals"),
            changes=("wallet:override", f"{CHANGES}?status=asked&limit={NEEDS_ROWS}"),
        ),
    )
    return desk.page(
        "overview.html",
        "/console",
        done=done,
        stats=stats.value,
        service=found["service"],
        books=found["books"],
        quarantined=_rows(found["quarantined"]),
        waiting=[row for row in _rows(found["waiting"]) if not row["batch_id"]],
        stuck=_rows(found["stuck"]),
        batches=_rows(found["batches"]),
        signing=_rows(found["signing"]),
        recent=_rows(found["recent"]),
        orders=_rows(found["orders"]),
        changes=_rows(found["changes"]),
        more=any(
            (found[name] or {}).get("has_more")
            for name in ("quarantined", "waiting", "stuck", "batches", "signing", "changes")
        ),
    )


@get("/console/health", opt=PAGE_OPT)
async def health(desk: NamedDependency[Desk]) -> Any:
    """Nodes, follower, loops, database: as last seen, so that no node is waited for."""
    (status, certificates, changes), ready, fees = await asyncio.gather(
        desk.api.all(
            "/status",
            "/api/v1/tron/network/certificates?limit=5",
            "/api/v1/tron/network/parameters/changes?limit=10",
        ),
        desk.look(READINESS, "/health"),
        desk.look(PRICES, "/api/v1/tron/network/fees"),
    )
    return desk.page(
        "health.html",
        "/console/health",
        service=status,
        ready=ready,
        fees=fees,
        certificates=_rows(certificates),
        changes=_rows(changes),
        lag=lag_bars(status),
        works=WORKS,
    )


async def _counts(desk: Desk) -> Look:
    """Payouts by status; nothing for those who may not see the service."""
    if not desk.can("service:read"):
        return Look()
    return await desk.look(COUNTS, "/payout-router/stats")


async def _seen(desk: Desk, **wanted: tuple[str, str]) -> dict[str, dict[str, Any] | None]:
    """Answers of the API by name, all at once; None for what this person may not see."""
    asked = {name: path for name, (permission, path) in wanted.items() if desk.can(permission)}
    answers = await desk.api.all(*asked.values())
    return {**dict.fromkeys(wanted), **dict(zip(asked, answers, strict=True))}


def _rows(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    return found["data"] if found else []


HANDLERS: Final = (overview, health)
