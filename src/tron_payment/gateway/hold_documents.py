"""What the books have set aside, against the open orders that it is set aside for.

The chain knows no difference between what is available and what is reserved, so a balance that was
moved from one to the other is seen here alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tron_payment.core.address import Address
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Balance, Ledger, Pocket, account
from tron_payment.engine import Order, OrderStatus
from tron_payment.gateway import books

ORDERS_MAX: Final = 10_000
"""Open orders of one address that are added up; of more nothing is said."""

SUSPECTS_MAX: Final = 200
"""Addresses that one run looks at closely."""

MARKED: Final = [
    status.value
    for status in (
        OrderStatus.RESERVED,
        OrderStatus.AWAITING_SIGNATURE,
        OrderStatus.SIGNED,
        OrderStatus.QUARANTINED,
    )
]
OPEN: Final = [OrderStatus.QUEUED.value, *MARKED]
"""Of a queued one funds may be set aside: whoever did it died before the order said so."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Astray:
    """An address's reserved units of one asset that are not what its open orders hold."""

    address: Address
    asset: str
    reserved_units: int
    held_units: int


async def astray(ledger: Ledger) -> list[Astray]:
    """Where the two differ. What is in motion is looked at until it stands still."""
    reserved, held = await _reserved(), await _held()
    keys = reserved.keys() | held.keys()
    suspects = sorted({who for who, asset in keys if reserved[who, asset] != held[who, asset]})
    found = []
    for address in suspects[:SUSPECTS_MAX]:
        found += await _closely(ledger, Address(address))
    return found


async def _closely(ledger: Ledger, address: Address) -> list[Astray]:
    name = account(address, Pocket.RESERVED)
    for _ in range(books.LOOKS_MAX):
        seq = (await ledger.view()).seq
        reserved = await _reserved({"account": name})
        held = await _held_by_journal(ledger, address)
        if held is None:
            return []
        if not await books.touched_after(seq, [name]):
            assets = {asset for _, asset in reserved} | held.keys()
            pairs = {each: (reserved[address, each], held[each]) for each in sorted(assets)}
            return [
                Astray(address, each, *pair) for each, pair in pairs.items() if len({*pair}) > 1
            ]
        await asyncio.sleep(books.LOOK_AGAIN_S)
    log.info("reconciliation.holds_moving", address=address)
    return []


async def _held_by_journal(ledger: Ledger, address: Address) -> Mapping[str, int] | None:
    """Units by asset that open orders hold of an address; None when they are too many."""
    mine = {"$or": [{"signer": address}, {"spends.holder": address}]}
    open_ones = {"$or": [{"status": {"$in": OPEN}}, {"books_open": True}]}
    with store_errors():
        orders = Order.get_pymongo_collection()
        rows = orders.find({"$and": [mine, open_ones]}, {"holds": 1}).limit(ORDERS_MAX)
        holds = {row["_id"]: row.get("holds") or [] async for row in rows}
    if len(holds) >= ORDERS_MAX:
        log.info("reconciliation.too_many_orders", address=address)
        return None
    view = await ledger.view()
    closed = await view.finished(list(holds))
    unmarked = await view.reserved([key for key, each in holds.items() if not each])
    units: dict[str, int] = defaultdict(int)
    name = account(address, Pocket.RESERVED)
    for order_id in holds.keys() - closed:
        for hold in holds[order_id]:
            if hold["holder"] == address:
                units[hold["asset"]] += hold["units"]
        for posting in await view.reservation(order_id) if order_id in unmarked else ():
            if posting.destination == name:
                units[posting.asset] += posting.units
    return units


async def _reserved(which: Mapping[str, Any] | None = None) -> dict[tuple[str, str], int]:
    """Reserved units by address and asset, where there are any."""
    ending = f":{Pocket.RESERVED.value}"
    query = {"units": {"$ne": 0}, **(which or {})}
    with store_errors():
        rows = Balance.get_pymongo_collection().find(query, {"account": 1, "asset": 1, "units": 1})
        return _summed(
            [
                (row["account"].removesuffix(ending), row["asset"], row["units"])
                async for row in rows
                if row["account"].endswith(ending)
            ]
        )


async def _held() -> dict[tuple[str, str], int]:
    """What open orders say that they hold, by address and asset."""
    each = {"holder": "$holds.holder", "asset": "$holds.asset"}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"$or": [{"status": {"$in": MARKED}}, {"books_open": True}]}},
        {"$unwind": "$holds"},
        {"$group": {"_id": each, "units": {"$sum": "$holds.units"}}},
    ]
    with store_errors():
        rows = await Order.get_pymongo_collection().aggregate(pipeline)
        return _summed(
            [(row["_id"]["holder"], row["_id"]["asset"], row["units"]) async for row in rows]
        )


def _summed(rows: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    units: dict[tuple[str, str], int] = defaultdict(int)
    for holder, asset, some in rows:
        units[holder, asset] += some
    return units
