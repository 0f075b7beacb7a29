"""What schedules owe and have not paid: rows of an occurrence that wait for what may pass.

They are no payouts yet, and will be: whoever uploads them by hand meanwhile pays them twice.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from pymongo import ASCENDING

from tron_payment.core.address import parse_address
from tron_payment.core.errors import AppError
from tron_payment.core.money import parse_units
from tron_payment.payouts.domain import CURRENCIES
from tron_payment.payouts.schedule_documents import Schedule, ScheduleStatus

SCHEDULES_MAX: Final = 20
"""Schedules that wait; of more it is not told what they owe."""

ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Owed:
    """A row that is owed."""

    schedule_id: str
    since: datetime
    """When it was tried last."""

    user_id: str
    recipient_address: str
    currency: str
    units: int


class _Row(msgspec.Struct, frozen=True):
    """As a schedule keeps it."""

    user_id: str
    recipient_address: str
    amount: str
    currency: str = "USDT"


class _Body(msgspec.Struct, frozen=True):
    payouts: list[_Row]


_DECODER: Final = msgspec.json.Decoder(_Body)


async def owed_to(
    people: Collection[str], owner: Mapping[str, str], max_time_ms: int
) -> tuple[list[Owed], bool]:
    """What is owed to these people; False when more schedules wait than are read.

    Args:
        people: By `user_id`.
        owner: The condition for what the caller may see.

    Raises:
        ExecutionTimeout
    """
    wanted, found, read = frozenset(people), list[Owed](), 0
    waiting = {"status": ScheduleStatus.ACTIVE.value, "waiting_for": {"$gt": ""}, **owner}
    schedules = (
        Schedule.get_pymongo_collection()
        .find(
            waiting,
            {"body": 1, "left": 1, "updated_at": 1},
            sort=[("next_at", ASCENDING)],
            hint="waiting",
            batch_size=1,
        )
        .limit(SCHEDULES_MAX + 1)
        .max_time_ms(max_time_ms)
    )
    async for raw in schedules:
        read += 1
        if read > SCHEDULES_MAX:
            break
        left = frozenset(raw.get("left") or ())
        for number, row in enumerate(_DECODER.decode(raw["body"]).payouts, 1):
            if number % ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if row.user_id in wanted and (not left or number in left):
                found += _owed(raw, row)
    return found, read <= SCHEDULES_MAX


def _owed(raw: Mapping[str, Any], row: _Row) -> list[Owed]:
    """The row as it would be paid; nothing when it would be refused for what it says."""
    asset = CURRENCIES.get(row.currency)
    if asset is None:
        return []
    try:
        address = parse_address(row.recipient_address)
        units = parse_units(asset.decimals, row.amount)
    except AppError:
        return []
    return [Owed(raw["_id"], raw["updated_at"], row.user_id, address, asset.code, units)]
