"""What needs somebody, and how the house is."""

from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.console.charts import lag_bars
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Kept
from tron_payment.console.pages import PAGE_OPT

NEEDS_ROWS: Final = 10
RECENT_ROWS: Final = 8
STATS: Final = Kept(10.0)
"""They count every payout that there is."""

Text = Annotated[str | None, QueryParameter(max_length=300)]
"""A parameter of a page's address."""


@get("/console", opt=PAGE_OPT)
async def overview(desk: NamedDependency[Desk], done: Text = None) -> Any:
    """What needs me, and how the house is."""
    history = "/api/v1/payouts/history"
    (
        stats,
        status,
        books,
        quarantined,
        waiting,
        batches,
        signing,
        recent,
        orders,
    ) = await desk.api.all(
        "/stats",
        "/status",
        "/api/v1/payments/reconciliation",
        f"{history}?status=quarantined&limit={NEEDS_ROWS}",
        f"{history}?status=awaiting_approval&limit={NEEDS_ROWS}",
        f"/api/v1/payouts/batch?status=awaiting_approval&limit={NEEDS_ROWS}",
        f"/api/v1/signing-requests?status=open&limit={NEEDS_ROWS}",
        f"{history}?limit={RECENT_ROWS}",
        "/api/v1/payouts/approvals",
    )
    return desk.page(
        "overview.html",
        "/console",
        done=done,
        stats=stats,
        service=status,
        books=books,
        quarantined=_rows(quarantined),
        waiting=[row for row in _rows(waiting) if not row["batch_id"]],
        batches=_rows(batches),
        signing=_rows(signing),
        recent=_rows(recent),
        orders=_rows(orders),
    )


@get("/console/health", opt=PAGE_OPT)
async def health(desk: NamedDependency[Desk]) -> Any:
    """Nodes, follower, loops, database."""
    status, ready, fees, certificates, changes = await desk.api.all(
        "/status",
        "/health",
        "/api/v1/tron/network/fees",
        "/api/v1/tron/network/certificates?limit=5",
        "/api/v1/tron/network/parameters/changes?limit=10",
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
    )


def _rows(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    return found["data"] if found else []


HANDLERS: Final = (overview, health)
