"""The same money sent before: rows of a batch that were paid, or are under way, since lately.

Whoever uploads a file twice under two idempotency keys wants two batches, as far as we can tell;
so this refuses nothing. It is said before anything is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import DESCENDING

from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus

LATELY: Final = timedelta(days=13)
"""Shorter than two weeks: regular pay of every other week, or month, is no repetition."""

RECIPIENTS_AT_ONCE: Final = 100
READ_PER_QUERY_MAX: Final = 1_000
"""The newest payouts that one query reads; behind them nothing is compared."""

QUERY_MS: Final = 2_000
UNPAID: Final = frozenset(
    {PayoutStatus.FAILED.value, PayoutStatus.CANCELED.value, PayoutStatus.REJECTED.value}
)
_FIELDS: Final = (
    *("user_id", "recipient_address", "currency", "units"),
    *("batch_id", "status", "created_at"),
)
_Same = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A payout of the same amount to the same person and address."""

    payout_id: str
    batch_id: str | None
    status: str
    """As stored: `signed` may be broadcast."""

    created_at: datetime


async def earlier_than(payouts: Sequence[Payout], owner: Mapping[str, str]) -> dict[str, Earlier]:
    """By payout id the newest stored one with the same person, address, amount and currency.

    Those that have failed or ended unpaid do not count.

    Args:
        payouts: As judged, not stored yet.
        owner: The condition for what the caller may see.

    Raises:
        ExecutionTimeout: The store takes longer than `QUERY_MS` for one query.
    """
    since = max((payout.created_at for payout in payouts), default=datetime.max) - LATELY
    addresses = list(dict.fromkeys(payout.recipient_address for payout in payouts))
    newest: dict[_Same, Earlier] = {}
    for start in range(0, len(addresses), RECIPIENTS_AT_ONCE):
        rows = (
            Payout.get_pymongo_collection()
            .find(
                {
                    "recipient_address": {"$in": addresses[start : start + RECIPIENTS_AT_ONCE]},
                    "created_at": {"$gte": since},
                    **owner,
                },
                dict.fromkeys(_FIELDS, 1),
                sort=[("created_at", DESCENDING), ("_id", DESCENDING)],
                hint="recipient_history",
            )
            .limit(READ_PER_QUERY_MAX)
            .max_time_ms(QUERY_MS)
        )
        async for row in rows:
            if row["status"] not in UNPAID:
                newest.setdefault(_same(row), _read(row))
    found = {payout.id: newest.get(_of(payout)) for payout in payouts}
    return {payout_id: each for payout_id, each in found.items() if each is not None}


def _same(row: Mapping[str, Any]) -> _Same:
    return row["user_id"], row["recipient_address"], row["currency"], row["units"]


def _of(payout: Payout) -> _Same:
    return payout.user_id, payout.recipient_address, payout.currency, payout.units


def _read(row: Mapping[str, Any]) -> Earlier:
    return Earlier(row["_id"], row.get("batch_id"), row["status"], row["created_at"])
