"""Batches on the wire, and the CSV in which every row is accounted for."""

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.payouts.batch_documents import Batch, unpack_refused
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import CURRENCIES
from tron_payment.payouts.earlier_documents import Earlier
from tron_payment.payouts.judge import Judged
from tron_payment.payouts.quotes import Cost
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

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "RefusedRowView":
        return cls(row=row["row"], code=row["code"], param=row["param"], detail=row["detail"])


def totals_text(totals: Mapping[str, int]) -> dict[str, str]:
    """Units by currency as decimal strings."""
    return {code: decimal_text(n, CURRENCIES[code].decimals) for code, n in totals.items()}


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
            refused=[RefusedRowView.of(row) for row in unpack_refused(batch)],
            counts=batch.counts,
            totals=totals_text(batch.totals),
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


class EarlierView(msgspec.Struct, frozen=True, kw_only=True):
    """A payout of the last days with a row's person, address, amount and currency, or what a
    schedule owes."""

    payout_id: str | None
    """Null with `schedule_id`: it is no payout yet."""

    batch_id: str | None
    status: str
    """As stored: `signed` may be broadcast. `owed`: a schedule pays it as soon as it can."""

    created_at: str
    schedule_id: str | None

    @classmethod
    def of(cls, earlier: Earlier) -> "EarlierView":
        return cls(
            payout_id=earlier.payout_id,
            batch_id=earlier.batch_id,
            status=earlier.status,
            created_at=rfc3339(earlier.created_at),
            schedule_id=earlier.schedule_id,
        )


class QuotedRowView(QuoteView, frozen=True, kw_only=True):
    """What one row would do and cost."""

    row: int
    user_id: str
    merchant_reference: str | None
    earlier: EarlierView | None
    """The same was sent before: to send this row pays it again."""

    same_as_row: int | None
    """The first row of this upload with the same person, address, amount and currency."""

    @classmethod
    def of_row(
        cls,
        judged: Judged,
        cost: Cost,
        expires_at: datetime,
        earlier: Earlier | None,
        same_as_row: int | None,
    ) -> "QuotedRowView":
        payout = judged.payout
        return cls(
            **msgspec.structs.asdict(QuoteView.of(judged, cost, expires_at)),
            row=payout.row or 0,
            user_id=payout.user_id,
            merchant_reference=payout.merchant_reference,
            earlier=None if earlier is None else EarlierView.of(earlier),
            same_as_row=same_as_row,
        )


class QuotedBatchView(msgspec.Struct, frozen=True, kw_only=True):
    """What many payouts would do and cost together; nothing was stored."""

    quotes: list[QuotedRowView]
    refused: list[RefusedRowView]
    accepted: int
    """Good rows; a price is made for the first 1,000 of them."""

    totals: dict[str, str]
    """What all good rows pay, by currency."""

    sent_before: int
    """Good rows that have an `earlier` payout: to send them pays them again."""

    sent_before_complete: bool
    """False when there is more to compare with than is read: others may have been sent, too."""

    same_rows: int
    """Good rows that say what a row before them says: each of them is paid."""

    fee: QuotedFeeView | None
    """The sum of `quotes`; null when every row was refused."""

    would_be_status: str | None
    dry_run: bool = False
    batch_id: str | None = None
    """Only with an `Idempotency-Key`: the batch that this key has made already. Sent with it again,
    the upload pays nothing more."""


def export_csv(payouts: Iterable[Payout], refused: Iterable[dict[str, Any]]) -> str:
    """Every row of the upload with what became of it, by row number."""
    rows = [_paid_row(payout) for payout in payouts]
    rows += [
        {
            **each.get("said", {}),
            "row": each["row"],
            "status": REFUSED,
            "code": each["code"],
            "detail": each["detail"],
        }
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
