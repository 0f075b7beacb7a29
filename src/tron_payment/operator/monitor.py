"""`monitor`: what is under way now, what it waits for, and how far the chain has been followed."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tron_payment.chain import Apart
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.errors import Unavailable
from tron_payment.core.money import USDT, decimal_text
from tron_payment.core.terminal import printable
from tron_payment.db.faults import store_errors
from tron_payment.engine import Order, OrderStatus
from tron_payment.gateway import Deposit
from tron_payment.module import House
from tron_payment.operator.report import Exit, Report, counted, failure
from tron_payment.operator.runner import assembled
from tron_payment.payouts import Payout, PayoutStatus, shown_status
from tron_payment.settings import Settings

EVERY_MAX_S: Final = 3_600
SECONDS_MAX: Final = 7 * 86_400
PAYOUTS_SHOWN: Final = 20
DEPOSITS_SHOWN: Final = 10
WAITING_READ: Final = 20_000
"""Unfinished orders whose reasons are counted, at most."""

REASONS_SHOWN: Final = 20
READ_MS: Final = 5_000
CIRCUITS: Final = {
    "closed": "in use",
    "open": "left alone for a while after errors",
    "half_open": "being tried again after errors",
}
"""A node's circuit breaker in words."""

APART: Final = "apart: outvoted about a solidified block, until `tron-payment resume`"

ORDERS_OPEN: Final = (
    OrderStatus.QUEUED,
    OrderStatus.RESERVED,
    OrderStatus.AWAITING_SIGNATURE,
    OrderStatus.SIGNED,
    OrderStatus.QUARANTINED,
)
PAYOUTS_OPEN: Final = (
    PayoutStatus.AWAITING_APPROVAL,
    PayoutStatus.QUEUED,
    PayoutStatus.AWAITING_SIGNATURE,
    PayoutStatus.SIGNED,
    PayoutStatus.QUARANTINED,
)


