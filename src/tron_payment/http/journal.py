"""What was accepted is in the audit log, once, wherever the process died.

Two ways lead into the log:

- A request with an idempotency key. Its act is stored in the record of the request, with the same
  insert that is the acceptance. When the effect is done, the act is copied into the log, many at
  once and a moment later; then it leaves the record.
- Any other request that may change something. Its act is stored before the handler runs (`begin`)
  and written before the answer leaves (`finish`); a refusal takes it away (`drop`).

    died before the act is stored     nothing was done
    died before the log has it        `step` of this or any other process finds it `RECOVER_AFTER`
                                      later and writes it
    died before it left its record    it is written again, under the same entry id: nothing new

What died in the middle of its effect may or may not have been done. Its entry says so (``outcome:
unknown``) where no key leads back to it; with a key it was accepted, and a repeat finishes it.
Refused all the same, later, by a repeat: the entry stands, and a second one says so.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from pymongo import ASCENDING, IndexModel

from tron_payment.core.clock import Clock
from tron_payment.core.errors import Unavailable
from tron_payment.db.acts import Doing
from tron_payment.db.audit import Act, Audit, plain_act
from tron_payment.db.faults import store_errors
from tron_payment.db.group import GroupInsert
from tron_payment.db.lean import LeanDocument
from tron_payment.http.idempotency import StoredRequest

RECOVER_AFTER: Final = timedelta(seconds=60)
"""Older than this and not in the log: who should have written it is dead or has failed."""

LOOK_EVERY: Final = timedelta(seconds=5)
BATCH_MAX: Final = 500
QUEUE_MAX: Final = 20_000
"""Accepted requests that wait for the log in this process; what comes above is recovered later."""

PENDING_MAX: Final = 100_000
"""Counted up to here."""

IDLE_S: Final = LOOK_EVERY.total_seconds()
"""Whoever has something to take over wakes it."""

WITHDRAWN: Final = "request.withdrawn"

_Accepted = tuple[str, dict[str, Any]]
"""A request's id, and its act as the record keeps it."""

log = structlog.get_logger()


class PendingAct(LeanDocument):
    """The act of a request without a key, from before its handler until it is in the log."""

    id: str  # type: ignore[assignment]  # the entry's id
    act: dict[str, Any]
    since: datetime

    class Settings:
        name = "acts"
        indexes = [IndexModel([("since", ASCENDING)], name="since")]


