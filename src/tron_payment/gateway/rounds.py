"""Taking a long list piece by piece, so that what waits at its front starves nothing behind."""

from collections.abc import Awaitable, Hashable
from datetime import datetime, timedelta
from typing import Final

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import MustWait

LATER_MAX: Final = 10_000
"""Things of which it is remembered that they are put off; of more, all are looked at once more."""

AWAY_MAX: Final = 10
"""After so many for which no node answered the rest of a round is left to the next one: each may
have been waited for as long as a node may take."""

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
    """What need not be looked at again before a pause is over. Forgotten by a restart, and by a
    clock that is set back: one look more."""

    def __init__(self, pause: timedelta) -> None:
        self._pause = pause
        self._since: dict[Hashable, datetime] = {}

    def has(self, what: Hashable, now: datetime) -> bool:
        """Whether it is too early."""
        since = self._since.get(what)
        return since is not None and since <= now < since + self._pause

    def put(self, what: Hashable, now: datetime) -> None:
        """Not before the pause is over."""
        if len(self._since) >= LATER_MAX:
            self._since.clear()
        self._since[what] = now


class Refusals:
    """What was refused in a round. None of it stops the others; the first is told after it, so that
    whoever runs the round knows that something fails."""

    def __init__(self) -> None:
        self._first: AppError | None = None
        self._away = 0

    @property
    def are_an_outage(self) -> bool:
        """Whether it makes no sense to go on: no node answers, whatever is asked."""
        return self._away >= AWAY_MAX

    async def alone(self, doing: Awaitable[bool], **what: str) -> bool:
        """What it answers; False when it was refused or has to wait.

        Raises:
            StoreUnavailable: Nobody can go on.
        """
        try:
            return await doing
        except StoreUnavailable:
            raise
        except (LostRace, MustWait) as wait:
            log.info("sweep.waits", reason=wait.detail, **what)
        except NodesUnavailable as away:  # for this question perhaps; others are answered
            self._away += 1
            self._first = self._first or away
            log.info("sweep.waits", reason=away.detail, **what)
        except AppError as refusal:
            self._first = self._first or refusal
            log.error("sweep.refused", reason=refusal.code, detail=refusal.detail, **what)
        return False

    def tell(self) -> None:
        """
        Raises:
            AppError: The first that was refused, if any was.
        """
        if self._first is not None:
            raise self._first
