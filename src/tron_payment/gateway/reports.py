"""Reports: what was asked for, received, given back and paid out, by day, merchant and currency.

Days are UTC. Received and refunded money counts on the day of its solidified block, invoices on
the day they were made; fees are what the network burned for payouts and refunds.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from beanie import Document

from tron_payment.core.errors import Refused
from tron_payment.db.faults import store_errors
from tron_payment.gateway.documents import Deposit, Payment
from tron_payment.gateway.domain import DepositOutcome, PaymentKind, RefundStatus
from tron_payment.payouts import Payout, PayoutStatus

DEFAULT_DAYS: Final = 30
DAYS_MAX: Final = 366
ROWS_MAX: Final = 20_000
QUERY_MS: Final = 20_000
KINDS: Final = ("invoices", "deposits", "refunds", "payouts")
"""What is added up, each by a query of its own."""

SETTLED: Final = "settled"
"""The index of payouts by their block's time. Left to itself the server reads all that ever
settled, by status, and looks at their times afterwards."""

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run a cell that begins so."""

_NUMBER: Final = re.compile(r"-[0-9]+(\.[0-9]+)?\Z")
"""What left has a minus, and is no formula."""

Pipeline = list[dict[str, Any]]


class InvalidPeriod(Refused, code="invalid_period"):
    """The period ends before it begins, or is longer than a year."""


class ReportTooLarge(Refused, code="report_too_large"):
    """The report has too many rows; ask for a shorter period."""


@dataclass(slots=True)
class Line:
    """One day of one merchant in one currency. Amounts in its smallest unit, fees in sun."""

    day: str
    merchant: str
    currency: str
    figures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of `first` to the end of `last`."""

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, today: date) -> "Period":
        """
        Raises:
            InvalidPeriod
        """
        last = last or today
        first = first or last - timedelta(days=DEFAULT_DAYS - 1)
        if not 0 <= (last - first).days < DAYS_MAX:
            raise InvalidPeriod(param="from")
        return cls(first, last)

    def between(self) -> dict[str, datetime]:
        """The condition on a time."""
        return {
            "$gte": datetime.combine(self.first, time(), UTC),
            "$lt": datetime.combine(self.last + timedelta(days=1), time(), UTC),
        }


async def lines(period: Period, owner: Mapping[str, str], of: str | None = None) -> list[Line]:
    """Every line with anything in it, by day, merchant and currency.

    Args:
        owner: Filter on `principal`; empty for those who see all.
        of: One of `KINDS`, when only that is wanted; all else is then 0.

    Raises:
        ReportTooLarge
    """
    found: dict[tuple[str, str, str], Line] = {}
    questions = _questions(period, dict(owner))
    for model, pipeline in questions.values() if of is None else [questions[of]]:
        with store_errors():
            by: dict[str, Any] = {"hint": SETTLED} if model is Payout and not owner else {}
            cursor = await model.get_pymongo_collection().aggregate(
                pipeline, maxTimeMS=QUERY_MS, **by
            )
            async for row in cursor:
                key = (row["_id"]["day"], row["_id"]["merchant"], row["_id"]["currency"])
                line = found.setdefault(key, Line(*key))
                for name, value in row.items():
                    if name != "_id":
                        line.figures[name] = line.figures.get(name, 0) + value
                if len(found) > ROWS_MAX:
                    raise ReportTooLarge
    return [found[key] for key in sorted(found)]


def csv_text(rows: list[dict[str, Any]], names: list[str]) -> str:
    """Rows as CSV by RFC 4180; no cell begins like a formula."""
    out = io.StringIO()
    csv.writer(out).writerow(names)
    return out.getvalue() + csv_rows(rows, names)


def csv_rows(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The same without the line of names."""
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS) and not _NUMBER.match(value):
        return "'" + value
    return value


def _questions(period: Period, owner: dict[str, str]) -> dict[str, tuple[type[Document], Pipeline]]:
    between = period.between()
    invoiced: Pipeline = [
        {"$match": {"kind": PaymentKind.INVOICE.value, "created_at": between, **owner}},
        _group("$created_at", "$currency", invoices={"$sum": 1}, invoiced={"$sum": "$units"}),
    ]
    received: Pipeline = [
        {"$match": {"at": between, "outcome": DepositOutcome.CREDITED.value, **owner}},
        _group("$at", "$asset", deposits={"$sum": 1}, received={"$sum": "$units"}),
    ]
    settled = {
        "refund.v.status": RefundStatus.SETTLED.value,
        "refund.v.settled_at": between,
    }
    refunded: Pipeline = [
        {
            "$match": {
                "updated_at": {"$gte": between["$gte"]},
                "received_units": {"$gt": 0},
                **owner,
            }
        },
        {"$set": {"refund": {"$objectToArray": "$refunds"}}},
        {"$unwind": "$refund"},
        {"$match": settled},
        _group(
            "$refund.v.settled_at",
            "$currency",
            refunds={"$sum": 1},
            refunded={"$sum": "$refund.v.units"},
            fees_sun={"$sum": "$refund.v.fee_paid_sun"},
        ),
    ]
    paid_out: Pipeline = [
        {"$match": {"status": PayoutStatus.SETTLED.value, "settled_at": between, **owner}},
        _group(
            "$settled_at",
            "$currency",
            payouts={"$sum": 1},
            paid_out={"$sum": "$units"},
            fees_sun={"$sum": "$fee_paid_sun"},
        ),
    ]
    pipelines = (
        (Payment, invoiced),
        (Deposit, received),
        (Payment, refunded),
        (Payout, paid_out),
    )
    return dict(zip(KINDS, pipelines, strict=True))


def _group(moment: str, currency: str, **sums: Any) -> dict[str, Any]:
    day = {"$dateToString": {"date": moment, "format": "%Y-%m-%d", "timezone": "UTC"}}
    return {"$group": {"_id": {"day": day, "merchant": "$principal", "currency": currency}, **sums}}
