"""Books: ledger against chain, and the reports for the bookkeeper."""

from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.console.accounts import names, routers
from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Look, Looks
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

BOOKS: Final = "/api/v1/payments/reconciliation"
REPORTS: Final = "/api/v1/payments/reports"
CSV: Final = "text/csv"
JSON: Final = "application/json"
ROWS_SHOWN: Final = 1_000
"""Rows that the API shows of a report; the signed file has more."""

DAYS: Final = Looks(60.0)
"""The last 30 days, added up."""


@get("/console/books", opt=PAGE_OPT)
async def books(desk: NamedDependency[Desk], done: Text = None, look: Text = None) -> Any:
    """The last reconciliation: ledger against chain at one solidified block.

    Beside it the last 30 days: these are added up for it, and with `look` the page waits.
    """
    report = await desk.api.get(BOOKS)
    days = Look()
    if desk.can("report:read"):
        days = await desk.look(DAYS, REPORTS, patient=bool(look))
    listed = {row["address"] for row in report["rows"]}
    return desk.page(
        "books.html",
        "/console/books",
        done=done,
        report=report,
        listed=len(listed) if len(report["rows"]) < ROWS_SHOWN else None,
        names=names(await routers(desk.api)),
        days=days,
    )


@get("/console/books/report.csv", opt={**PAGE_OPT, "produces": (CSV, "text/html")})
async def report_file(desk: NamedDependency[Desk]) -> Response[bytes]:
    """The last 30 days by day, merchant and currency."""
    content, media_type = await desk.api.file(REPORTS, format="csv")
    return _download(content, media_type, "payments.csv")


@get("/console/books/{reconciliation_id:str}", opt={**PAGE_OPT, "produces": (JSON, "text/html")})
async def signed_file(
    reconciliation_id: FromPath[str], desk: NamedDependency[Desk]
) -> Response[bytes]:
    """A reconciliation's signed file, byte for byte."""
    content, media_type = await desk.api.file(at(BOOKS + "/{id}/file", id=reconciliation_id))
    return _download(content, media_type, at("{id}.json", id=reconciliation_id))


def _download(content: bytes, media_type: str, name: str) -> Response[bytes]:
    return Response(
        content,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


HANDLERS: Final = (books, report_file, signed_file)
