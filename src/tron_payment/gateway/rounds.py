"""Taking a long list piece by piece, so that what waits at its front starves nothing behind."""

from collections.abc import Awaitable, Hashable
from datetime import datetime
from typing import Final

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import MustWait

LATER_MAX: Final = 10_000
"""Things of which it is remembered that they are put off; of more, all are looked at once more."""

log = structlog.get_logger()


class Round:
    """Where the next piece begins; from the start again after the last piece.

    What leaves the list meanwhile moves others forward: they come in the next round.
    """

    def __init__(self) -> None:
        self.skip = 0

    def took(self, count: int, at_once: int) -> None:
        """A piece of `count` was taken, of `at_once` that it may have at most."""
        self.skip = self.skip + count if count >= at_once else 0


class Later:
    """What need not be looked at again before its time. Forgotten by a restart: one look more."""

    def __init__(self) -> None:
        self._until: dict[Hashable, datetime] = {}

    def has(self, what: Hashable, now: datetime) -> bool:
        """Whether it is too early."""
        return now < self._until.get(what, now)

    def put(self, what: Hashable, until: datetime) -> None:
        """Not before then."""
        if len(self._until) >= LATER_MAX:
            self._until.clear()
        self._until[what] = until


async def alone(doing: Awaitable[bool], **what: str) -> bool:
    """What keeps one of them stops none of the others; only an outage stops all."""
    try:
        return await doing
    except (StoreUnavailable, NodesUnavailable):
        raise
    except (LostRace, MustWait) as wait:
        log.info("sweep.waits", reason=wait.detail, **what)
    except AppError as refusal:
        log.error("sweep.refused", reason=refusal.code, detail=refusal.detail, **what)
    return False
