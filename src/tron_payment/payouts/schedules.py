"""Scheduled batches: once at a time, or every day, week or month.

Each occurrence is a batch whose ids are derived from the schedule and the occurrence's number, so
a run that died is the same batch when it is run again. Whoever runs one claims it before, and what
is claimed is not canceled: a canceled schedule makes no batch any more. Occurrences missed while
the service was down are run when it is up again, in order: they are owed.

What the rows of an occurrence are refused for when it is due:

    refused                          then
    none                             one batch; the next occurrence
    all, some for what may pass      nothing; tried again until it has passed, and told
    some for what may pass           a batch of the others; the refused ones again, in a batch of
                                     their own, until it has passed, and told
    some or all, for good            told; a batch of the others, if any; the next occurrence
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Conflict, NotFound, Unavailable
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.http.idempotency import Idempotency, StoredAnswer, canonical
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal, Role
from tron_payment.http.twins import counted_at
from tron_payment.payouts import batch_documents as batch_store
from tron_payment.payouts import schedule_documents as store
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.batch_answers import Occurrence
from tron_payment.payouts.batches import Batches, NoGoodRow
from tron_payment.payouts.policy import LimitExceeded, RecipientCoolingDown
from tron_payment.payouts.schedule_documents import (
    CLAIM_GOOD_FOR,
    Every,
    Schedule,
    ScheduleStatus,
    occurrence_at,
)
from tron_payment.payouts.schedule_wishes import Wish, acting, read, rows_refused
from tron_payment.payouts.screen import ScreeningAway
from tron_payment.wallets import WalletFrozen, WalletScanning

CREATE: Final = "payouts.schedule"
RUNS_AT_ONCE: Final = 5
LOOKED_AT_MAX: Final = 100
"""Schedules that are due and tried in one turn, when those before them cannot be run."""

CHANGE_ATTEMPTS_MAX: Final = 5
BUSY_RETRY_S: Final = 2
FAULTS: Final = 500
"""From this status on it is no refusal, and not known what was stored."""

AGAIN_AFTER: Final = timedelta(minutes=1)
"""An occurrence that cannot be paid now is looked at again."""

MAY_PASS: Final = frozenset(
    kind.code
    for kind in (WalletFrozen, WalletScanning, LimitExceeded, RecipientCoolingDown, ScreeningAway)
)
"""What rows are refused for that ends by itself, or when somebody ends it: they stay owed."""

V = TypeVar("V")

log = structlog.get_logger()


class ScheduleNotFound(NotFound, code="schedule_not_found"):
    """There is no such schedule, or it is not yours."""


class ScheduleEnded(Conflict, code="schedule_ended"):
    """The schedule has ended."""


class ScheduleBusy(Conflict, code="schedule_busy"):
    """A batch of the schedule is being made in this moment; nothing was canceled."""

    retryable = True


class Schedules:
    """Keeps schedules and runs those that are due."""

    def __init__(
        self, clock: Clock, idempotency: Idempotency, batches: Batches, announcer: Announcer
    ) -> None:
        self._clock = clock
        self._idempotency = idempotency
        self._batches = batches
        self._announcer = announcer

    async def create(
        self,
        principal: Principal,
        key: str,
        wish: Wish,
        *,
        content: bytes,
        answer: Callable[[Schedule], bytes],
    ) -> StoredAnswer:
        """Store a schedule once; a repeat gets the stored answer, also after its time has come.

        Raises:
            BadTime, ReferenceRepeats
            RowsRefused: A dry run refuses some of the rows, which are in `extra`, not only for what
                may pass until they are due; or no limit would ever have room for them. Whether they
                may be paid is judged again each time.
            Refused: The rows cannot be read.
            InFlight: The same request is under way.
        """

        async def attempt() -> StoredAnswer:
            schedule = await self._judged(principal, key, wish, content)
            return await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=CREATE,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(schedule)),
                effect=lambda: insert_once(schedule),
                object_ids=[schedule.id],
            )

        return await self._idempotency.once(principal.id, key, attempt)

    async def _judged(self, principal: Principal, key: str, wish: Wish, content: bytes) -> Schedule:
        """The schedule as it is to be stored; what was accepted before is not judged again."""
        now = self._clock.now()
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=CREATE, content=content
        )
        person = acting(principal.id, principal.role, principal.permissions)
        upload = await read(wish.body, person, wish.every)
        if earlier is None:
            wish.check_times(now)
            _, refused = await self._batches.judge(person, upload)
            found = {row.row: row for row in await self._batches.never_fitting(upload)}
            found |= {row.row: row for row in refused if row.row not in found}
            if any(row.code not in MAY_PASS for row in found.values()):
                raise rows_refused([found[number] for number in sorted(found)], principal)
        return Schedule(
            id=self._idempotency.object_id("sch", principal.id, key),
            principal=principal.id,
            role=principal.role.value,
            permissions=sorted(principal.permissions),
            name=wish.name,
            body=wish.body,
            rows=len(upload.rows),
            every=wish.every,
            first_at=wish.first_at,
            until=wish.until,
            next_at=wish.first_at,
            created_at=now,
            updated_at=now,
        )

    async def get(self, principal: Principal, schedule_id: str) -> Schedule:
        """
        Raises:
            ScheduleNotFound
        """
        where = {"_id": schedule_id, **owner_filter(principal, "batches")}
        found = await Schedule.find_one(where)
        if found is None:
            raise ScheduleNotFound
        return found

    async def page(
        self, principal: Principal, page: PageRequest, view: Callable[[Schedule], V]
    ) -> Page[V]:
        """Schedules that the caller may see, newest first."""
        where: dict[str, Any] = owner_filter(principal, "batches")
        if statuses := page.statuses_of(ScheduleStatus):
            where["status"] = {"$in": [each.value for each in statuses]}
        return await fetch_page(Schedule, where, page, view, newest_first=True)

    async def cancel(self, principal: Principal, schedule_id: str) -> Schedule:
        """No further occurrence; batches that exist go on, and the last is named.

        Raises:
            ScheduleNotFound, ScheduleEnded
            ScheduleBusy: A batch is being made of it, or may be.
        """
        for _ in range(CHANGE_ATTEMPTS_MAX):
            found = await self.get(principal, schedule_id)
            if found.status is ScheduleStatus.CANCELED:
                return found
            if found.status is not ScheduleStatus.ACTIVE:
                raise ScheduleEnded
            now = self._clock.now()
            if found.unsure_until is not None and now < found.unsure_until:
                raise ScheduleBusy(retry_after_s=BUSY_RETRY_S)
            changes: dict[str, Any] = {"status": ScheduleStatus.CANCELED}
            batch_id = self._name(found)[1]
            batch = await batch_store.by_id(batch_id, {})
            if batch is not None and batch.schedule_id == found.id:  # whoever made it has died
                changes["last_batch_id"] = batch_id
            try:
                return await store.change(found, now, **changes)
            except LostRace:
                continue
        raise LostRace("the schedule keeps changing; try again")

    async def step(self) -> bool:
        """Run what is due, oldest first; False when nothing is, or nothing of it could be run.

        What cannot be run in this moment keeps nobody behind it, and is tried again.

        Raises:
            AppError: The last of what went wrong that is not the schedules' own; the others were
                run.
        """
        now = self._clock.now()
        ran, wrong = 0, None
        for schedule_id in await store.due(now, LOOKED_AT_MAX):
            schedule = await store.still_due(schedule_id, now)
            if schedule is None:
                continue  # another process has run it
            try:
                claimed = await store.claim(schedule, self._clock.now())
            except LostRace:
                continue
            try:
                await self._run(claimed)
            except AppError as refusal:
                log.warning("schedule.delayed", schedule_id=schedule_id, code=refusal.code)
                with suppress(LostRace, Unavailable):  # or it is free after a while
                    again = claimed.unsure_until == schedule.unsure_until
                    sure = refusal.status < FAULTS and not again
                    await store.let_go(claimed, self._clock.now(), sure=sure)
                if refusal.status >= FAULTS or not refusal.retryable:
                    wrong = refusal
                continue
            ran += 1
            if ran == RUNS_AT_ONCE:
                break
        if wrong is not None:
            raise wrong
        return bool(ran)

    def _name(self, schedule: Schedule) -> tuple[str, str]:
        """Key and id of the batch that is due.

        Builds before 2026-11-22 had the id's text for a key, too, and the rows as they read them
        for content. What they left there is passed by: the batch's own id keeps it from being two.
        No client's key has a line break.
        """
        text = f"{schedule.id}:{schedule.occurrence}"
        text += f":{schedule.part}" if schedule.part else ""
        named = self._idempotency.object_id("bat", schedule.principal, f"schedule:{text}")
        return f"occurrence\n{text}", named

    async def _run(self, schedule: Schedule) -> None:
        """Make the batch of a schedule that this process has claimed."""
        person = acting(schedule.principal, Role(schedule.role), schedule.permissions)
        number, part = schedule.occurrence, schedule.part
        key, batch_id = self._name(schedule)
        content = canonical([schedule.id, number, part] if part else [schedule.id, number])
        outcome: dict[str, Any] = {}
        refused: list[dict[str, Any]] = []
        code = ""
        try:
            upload = await read(schedule.body, person, schedule.every)
            with counted_at(store.claimed_since(schedule), CLAIM_GOOD_FOR):
                await self._batches.request(
                    person,
                    key,
                    upload.only(schedule.left) if part else upload,
                    lambda batch: batch.id.encode(),
                    occurrence=Occurrence(schedule.id, batch_id, content),
                )
        except AppError as refusal:
            if refusal.status >= FAULTS or refusal.retryable:
                raise
            code = refusal.code
            if isinstance(refusal, NoGoodRow):
                refused += refusal.extra["refused"]
            elif code in MAY_PASS:  # all that was accepted when it died, and cannot be stored now
                refused += [{"row": row, "code": code} for row in schedule.left or (0,)]
        batch = await batch_store.by_id(batch_id, {})
        if batch is not None and batch.schedule_id == schedule.id:
            # Or whoever ran it in this moment has made it: what they counted kept ours out.
            code, refused = "", batch_store.unpack_refused(batch)
            outcome |= {"last_batch_id": batch_id, "part": part + 1, "left": _owed(refused)}
        await self._go_on(schedule, outcome, refused, code)

    async def _go_on(
        self,
        schedule: Schedule,
        outcome: dict[str, Any],
        refused: list[dict[str, Any]],
        code: str,
    ) -> None:
        """Tell what was not paid, and note what is next; a batch that exists stays as it is.

        Args:
            outcome: What the batch has changed; empty when there is none.
            refused: The rows that were not accepted.
            code: Why there is no batch; empty when there is one.
        """
        now = self._clock.now()
        outcome |= {"busy_until": None, "unsure_until": None}
        owed = next((row["code"] for row in refused if row["code"] in MAY_PASS), "")
        lost = [row for row in refused if row["code"] not in MAY_PASS]
        code = code or (refused[0]["code"] if refused else "")
        if owed:
            outcome |= {"waiting_for": owed, "next_at": now + AGAIN_AFTER, "last_refusal": owed}
        else:
            following = schedule.occurrence + 1
            next_at = occurrence_at(schedule.first_at, schedule.every, following)
            outcome |= {"waiting_for": "", "last_refusal": code or None, "part": 0, "left": []}
            outcome |= {"occurrence": following, "next_at": next_at or schedule.next_at}
            if next_at is None or (schedule.until is not None and next_at > schedule.until):
                outcome["status"] = ScheduleStatus.FINISHED
        made = outcome.get("last_batch_id")
        common = {
            "schedule_id": schedule.id,
            "owner": schedule.principal,
            "occurrence": schedule.occurrence,
            "seq": schedule.version + 1,
            "batch_id": made,
            "at": now,
        }
        told = f"{schedule.occurrence}:{schedule.part}"
        if owed and (made or schedule.waiting_for != owed):
            log.warning("schedule.waits", schedule_id=schedule.id, code=owed)
            await self._announcer.schedule_waits(f"{told}:{owed}", code=owed, **common)
        if (made and lost) or (code and not owed):
            code = lost[0]["code"] if lost else code
            log.warning("schedule.refused", schedule_id=schedule.id, code=code)
            rows = len(lost) or len(schedule.left) or schedule.rows
            await self._announcer.schedule_refused(told, code=code, rows=rows, **common)
        due: Schedule | None = schedule
        for _ in range(CHANGE_ATTEMPTS_MAX):
            if due is None or (due.occurrence, due.part) != (schedule.occurrence, schedule.part):
                return  # another process has gone on with it
            try:
                await store.change(due, now, **outcome)
            except LostRace:
                if not made:
                    return  # another process has run it, or it was canceled meanwhile
                due = await Schedule.find_one({"_id": schedule.id, "status": "active"})
            else:
                return


def _owed(refused: Iterable[Mapping[str, Any]]) -> list[int]:
    """The rows that may be accepted later."""
    return [row["row"] for row in refused if row["code"] in MAY_PASS]


__all__ = ["Every", "Schedule", "ScheduleStatus", "Schedules", "occurrence_at"]
