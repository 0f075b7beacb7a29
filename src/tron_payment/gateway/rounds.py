"""Taking a long list piece by piece, so that what waits at its front starves nothing behind."""

from collections.abc import Awaitable

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.errors import AppError
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import MustWait

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
