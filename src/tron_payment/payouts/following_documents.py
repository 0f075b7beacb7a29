"""How payouts follow their orders, in the store: taking over, leaving, parting.

Every write here is one atomic update per payout, valid only while the payout is in that order; so
each may be done again after any crash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pymongo import UpdateMany, UpdateOne

from tron_payment.db.cas import BY_ID
from tron_payment.payouts.documents import CANCELED_BY_HAND, LEFT, Payout
from tron_payment.payouts.domain import PayoutStatus

PARTING: Final = (
    PayoutStatus.QUEUED,
    PayoutStatus.AWAITING_SIGNATURE,
    PayoutStatus.SIGNED,
    PayoutStatus.QUARANTINED,
)
"""Statuses of a payout that has not ended although its order has. In quarantine it is with its
order, which was proved there never to have paid."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a payout takes over from a version of its order."""

    payout_id: str
    order_id: str
    order_version: int
    fields: dict[str, Any]


async def follow_orders(changes: Sequence[Taken]) -> None:
    """Take over what orders say.

    Valid only while the payout is in that order and has seen no newer version of it, so that
    telling it twice, or late, changes nothing. Payouts of an order that take over the same are
    written by one statement, each of them still atomically and under that condition.
    """
    same: dict[tuple[object, ...], list[Taken]] = {}
    for each in changes:
        content = (each.order_id, each.order_version, *each.fields.items())
        same.setdefault(content, []).append(each)
    if same:
        await Payout.get_pymongo_collection().bulk_write(
            [_taking_over(alike) for alike in same.values()], ordered=False
        )


def _taking_over(alike: Sequence[Taken]) -> UpdateOne | UpdateMany:
    """One statement for payouts that take over the same; a single one may be sent again."""
    one = alike[0]
    ids = [each.payout_id for each in alike]
    here = {"order_id": one.order_id, "order_version": {"$lte": one.order_version}}
    change = {"$set": {**one.fields, "order_version": one.order_version}, "$inc": {"version": 1}}
    if len(ids) == 1:
        return UpdateOne({"_id": ids[0], **here}, change, hint=BY_ID)
    return UpdateMany({"_id": {"$in": ids}, **here}, change, hint=BY_ID)


async def mark_ejected(order_id: str, reasons: Mapping[str, str]) -> None:
    """These payouts shall leave the transaction, should it be called back in time.

    Not those that are in it no more, and a mark that is there stays.
    """
    await Payout.get_pymongo_collection().bulk_write(
        [
            UpdateOne(
                {"_id": payout_id, "order_id": order_id, "eject": None},
                {"$set": {"eject": reason}, "$inc": {"version": 1}},
                hint=BY_ID,
            )
            for payout_id, reason in reasons.items()
        ],
        ordered=False,
    )


async def unmark_ejected(order_id: str, payout_ids: Sequence[str]) -> None:
    """It was too late: they stay in."""
    await Payout.get_pymongo_collection().update_many(
        {"_id": {"$in": list(payout_ids)}, "order_id": order_id, "eject": CANCELED_BY_HAND},
        {"$unset": {"eject": ""}, "$inc": {"version": 1}},
    )


@dataclass(frozen=True, slots=True)
class Parting:
    """Where a payout goes when its transaction can never pay it, and what that has cost it."""

    payout_id: str
    next_order_id: str
    cost_sun: int


async def part(order_id: str, partings: Sequence[Parting], now: datetime) -> int:
    """Move every payout out of an order, or end it when it is marked to leave.

    Each update is atomic and happens once: it is valid only while the payout is in this order and
    not final, and has, or has not, that mark in this moment. One that ends says in the same update
    that nobody was told yet. Answers how many are still there: their marks have just come or gone.
    """
    waiting = {"$in": [status.value for status in PARTING]}
    payouts = Payout.get_pymongo_collection()
    updates = []
    for each in partings:
        here = {"_id": each.payout_id, "order_id": order_id, "status": waiting}
        fresh = {
            "order_id": each.next_order_id,
            "order_version": -1,
            "status": PayoutStatus.QUEUED.value,
            "waiting_for": "",
            "reason": "",
            "updated_at": now,
        }
        updates.append(
            UpdateOne(
                {**here, "eject": None},
                {
                    "$set": fresh,
                    "$unset": {"txid": "", "sent_at": ""},
                    "$inc": {"version": 1, "fee_before_sun": each.cost_sun},
                },
                hint=BY_ID,
            )
        )
        for by_hand in (True, False):
            status = PayoutStatus.CANCELED if by_hand else PayoutStatus.FAILED
            mark: Any = CANCELED_BY_HAND if by_hand else {"$nin": [None, CANCELED_BY_HAND]}
            updates.append(
                UpdateOne(
                    {**here, "eject": mark},
                    [
                        {
                            "$set": {
                                "status": status.value,
                                "reason": "$eject",
                                "untold": LEFT,
                                "waiting_for": "",
                                "updated_at": now,
                                "version": {"$add": ["$version", 1]},
                                "fee_paid_sun": {"$add": ["$fee_before_sun", each.cost_sun]},
                            }
                        }
                    ],
                    hint=BY_ID,
                )
            )
    await payouts.bulk_write(updates, ordered=True)
    return int(await payouts.count_documents({"order_id": order_id, "status": waiting}))


async def wait(order_id: str, waiting_for: str) -> None:
    """The payouts of an order that cannot be made say what for; its first word takes that away."""
    await Payout.get_pymongo_collection().update_many(
        {
            "order_id": order_id,
            "status": PayoutStatus.QUEUED.value,
            "order_version": -1,
            "waiting_for": {"$ne": waiting_for},
        },
        {"$set": {"waiting_for": waiting_for}, "$inc": {"version": 1}},
    )


async def unmark_order(order_id: str) -> None:
    """It is signed: its rows stay in."""
    await Payout.get_pymongo_collection().update_many(
        {"order_id": order_id, "eject": CANCELED_BY_HAND},
        {"$unset": {"eject": ""}, "$inc": {"version": 1}},
    )