class Journal:
    """Takes acts over into the audit log. One per process."""

    def __init__(self, audit: Audit, clock: Clock, inserts: GroupInsert) -> None:
        self._audit = audit
        self._clock = clock
        self._inserts = inserts
        self._accepted: deque[_Accepted] = deque()
        self._finished: deque[str] = deque()
        self._looked: datetime | None = None
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to take over; the loop's own."""

    # ---- requests without a key --------------------------------------------------------------

    async def begin(self, now: Doing) -> None:
        """Store the act before anything of it is done.

        Raises:
            StoreUnavailable, StoreBusy: It must not be done then.
        """
        at = self._clock.now()
        act = _act_of(now, at)
        await self._inserts.insert(PendingAct(id=now.entry_id, act=plain_act(act), since=at))

    async def finish(self, now: Doing, pending: str) -> None:
        """Write the act down, unless its service or its record has.

        Args:
            pending: Its entry id when it began; what cannot be written now is recovered by it.
        """
        try:
            if not now.written and now.entry_id == pending:
                await self._audit.append(_act_of(now, self._clock.now()))
        except Unavailable as error:
            log.warning("audit.delayed", entry_id=pending, detail=error.detail)
            return
        if len(self._finished) < QUEUE_MAX:
            self._finished.append(pending)
            self.wake()

    async def drop(self, pending: str) -> None:
        """Forget the act of a request that was refused."""
        try:
            with store_errors():
                await PendingAct.get_pymongo_collection().delete_one({"_id": pending})
        except Unavailable as error:
            log.warning("audit.delayed", entry_id=pending, detail=error.detail)

    # ---- requests with a key -----------------------------------------------------------------

    def accepted(self, record: StoredRequest) -> None:
        """Take over the act of a request whose effect is done."""
        assert record.unaudited is not None, record.id
        if len(self._accepted) < QUEUE_MAX:
            self._accepted.append((record.id, record.unaudited))
            self.wake()

    async def withdraw(self, record: StoredRequest, entry_id: str) -> None:
        """Take back exactly this acceptance, which was refused after all.

        When its act is in the log already, or about to be, by a recovery that could not know
        this, a second entry says so before the record goes.
        """
        requests = StoredRequest.get_pymongo_collection()
        ours = {"_id": record.id, "nonce": record.nonce}
        unknown = {"unaudited": {"$exists": True}, "unaudited.claimed": {"$exists": False}}
        with store_errors():
            gone = await requests.delete_one({**ours, **unknown})
            if gone.deleted_count or await requests.find_one(ours, {"_id": 1}) is None:
                return
        await self._audit.append(
            Act(
                actor=record.principal,
                role=(record.unaudited or {}).get("role", ""),
                action=WITHDRAWN,
                object_id=record.object_ids[0] if record.object_ids else "",
                before={"entry_id": entry_id},
                entry_id=f"{entry_id}-withdrawn",
            )
        )
        with store_errors():
            await requests.delete_one(ours)

    # ---- taking over -------------------------------------------------------------------------

    async def step(self) -> bool:
        """Take over one batch of each kind; False when there was none."""
        taken = [self._accepted.popleft() for _ in range(min(BATCH_MAX, len(self._accepted)))]
        if taken:
            try:
                await self._take_over(taken)
            except BaseException:
                self._accepted.extendleft(reversed(taken))
                raise
        done = [self._finished.popleft() for _ in range(min(BATCH_MAX, len(self._finished)))]
        if done:
            await _forget(done)
        recovered = await self._recover()  # though there may be something new at every step
        return bool(taken or done or recovered)

    async def _take_over(self, taken: Sequence[_Accepted]) -> None:
        acts = [Act(**_without_claim(kept)) for _, kept in taken]
        await self._audit.append_many(acts)
        condition = {
            "_id": {"$in": [request_id for request_id, _ in taken]},
            "unaudited.entry_id": {"$in": [act.entry_id for act in acts]},
        }
        with store_errors():
            await StoredRequest.get_pymongo_collection().update_many(
                condition, {"$unset": {"unaudited": ""}}
            )

    async def _recover(self) -> bool:
        """Look for what others, or this process in an earlier life, could not finish."""
        now = self._clock.now()
        if self._looked is not None and now < self._looked + LOOK_EVERY:
            return False
        old = now - RECOVER_AFTER
        claimed = await _claimed(old)
        if claimed:
            log.warning("audit.recovered", kind="requests", entries=len(claimed))
            await self._take_over(claimed)
        acts = PendingAct.find({"since": {"$lte": old}}).sort("+since").limit(BATCH_MAX)
        with store_errors():
            left = await acts.to_list()
        if left:
            log.warning("audit.recovered", kind="acts", entries=len(left))
            await self._audit.append_many([_unfinished(each.act) for each in left])
            await _forget([each.id for each in left])
        if not claimed and not left:
            self._looked = now
        return bool(claimed or left)

    async def pending(self) -> tuple[int, float]:
        """How many accepted requests are not in the log yet, and the oldest one's age in seconds.

        Of the whole installation.
        """
        count, oldest = 0, None
        for model, field in ((StoredRequest, "unaudited.at"), (PendingAct, "since")):
            rows = model.get_pymongo_collection()
            there = {field: {"$exists": True}}
            with store_errors():
                first = await rows.find_one(there, {field: 1}, sort=[(field, ASCENDING)])
                if first is None:
                    continue
                count += await rows.count_documents(there, limit=PENDING_MAX)
            at = first["since"] if field == "since" else first["unaudited"]["at"]
            oldest = at if oldest is None else min(oldest, at)
        age = 0.0 if oldest is None else (self._clock.now() - oldest).total_seconds()
        return count, max(age, 0.0)


def _act_of(now: Doing, at: datetime) -> Act:
    return Act(
        actor=now.actor,
        role=now.role,
        action=now.action,
        object_id=now.object_id,
        before=now.before,
        after=now.after,
        request_id=now.request_id,
        route=now.route,
        api_key=now.api_key,
        policy_version=now.policy_version,
        entry_id=now.entry_id,
        at=at,
    )


def _unfinished(kept: dict[str, Any]) -> Act:
    return Act(**{**_FILLED, **kept, "after": {**kept.get("after", {}), "outcome": "unknown"}})


_FILLED: Final = {"actor": "", "role": "", "action": "", "object_id": ""}


def _without_claim(kept: dict[str, Any]) -> dict[str, Any]:
    return _FILLED | {name: value for name, value in kept.items() if name != "claimed"}


async def _claimed(old: datetime) -> list[_Accepted]:
    """Requests that were accepted before `old` and are not in the log, and will be now.

    Claimed first: a refusal of their effect in this moment sees that, or they are gone.
    """
    requests = StoredRequest.get_pymongo_collection()
    with store_errors():
        found = requests.find({"unaudited.at": {"$lte": old}}, {"nonce": 1})
        rows = [raw async for raw in found.sort("unaudited.at", ASCENDING).limit(BATCH_MAX)]
        if not rows:
            return []
        theirs = {
            "_id": {"$in": [raw["_id"] for raw in rows]},
            "nonce": {"$in": [raw["nonce"] for raw in rows]},
            "unaudited": {"$exists": True},
        }
        await requests.update_many(theirs, {"$set": {"unaudited.claimed": True}})
        ours = requests.find({**theirs, "unaudited.claimed": True}, {"unaudited": 1})
        return [(raw["_id"], raw["unaudited"]) async for raw in ours]


async def _forget(entry_ids: Sequence[str]) -> None:
    with store_errors():
        await PendingAct.get_pymongo_collection().delete_many({"_id": {"$in": list(entry_ids)}})
