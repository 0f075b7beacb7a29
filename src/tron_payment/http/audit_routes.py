"""HTTP of the audit log, for those who look over others' shoulders: read it, and take its head."""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from tron_payment.core.clock import Clock, rfc3339
from tron_payment.core.errors import NotFound
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.db.audit_heads import KIND, HeadSigner
from tron_payment.http.paging import LIMIT_DEFAULT, LIMIT_MAX, InvalidCursor, InvalidFilter, Page

NAME_MAX: Final = 128
CURSOR_MAX: Final = 19
_CURSOR: Final = re.compile(r"[1-9][0-9]{0,17}")


class EmptyLog(NotFound, code="audit_log_empty"):
    """Nothing was written down yet."""


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One act. `hash` fixes this entry and, through `prev_hash`, everything before it."""

    seq: int
    entry_id: str
    at: str
    actor: str
    role: str
    action: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str
    route: str
    api_key: str
    """The id of the key that called under the actor's name; empty for a person's token."""

    policy_version: str
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "EntryView":
        return cls(
            seq=entry.seq,
            entry_id=entry.id,
            at=rfc3339(entry.at),
            actor=entry.actor,
            role=entry.role,
            action=entry.action,
            object_id=entry.object_id,
            before=entry.before,
            after=entry.after,
            request_id=entry.request_id,
            route=entry.route,
            api_key=entry.api_key,
            policy_version=entry.policy_version,
            prev_hash=entry.prev_hash,
            hash=entry.hash,
        )


class HeadView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest entry's number and hash, signed (Ed25519) where AUDIT_SIGNING_KEY is set.

    Keep it where this installation cannot reach: `tron-payment audit verify --heads` compares.
    """

    kind: str
    seq: int
    hash: str
    at: str
    public_key: str | None
    signature: str | None


def audit_router(audit: Audit, clock: Clock, signer: HeadSigner | None) -> Router:
    """The routes under ``/audit``; mount it below the canonical prefix."""

    @get("/", opt={"permission": "audit:read"})
    async def list_entries(
        limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
        cursor: Annotated[str | None, QueryParameter(max_length=CURSOR_MAX)] = None,
        actor: Annotated[str | None, QueryParameter(max_length=NAME_MAX)] = None,
        action: Annotated[str | None, QueryParameter(max_length=NAME_MAX)] = None,
        object_id: Annotated[str | None, QueryParameter(max_length=NAME_MAX)] = None,
        created_after: Annotated[datetime | None, QueryParameter()] = None,
        created_before: Annotated[datetime | None, QueryParameter()] = None,
    ) -> Page[EntryView]:
        """Who did what, newest first; by one of actor, action and object, and by time."""
        where = _one_of(actor=actor, action=action, object_id=object_id)
        where |= _between(created_after, created_before)
        if cursor is not None and _CURSOR.fullmatch(cursor) is None:
            raise InvalidCursor(param="cursor")
        found = await audit.page(where, int(cursor) if cursor else None, limit + 1)
        shown, has_more = found[:limit], len(found) > limit
        return Page(
            data=[EntryView.of(entry) for entry in shown],
            has_more=has_more,
            next_cursor=str(shown[-1].seq) if has_more else None,
        )

    @get("/head", opt={"permission": "audit:read"})
    async def show_head() -> HeadView:
        """The head of the log, to be kept elsewhere."""
        head = await audit.head()
        if head is None:
            raise EmptyLog()
        if signer is not None:
            return msgspec.convert(signer.sign(head, clock).as_json(), HeadView)
        return HeadView(
            kind=KIND,
            seq=head.seq,
            hash=head.hash,
            at=rfc3339(clock.now()),
            public_key=None,
            signature=None,
        )

    handlers: list[HTTPRouteHandler] = [list_entries, show_head]
    return Router("/audit", route_handlers=handlers, tags=["audit"])


def _one_of(**names: str | None) -> dict[str, Any]:
    """The filter that has an index; two of them would not have one together.

    Raises:
        InvalidFilter: More than one.
    """
    given = {name: value for name, value in names.items() if value is not None}
    if len(given) > 1:
        raise InvalidFilter("only one of actor, action and object_id", param=list(given)[1])
    return dict(given)


def _between(after: datetime | None, before: datetime | None) -> dict[str, Any]:
    """
    Raises:
        InvalidFilter: A time without its zone.
    """
    times = {"created_after": ("$gte", after), "created_before": ("$lt", before)}
    condition: dict[str, datetime] = {}
    for name, (operator, time) in times.items():
        if time is not None:
            if time.tzinfo is None:
                raise InvalidFilter("a time needs its zone, such as Z", param=name)
            condition[operator] = time
    return {"at": condition} if condition else {}
