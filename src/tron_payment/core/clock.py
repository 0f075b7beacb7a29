"""Time, passed in. Ours is for due times and screens; what is true of money is told by blocks."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the wall-clock time in UTC, whole milliseconds."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        # as a float a present time has steps under a microsecond, so its milliseconds are whole
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


class ManualClock:
    """A clock that tests and the development mode's test clock move by hand."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 UTC."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The UTC time of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
        microsecond=milliseconds % 1000 * 1000
    )


def rfc3339(moment: datetime) -> str:
    """``2026-11-20T12:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
