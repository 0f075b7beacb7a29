"""Batches on the wire, and the CSV in which every row is accounted for."""

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.payouts.batch_documents import Batch, unpack_refused
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import CURRENCIES
from tron_payment.payouts.views import (
    ApprovalView,
    PayoutView,
    QuotedFeeView,
    QuoteView,
    shown_status,
)

EXPORT_COLUMNS: Final = (
    "row",
    "user_id",
    "recipient_address",
    "amount",
    "currency",
    "route",
    "merchant_reference",
    "payout_id",
    "status",
    "txid",
    "block",
    "settled_at",
    "fee_trx",
    "code",
    "detail",
)
REFUSED: Final = "refused"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would execute at the beginning of a cell."""


class RefusedRowView(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not accepted."""

    row: int
    code: str
    param: str | None
    detail: str


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as everybody sees it."""

    batch_id: str
    status: str
    accepted: int
    refused: list[RefusedRowView]
    counts: dict[str, int]
    """Accepted rows by status."""

    totals: dict[str, str]
    """Accepted amounts by currency."""

    approval: ApprovalView | None
    schedule_id: str | None
    created_at: str
    updated_at: str
    finished_at: str | None

    @classmethod
    def of(cls, batch: Batch) -> "BatchView":
        return cls(
            batch_id=batch.id,
            status=batch.status.value,
            accepted=batch.accepted,
            refused=[RefusedRowView(**row) for row in unpack_refused(batch)],
            counts=batch.counts,
            totals={
                code: decimal_text(units, CURRENCIES[code].decimals)
                for code, units in batch.totals.items()
            },
            approval=ApprovalView(
                needed=batch.approvals_needed,
                given_by=[each["by"] for each in batch.approvals],
                order_hash=batch.intent_hash,
                until=None if batch.approval_until is None else rfc3339(batch.approval_until),
            )
            if batch.approvals_needed
            else None,
            schedule_id=batch.schedule_id,
            created_at=rfc3339(batch.created_at),
            updated_at=rfc3339(batch.updated_at),
            finished_at=None if batch.finished_at is None else rfc3339(batch.finished_at),
        )


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A batch in a list."""

    batch_id: str
    status: str
    accepted: int
    refused_count: int
    counts: dict[str, int]
    created_at: str
    finished_at: str | None

    @classmethod
    def of(cls, batch: Batch) -> "BatchSummary":
        return cls(
            batch_id=batch.id,
            status=batch.status.value,
            accepted=batch.accepted,
            refused_count=batch.refused_count,
            counts=batch.counts,
            created_at=rfc3339(batch.created_at),
            finished_at=None if batch.finished_at is None else rfc3339(batch.finished_at),
        )


class BatchDetail(BatchView, frozen=True, kw_only=True):
    """A batch with a page of its accepted rows."""

    data: list[PayoutView]
    has_more: bool
    next_cursor: str | None


class QuotedBatchView(msgspec.Struct, frozen=True, kw_only=True):
    """What many payouts would do and cost together; nothing was stored."""

    quotes: list[QuoteView]
    refused: list[RefusedRowView]
    fee: QuotedFeeView | None
    """The sum; null when every row was refused."""

    would_be_status: str | None
    dry_run: bool = False


def export_csv(payouts: Iterable[Payout], refused: Iterable[dict[str, Any]]) -> str:
    """Every row of the upload with what became of it, by row number."""
    rows = [_paid_row(payout) for payout in payouts]
    rows += [
        {"row": each["row"], "status": REFUSED, "code": each["code"], "detail": each["detail"]}
        for each in refused
    ]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, EXPORT_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in sorted(rows, key=lambda each: each["row"]):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _paid_row(payout: Payout) -> dict[str, Any]:
    return {
        "row": payout.row or 0,
        "user_id": payout.user_id,
        "recipient_address": payout.recipient_address,
        "amount": decimal_text(payout.units, CURRENCIES[payout.currency].decimals),
        "currency": payout.currency,
        "route": payout.route.value,
        "merchant_reference": payout.merchant_reference or "",
        "payout_id": payout.id,
        "status": shown_status(payout),
        "txid": payout.txid or "",
        "block": "" if payout.block_number is None else payout.block_number,
        "settled_at": "" if payout.settled_at is None else rfc3339(payout.settled_at),
        "fee_trx": "" if payout.fee_paid_sun is None else trx_text(payout.fee_paid_sun),
        "code": payout.reason,
        "detail": payout.waiting_for,
    }


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
