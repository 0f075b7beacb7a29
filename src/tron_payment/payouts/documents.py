"""Payouts as stored, and every query on them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import Field
from pymongo import ASCENDING, DESCENDING, IndexModel

from tron_payment.core.money import UNITS_MAX
from tron_payment.db.audit import Act
from tron_payment.db.cas import BY_ID, compare_and_set
from tron_payment.db.faults import store_errors
from tron_payment.db.lean import LeanDocument, fetch, fetch_one
from tron_payment.payouts.domain import (
    ENDED,
    ERASED,
    FOR_SOMEBODY,
    LIFECYCLE,
    InvalidSearch,
    InvalidStatus,
    PayoutStatus,
    Route,
)

SWEEP_AFTER: Final = timedelta(seconds=10)
"""A queued payout this old must have its order; the sweeper makes sure."""

SWEEP_MAX: Final = 200
CANCELED_BY_HAND: Final = "canceled"
"""`Payout.eject` of one that its owner called back."""

LEFT: Final = "left"
"""`Payout.untold` of one that left a transaction which never pays it (outcomes.py)."""

SOMEBODY: Final = "somebody"
"""In a search: whatever only a person can take away."""

WAITING_INDEX: Final = "waiting"
"""Has only payouts that wait for something, so a search for them reads no others."""

NAMED: Final[dict[str, Any]] = {
    "status": {"$in": list(ENDED)},
    "$or": [{"user_id": {"$lt": ERASED}}, {"user_id": {"$gt": ERASED}}],
}
"""Has ended and says still whose it is (keeping.py). Other words need another index's name."""

LAST_CHARACTER: Final = "\uffff"
"""Behind everything that a reference can begin with."""

BROADCAST: Final = "broadcast"
"""What a signed payout is called once its bytes were sent."""


