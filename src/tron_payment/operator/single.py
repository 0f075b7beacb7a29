"""`payouts cancel` and `payouts retry`: one payout, by the API, told before it is done."""

import argparse
import json
import re
from typing import Any, Final

import httpx

from tron_payment.operator.calling import PAYOUTS, agreed, call, tell
from tron_payment.operator.report import Exit, Report, failure

PAYOUT_ID: Final = re.compile(r"pay_[0-9A-Za-z_-]{1,64}")
JSON: Final = {"Content-Type": "application/json"}
PAID_AGAIN: Final = (
    *("user_id", "recipient_address", "amount", "currency", "wallet_id", "priority", "metadata"),
)
"""What a new payout takes over from the failed one; its maximum fee is in `fee`."""

OVER: Final = ("settled", "failed", "rejected")
"""Whoever wants to call these back is not asked first: the API only refuses."""


async def cancel(http: httpx.AsyncClient, options: argparse.Namespace) -> Report:
    """Show the payout and what it waits for, ask, call it back.

    Raises:
        ApiRefusal: `not_cancelable` above all: it is signed, or has ended.
        httpx.HTTPError
    """
    payout = await _shown(http, options.payout_id)
    if payout is None:
        return failure("usage", "say which PAYOUT_ID", Exit.USAGE)
    if payout["status"] in OVER:
        detail = f"it is {payout['status']}: there is nothing to call back"
        return failure("not_cancelable", detail, Exit.FAILED)
    if not options.yes and not agreed("Call it back?"):
        return Report({"payout": payout}, ("Nothing was done.",), Exit.FAILED)
    ended = await call(http, "POST", f"{PAYOUTS}/{payout['payout_id']}/cancel")
    return Report(ended, (f"{ended['payout_id']}: {ended['status']}",))


async def retry(http: httpx.AsyncClient, options: argparse.Namespace) -> Report:
    """Show the failed payout, judge and price the new one, ask, pay.

    The key is made of the failed payout's id, so that doing it again pays nothing more.

    Raises:
        ApiRefusal: It has not failed, was tried again already, or may not be paid now.
        httpx.HTTPError
    """
    payout = await _shown(http, options.payout_id)
    if payout is None:
        return failure("usage", "say which PAYOUT_ID", Exit.USAGE)
    if payout["status"] != "failed":
        detail = f"it is {payout['status']}: only what has failed is paid anew"
        return failure("not_retryable", detail, Exit.FAILED)
    wish: dict[str, Any] = {name: payout[name] for name in PAID_AGAIN} | {
        "max_fee_trx": payout["fee"]["max_fee_trx"],
        "dry_run": True,
    }
    path = f"{PAYOUTS}/{payout['route']}"
    quote = await call(http, "POST", path, json.dumps(wish).encode(), JSON)
    fee = quote["fee"]
    tell([f"fee: {fee['expected_trx']} TRX expected, {fee['max_fee_trx']} TRX at most"])
    what = f"{payout['amount']} {payout['currency']} to {payout['recipient_address']}"
    if not options.yes and not agreed(f"Pay {what} anew?"):
        return Report({"payout": payout, "quote": quote}, ("Nothing was paid.",), Exit.FAILED)
    key = {"Idempotency-Key": f"retry-of-{payout['payout_id']}"}
    made = await call(http, "POST", f"{PAYOUTS}/{payout['payout_id']}/retry", headers=key)
    made = await call(http, "GET", f"{PAYOUTS}/{made['payout_id']}")  # a repeat's answer is old
    return Report(made, (f"{made['payout_id']}: {made['status']}",))


async def _shown(http: httpx.AsyncClient, payout_id: str | None) -> dict[str, Any] | None:
    """Tell the payout's story; None when this is no payout's id."""
    if payout_id is None or PAYOUT_ID.fullmatch(payout_id) is None:
        return None
    payout = await call(http, "GET", f"{PAYOUTS}/{payout_id}")
    told = await call(http, "GET", f"{PAYOUTS}/{payout_id}/explain")
    lines = [f"{payout_id}: {payout['status']}, {payout['amount']} {payout['currency']}"]
    lines += told["what_happened"]
    if told["waits_for"]:
        lines.append(f"It waits for {told['waits_for']}.")
    tell(lines)
    return payout
