"""Lists in pages that stay put while rows are added.

A page ends at a row, and the next begins after that row in the order (time, id); so new rows
neither repeat nor hide old ones. The cursor says which row, in which order; it opens nothing: the
owner's filter is in every query.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from beanie import Document
from litestar.params import QueryParameter
from pymongo import ASCENDING, DESCENDING

from tron_payment.core.clock import from_ms, to_ms
from tron_payment.core.errors import Refused
from tron_payment.db.faults import store_errors

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
CURSOR_TEXT_MAX: Final = 300
STATUS_TEXT_MAX: Final = 300
QUERY_MS: Final = 5_000
"""A list that takes longer lacks an index; the server gives up."""

_YEAR_10000_MS: Final = 253_402_300_800_000

V = TypeVar("V")
D = TypeVar("D", bound=Document)
S = TypeVar("S", bound=StrEnum)


class InvalidCursor(Refused, code="invalid_cursor"):
    """This cursor is not one that this list gave."""


class InvalidFilter(Refused, code="invalid_parameter"):
    """A filter's value is not acceptable."""


class Page(msgspec.Struct, Generic[V], frozen=True, kw_only=True):
    """One page on the wire."""

    data: list[V]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of which rows. Times: ``after`` is inclusive, ``before`` is not."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    statuses: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None

    def statuses_of(self, kind: type[S]) -> tuple[S, ...]:
        """The asked statuses; empty for all.

        Raises:
            InvalidFilter: One that this kind of thing does not have.
        """
        names = {status.value: status for status in kind}
        unknown = [text for text in self.statuses if text not in names]
        if unknown:
            raise InvalidFilter("a status is one of " + ", ".join(names), param="status")
        return tuple(names[text] for text in self.statuses)

    def times(self, created: str = "created_at", updated: str = "updated_at") -> dict[str, Any]:
        """The time filters as a MongoDB condition on these fields."""
        condition: dict[str, Any] = {}
        if self.created_after:
            condition.setdefault(created, {})["$gte"] = self.created_after
        if self.created_before:
            condition.setdefault(created, {})["$lt"] = self.created_before
        if self.updated_after:
            condition.setdefault(updated, {})["$gte"] = self.updated_after
        return condition


def provide_page(
    limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    cursor: Annotated[str | None, QueryParameter(max_length=CURSOR_TEXT_MAX)] = None,
    status: Annotated[
        str | None,
        QueryParameter(max_length=STATUS_TEXT_MAX, description="One, or several with commas."),
    ] = None,
    created_after: Annotated[datetime | None, QueryParameter()] = None,
    created_before: Annotated[datetime | None, QueryParameter()] = None,
    updated_after: Annotated[datetime | None, QueryParameter()] = None,
) -> PageRequest:
    """The dependency `page` of every list.

    Raises:
        InvalidFilter: A time without its zone.
    """
    times = {
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
    }
    for name, time in times.items():
        if time is not None and time.tzinfo is None:
            raise InvalidFilter("a time needs its zone, such as Z", param=name)
    statuses = tuple(text.strip() for text in status.split(",")) if status else ()
    return PageRequest(limit=limit, cursor=cursor, statuses=statuses, **times)


async def fetch_page(
    model: type[D],
    where: Mapping[str, Any],
    page: PageRequest,
    view: Callable[[D], V],
    *,
    field: str = "created_at",
    newest_first: bool = False,
    hint: str | None = None,
) -> Page[V]:
    """One page of documents as views.

    Args:
        where: The owner's filter and the caller's own; the page's time filters are added.
        field: A time that never changes; an index must begin with the filter and end with
            (field, _id).
        hint: The index to use, where MongoDB's own choice would read far more.

    Raises:
        InvalidCursor: Not from a list in this order.
        StoreUnavailable: No answer.
    """
    direction = DESCENDING if newest_first else ASCENDING
    conditions = [dict(where), page.times()]
    if page.cursor is not None:
        conditions.append(_after(page.cursor, field, newest_first))
    collection = model.get_pymongo_collection()
    query = (
        collection.find({"$and": conditions})
        .sort([(field, direction), ("_id", direction)])
        .limit(page.limit + 1)
        .max_time_ms(QUERY_MS)
    )
    if hint is not None:
        query = query.hint(hint)
    with store_errors():
        rows = [model.model_validate(raw) async for raw in query]
    shown, has_more = rows[: page.limit], len(rows) > page.limit
    cursor = None
    if has_more:
        last = shown[-1]
        cursor = _cursor(field, newest_first, getattr(last, field), str(last.id))
    return Page(data=[view(row) for row in shown], has_more=has_more, next_cursor=cursor)


def _cursor(field: str, newest_first: bool, moment: datetime, row_id: str) -> str:
    content = msgspec.json.encode([_order(field, newest_first), to_ms(moment), row_id])
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _after(cursor: str, field: str, newest_first: bool) -> dict[str, Any]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        order, milliseconds, row_id = msgspec.json.decode(raw, type=tuple[str, int, str])
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidCursor(param="cursor") from None
    if order != _order(field, newest_first) or not 0 <= milliseconds < _YEAR_10000_MS:
        raise InvalidCursor(param="cursor")
    moment, beyond = from_ms(milliseconds), "$lt" if newest_first else "$gt"
    return {"$or": [{field: {beyond: moment}}, {field: moment, "_id": {beyond: row_id}}]}


def _order(field: str, newest_first: bool) -> str:
    return ("-" if newest_first else "+") + field
