"""What follows when people move a payout: its event, and its place in the rolling limits.

The move is one compare-and-set that also says what is still to be told (`Payout.untold`). Whoever
dies after it is followed by whoever moves the payout next, before they do, or by the sweeper, and
they tell the same: an event's id is derived from the change, and a release counts once.
"""

from typing import Final

from tron_payment.db.events import Event
from tron_payment.payouts import documents as store
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.documents import LEFT, Payout
from tron_payment.payouts.domain import LIFECYCLE, PayoutStatus

MADE: Final = "made"
"""It waits for approvals since it was accepted."""

APPROVED: Final = "approved"
ENDED: Final = "ended"
"""People ended it: rejected, called back while it waited, or decided in quarantine."""


class Telling:
    """Tells what `untold` says, and then that it was told."""

    def __init__(self, announcer: Announcer, counting: Counting) -> None:
        self._announcer = announcer
        self._counting = counting

    async def tell(self, *payouts: Payout) -> None:
        """Safe to repeat, whatever happened in between."""
        untold = [payout for payout in payouts if payout.untold is not None]
        if not untold:
            return
        await self._announcer.made([payout for payout in untold if payout.untold == MADE])
        await self._announcer.tell(
            [self._moved(payout, payout.untold or "") for payout in untold if payout.untold != MADE]
        )
        unpaid = [p for p in untold if LIFECYCLE.is_final(p.status)]
        await self._counting.end([p for p in unpaid if p.status is not PayoutStatus.SETTLED])
        await store.told(untold)

    def _moved(self, payout: Payout, untold: str) -> Event:
        # an approved payout may have moved on when a sweeper tells; an ended one never does
        status = PayoutStatus.QUEUED if untold == APPROVED else payout.status
        reason = payout.reason if untold in (ENDED, LEFT) else ""
        cause = f"{payout.order_id}:{LEFT}" if untold == LEFT else untold
        return self._announcer.event(
            payout, status.value, cause, payout.version, payout.updated_at, reason=reason or None
        )


__all__ = ["APPROVED", "ENDED", "MADE", "Telling"]
