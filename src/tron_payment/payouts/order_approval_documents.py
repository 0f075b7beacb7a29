"""Approvals of orders that are no payouts: transfers, refunds, calls. And every query on them.

The record is stored before its order is accepted, under the order's id, and never removed: an order
that has one is held back until enough people have approved exactly what it says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

import msgspec
from beanie import Document
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from tron_payment.core.lifecycle import Lifecycle
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.cas import compare_and_set
from tron_payment.engine import Order

LISTED_MAX: Final = 200


class ApprovalState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"


LIFECYCLE: Final = Lifecycle(
    {
        ApprovalState.WAITING: {ApprovalState.APPROVED, ApprovalState.REJECTED},
        ApprovalState.APPROVED: set(),
        ApprovalState.REJECTED: set(),
    }
)


class OrderApproval(Document):
    """What people are asked about one order. Units are the currency's smallest."""

    id: str  # type: ignore[assignment]  # the order's id
    object_id: str
    principal: str
    wallet_id: str
    recipient: str
    currency: str
    units: int = Field(ge=0, le=UNITS_MAX)
    content: str = ""
    """`content_hash` of what people are asked about; an order that says something else fails."""

    needed: int = Field(gt=0)
    approvers: list[str] = Field(default_factory=list)
    """Whose approval counts; empty means everybody with the permission."""

    approvals: list[dict[str, Any]] = Field(default_factory=list)
    until: datetime
    status: ApprovalState = ApprovalState.WAITING
    reason: str = ""
    policy_version: int
    listed: bool = False
    """It was asked for because the recipient was on the allow-list."""

    version: int = 0
    op_id: str = ""
    created_at: datetime

    class Settings:
        name = "order_approvals"
        keep_nulls = False
        indexes: ClassVar[list[IndexModel]] = [
            IndexModel([("status", ASCENDING), ("created_at", ASCENDING)], name="waiting")
        ]


def order_hash(order: Order) -> str:
    """What an approval is bound to: SHA-256 over everything that the order's bytes will say."""
    parts = (order.id, order.module, order.kind, order.wallet_id, order.signer, order.max_fee_sun)
    content = [*parts, order.permission_id, order.contract, order.expects, order.spends]
    return _digest(content)


def content_hash(contract: Mapping[str, Any]) -> str:
    """SHA-256 over what a transaction says, of a contract as orders keep it."""
    return _digest(contract)


def _digest(content: Any) -> str:
    """MongoDB gives integers beyond 32 bits back as `Int64`, which only `enc_hook` knows."""
    text = msgspec.json.encode(content, order="deterministic", enc_hook=int)
    return hashlib.sha256(text).hexdigest()


async def by_id(order_id: str) -> OrderApproval | None:
    return await OrderApproval.find_one({"_id": order_id})


async def of_orders(order_ids: Sequence[str]) -> dict[str, OrderApproval]:
    """Of these orders those that need approvals, by id."""
    found = OrderApproval.find({"_id": {"$in": list(order_ids)}})
    return {each.id: each async for each in found}


async def waiting(owner: Mapping[str, str]) -> list[OrderApproval]:
    """Those that wait for people, oldest first.

    Args:
        owner: Whose; empty for everybody's.
    """
    query = {"status": ApprovalState.WAITING.value, **owner}
    found = OrderApproval.find(query).sort("+created_at")
    return await found.limit(LISTED_MAX).to_list()


async def decide(
    found: OrderApproval,
    *,
    target: ApprovalState | None = None,
    vote: dict[str, Any] | None = None,
    reason: str = "",
) -> OrderApproval:
    """One vote, which may be the last one needed, or a rejection.

    Raises:
        LostRace: Somebody else has decided in this moment.
    """
    changes: dict[str, Any] = {"reason": reason} if reason else {}
    if target is not None:
        LIFECYCLE.require(found.status, target)
        changes["status"] = target.value
    return await compare_and_set(
        OrderApproval,
        found.id,
        version=found.version,
        where={"status": found.status.value},
        set=changes,
        push=None if vote is None else {"approvals": vote},
    )


RESTATED: Final = (
    "recipient",
    "wallet_id",
    "currency",
    "units",
    "content",
    "needed",
    "approvers",
    "until",
    "policy_version",
    "listed",
    "created_at",
)


async def restate(found: OrderApproval, asked: OrderApproval) -> None:
    """Ask about something else under the same order's id, which was never accepted.

    Raises:
        LostRace: Somebody else asks in this moment.
    """
    await compare_and_set(
        OrderApproval,
        found.id,
        version=found.version,
        where={"status": ApprovalState.WAITING.value},
        set={name: getattr(asked, name) for name in RESTATED},
    )
