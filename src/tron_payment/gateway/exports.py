"""Reports too long to wait for: written in the background, a day at a time, with progress.

A day that is over is written when the chain's part of it is applied: a payment of its last minute
is final only a minute later, and would be missing for ever from a file that calls itself finished.
A day that is not over is written as it is.

A day is read, stored in pieces under derived ids, and then one compare-and-set moves the export
on; dying anywhere repeats the day and replaces its pieces.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import msgspec
import structlog

from tron_payment.chain import Cursors
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.errors import AppError, Conflict, NotFound
from tron_payment.core.ids import new_id
from tron_payment.db.cas import LostRace
from tron_payment.gateway import export_documents as store
from tron_payment.gateway import reports
from tron_payment.gateway.export_documents import Export, ExportKind, ExportStatus
from tron_payment.gateway.export_entries import Entries, EntryRow
from tron_payment.gateway.report_rows import ReportRow
from tron_payment.gateway.reports import Period, ReportTooLarge
from tron_payment.gateway.views import Viewer
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal

RUNNING_PER_PRINCIPAL_MAX: Final = 3
ROWS_MAX: Final = 1_000_000
PART_ROWS: Final = 2_000
KEPT: Final = timedelta(days=7)
FOLLOWER: Final = "follower"
"""What an export waits for: `waiting_for`."""

log = structlog.get_logger()


class ExportNotFound(NotFound, code="export_not_found"):
    """There is no such export, or it is not yours, or it has been removed after a week."""


class ExportNotFinished(Conflict, code="export_not_finished"):
    """The export is still being written, or has failed."""


class TooManyExports(Conflict, code="too_many_exports"):
    """You have as many exports under way as one may have."""


class Exports:
    """Takes, writes and shows exports."""

    def __init__(self, clock: Clock, cursors: Cursors, viewer: Viewer) -> None:
        self._clock = clock
        self._cursors = cursors
        self._viewer = viewer

    async def request(
        self,
        principal: Principal,
        kind: ExportKind,
        form: str,
        period: Period,
        value_currency: str = "",
        rates: Mapping[str, int] | None = None,
    ) -> Export:
        """Begin one.

        Raises:
            TooManyExports
            UnknownCurrency: A rate of a currency that is none of ours.
        """
        for code in rates or {}:
            self._viewer.tokens.asset(code)
        if await store.count_running(principal.id) >= RUNNING_PER_PRINCIPAL_MAX:
            raise TooManyExports
        now = self._clock.now()
        export = Export(
            id=new_id("exp"),
            principal=principal.id,
            own_only=bool(owner_filter(principal, "reports")),
            kind=kind,
            form=form,
            first=datetime.combine(period.first, time(), UTC),
            last=datetime.combine(period.last, time(), UTC),
            value_currency=value_currency,
            rates=dict(rates or {}),
            days_total=(period.last - period.first).days + 1,
            created_at=now,
            expires_at=now + KEPT,
        )
        await store.add(export)
        return export

    async def get(self, principal: Principal, export_id: str) -> Export:
        """
        Raises:
            ExportNotFound
        """
        found = await store.by_id(export_id, {"principal": principal.id})
        if found is None:
            raise ExportNotFound
        return found

    async def file(self, principal: Principal, export_id: str) -> tuple[Export, AsyncIterator[str]]:
        """
        Raises:
            ExportNotFound, ExportNotFinished
        """
        export = await self.get(principal, export_id)
        if export.status is not ExportStatus.FINISHED:
            raise ExportNotFinished(f"it is {export.status}")
        return export, store.parts(export)

    async def step(self) -> bool:
        """For the loop: write the next day of each export under way; False when none moved on."""
        moved = False
        for export in await store.running():
            try:
                moved |= await self._advance(export)
            except LostRace:
                continue
            except ReportTooLarge as problem:
                await self._end(export, ExportStatus.FAILED, reason=problem.code)
                moved = True
            except AppError as problem:
                log.warning("export.postponed", export_id=export.id, reason=problem.code)
                return False
        return moved

    async def _advance(self, export: Export) -> bool:
        """Write a day, or end it; False while the day is not complete in the books."""
        if export.days_done >= export.days_total:
            await self._end(export, ExportStatus.FINISHED)
            return True
        day = (export.first + timedelta(days=export.days_done)).date()
        if not await self._is_complete(day):
            if export.waiting_for != FOLLOWER:
                await store.change(export, waiting_for=FOLLOWER)
            return False
        parts, rows = export.parts, export.rows
        if not parts:
            await store.write_part(export, 0, self._head(export))
            parts = 1
        async for piece in self._pieces(export, Period(day, day)):
            rows += len(piece)
            if rows > ROWS_MAX:
                raise ReportTooLarge
            await store.write_part(export, parts, _text(export, piece))
            parts += 1
        await store.change(
            export, days_done=export.days_done + 1, parts=parts, rows=rows, waiting_for=""
        )
        return True

    async def _is_complete(self, day: date) -> bool:
        """Whether nothing can be added to a day any more; one that is not over is not waited for.

        Its last block is applied when a later one is, and what settled in it stands in its
        module's own books when that has been told.
        """
        end = Period(day, day).between()["$lt"]
        if end > self._clock.now():
            return True
        cursor = await self._cursors.load()
        if cursor is None or cursor.timestamp_ms < to_ms(end):
            return False
        return not await store.untold_before(end)

    async def _end(self, export: Export, status: ExportStatus, reason: str = "") -> None:
        await store.change(
            export, status=status.value, reason=reason, finished_at=self._clock.now()
        )
        log.info("export.ended", export_id=export.id, status=status.value, rows=export.rows)

    async def _pieces(self, export: Export, day: Period) -> AsyncIterator[list[dict[str, Any]]]:
        piece: list[dict[str, Any]] = []
        async for row in self._rows(export, day):
            piece.append(msgspec.structs.asdict(row))
            if len(piece) >= PART_ROWS:
                yield piece
                piece = []
        if piece:
            yield piece

    async def _rows(self, export: Export, day: Period) -> AsyncIterator[ReportRow | EntryRow]:
        owner = {"principal": export.principal} if export.own_only else {}
        if export.kind is ExportKind.DAYS:
            for line in await reports.lines(day, owner):
                yield ReportRow.of(line, self._viewer)
            return
        entries = Entries(self._viewer, export.rates, export.value_currency, owner)
        async for row in entries.of(day):
            yield row

    def _head(self, export: Export) -> str:
        return reports.csv_text([], _names(export)) if export.form == "csv" else ""


def _names(export: Export) -> list[str]:
    kind = ReportRow if export.kind is ExportKind.DAYS else EntryRow
    return list(kind.__struct_fields__)


def _text(export: Export, rows: Sequence[dict[str, Any]]) -> str:
    if export.form == "csv":
        return reports.csv_rows(rows, _names(export))
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)
