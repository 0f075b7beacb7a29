"""What energy was used, and how much of it the stake gave back. Pure.

java-tron gives used energy back evenly over 24 hours, 28,800 slots of three seconds
(`ResourceProcessor.increase`). What was used at one moment is therefore given back by so much of
the 24 hours after it as lie in a period.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(hours=24)
DAY: Final = timedelta(days=1)


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


def regained(hours: Iterable[Spent], begin: datetime, end: datetime) -> int:
    """Energy that the stake gave back between two moments."""
    total = 0
    for each in hours:
        first, last = max(begin, each.moment), min(end, each.moment + WINDOW)
        if first < last:
            total += each.staked * ((last - first) // timedelta(milliseconds=1))
    return total // (WINDOW // timedelta(milliseconds=1))


def by_day(hours: list[Spent], first: date, now: datetime) -> list[EnergyDay]:
    """Each day from the first to today, those without anything left out.

    Args:
        hours: From the day before the first on, for that is what the first day regains.
        now: Nothing after it is regained yet.
    """
    found = []
    day = first
    while day <= now.date():
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        used = [each for each in hours if begin <= each.hour < begin + DAY]
        back = regained(hours, begin, min(begin + DAY, now))
        if used or back:
            found.append(
                EnergyDay(
                    day=day,
                    transactions=sum(each.transactions for each in used),
                    energy=sum(each.energy for each in used),
                    staked=sum(each.staked for each in used),
                    creator=sum(each.creator for each in used),
                    burned=sum(each.burned for each in used),
                    burned_sun=sum(each.burned_sun for each in used),
                    regained=back,
                )
            )
        day += DAY
    return found
