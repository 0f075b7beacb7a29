"""The part of a document that follows its order, and every query on that part."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from beanie import Document
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from tron_payment.core.clock import from_ms
from tron_payment.db.faults import store_errors
from tron_payment.engine import Order
from tron_payment.http.paging import InvalidFilter
from tron_payment.ordered.domain import BROADCAST, LIFECYCLE, OrderedStatus, status_of

SWEEP_AFTER: Final = timedelta(seconds=10)
"""A queued object this old must have its order; the sweeper makes sure."""

SWEEP_MAX: Final = 200


class OrderedDocument(Document):
    """What every object has that an order carries. `status` follows the order, and only a newer
    version of the order changes what is said here of it.

    The id is derived from the principal and the idempotency key, the order's id from that.
    """

    id: str  # type: ignore[assignment]
    principal: str
    wallet_id: str
    signer: str
    detached: bool = False
    """The wallet's key is elsewhere: the order waits for a signature from outside."""

    max_fee_sun: int
    order_id: str
    order_version: int = -1
    """Version of the order that the fields below were taken from; it only grows."""

    status: OrderedStatus = OrderedStatus.QUEUED
    version: int = 0
    op_id: str = ""
    waiting_for: str = ""
    reason: str = ""
    txid: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    fee_paid_sun: int | None = None
    energy_used: int | None = None
    block_number: int | None = None
    block_id: str | None = None
    settled_at: datetime | None = None
    """The solidified block's own time."""

    sweep_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


D = TypeVar("D", bound=OrderedDocument)


def ordered_indexes(*more: IndexModel) -> list[IndexModel]:
    """The indexes of the queries here and of the history, and a class's own."""
    newest = [("created_at", DESCENDING), ("_id", DESCENDING)]
    return [
        IndexModel([("order_id", ASCENDING)], name="order"),
        IndexModel([("status", ASCENDING), ("sweep_at", ASCENDING)], name="sweep"),
        IndexModel(newest, name="history"),
        IndexModel([("principal", ASCENDING), *newest], name="own_history"),
        *more,
    ]


def showing(statuses: Sequence[str], kind: type[StrEnum] = OrderedStatus) -> dict[str, Any]:
    """The filter for statuses as the view shows them; everything for none.

    Raises:
        InvalidFilter: One that this kind of object does not have.
    """
    known = {each.value for each in kind} | {BROADCAST}
    if set(statuses) - known:
        raise InvalidFilter("a status is one of " + ", ".join(sorted(known)), param="status")
    signed = OrderedStatus.SIGNED.value
    shown = {
        BROADCAST: {"status": signed, "sent_at": {"$ne": None}},
        signed: {"status": signed, "sent_at": None},
    }
    wanted = [shown.get(each, {"status": each}) for each in statuses]
    return {"$or": wanted} if wanted else {}


async def by_id(kind: type[D], object_id: str, owner: dict[str, str]) -> D | None:
    return await kind.find_one({"_id": object_id, **owner})


async def of_orders(kind: type[D], order_ids: Sequence[str]) -> dict[str, D]:
    """Objects by the id of their order."""
    found = await kind.find({"order_id": {"$in": list(order_ids)}}).to_list()
    return {each.order_id: each for each in found}


def taken_over(order: Order, now: datetime) -> dict[str, Any]:
    """What an object takes over from its order."""
    fields: dict[str, Any] = {
        "status": status_of(order.status).value,
        "waiting_for": order.waiting_for,
        "reason": order.reason,
        "attempts": len(order.attempts),
        "updated_at": now,
    }
    if order.attempts:
        newest = order.tried[-1]
        fields |= {"txid": newest.txid, "sent_at": newest.sent_at}
    if (outcome := order.outcome) is not None:
        fields |= {
            "txid": outcome.txid,
            "fee_paid_sun": outcome.fee_sun,
            "energy_used": outcome.energy_used,
            "block_number": outcome.block_number,
            "block_id": outcome.block_id,
            "settled_at": from_ms(outcome.block_timestamp_ms),
        }
    return fields


async def follow_orders(
    kind: type[D], orders: Sequence[Order], now: datetime, unset_when_final: Sequence[str] = ()
) -> None:
    """Take over what orders say.

    A compare-and-set on the order's version: telling it twice, or late, changes nothing.

    Args:
        unset_when_final: Fields that an object has only while it moves.
    """
    updates = []
    for order in orders:
        fields = taken_over(order, now)
        update: dict[str, Any] = {
            "$set": {**fields, "order_version": order.version},
            "$inc": {"version": 1},
        }
        if unset_when_final and LIFECYCLE.is_final(OrderedStatus(fields["status"])):
            update["$unset"] = dict.fromkeys(unset_when_final, "")
        condition = {"order_id": order.id, "order_version": {"$lte": order.version}}
        updates.append(UpdateOne(condition, update))
    if updates:
        with store_errors():
            await kind.get_pymongo_collection().bulk_write(updates, ordered=False)


async def unswept(kind: type[D], now: datetime) -> list[D]:
    """Queued objects whose order may be missing."""
    query = {"status": OrderedStatus.QUEUED.value, "sweep_at": {"$lte": now}}
    return await kind.find(query).limit(SWEEP_MAX).to_list()


async def swept(kind: type[D], object_ids: Sequence[str]) -> None:
    """Their orders exist."""
    if object_ids:
        with store_errors():
            await kind.get_pymongo_collection().update_many(
                {"_id": {"$in": list(object_ids)}}, {"$unset": {"sweep_at": ""}}
            )


TOLD: Final = (
    *("order_id", "wallet_id", "status", "kind", "operation", "counterparty", "currency"),
    *("units", "amount_sun", "resource", "receiver"),
)
"""What the audit log keeps of an object, of those fields that its kind has."""


def told(document: OrderedDocument) -> dict[str, Any]:
    """The object as its acceptance's audit entry has it."""
    facts = {name: getattr(document, name, None) for name in TOLD}
    return {name: value for name, value in facts.items() if value is not None}
