"""HTTP of the reports: JSON, or CSV for a spreadsheet."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.gateway import reports
from tron_payment.gateway.report_rows import ReportRow
from tron_payment.gateway.reports import Period
from tron_payment.gateway.service import Gateway
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.module import House

READ: dict[str, Any] = {
    "permission": "report:read",
    "produces": ("application/json", "text/csv"),
}


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
        of: Annotated[
            Literal["invoices", "deposits", "refunds", "payouts"] | None, QueryParameter()
        ] = None,
    ) -> Response[Report] | Response[str]:
        """The last 30 days, or those from `from` to `to`; `format=csv` for a spreadsheet.

        With `of` only that is added up, which is quicker; the figures of all else are 0.
        """
        period = Period.of(first, last, house.clock.now().date())
        found = await reports.lines(period, owner_filter(principal, "reports"), of)
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