class Payout(LeanDocument):
    """Money on its way out.

    The id is derived from the principal and the idempotency key, so a retried request finds the
    payout it already made. The amount is in the currency's smallest unit.
    """

    id: str  # type: ignore[assignment]  # pay_...
    principal: str
    user_id: str
    recipient_address: str
    currency: str
    units: int = Field(gt=0, le=UNITS_MAX)
    route: Route
    decision_rule: str
    policy_version: int
    wallet_id: str
    signer: str
    priority: str
    max_fee_sun: int
    merchant_reference: str | None = None
    reference_taken_by: str | None = None
    """The payout that has its merchant reference, where another one was faster."""

    metadata: dict[str, str] = Field(default_factory=dict)
    flags: list[str] = Field(default_factory=list)
    decisions: list[dict[str, Any]] = Field(default_factory=list)
    """What each rule of the policy said, with the rule's name and version."""

    batch_id: str | None = None
    row: int | None = None
    """Its row in the batch, from 1."""

    schedule_id: str | None = None
    retry_of: str | None = None
    """The failed payout that this one takes up again."""

    quote_id: str | None = None
    quoted_fee_sun: int | None = None
    detached: bool = False
    """The wallet's key is elsewhere: the bytes wait for a signature from outside."""

    hold_id: str | None = None
    """What the rolling limits have counted for it (limits.py)."""

    approvals_needed: int = 0
    approvals: list[dict[str, Any]] = Field(default_factory=list)
    approvers: list[str] = Field(default_factory=list)
    """Whose approval counts; empty means everybody with the permission."""

    intent_hash: str = ""
    approval_until: datetime | None = None
    order_id: str
    order_version: int = -1
    """Version of the order that the fields below were taken from; it only grows."""

    status: PayoutStatus = PayoutStatus.QUEUED
    version: int = 0
    op_id: str = ""
    waiting_for: str = ""
    reason: str = ""
    eject: str | None = None
    """Why it shall leave its transaction before that is signed (``canceled``, a screening code)."""

    txid: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    fee_before_sun: int = 0
    """Its share of transactions that failed before the present one."""

    fee_paid_sun: int | None = None
    energy_used: int | None = None
    energy_burned_sun: int | None = None
    block_number: int | None = None
    block_id: str | None = None
    settled_at: datetime | None = None
    """The solidified block's own time."""

    untold: str | None = None
    """What people did with it whose event may be missing (telling.py)."""

    sweep_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def counted_as(self) -> str:
        """The hold that counts for it, also where limits that came later have opened one."""
        return self.hold_id or self.id

    def act(self, role: str) -> Act:
        """Its acceptance for the audit log; what is left out is the request's."""
        facts = {
            "status": self.status.value,
            "route": self.route.value,
            "order_id": self.order_id,
            "order_hash": self.intent_hash,
            "recipient_address": self.recipient_address,
            "currency": self.currency,
            "units": self.units,
            "decision_rule": self.decision_rule,
        }
        return Act(
            actor=self.principal,
            role=role,
            action="",
            object_id=self.id,
            after=facts,
            policy_version=str(self.policy_version),
        )

    class Settings:
        name = "payouts"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel(
                [("merchant_reference", ASCENDING)],
                name="merchant_reference",
                unique=True,
                sparse=True,
            ),
            IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="history"),
            IndexModel(
                [("principal", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="own_history",
            ),
            IndexModel(
                [("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="status_history",
            ),
            IndexModel([("order_id", ASCENDING)], name="order"),
            IndexModel([("status", ASCENDING), ("sweep_at", ASCENDING)], name="sweep"),
            IndexModel(
                [("batch_id", ASCENDING), ("row", ASCENDING)],
                name="batch_row",
                unique=True,
                partialFilterExpression={"batch_id": {"$exists": True}},
            ),
            IndexModel(
                [("batch_id", ASCENDING), ("status", ASCENDING)],
                name="batch_status",
                partialFilterExpression={"batch_id": {"$exists": True}},
            ),
            IndexModel([("retry_of", ASCENDING)], name="retry_of", unique=True, sparse=True),
            IndexModel([("status", ASCENDING), ("approval_until", ASCENDING)], name="approval"),
            IndexModel(
                [("recipient_address", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="recipient_history",
            ),
            IndexModel(
                [("user_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
                name="person_history",
            ),
            IndexModel([("txid", ASCENDING)], name="txid", sparse=True),
            IndexModel([("settled_at", ASCENDING)], name="settled", sparse=True),
            IndexModel([("untold", ASCENDING)], name="untold", sparse=True),
            IndexModel(
                [("created_at", DESCENDING), ("_id", DESCENDING), ("waiting_for", ASCENDING)],
                name=WAITING_INDEX,
                partialFilterExpression={"waiting_for": {"$gt": ""}},
            ),
            IndexModel([("updated_at", ASCENDING)], name="named", partialFilterExpression=NAMED),
        ]


async def by_id(payout_id: str, owner: dict[str, str]) -> Payout | None:
    return await fetch_one(Payout, {"_id": payout_id, **owner})


async def raw_by_ids(payout_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Payouts as stored, whosever they are, by id: one query for many who ask at the same time.

    Raises:
        StoreUnavailable
    """
    count = len(payout_ids)  # in one answer, after which the server keeps no cursor
    wanted = {"_id": {"$in": list(payout_ids)}}
    with store_errors():
        found = Payout.get_pymongo_collection().find(wanted, limit=count, batch_size=count)
        return {raw["_id"]: raw for raw in await found.to_list()}


def showing(statuses: Sequence[str]) -> dict[str, Any]:
    """The condition for statuses as the view names them.

    Raises:
        InvalidStatus: A name that no payout has.
    """
    if not statuses:
        return {}
    conditions: list[dict[str, Any]] = []
    for name in statuses:
        if name == BROADCAST:
            conditions.append({"status": PayoutStatus.SIGNED.value, "sent_at": {"$ne": None}})
        elif name == PayoutStatus.SIGNED.value:
            conditions.append({"status": name, "sent_at": None})
        elif name in PayoutStatus.__members__.values():
            conditions.append({"status": name})
        else:
            names = ", ".join([*PayoutStatus, BROADCAST])
            raise InvalidStatus(f"a status is one of {names}", param="status")
    return {"$or": conditions}


def searching(**texts: str | None) -> dict[str, Any]:
    """The condition for the one field that is searched for; each of them has its index.

    Args:
        texts: By field; `merchant_reference` is found by its beginning, `waiting_for` by the word
            before its colon or by `SOMEBODY`, the others by all of them.

    Raises:
        InvalidSearch: More than one.
    """
    given = {name: text for name, text in texts.items() if text}
    if len(given) > 1:
        raise InvalidSearch("only one of " + ", ".join(texts), param=list(given)[1])
    if (start := given.pop("merchant_reference", None)) is not None:
        return {"merchant_reference": {"$gte": start, "$lt": start + LAST_CHARACTER}}
    if (word := given.pop("waiting_for", None)) is not None:
        words = "|".join(sorted(FOR_SOMEBODY) if word == SOMEBODY else [re.escape(word)])
        return {"waiting_for": {"$gt": "", "$regex": f"^({words})(:|$)"}}
    return dict(given)


async def by_reference(merchant_reference: str) -> Payout | None:
    return await Payout.find_one({"merchant_reference": merchant_reference})


async def by_txid(txid: str, owner: dict[str, str]) -> Payout | None:
    return await Payout.find_one({"txid": txid, **owner})


async def retried_by(payout_id: str) -> Payout | None:
    return await Payout.find_one({"retry_of": payout_id})


async def of_orders(order_ids: Sequence[str]) -> dict[str, list[Payout]]:
    """The payouts that each order carries."""
    found: dict[str, list[Payout]] = {}
    for payout in await fetch(Payout, {"order_id": {"$in": list(order_ids)}}):
        found.setdefault(payout.order_id, []).append(payout)
    return found


async def in_order(order_id: str) -> list[Payout]:
    """The payouts that one order carries, by row."""
    found = await fetch(Payout, {"order_id": order_id})
    return sorted(found, key=lambda payout: (payout.row or 0, payout.id))


async def move(
    payout: Payout,
    target: PayoutStatus,
    now: datetime,
    *,
    where: dict[str, Any] | None = None,
    push: dict[str, Any] | None = None,
    **changes: Any,
) -> Payout:
    """One state move as a compare-and-set on (status, version).

    Raises:
        LostRace: Somebody else has moved it.
    """
    LIFECYCLE.require(payout.status, target)
    return await compare_and_set(
        Payout,
        payout.id,
        version=payout.version,
        where={"status": payout.status.value, **(where or {})},
        set={"status": target.value, "updated_at": now, **changes},
        push=push,
    )


async def taken_references(references: Sequence[str]) -> dict[str, str]:
    """Of these merchant references the used ones, with their payouts."""
    rows = Payout.get_pymongo_collection().find(
        {"merchant_reference": {"$in": list(references)}}, {"merchant_reference": 1}
    )
    return {row["merchant_reference"]: row["_id"] async for row in rows}


async def unswept(now: datetime) -> list[Payout]:
    """Queued payouts whose order may be missing."""
    return (
        await Payout.find({"status": PayoutStatus.QUEUED.value, "sweep_at": {"$lte": now}})
        .limit(SWEEP_MAX)
        .to_list()
    )


async def sweep_later(payout_ids: Sequence[str], at: datetime) -> None:
    """Their orders cannot be stored now; others are looked at before they are again."""
    if payout_ids:
        await Payout.get_pymongo_collection().update_many(
            {"_id": {"$in": list(payout_ids)}, "sweep_at": {"$exists": True}},
            {"$set": {"sweep_at": at}},
        )


async def untold(now: datetime) -> list[Payout]:
    """Payouts that people moved a while ago, and nobody was told."""
    long_ago = {"untold": {"$gt": ""}, "updated_at": {"$lte": now - SWEEP_AFTER}}
    return await Payout.find(long_ago).limit(SWEEP_MAX).to_list()


async def told(payouts: Sequence[Payout]) -> None:
    """What these say is untold was told. Not a state move."""
    causes: dict[str | None, list[str]] = {}
    for payout in payouts:
        causes.setdefault(payout.untold, []).append(payout.id)
    for cause, ids in causes.items():
        await Payout.get_pymongo_collection().update_many(
            {"_id": {"$in": ids}, "untold": cause}, {"$unset": {"untold": ""}}, hint=BY_ID
        )


async def approval_overdue(now: datetime) -> list[Payout]:
    """Single payouts that nobody approved in time."""
    return (
        await Payout.find(
            {
                "status": PayoutStatus.AWAITING_APPROVAL.value,
                "approval_until": {"$lte": now},
                "batch_id": None,
            }
        )
        .limit(SWEEP_MAX)
        .to_list()
    )


async def swept(payout_ids: Sequence[str]) -> None:
    """Their orders exist."""
    if payout_ids:
        await Payout.get_pymongo_collection().update_many(
            {"_id": {"$in": list(payout_ids)}}, {"$unset": {"sweep_at": ""}}
        )
