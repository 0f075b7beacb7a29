"""Payouts: found, filtered, exported; and one payout's whole life."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

HISTORY: Final = "/api/v1/payouts/history"
STATUSES: Final = (
    "awaiting_approval", "queued", "awaiting_signature", "signed", "settled",
    "failed", "canceled", "rejected", "quarantined",
)  # fmt: skip
PAGE_ROWS: Final = 25
SEARCHED_ROWS: Final = 500
"""The API finds a payout by its id; references, people and addresses are looked for in these."""

EXPORT_ROWS: Final = 2_000
COLUMNS: Final = (
    "payout_id", "status", "route", "user_id", "recipient_address", "amount", "currency",
    "merchant_reference", "txid", "settled_block", "settled_at", "created_at", "batch_id",
)  # fmt: skip
SEARCHED: Final = ("user_id", "recipient_address", "merchant_reference", "txid", "batch_id")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would execute at the beginning of a cell."""

MOVING: Final = frozenset(
    {"queued", "awaiting_approval", "awaiting_signature", "signed", "broadcast", "processing"}
)


@get("/console/payouts", opt=PAGE_OPT)
async def payouts(
    desk: NamedDependency[Desk],
    status: Text = None,
    cursor: Text = None,
    find: Text = None,
    since: Text = None,
) -> Any:
    """Payouts, newest first: by status and day, or those that a text is found in."""
    find = (find or "").strip()
    if find:
        rows, more = await _found(desk, find)
        answer = {"data": rows, "has_more": False, "next_cursor": None}
    else:
        more = False
        answer = await desk.api.get(
            HISTORY, status=status, cursor=cursor, created_after=_day(since), limit=PAGE_ROWS
        )
    return desk.page(
        "payouts.html",
        "/console/payouts",
        rows=answer,
        chosen=status or "",
        statuses=STATUSES,
        find=find,
        since=since or "",
        not_all=more,
        searched=SEARCHED_ROWS,
    )


@get("/console/payouts.csv", opt={**PAGE_OPT, "produces": ("text/csv", "text/html")})
async def export(
    desk: NamedDependency[Desk], status: Text = None, find: Text = None, since: Text = None
) -> Response[str]:
    """What the list shows, as a file for a spreadsheet."""
    if find and find.strip():
        rows, _ = await _found(desk, find.strip())
    else:
        rows, _ = await desk.api.rows(
            HISTORY, EXPORT_ROWS, status=status, created_after=_day(since)
        )
    return Response(
        csv_text(rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="payouts.csv"'},
    )


@get("/console/payouts/{payout_id:str}", opt=PAGE_OPT)
async def payout(payout_id: FromPath[str], desk: NamedDependency[Desk], done: Text = None) -> Any:
    """One payout's whole life."""
    path = at("/api/v1/payouts/{id}", id=payout_id)
    found = await desk.api.get(path)
    explained = None
    if desk.api.offers("/api/v1/payouts/{id}/explain"):
        explained = await desk.api.maybe(f"{path}/explain")
    transaction = None
    if found["txid"]:
        where = "/api/v1/tron/network/transactions/{id}"
        transaction = await desk.api.maybe(at(where, id=found["txid"]))
    return desk.page(
        "payout.html",
        "/console/payouts",
        done=done,
        payout=found,
        explained=explained,
        transaction=transaction,
        moving=found["status"] in MOVING,
    )


async def _found(desk: Desk, text: str) -> tuple[list[dict[str, Any]], bool]:
    """Payouts with this id, or with this text among the newest; whether there are older ones."""
    if text.startswith("pay_"):
        one = await desk.api.maybe(at("/api/v1/payouts/{id}", id=text))
        return ([one] if one else []), False
    rows, more = await desk.api.rows(HISTORY, SEARCHED_ROWS)
    wanted = text.casefold()
    return [row for row in rows if _has(row, wanted)], more


def _has(row: Mapping[str, Any], wanted: str) -> bool:
    return any(wanted in (row[name] or "").casefold() for name in SEARCHED)


def _day(text: str | None) -> str | None:
    """A day of a form as the API reads times: its beginning, UTC."""
    return f"{text}T00:00:00Z" if text else None


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Payouts as CSV; no cell begins as a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "fee_trx", "fee_source"])
    for row in rows:
        cells = [row[name] for name in COLUMNS] + [row["fee"]["paid_trx"], row["fee"]["source"]]
        writer.writerow([_cell(cell) for cell in cells])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


HANDLERS: Final = (payouts, export, payout)
