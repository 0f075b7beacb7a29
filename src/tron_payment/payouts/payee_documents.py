"""Who has been paid: what tells a new recipient, or a look-alike, from a known one."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final

from pymongo import ASCENDING, IndexModel, UpdateOne

from tron_payment.db.lean import LeanDocument
from tron_payment.payouts.documents import Payout

LOOK_CHARACTERS: Final = 4


class Payee(LeanDocument):
    """An address that has been paid. What tells a new recipient, or a look-alike, from it."""

    id: str  # type: ignore[assignment]  # the address
    look: str
    """What people compare: the first and the last characters."""

    first_paid_at: datetime

    class Settings:
        name = "payees"
        indexes: ClassVar[list[IndexModel]] = [IndexModel([("look", ASCENDING)], name="look")]


def look_of(address: str) -> str:
    """Addresses with the same look are told apart by nobody's eye."""
    return address[1 : 1 + LOOK_CHARACTERS] + address[-LOOK_CHARACTERS:]


async def remember_payees(payouts: Sequence[Payout], now: datetime) -> None:
    if payouts:
        await Payee.get_pymongo_collection().bulk_write(
            [
                UpdateOne(
                    {"_id": payout.recipient_address},
                    {"$setOnInsert": {"look": look_of(payout.recipient_address)}}
                    | {"$min": {"first_paid_at": now}},
                    upsert=True,
                )
                for payout in payouts
            ],
            ordered=False,
        )


async def payees_like(addresses: Sequence[str]) -> dict[str, set[str]]:
    """Paid addresses by look, of the looks of these addresses."""
    found: dict[str, set[str]] = {}
    wanted = {"look": {"$in": sorted({look_of(address) for address in addresses})}}
    async for payee in Payee.find(wanted):
        found.setdefault(payee.look, set()).add(payee.id)
    return found
