"""Changes of permissions that one person asks for and another one decides about, as stored."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from pymongo import ASCENDING, IndexModel

from tron_payment.db.cas import compare_and_set, insert_once
from tron_payment.db.faults import DuplicateValue, store_errors
from tron_payment.db.lean import LeanDocument

ASKED_LIFETIME: Final = timedelta(hours=24)


class ChangeStatus(StrEnum):
    """A change is asked for once and decided about once; nothing leads back to `asked`."""

    ASKED = "asked"
    AGREED = "agreed"
    REFUSED = "refused"
    REPLACED = "replaced"
    """Somebody has asked for another change of the same account."""

    EXPIRED = "expired"


class PermissionChange(LeanDocument):
    """What one request asked for.

    Its id is derived from that request, so the same request never asks a second time: not when
    its change was agreed to, refused or replaced, nor when it has lapsed.
    """

    id: str  # type: ignore[assignment]  # prm_...
    wallet_id: str
    principal: str
    """Who made the wallet; a merchant sees only what is about its own."""

    change_hash: str
    wish: dict[str, Any]
    """Owner and actives as they were asked for."""

    status: ChangeStatus = ChangeStatus.ASKED
    asked_by: str
    asked_role: str = ""
    """Empty of what an older release has stored."""

    replaces: str | None = None
    """The open change of the same account that gave way to it."""

    expires_at: datetime
    taken_by: str | None = None
    """The request that agreed; only it may be repeated."""

    decided_by: str | None = None
    decided_at: datetime | None = None
    version: int = 0
    op_id: str = ""
    created_at: datetime

    class Settings:
        name = "permission_changes"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("wallet_id", ASCENDING)],
                name="asked",
                unique=True,
                partialFilterExpression={"status": ChangeStatus.ASKED.value},
            ),
            IndexModel([("taken_by", ASCENDING)], name="taken", unique=True, sparse=True),
            IndexModel([("created_at", ASCENDING), ("_id", ASCENDING)], name="list"),
            IndexModel(
                [("status", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)],
                name="status_list",
            ),
        ]

    def is_open(self, now: datetime) -> bool:
        """Whether somebody else may agree."""
        return self.status is ChangeStatus.ASKED and now < self.expires_at

    def shown_status(self, now: datetime) -> ChangeStatus:
        """`asked` is over when its time is, whether anybody has written that down or not."""
        if self.status is ChangeStatus.ASKED and not self.is_open(now):
            return ChangeStatus.EXPIRED
        return self.status


async def change_by_id(
    change_id: str, owner: Mapping[str, str] | None = None
) -> PermissionChange | None:
    with store_errors():
        return await PermissionChange.find_one({"_id": change_id, **(owner or {})})


async def asked_of(wallet_id: str) -> PermissionChange | None:
    """The one change that is asked for, of a wallet; it may have lapsed."""
    query = {"wallet_id": wallet_id, "status": ChangeStatus.ASKED.value}
    with store_errors():
        return await PermissionChange.find_one(query)


async def taken_by(request_id: str) -> PermissionChange | None:
    """What this request has agreed to."""
    with store_errors():
        return await PermissionChange.find_one({"taken_by": request_id})


async def ask(change: PermissionChange) -> bool:
    """Store it; False when the request has asked before, or another change is asked for."""
    try:
        return await insert_once(change)
    except DuplicateValue:
        return False


async def close(
    change: PermissionChange,
    status: ChangeStatus,
    by: str,
    now: datetime,
    request_id: str | None = None,
) -> PermissionChange:
    """Decide about a change that is asked for; the one way out of `asked`.

    Args:
        request_id: Of who agrees.

    Raises:
        LostRace: It was decided about meanwhile, or its time is over.
    """
    assert status is not ChangeStatus.ASKED
    assert (request_id is not None) == (status is ChangeStatus.AGREED)
    where: dict[str, Any] = {"status": ChangeStatus.ASKED.value}
    if status in (ChangeStatus.AGREED, ChangeStatus.REFUSED):
        where["expires_at"] = {"$gt": now}
    changes: dict[str, Any] = {"status": status.value, "decided_by": by, "decided_at": now}
    if request_id is not None:
        changes["taken_by"] = request_id
    return await compare_and_set(
        PermissionChange, change.id, version=change.version, where=where, set=changes
    )
