"""What energy was used, and how much of it the stake gave back. Pure.

java-tron gives used energy back evenly over 24 hours, 28,800 slots of three seconds
(`ResourceProcessor.increase`). What was used at one moment is therefore given back by so much of
the 24 hours after it as lie in a period.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(hours=24)
DAY: Final = timedelta(days=1)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Energy of the transactions of one hour, as their receipts say."""

    hour: datetime
    transactions: int
    energy: int
    """All of it."""

    staked: int
    """From the sender's stake, own and lent to it: a receipt does not tell them apart."""

    creator: int
    """From the stake of the contract's creator."""

    burned_sun: int
    """Paid for the rest."""

    staked_seconds: int
    """The sum of `staked` times the seconds since the hour began: it tells the mean moment."""

    @property
    def burned(self) -> int:
        """Energy that was paid for by burning TRX."""
        return max(0, self.energy - self.staked - self.creator)

    @property
    def moment(self) -> datetime:
        """When the staked energy was used, on average."""
        return self.hour + timedelta(seconds=self.staked_seconds // max(1, self.staked))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyDay:
    """One day, UTC."""

    day: date
    transactions: int
    energy: int
    staked: int
    creator: int
    burned: int
    burned_sun: int
    regained: int
    """Given back by the stake on this day, of what was used on it and in the 24 hours before."""


def by_day(hours: Iterable[Spent], first: date, now: datetime) -> list[EnergyDay]:
    """Each day from the first to today, those without anything left out.

    Each hour is looked at once: what it used counts on its day, and is given back on at most two
    days after its moment.

    Args:
        hours: From the day before the first on, for that is what the first day regains.
        now: Nothing after it is regained yet.
    """
    used: defaultdict[date, list[Spent]] = defaultdict(list)
    back: defaultdict[date, int] = defaultdict(int)
    for each in hours:
        used[each.hour.date()].append(each)
        moment = each.moment
        for day, milliseconds in _by_midnights(moment, min(moment + WINDOW, now)):
            back[day] += each.staked * milliseconds
    window = WINDOW // _MILLISECOND
    return [
        EnergyDay(
            day=day,
            transactions=sum(each.transactions for each in used[day]),
            energy=sum(each.energy for each in used[day]),
            staked=sum(each.staked for each in used[day]),
            creator=sum(each.creator for each in used[day]),
            burned=sum(each.burned for each in used[day]),
            burned_sun=sum(each.burned_sun for each in used[day]),
            regained=back[day] // window,
        )
        for day in sorted({*used, *back})
        if first <= day <= now.date() and (used[day] or back[day] // window)
    ]


def _by_midnights(begin: datetime, end: datetime) -> Iterator[tuple[date, int]]:
    """The days (UTC) between two moments, and how many milliseconds of each lie between them."""
    while begin < end:
        day = begin.date()
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + DAY
        until = min(midnight, end)
        yield day, (until - begin) // _MILLISECOND
        begin = until
