"""Requests that were accepted, as stored: the key's one record, with its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import ASCENDING, IndexModel

from tron_payment.core.errors import Refused
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument

RETENTION: Final = timedelta(days=30)
"""Answers are kept this long; keys are kept for ever."""

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
RECORD_BYTES_MAX: Final = 15 * 1024 * 1024
"""Answer and promise; the store takes documents of 16 MiB."""


class AnswerTooLarge(Refused, code="answer_too_large"):
    """The answer to this would be too large to keep."""


class StoredRequest(LeanDocument):
    """A request that was accepted, and its answer."""

    id: str  # type: ignore[assignment]  # req_..., derived from principal and key
    nonce: str
    """Tells this acceptance from an earlier one under the same id that was refused."""

    principal: str
    operation: str
    fingerprint: str
    object_ids: list[str]
    status_code: int
    body: bytes
    promised: bytes | None = None
    """What the effect is to make, exactly; gone once it is done."""

    created_at: datetime
    forgotten: bool = False
    """The answer is gone; the key stays."""

    unaudited: dict[str, Any] | None = None
    """The act until it is in the audit log (journal.py), as `plain_act` writes it; its entry id is
    derived from id and nonce. ``claimed``: about to be written, whatever came of the effect."""

    class Settings:
        name = "requests"
        keep_nulls = False
        indexes = [
            IndexModel([("forgotten", ASCENDING), ("created_at", ASCENDING)], name="retention"),
            IndexModel(
                [("object_ids", ASCENDING)],
                name="made",
                partialFilterExpression={"forgotten": False},
            ),
            IndexModel(
                [("unaudited.at", ASCENDING)],
                name="unaudited",
                partialFilterExpression={"unaudited.at": {"$exists": True}},
            ),
        ]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the client gets, now and at every repeat."""

    status: int
    body: bytes
    replayed: bool
    promised: bytes | None = None
    """Of `find`: what the effect is to make; None when it is done, or promises nothing."""


async def read_many(request_ids: Sequence[str]) -> dict[str, StoredRequest]:
    """Those that there are, by id."""
    with store_errors():
        found = await StoredRequest.find({"_id": {"$in": list(request_ids)}}).to_list()
    return {record.id: record for record in found}


async def keep_no_promise(record: StoredRequest) -> None:
    """What was promised is there: the record keeps it no longer."""
    ours = {"_id": record.id, "nonce": record.nonce}
    with store_errors():
        await StoredRequest.get_pymongo_collection().update_one(ours, {"$unset": {"promised": ""}})


async def accepted_at(request_id: str) -> datetime | None:
    """When the request of this id was accepted; None when it was not."""
    record = (await read_many([request_id])).get(request_id)
    return None if record is None else record.created_at
