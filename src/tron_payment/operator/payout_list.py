"""`payouts list`: payouts, newest first, by status and person."""

import argparse
from typing import Any, Final

import msgspec

from tron_payment.db.connect import open_store
from tron_payment.db.faults import store_errors
from tron_payment.db.installation import refuse_other
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import reachable
from tron_payment.payouts import InvalidStatus, Payout, PayoutView, showing
from tron_payment.settings import Settings

LIMIT: Final = 20
LIMIT_MAX: Final = 1_000
"""The API pages through all of them."""

READ_MS: Final = 5_000


async def listed(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Payouts as the API shows them; nothing is asked of the chain, so no node need answer."""
    limit = LIMIT if arguments.limit is None else arguments.limit
    if not 1 <= limit <= LIMIT_MAX:
        return failure("usage", f"--limit is from 1 to {LIMIT_MAX}", Exit.USAGE)
    statuses = [word.strip() for word in (arguments.status or "").split(",") if word.strip()]
    try:
        condition = showing(statuses)
    except InvalidStatus as error:
        return failure("usage", f"--status: {error.detail}", Exit.USAGE)
    if arguments.user:
        condition |= {"user_id": arguments.user}
    async with reachable(settings) as ours:
        uri = ours.mongo_uri.get_secret_value()
        store = await open_store(uri, ours.payment_db_name, [Payout])
        try:
            await refuse_other(store.database)
            with store_errors():
                found = Payout.find(condition, max_time_ms=READ_MS)
                payouts = await found.sort("-created_at", "-_id").limit(limit + 1).to_list()
        finally:
            await store.close()
    rows = [msgspec.to_builtins(PayoutView.of(payout)) for payout in payouts[:limit]]
    more = len(payouts) > limit
    return Report({"data": rows, "has_more": more}, _lines(rows, more=more, limit=limit))


def _lines(rows: list[dict[str, Any]], *, more: bool, limit: int) -> list[str]:
    lines = []
    for row in rows:
        waits = f"  waits for {row['waiting_for']}" if row["waiting_for"] else ""
        lines.append(
            f"{row['payout_id']}  {row['created_at']}  {row['status']:<18} "
            f"{row['amount']:>12} {row['currency']:<4}  {row['user_id']}  "
            f"{row['recipient_address']}{waits}"
        )
    if more:
        lines.append(f"There are more than these {limit}: --limit shows up to {LIMIT_MAX}.")
    return lines or ["There is no such payout."]
