"""How payouts fare: success, time to settle, fees and where the energy came from."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.db.faults import store_errors
from tron_payment.http.paging import QUERY_MS, InvalidFilter
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import CURRENCIES, PayoutStatus, fee_source

PERIOD: Final = timedelta(days=30)
PERIOD_MAX: Final = timedelta(days=400)
PERCENT: Final = 100


class AnalyticsRow(msgspec.Struct, frozen=True, kw_only=True):
    """Payouts of one day, route and currency."""

    day: str
    route: str
    currency: str
    payouts: int
    settled: int
    failed: int
    open: int
    amount_settled: str
    success_percent: int | None
    """Of those that ended settled or failed; null while none has."""

    seconds_to_settle: int | None
    """From acceptance to the solidified block's own time, on average."""

    fee_trx: str
    fee_per_payout_trx: str | None
    energy_used: int
    burned_trx: str
    energy_source: str


class AnalyticsView(msgspec.Struct, frozen=True, kw_only=True):
    """A report; days are UTC."""

    created_after: str
    created_before: str
    rows: list[AnalyticsRow]


class Analytics:
    """Computes reports from the payouts as they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def report(
        self, principal: Principal, after: datetime | None, before: datetime | None
    ) -> AnalyticsView:
        """Payouts that the caller may see, by day, route and currency.

        Raises:
            InvalidFilter: A time without its zone, or a period of more than `PERIOD_MAX`.
        """
        end = before or self._clock.now()
        for name, time in (("created_after", after), ("created_before", before)):
            if time is not None and time.tzinfo is None:
                raise InvalidFilter("a time needs its zone, such as Z", param=name)
        begin = after or end - PERIOD
        if not timedelta() <= end - begin <= PERIOD_MAX:
            raise InvalidFilter(f"at most {PERIOD_MAX.days} days", param="created_after")
        where = {**owner_filter(principal, "payouts"), "created_at": {"$gte": begin, "$lte": end}}
        with store_errors():
            cursor = await Payout.get_pymongo_collection().aggregate(
                _pipeline(where), maxTimeMS=QUERY_MS
            )
            rows = [_row(raw) async for raw in cursor]
        return AnalyticsView(created_after=rfc3339(begin), created_before=rfc3339(end), rows=rows)


def _pipeline(where: dict[str, Any]) -> list[dict[str, Any]]:
    def when(status: PayoutStatus, value: Any) -> dict[str, Any]:
        return {"$cond": [{"$eq": ["$status", status.value]}, value, 0]}

    took = {"$subtract": ["$settled_at", "$created_at"]}
    ended = [
        PayoutStatus.SETTLED,
        PayoutStatus.FAILED,
        PayoutStatus.CANCELED,
        PayoutStatus.REJECTED,
    ]
    return [
        {"$match": where},
        {
            "$group": {
                "_id": {
                    "day": {"$dateToString": {"date": "$created_at", "format": "%Y-%m-%d"}},
                    "route": "$route",
                    "currency": "$currency",
                },
                "payouts": {"$sum": 1},
                "settled": {"$sum": when(PayoutStatus.SETTLED, 1)},
                "failed": {"$sum": when(PayoutStatus.FAILED, 1)},
                "ended": {"$sum": {"$cond": [{"$in": ["$status", ended]}, 1, 0]}},
                "units": {"$sum": when(PayoutStatus.SETTLED, "$units")},
                "took_ms": {"$sum": when(PayoutStatus.SETTLED, took)},
                "fee_sun": {"$sum": {"$ifNull": ["$fee_paid_sun", 0]}},
                "energy": {"$sum": {"$ifNull": ["$energy_used", 0]}},
                "burned_sun": {"$sum": {"$ifNull": ["$energy_burned_sun", 0]}},
            }
        },
        {"$sort": {"_id.day": 1, "_id.route": 1, "_id.currency": 1}},
    ]


def _row(raw: dict[str, Any]) -> AnalyticsRow:
    settled, failed = raw["settled"], raw["failed"]
    decided = settled + failed
    energy, burned = int(raw["energy"]), int(raw["burned_sun"])
    return AnalyticsRow(
        day=raw["_id"]["day"],
        route=raw["_id"]["route"],
        currency=raw["_id"]["currency"],
        payouts=raw["payouts"],
        settled=settled,
        failed=failed,
        open=raw["payouts"] - raw["ended"],
        amount_settled=decimal_text(int(raw["units"]), CURRENCIES[raw["_id"]["currency"]].decimals),
        success_percent=settled * PERCENT // decided if decided else None,
        seconds_to_settle=int(raw["took_ms"]) // settled // 1000 if settled else None,
        fee_trx=trx_text(int(raw["fee_sun"])),
        fee_per_payout_trx=trx_text(int(raw["fee_sun"]) // decided) if decided else None,
        energy_used=energy,
        burned_trx=trx_text(burned),
        energy_source=fee_source(int(raw["fee_sun"]), energy, burned),
    )