async def monitor(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Look once, or again and again at a terminal until the time is over or ^C."""
    if not 1 <= arguments.every <= EVERY_MAX_S:
        return failure("usage", f"--every is from 1 to {EVERY_MAX_S} seconds", Exit.USAGE)
    if not 1 <= arguments.seconds <= SECONDS_MAX:
        return failure("usage", f"--seconds is from 1 to {SECONDS_MAX}", Exit.USAGE)
    async with assembled(settings) as assembly:
        house = assembly.house
        data = await look(house)
        if not arguments.once and not arguments.json and sys.stdout.isatty():
            data = await _live(house, data, arguments.every, arguments.seconds)
    return Report(data, _lines(data), Exit.OK if data["sound"] else Exit.FAILED)


async def _live(house: House, first: dict[str, Any], every: int, seconds: int) -> dict[str, Any]:
    """Draw until the time is over or ^C; the last thing that was seen."""
    data = first
    with Live(_screen(data, ""), screen=True, auto_refresh=False) as live:
        try:
            for _ in range(seconds // every):
                await asyncio.sleep(every)
                trouble = ""
                try:
                    data = await look(house)
                except Unavailable as error:
                    trouble = f"{error.code}: {error.detail}; looking again"
                live.update(_screen(data, trouble), refresh=True)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None:
                task.uncancel()  # ^C is how one leaves
    return data


async def look(house: House) -> dict[str, Any]:
    """One look at the store and at the nodes.

    Raises:
        Unavailable: The store does not answer. Nodes that do not are shown so.
    """
    nodes = await house.nodes.probe()
    apart = await _apart(house)
    at = await house.cursors.load()
    solid = max((node.solid for node in nodes if node.alias not in apart), default=0)
    now = house.clock.now()
    with store_errors():
        data: dict[str, Any] = {
            "at": rfc3339(now),
            "follower": {
                "block": at.number if at else None,
                "block_time": rfc3339(from_ms(at.timestamp_ms)) if at else None,
                "lag_blocks": max(0, solid - at.number) if at and solid else None,
                "halted": (at.halted or None) if at else None,
            },
            "nodes": [
                {
                    "node": node.alias,
                    "solid_block": node.solid or None,
                    "circuit": node.breaker.value,
                    "apart": node.alias in apart,
                }
                for node in nodes
            ],
            "orders": await _counts(Order, ORDERS_OPEN),
            "payouts": await _counts(Payout, PAYOUTS_OPEN),
            "waiting": await _reasons(),
            "oldest_payouts": await _payouts(now),
            "deposits": await _deposits(),
        }
    data["sound"] = bool(solid) and at is not None and not at.halted
    return data


async def _apart(house: House) -> frozenset[str]:
    """Who was outvoted, by name: as stored, since another process finds it and lets it back."""
    if not house.nodes.outvotes:
        return frozenset()
    kept = {each.id for each in await Apart.load()}
    return frozenset(m.client.alias for m in house.nodes.members if m.client.identity in kept)


async def _counts(
    kind: type[Order] | type[Payout], statuses: Sequence[OrderStatus | PayoutStatus]
) -> dict[str, int]:
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": {"$in": [status.value for status in statuses]}}},
        {"$group": {"_id": "$status", "n": {"$sum": 1}}},
    ]
    rows = await kind.get_pymongo_collection().aggregate(pipeline, maxTimeMS=READ_MS)
    found = {row["_id"]: row["n"] async for row in rows}
    return {status.value: found[status.value] for status in statuses if status.value in found}


async def _reasons() -> dict[str, int]:
    """How many orders wait for what, by the word before the colon; of the first `WAITING_READ`."""
    word = {"$first": {"$split": ["$waiting_for", ":"]}}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"status": {"$in": [status.value for status in ORDERS_OPEN]}}},
        {"$limit": WAITING_READ},
        {"$match": {"waiting_for": {"$nin": ["", None]}}},
        {"$group": {"_id": word, "n": {"$sum": 1}}},
        {"$sort": {"n": -1, "_id": 1}},
        {"$limit": REASONS_SHOWN},
    ]
    rows = await Order.get_pymongo_collection().aggregate(pipeline, maxTimeMS=READ_MS)
    return {row["_id"]: row["n"] async for row in rows}


async def _payouts(now: datetime) -> list[dict[str, Any]]:
    """Those that have been under way longest."""
    statuses = [status.value for status in PAYOUTS_OPEN]
    query = Payout.find({"status": {"$in": statuses}}).sort("+created_at").limit(PAYOUTS_SHOWN)
    return [
        {
            "payout_id": each.id,
            "status": shown_status(each),
            "route": each.route.value,
            "amount": decimal_text(each.units, USDT.decimals),
            "currency": each.currency,
            "age_seconds": max(0, int((now - each.created_at).total_seconds())),
            "attempts": each.attempts,
            "waiting_for": each.waiting_for or None,
            "txid": each.txid,
        }
        for each in await query.to_list()
    ]


async def _deposits() -> list[dict[str, Any]]:
    """The newest arrivals at invoices' addresses, on solidified blocks."""
    return [
        {
            "at": rfc3339(each.at),
            "payment_id": each.payment_id,
            "units": each.units_text,
            "asset": each.asset or each.token,
            "outcome": each.outcome.value,
            "block_number": each.block_number,
            "txid": each.txid,
        }
        for each in await Deposit.find_all().sort("-at").limit(DEPOSITS_SHOWN).to_list()
    ]


def _lines(data: Mapping[str, Any]) -> list[str]:
    follower = data["follower"]
    behind = "how far behind is not known"
    if follower["lag_blocks"] is not None:
        lag = follower["lag_blocks"]
        behind = "1 block behind" if lag == 1 else f"{lag} blocks behind"
    at = "the chain is not read yet"
    if follower["block"] is not None:
        at = f"the chain is read to block {follower['block']}"
    lines = [f"{data['at']}  {at}, {behind}"]
    if follower["halted"]:
        lines.append(f"HALTED: {follower['halted']}: see docs/runbooks/money.md")
    for node in data["nodes"]:
        seen = node["solid_block"] or "no answer"
        use = APART if node["apart"] else CIRCUITS[node["circuit"]]
        lines.append(f"node {node['node']}: newest solidified block {seen}, {use}")
    lines.append(f"orders under way: {counted(data['orders'])}")
    lines.append(f"payouts under way: {counted(data['payouts'])}")
    lines += [f"{n} wait for {reason}" for reason, n in data["waiting"].items()]
    for each in data["oldest_payouts"]:
        waits = f", waits for {each['waiting_for']}" if each["waiting_for"] else ""
        lines.append(
            f"  {each['payout_id']} {each['age_seconds']} s {each['status']} "
            f"{each['amount']} {each['currency']}, {each['attempts']} attempts{waits}"
        )
    for each in data["deposits"]:
        lines.append(
            f"  deposit {each['at']} {each['payment_id']} {each['units']} {each['asset']} "
            f"{each['outcome']} in block {each['block_number']}"
        )
    return lines


def _screen(data: Mapping[str, Any], trouble: str) -> Group:
    """The same for a terminal."""
    head = [line for line in _lines(data) if not line.startswith("  ")]
    payouts = Table(title="Longest under way", title_justify="left", expand=True)
    for name in ("payout", "status", "amount", "age s", "attempts", "waits for"):
        payouts.add_column(name, justify="right" if name in ("amount", "age s") else "left")
    for each in data["oldest_payouts"]:
        payouts.add_row(
            *_cells(
                each["payout_id"],
                each["status"],
                f"{each['amount']} {each['currency']}",
                str(each["age_seconds"]),
                str(each["attempts"]),
                each["waiting_for"] or "",
            )
        )
    deposits = Table(title="Newest deposits", title_justify="left", expand=True)
    for name in ("block time", "payment", "units", "asset", "outcome", "block"):
        deposits.add_column(name, justify="right" if name in ("units", "block") else "left")
    for each in data["deposits"]:
        deposits.add_row(
            *_cells(
                each["at"],
                each["payment_id"],
                each["units"],
                each["asset"] or "",
                each["outcome"],
                str(each["block_number"]),
            )
        )
    top = Text("\n".join(map(printable, head)))
    return Group(top, Text(printable(trouble), style="red"), payouts, deposits)


def _cells(*texts: str) -> list[Text]:
    """Texts as they are: as markup one could raise or draw, and a terminal would obey some."""
    return [Text(printable(text)) for text in texts]
