"""How payouts fare: success, time to settle, fees and where the energy came from."""

from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import msgspec

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.http.paging import InvalidFilter
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.payouts import day_documents as store
from tron_payment.payouts.day_documents import OPEN, DaySum
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
        sums = await store.sums(begin, end, owner_filter(principal, "payouts"))
        rows = [_row(key, list(some)) for key, some in groupby(sorted(sums, key=_key), _key)]
        return AnalyticsView(created_after=rfc3339(begin), created_before=rfc3339(end), rows=rows)


def _key(each: DaySum) -> tuple[str, str, str]:
    return each.day, each.route, each.currency


def _row(key: tuple[str, str, str], sums: list[DaySum]) -> AnalyticsRow:
    def payouts(*statuses: str) -> int:
        return sum(each.payouts for each in sums if each.status in statuses)

    day, route, currency = key
    done = [each for each in sums if each.status == PayoutStatus.SETTLED.value]
    settled, failed = payouts(PayoutStatus.SETTLED.value), payouts(PayoutStatus.FAILED.value)
    decided = settled + failed
    fee_sun = sum(each.fee_sun for each in sums)
    energy, burned_sun = sum(each.energy for each in sums), sum(each.burned_sun for each in sums)
    units = sum(each.units for each in done)
    return AnalyticsRow(
        day=day,
        route=route,
        currency=currency,
        payouts=sum(each.payouts for each in sums),
        settled=settled,
        failed=failed,
        open=payouts(*OPEN),
        amount_settled=decimal_text(units, CURRENCIES[currency].decimals),
        success_percent=settled * PERCENT // decided if decided else None,
        seconds_to_settle=sum(each.took_ms for each in done) // settled // 1000
        if settled
        else None,
        fee_trx=trx_text(fee_sun),
        fee_per_payout_trx=trx_text(fee_sun // decided) if decided else None,
        energy_used=energy,
        burned_trx=trx_text(burned_sun),
        energy_source=fee_source(fee_sun, energy, burned_sun),
    )
