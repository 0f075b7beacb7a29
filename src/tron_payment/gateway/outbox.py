"""From the documents' own events to the numbered row that webhooks and `/events` read."""

from tron_payment.core.ids import derived_id
from tron_payment.db.events import Event, Events
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Payment


class Outbox:
    """Copies what payments have to tell."""

    def __init__(self, events: Events, secret: bytes) -> None:
        self._events = events
        self._secret = secret

    async def step(self) -> bool:
        """Tell what is new; True when there was something. Safe to repeat."""
        payments = await store.with_news()
        rows = [event for payment in payments for event in self._events_of(payment)]
        if rows:
            await self._events.append_many(rows)
        for payment in payments:
            await store.told(payment)
        return bool(payments)

    def _events_of(self, payment: Payment) -> list[Event]:
        return [
            Event(
                id=derived_id("evt", self._secret, payment.id, str(each.seq)),
                type=each.type,
                object_id=payment.id,
                owner=payment.principal,
                object_seq=each.seq,
                at=each.at,
                data=each.data,
            )
            for each in payment.events
        ]
