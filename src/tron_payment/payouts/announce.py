"""What happened to payouts and batches, told once to whoever listens: webhooks and `/events`.

The event of one change has an id derived from it, so telling it again after a crash is harmless.
It is told before the document shows the change: a change that can be seen was told.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tron_payment.core.ids import derived_id
from tron_payment.core.money import USDT, decimal_text
from tron_payment.db.events import Event, Events
from tron_payment.payouts.documents import Payout


class Announcer:
    """Writes events into the outbox."""

    def __init__(self, events: Events, secret: bytes) -> None:
        self._events = events
        self._secret = secret

    async def tell(self, events: Sequence[Event]) -> None:
        """Store them; those stored before stay as they are."""
        if events:
            await self._events.append_many(events)

    async def made(self, payouts: Sequence[Payout]) -> None:
        """Tell that these payouts exist now, in the status that they have."""
        events = []
        for payout in payouts:
            why = {"reason": payout.reason} if payout.reason else {}  # its reference was taken
            event = self.event(payout, payout.status.value, "made", 0, payout.created_at, **why)
            events.append(event)
        await self.tell(events)

    def event(
        self,
        payout: Payout,
        status: str,
        cause: str,
        object_seq: int,
        at: datetime,
        **more: Any,
    ) -> Event:
        """A payout has come into a status.

        Args:
            cause: What brought it there, such as an order's id and version; part of the event's id.
        """
        return Event(
            id=derived_id("evt", self._secret, payout.id, status, cause),
            type=f"payout.{status}",
            object_id=payout.id,
            owner=payout.principal,
            object_seq=object_seq,
            at=at,
            data={
                "payout_id": payout.id,
                "status": status,
                "route": payout.route.value,
                "user_id": payout.user_id,
                "recipient_address": payout.recipient_address,
                "amount": decimal_text(payout.units, USDT.decimals),
                "currency": payout.currency,
                "merchant_reference": payout.merchant_reference,
                "batch_id": payout.batch_id,
                **more,
            },
        )

    def batch_event(self, batch_id: str, owner: str, status: str, seq: int, at: datetime) -> Event:
        """A batch has come into a status."""
        return Event(
            id=derived_id("evt", self._secret, batch_id, status),
            type=f"batch.{status}",
            object_id=batch_id,
            owner=owner,
            object_seq=seq,
            at=at,
            data={"batch_id": batch_id, "status": status},
        )

    async def schedule_waits(self, cause: str, **about: Any) -> None:
        """Rows of an occurrence cannot be paid now, and stay owed. See `_about`."""
        kept = self._about(cause, **about)
        await self.tell([Event(type="schedule.waiting", **kept)])

    async def schedule_refused(self, cause: str, **about: Any) -> None:
        """Rows of an occurrence, or all of it, are never paid by it. See `_about`."""
        kept = self._about(f"refused:{cause}", **about)
        await self.tell([Event(type="schedule.refused", **kept)])

    def _about(
        self, cause: str, *, schedule_id: str, owner: str, seq: int, at: datetime, **data: Any
    ) -> dict[str, Any]:
        """The fields of a schedule's event but its type.

        Args:
            cause: Part of the event's id.
            data: The number of the occurrence, the code, the batch of the other rows if any.
        """
        return {
            "id": derived_id("evt", self._secret, schedule_id, cause),
            "object_id": schedule_id,
            "owner": owner,
            "object_seq": seq,
            "at": at,
            "data": {"schedule_id": schedule_id, **data},
        }
