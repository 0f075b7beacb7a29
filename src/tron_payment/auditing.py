"""Reads the whole audit log anew once a day: what was changed long ago shows, too.

`measuring.py` looks at what was added since the last look. This takes a slice at a time, from the
first entry to the head of the time when it began, and is `tron-payment audit verify` by itself,
but for heads that were kept outside. Every process does it alone: the answer is a figure of its
own, and costs some forty microseconds for each entry.
"""

from datetime import timedelta
from typing import Final

import structlog

from tron_payment.core.clock import Clock
from tron_payment.db.audit import Audit, Head
from tron_payment.loops import Loop
from tron_payment.metrics import Figures

SLICE: Final = 1_000
"""Entries at a time."""

SLICE_EVERY_S: Final = 15.0
"""Some five million entries a day."""

PASS_EVERY: Final = timedelta(days=1)
FIRST_AFTER: Final = timedelta(minutes=1)
"""Since our start: others have more to do then."""

SERVICE: Final = "payment-gateway"

log = structlog.get_logger()


class Auditing:
    """Verifies the log again and again. One per process."""

    def __init__(self, audit: Audit, clock: Clock, figures: Figures) -> None:
        self._audit = audit
        self._clock = clock
        self._figures = figures
        self._sound_at = clock.now()
        """When it was read whole and found sound; before the first time, our start."""

        self._due = clock.now() + FIRST_AFTER
        self._to: Head | None = None
        """Of the pass under way: its end."""

        self._next = 1
        self._kept: Head | None = None
        """The head of the last sound pass: what is cut off or written anew since does not fit."""

    @property
    def loops(self) -> tuple[Loop, ...]:
        return (Loop("audit.verify", self.step, SLICE_EVERY_S, SERVICE),)

    async def step(self) -> bool:
        """Read the next slice, if one is due. No sign of work: it would keep other loops awake."""
        now = self._clock.now()
        if self._to is None and now >= self._due:
            heads = [head for head in (await self._audit.head(), self._kept) if head is not None]
            self._to = max(heads, key=lambda head: head.seq, default=None)
            if self._to is None:
                self._sound_at = now  # nothing is in it
        try:
            if self._to is not None:
                await self._read(self._to)
        finally:
            age = self._clock.now() - self._sound_at
            self._figures.put("audit_verified_age_seconds", age.total_seconds())
        return False

    async def _read(self, to: Head) -> None:
        last = min(self._next + SLICE - 1, to.seq)
        heads = [h for h in (to, self._kept) if h is not None and self._next <= h.seq <= last]
        bad = await self._audit.verify(self._next, heads, last)
        if bad is None and last < to.seq:
            self._next = last + 1
            return
        now = self._clock.now()
        self._to, self._next, self._due = None, 1, now + PASS_EVERY
        self._figures.put("audit_log_ok", bad is None)
        if bad is None:
            self._kept, self._sound_at = to, now
        else:
            log.error("audit.broken", seq=bad.seq, fault=bad.fault.value)
