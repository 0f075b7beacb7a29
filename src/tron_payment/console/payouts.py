"""Payouts: found, filtered, exported; and one payout's whole life."""

import asyncio
import csv
import io
import re
from collections.abc import Iterable, Mapping
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

HISTORY: Final = "/api/v1/payouts/history"
STATUSES: Final = (
    "awaiting_approval", "queued", "awaiting_signature", "signed", "broadcast", "settled",
    "failed", "canceled", "rejected", "quarantined",
)  # fmt: skip
PAGE_ROWS: Final = 25
FOUND_ROWS: Final = 100
"""Payouts that a search shows; the API has an index for each field that it searches."""

SEARCH_MAX: Final = 128
TXID: Final = re.compile(r"[0-9a-fA-F]{64}")
ADDRESS: Final = re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}")
EXPORT_ROWS: Final = 2_000
COLUMNS: Final = (
    "payout_id", "status", "route", "user_id", "recipient_address", "amount", "currency",
    "merchant_reference", "txid", "settled_block", "settled_at", "created_at", "batch_id",
)  # fmt: skip
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would execute at the beginning of a cell."""

MOVING: Final = frozenset(
    {"queued", "awaiting_approval", "awaiting_signature", "signed", "broadcast", "processing"}
)


PROOFS: Final = Looks(60.0)
"""What nodes say about a transaction: solidified, it does not change."""


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
        searched=FOUND_ROWS,
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
async def payout(
    payout_id: FromPath[str],
    desk: NamedDependency[Desk],
    done: Text = None,
    look: Text = None,
) -> Any:
    """One payout's whole life.

    What nodes say about its transaction comes after, when it has ended: with `look` alone the
    page waits for it.
    """
    path = at("/api/v1/payouts/{id}", id=payout_id)
    found = await desk.api.get(path)
    explained = None
    if desk.api.offers("/api/v1/payouts/{id}/explain"):
        explained = await desk.api.maybe(f"{path}/explain")
    proof = Look()
    if found["txid"] and found["status"] not in MOVING:
        where = at("/api/v1/tron/network/transactions/{id}", id=found["txid"])
        proof = await desk.look(PROOFS, where, patient=bool(look))
    transaction = proof.value
    transfers = transaction["transfers"] if transaction else []
    mine = _mine(found, transfers)
    there = await routers(desk.api)
    wallet = await desk.api.maybe(at("/api/v1/wallets/{id}", id=found["wallet_id"]))
    payer = there.get(found["route"]) or (wallet["address"] if wallet else None)
    return desk.page(
        "payout.html",
        "/console/payouts",
        done=done,
        payout=found,
        explained=explained,
        proof=proof,
        transaction=transaction,
        own=[mine] if mine else transfers,
        payer=mine["from"] if mine else payer,
        wallet=wallet,
        names=names(there, wallet),
        moving=found["status"] in MOVING,
    )


def _mine(payout: Mapping[str, Any], transfers: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of a transaction's transfers the one that is this payout's; None when it is not clear."""
    for each in transfers:
        if each.get("to") == payout["recipient_address"] and each.get("amount") == payout["amount"]:
            return each
    return None


async def _found(desk: Desk, text: str) -> tuple[list[dict[str, Any]], bool]:
    """Payouts that a text names, newest first; whether there are older ones.

    What the text can be is seen from its form: an id, a transaction, an address; else a person or
    the beginning of a reference.
    """
    if "/" not in text and text.startswith("pay_"):
        one = await desk.api.maybe(at("/api/v1/payouts/{id}", id=text))
        return ([one] if one else []), False
    if "/" not in text and text.startswith("bat_"):
        where = at("/api/v1/payouts/batch/{id}", id=text)
        batch = await desk.api.maybe(where, limit=FOUND_ROWS)
        return (batch["data"], batch["has_more"]) if batch else ([], False)
    if TXID.fullmatch(text):
        return await desk.api.rows(HISTORY, FOUND_ROWS, txid=text.lower())
    if ADDRESS.fullmatch(text):
        return await desk.api.rows(HISTORY, FOUND_ROWS, recipient_address=text)
    if len(text) > SEARCH_MAX:
        return [], False
    (persons, more), (references, others) = await asyncio.gather(
        desk.api.rows(HISTORY, FOUND_ROWS, user_id=text),
        desk.api.rows(HISTORY, FOUND_ROWS, merchant_reference=text),
    )
    both = {row["payout_id"]: row for row in [*persons, *references]}.values()
    newest = sorted(both, key=lambda row: row["created_at"], reverse=True)
    return newest[:FOUND_ROWS], more or others or len(newest) > FOUND_ROWS


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
