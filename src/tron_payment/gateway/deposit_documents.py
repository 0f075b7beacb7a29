"""Every query on deposits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.core.address import Address
from tron_payment.db.faults import store_errors
from tron_payment.gateway.documents import Deposit
from tron_payment.gateway.domain import DepositOutcome

SHOWN_MAX: Final = 100
"""Deposits of one payment that are shown; what counts goes before what does not."""

COUNTS: Final = DepositOutcome.CREDITED.value


@dataclass(frozen=True, slots=True)
class Credited:
    """Units of its currency that a payment's credited deposits have brought."""

    units: int
    of_sender: int
    """Those of them that one address has sent."""


async def by_ids(deposit_ids: Sequence[str]) -> dict[str, Deposit]:
    """As stored, by id."""
    with store_errors():
        return {row.id: row async for row in Deposit.find({"_id": {"$in": list(deposit_ids)}})}


async def shown(payment_id: str) -> list[Deposit]:
    """Those of a payment that are shown, oldest first. Of more than that the credited ones, then
    others: anybody may send dust."""
    found = await _first(payment_id, {}, SHOWN_MAX)
    if len(found) < SHOWN_MAX:
        return found
    found = await _first(payment_id, {"outcome": COUNTS}, SHOWN_MAX)
    if room := SHOWN_MAX - len(found):
        found += await _first(payment_id, {"outcome": {"$ne": COUNTS}}, room)
    return sorted(found, key=lambda each: (each.block_number, each.id))


async def credited(payment_id: str, sender: Address) -> Credited:
    """What all of its credited deposits have brought, and those of one sender; however many."""
    from_him = {"$cond": [{"$eq": ["$sender", sender]}, "$units", 0]}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"payment_id": payment_id, "outcome": COUNTS}},
        {"$group": {"_id": None, "units": {"$sum": "$units"}, "his": {"$sum": from_him}}},
    ]
    with store_errors():
        rows = await Deposit.get_pymongo_collection().aggregate(pipeline)
        found = await rows.to_list()
    return Credited(found[0]["units"], found[0]["his"]) if found else Credited(0, 0)


async def _first(payment_id: str, also: dict[str, Any], most: int) -> list[Deposit]:
    with store_errors():
        found = Deposit.find({"payment_id": payment_id, **also}).sort("+block_number", "+_id")
        return await found.limit(most).to_list()
