"""HTTP of the exports: begin one, see how far it is, fetch the file."""

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import rfc3339
from tron_payment.db.acts import describe
from tron_payment.gateway.export_documents import Export, ExportKind
from tron_payment.gateway.export_entries import parse_rates
from tron_payment.gateway.reports import Period
from tron_payment.gateway.service import Gateway
from tron_payment.http.principals import Principal
from tron_payment.module import House

READ: dict[str, Any] = {"permission": "report:read"}
MEDIA: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson; charset=utf-8",
}
RATES_MAX = 50

CurrencyCode = Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
RateText = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which days, and what of them.

    `kind`: `days` for the figures by day, merchant and currency, `entries` for every movement.
    `rates`: what one unit of a currency is worth in `value_currency`, such as
    `{"USDT": "0.92"}`; each entry of that currency then has its value.
    """

    kind: ExportKind = ExportKind.ENTRIES
    form: Literal["csv", "jsonl"] = msgspec.field(name="format", default="csv")
    first: date | None = msgspec.field(name="from", default=None)
    last: date | None = msgspec.field(name="to", default=None)
    value_currency: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$(?!\n)")] | None = None
    rates: Annotated[dict[CurrencyCode, RateText], msgspec.Meta(max_length=RATES_MAX)] = {}


class ExportView(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is: `days_done` of `days_total`. The file stays until `expires_at`.

    `waiting_for`: `follower` while a day is over and its last blocks are not applied yet; else
    null.
    """

    export_id: str
    kind: str
    form: str = msgspec.field(name="format")
    status: str
    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")
    days_done: int
    days_total: int
    rows: int
    reason: str | None
    waiting_for: str | None
    created_at: str
    finished_at: str | None
    expires_at: str

    @classmethod
    def of(cls, export: Export) -> "ExportView":
        return cls(
            export_id=export.id,
            kind=export.kind.value,
            form=export.form,
            status=export.status.value,
            first=export.first.date().isoformat(),
            last=export.last.date().isoformat(),
            days_done=export.days_done,
            days_total=export.days_total,
            rows=export.rows,
            reason=export.reason or None,
            waiting_for=export.waiting_for or None,
            created_at=rfc3339(export.created_at),
            finished_at=None if export.finished_at is None else rfc3339(export.finished_at),
            expires_at=rfc3339(export.expires_at),
        )


class ExportController(Controller):
    """`/payments/exports`: reports that are written in the background."""

    path = "/payments/exports"
    tags = ("payments",)

    @post("/", status_code=HTTP_202_ACCEPTED, opt=READ)
    async def request(
        self,
        data: JSONBody[ExportRequest],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
        house: NamedDependency[House],
    ) -> ExportView:
        """Begin an export; ask for it until it is `finished`, then fetch its file."""
        export = await gateway.exports.request(
            principal,
            data.kind,
            data.form,
            Period.of(data.first, data.last, house.clock.now().date()),
            data.value_currency or "",
            parse_rates(data.rates),
        )
        describe(
            action="export.request",
            object_id=export.id,
            after={"kind": export.kind.value, "format": export.form},
        )
        return ExportView.of(export)

    @get("/{export_id:str}", opt=READ)
    async def read(
        self,
        export_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> ExportView:
        """How far it is."""
        return ExportView.of(await gateway.exports.get(principal, export_id))

    @get("/{export_id:str}/file", opt=READ | {"produces": ("text/csv", "application/x-ndjson")})
    async def file(
        self,
        export_id: FromPath[str],
        principal: NamedDependency[Principal],
        gateway: NamedDependency[Gateway],
    ) -> Stream:
        """The finished file."""
        export, parts = await gateway.exports.file(principal, export_id)
        name = f"{export.kind}-{export.first.date()}-{export.last.date()}.{export.form}"
        return Stream(
            parts,
            media_type=MEDIA[export.form],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
