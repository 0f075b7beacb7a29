"""HTTP of scheduled batches: translates, does not think."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.core.clock import rfc3339
from tron_payment.db.acts import describe
from tron_payment.http.idempotency import IdempotencyKey, canonical, respond
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.payouts.batch_rows import BatchRow
from tron_payment.payouts.batch_text import ROWS_MAX
from tron_payment.payouts.schedule_wishes import Wish
from tron_payment.payouts.schedules import Every, Schedule, Schedules

READ: dict[str, Any] = {"permission": "payout:read"}


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to be paid at their times."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    payouts: Annotated[list[BatchRow], msgspec.Meta(min_length=1, max_length=ROWS_MAX)]
    first_at: datetime
    every: Every = Every.ONCE
    until: datetime | None = None

    def body(self) -> bytes:
        """The rows as a batch's JSON."""
        rows = [
            {
                name: value
                for name, value in msgspec.structs.asdict(row).items()
                if value or value is False  # "not verified" is said, not left out
            }
            for row in self.payouts
        ]
        return msgspec.json.encode({"payouts": rows})


class ScheduleView(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule as it stands."""

    schedule_id: str
    name: str
    status: str
    every: str
    rows: int
    next_at: str | None
    until: str | None
    occurrences: int
    waiting_for: str | None
    """Why what is due is not paid yet; it is tried again at `next_at`. Whoever pays these rows in
    another way cancels the schedule before: else they are paid twice."""

    last_batch_id: str | None
    last_refusal: str | None
    created_at: str

    @classmethod
    def of(cls, schedule: Schedule) -> "ScheduleView":
        active = schedule.status.value == "active"
        return cls(
            schedule_id=schedule.id,
            name=schedule.name,
            status=schedule.status.value,
            every=schedule.every.value,
            rows=schedule.rows,
            next_at=rfc3339(schedule.next_at) if active else None,
            until=None if schedule.until is None else rfc3339(schedule.until),
            occurrences=schedule.occurrence,
            waiting_for=(schedule.waiting_for or None) if active else None,
            last_batch_id=schedule.last_batch_id,
            last_refusal=schedule.last_refusal,
            created_at=rfc3339(schedule.created_at),
        )


class ScheduleController(Controller):
    """`/payouts/schedules`: batches at their times."""

    path = "/payouts/schedules"
    tags = ("payouts",)
    dependencies = {"page": Provide(provide_page, sync_to_thread=False)}

    @post(
        "/",
        status_code=HTTP_202_ACCEPTED,
        opt={
            "permission": "payout:batch",
            "rate": "payout",
            "body": "batch",
            "idempotent": True,
            "audit": "request",
        },
    )
    async def create(
        self,
        data: JSONBody[ScheduleRequest],
        principal: NamedDependency[Principal],
        schedules: NamedDependency[Schedules],
        idempotency_key: IdempotencyKey,
    ) -> Response[ScheduleView]:
        """Have a batch made once, or every day, week or month, at the time of `first_at` in UTC.

        A month has the first one's day of the month in UTC, or its last day if it is shorter.
        Rows that a dry run of the batch refuses are named in a 422, and no schedule is made, unless
        all that stands in their way may pass, as a frozen wallet: these wait when they are due. A
        row above a limit is refused, for it would wait for ever; and who is verified only by your
        token's KYC claim is not verified when the row is due, when that token is not there.
        """
        stored = await schedules.create(
            principal,
            idempotency_key,
            Wish(data.name, data.body(), data.every, data.first_at, data.until),
            content=canonical(data),
            answer=lambda schedule: msgspec.json.encode(ScheduleView.of(schedule)),
        )
        return respond(stored, ScheduleView)

    @get("/", opt=READ)
    async def history(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        schedules: NamedDependency[Schedules],
    ) -> Page[ScheduleView]:
        """Your schedules, newest first."""
        return await schedules.page(principal, page, ScheduleView.of)

    @get("/{schedule_id:str}", opt=READ)
    async def read(
        self,
        schedule_id: FromPath[str],
        principal: NamedDependency[Principal],
        schedules: NamedDependency[Schedules],
    ) -> ScheduleView:
        """One schedule."""
        return ScheduleView.of(await schedules.get(principal, schedule_id))

    @post("/{schedule_id:str}/cancel", status_code=HTTP_200_OK, opt={"permission": "payout:cancel"})
    async def cancel(
        self,
        schedule_id: FromPath[str],
        principal: NamedDependency[Principal],
        schedules: NamedDependency[Schedules],
    ) -> ScheduleView:
        """No further occurrence; batches that exist go on.

        A 409 `schedule_busy` says that a batch is being made of it in this moment: repeat it.
        """
        canceled = await schedules.cancel(principal, schedule_id)
        describe(action="schedule.cancel", after={"status": canceled.status.value})
        return ScheduleView.of(canceled)
