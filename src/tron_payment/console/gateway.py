"""Payments in: invoices with their deposits and refunds, and the other kinds of payment."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import HTTP_303_SEE_OTHER

from tron_payment.console.api import at
from tron_payment.console.desk import Desk
from tron_payment.console.forms import FORM_OPT, form_of, new_key
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

PAYMENTS: Final = "/api/v1/payments"
PAGE_ROWS: Final = 25
MOVING: Final = frozenset({"awaiting_payment", "partially_paid", "queued", "signed", "broadcast"})
STATUSES: Final = (
    "awaiting_payment", "partially_paid", "paid", "overpaid", "expired", "paid_late", "canceled",
    "partially_refunded", "refunded", "queued", "settled", "failed",
)  # fmt: skip
REFUNDABLE: Final = frozenset(
    {"paid", "overpaid", "paid_late", "partially_paid", "partially_refunded", "expired", "canceled"}
)


@get("/console/payments", opt=PAGE_OPT)
async def payments(
    desk: NamedDependency[Desk],
    status: Text = None,
    since: Text = None,
    cursor: Text = None,
    done: Text = None,
) -> Any:
    """Payments, newest first: by status and day."""
    rows = await desk.api.get(
        PAYMENTS,
        newest_first="true",
        status=status,
        created_after=f"{since}T00:00:00Z" if since else None,
        cursor=cursor,
        limit=PAGE_ROWS,
    )
    return desk.page(
        "payments.html",
        "/console/payments",
        done=done,
        rows=rows,
        chosen=status or "",
        since=since or "",
        statuses=STATUSES,
        key=new_key(),
    )


@post("/console/payments", opt=FORM_OPT)
async def create(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Make an invoice."""
    fields = await form_of(request)
    wish: dict[str, Any] = {
        "kind": "invoice",
        "amount": fields.get("amount", ""),
        "currency": fields.get("currency", "USDT"),
    }
    if fields.get("description"):
        wish["metadata"] = {"description": fields["description"]}
    made = await desk.api.call(
        "POST", f"{PAYMENTS}/process", wish, key=fields.get("key") or new_key()
    )
    where = at("/console/payments/{id}", id=made["payment_id"])
    return Redirect(where, status_code=HTTP_303_SEE_OTHER)


@get("/console/payments/{payment_id:str}", opt=PAGE_OPT)
async def payment(payment_id: FromPath[str], desk: NamedDependency[Desk], done: Text = None) -> Any:
    """One payment: for an invoice its deposits, refunds and checkout."""
    found = await desk.api.get(at(PAYMENTS + "/{id}", id=payment_id))
    return desk.page(
        "payment.html",
        "/console/payments",
        done=done,
        payment=found,
        key=new_key(),
        moving=found["status"] in MOVING
        or any(each["status"] in MOVING for each in found["refunds"]),
        refundable=found["kind"] == "invoice" and found["status"] in REFUNDABLE,
    )


@post("/console/payments/{payment_id:str}/refund", opt=FORM_OPT)
async def refund(
    payment_id: FromPath[str], request: Request[Any, Any, Any], desk: NamedDependency[Desk]
) -> Response[Any]:
    """Send money of an invoice back."""
    fields = await form_of(request)
    wish = {
        "payment_id": payment_id,
        "amount": fields.get("amount", ""),
        "to_address": fields.get("to_address", ""),
        "reason": fields.get("reason", ""),
    }
    await desk.api.call("POST", f"{PAYMENTS}/refund", wish, key=fields.get("key") or new_key())
    where = at("/console/payments/{id}", id=payment_id)
    return Redirect(where, status_code=HTTP_303_SEE_OTHER)


HANDLERS: Final = (payments, create, payment, refund)
