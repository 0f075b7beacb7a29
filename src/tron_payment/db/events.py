"""The outbox: what happened to whom, in one numbered row that webhooks and `/events` read.

A module keeps an event inside its own document, in the write that made it true, and appends it
here afterwards; the derived id makes doing that twice harmless. Readers page by `seq` and never
miss one, because numbers have no gaps and nothing is written before the end.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.db.faults import store_errors
from tron_payment.db.lean import fetch
from tron_payment.db.numbered import Appender, NumberedDocument

PAGE_MAX: Final = 1_000


class Event(NumberedDocument):
    """Something that happened. Never changed, never removed while anybody may read it.

    `id` is `core.ids.derived_id("evt", secret, object_id, str(object_seq))` or alike: the same
    happening has the same id.
    """

    type: str  # noun.past_participle, such as "payout.settled"
    object_id: str
    owner: str  # the principal who may read it
    object_seq: int = Field(ge=0)  # order among the events of one object
    at: datetime
    data: dict[str, Any] = Field(default_factory=dict)

    class Settings:
        name = "events"
        indexes = [
            IndexModel([("seq", ASCENDING)], name="seq", unique=True),
            IndexModel([("owner", ASCENDING), ("seq", ASCENDING)], name="owner"),
            IndexModel([("object_id", ASCENDING), ("object_seq", ASCENDING)], name="object"),
        ]


class Events:
    """Append and page. One per process and event loop."""

    def __init__(self) -> None:
        self._appender: Appender[Event] = Appender(Event, lambda event, _: event)

    async def append_many(self, events: Sequence[Event]) -> list[Event]:
        """Number and store them in this order; those stored before are answered as they are.

        Raises:
            StoreUnavailable: The outcome is unknown; append them again.
        """
        return await self._appender.append(events)

    async def after(self, seq: int, *, owner: str | None = None, limit: int) -> list[Event]:
        """The next events after `seq`, oldest first.

        Args:
            seq: The last one that the reader has; 0 from the beginning.
            owner: Only this principal's; None is everybody's.
            limit: At most `PAGE_MAX`.
        """
        assert 0 < limit <= PAGE_MAX
        condition: dict[str, Any] = {"seq": {"$gt": seq}}
        if owner is not None:
            condition["owner"] = owner
        with store_errors():
            return await fetch(Event, condition, sort="seq", limit=limit)

    async def before(self, seq: int | None, *, owner: str | None = None, limit: int) -> list[Event]:
        """The events before `seq`, or the last ones, newest first; otherwise as `after`."""
        assert 0 < limit <= PAGE_MAX
        condition: dict[str, Any] = {} if seq is None else {"seq": {"$lt": seq}}
        if owner is not None:
            condition["owner"] = owner
        with store_errors():
            return await fetch(Event, condition, sort="seq", limit=limit, descending=True)

    async def head_seq(self) -> int:
        """The number of the last event; 0 when there is none."""
        head = await self._appender.head()
        return head.seq if head else 0
