"""HTTP of the reports: JSON, or CSV for a spreadsheet."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.core.money import trx_text
from tron_payment.gateway import reports
from tron_payment.gateway.reports import Line, Period
from tron_payment.gateway.service import Gateway
from tron_payment.gateway.views import Viewer
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.module import House

READ: dict[str, Any] = {
    "permission": "report:read",
    "produces": ("application/json", "text/csv"),
}


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC) of one merchant in one currency."""

    day: str
    merchant: str
    currency: str
    invoices: int
    invoiced: str
    deposits: int
    received: str
    refunds: int
    refunded: str
    payouts: int
    paid_out: str
    fees_trx: str

    @classmethod
    def of(cls, line: Line, viewer: Viewer) -> "ReportRow":
        def count(name: str) -> int:
            return line.figures.get(name, 0)

        def amount(name: str) -> str:
            return viewer.text(line.currency, count(name))

        return cls(
            day=line.day,
            merchant=line.merchant,
            currency=line.currency,
            invoices=count("invoices"),
            invoiced=amount("invoiced"),
            deposits=count("deposits"),
            received=amount("received"),
            refunds=count("refunds"),
            refunded=amount("refunded"),
            payouts=count("payouts"),
            paid_out=amount("paid_out"),
            fees_trx=trx_text(count("fees_sun")),
        )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`from` and `to` are the first and the last day."""

    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")
    data: list[ReportRow]


class ReportController(Controller):
    """`/payments/reports`: by day, merchant and currency."""

    path = "/payments/reports"
    tags = ("payments",)

    @get("/", opt=READ)
    async def report(
        self,
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
        house: NamedDependency[House],
        first: Annotated[date | None, QueryParameter(name="from")] = None,
        last: Annotated[date | None, QueryParameter(name="to")] = None,
        form: Annotated[Literal["json", "csv"], QueryParameter(name="format")] = "json",
    ) -> Response[Report] | Response[str]:
        """The last 30 days, or those from `from` to `to`; `format=csv` for a spreadsheet."""
        period = Period.of(first, last, house.clock.now().date())
        found = await reports.lines(period, owner_filter(principal, "reports"))
        rows = [ReportRow.of(line, gateway.viewer) for line in found]
        if form == "csv":
            names = list(ReportRow.__struct_fields__)
            text = reports.csv_text([msgspec.structs.asdict(row) for row in rows], names)
            name = f"payments-{period.first}-{period.last}.csv"
            return Response(
                text,
                media_type="text/csv; charset=utf-8",
                headers={"Content-Disposition": f'attachment; filename="{name}"'},
            )
        return Response(
            Report(first=period.first.isoformat(), last=period.last.isoformat(), data=rows)
        )
