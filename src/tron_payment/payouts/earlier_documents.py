"""The same money sent before: rows of a batch that were paid, or are under way, since lately.

Whoever uploads a file twice under two idempotency keys wants two batches, as far as we can tell;
so this refuses nothing. It is said before anything is sent.

A batch that was accepted a moment ago has its rows in itself and not yet as payouts; they are read
there, and before the payouts, so that a batch which is drawn up meanwhile is seen once or twice
and never not at all.

What a schedule owes and could not pay yet is no payout, and will be: it counts, too.

Of payouts whose person was erased address, currency and amount are compared: to warn of one payment
too many is better than to hide one.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from pymongo import DESCENDING
from pymongo.errors import ExecutionTimeout

from tron_payment.payouts.batch_documents import Batch, Stage, unpack_payouts
from tron_payment.payouts.batch_names import ERASED
from tron_payment.payouts.documents import Payout
from tron_payment.payouts.domain import PayoutStatus
from tron_payment.payouts.owed_documents import owed_to

LATELY: Final = timedelta(days=13)
"""Shorter than two weeks: regular pay of every other week, or month, is no repetition."""

RECIPIENTS_AT_ONCE: Final = 100
ASKED_AT_ONCE: Final = 1_000
READ_PER_QUERY_MAX: Final = 10_000
"""The newest kinds of payouts (person, address, currency, amount) that one query tells."""

TIMEOUTS_MAX: Final = 2
"""Queries that take longer than `QUERY_MS`; behind them nothing is compared."""

BATCHES_MAX: Final = 10
"""The newest batches that are no payouts yet; behind them nothing is compared."""

QUERY_MS: Final = 2_000
UNPAID: Final = frozenset(
    {PayoutStatus.FAILED.value, PayoutStatus.CANCELED.value, PayoutStatus.REJECTED.value}
)
OWED: Final = "owed"
_SAME: Final = ("user_id", "recipient_address", "currency", "units")
_FIELDS: Final = ("_id", "batch_id", "status", "created_at")
_Same = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Earlier:
    """A payout of the same amount to the same person and address, or what a schedule owes."""

    payout_id: str | None
    batch_id: str | None
    status: str
    """As stored: `signed` may be broadcast. `owed` by a schedule: it is no payout yet."""

    created_at: datetime
    """Of what a schedule owes: when it was tried last."""

    schedule_id: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, by payout id, and whether everything was compared."""

    found: Mapping[str, Earlier]
    complete: bool
    """False when there was more than the bounds above let us read."""


class _Row(msgspec.Struct, frozen=True):
    """A row of a batch as `batch_documents.pack_payouts` writes it."""

    id: str
    user_id: str
    recipient_address: str
    currency: str
    units: int
    status: str
    created_at: datetime


_DECODER: Final = msgspec.json.Decoder(_Row)


async def earlier_than(payouts: Sequence[Payout], owner: Mapping[str, str]) -> Look:
    """By payout id the newest one with the same person, address, amount and currency.

    An erased person is taken for whoever is asked about.
    Those that have failed or ended unpaid do not count.

    Args:
        payouts: As judged, not stored yet.
        owner: The condition for what the caller may see.

    Raises:
        ExecutionTimeout: The store takes longer than `QUERY_MS` to tell the newest batches.
    """
    if not payouts:
        return Look({}, complete=True)
    since = max(payout.created_at for payout in payouts) - LATELY
    wanted = {_of(payout) for payout in payouts}
    newest, complete = await _undrawn(wanted, {"created_at": {"$gte": since}, **owner})
    complete = await _scheduled(wanted, owner, newest) and complete
    timeouts = 0
    for piece in _pieces(wanted):
        try:
            whole = await _drawn(piece, {"created_at": {"$gte": since}, **owner}, newest)
        except ExecutionTimeout:
            whole, timeouts = False, timeouts + 1
        complete = complete and whole
        if timeouts >= TIMEOUTS_MAX:
            break
    found = {payout.id: newest.get(_of(payout)) for payout in payouts}
    named = {payout_id: each for payout_id, each in found.items() if each is not None}
    return Look(named, complete=complete)


def same_rows(payouts: Iterable[Payout]) -> dict[str, int]:
    """By payout id the first row of the same upload that says the same; pure."""
    first: dict[_Same, int] = {}
    found: dict[str, int] = {}
    for payout in payouts:
        seen = first.setdefault(_of(payout), payout.row or 0)
        if seen != payout.row:
            found[payout.id] = seen
    return found


def _pieces(wanted: AbstractSet[_Same]) -> Iterator[list[_Same]]:
    """What one query asks for: some addresses, each with what is wanted of it together."""
    piece: list[_Same] = []
    addresses: set[str] = set()
    for same in sorted(wanted, key=lambda each: each[1]):
        full = len(addresses) == RECIPIENTS_AT_ONCE and same[1] not in addresses
        if full or len(piece) == ASKED_AT_ONCE:
            yield piece
            piece, addresses = [], set()
        piece.append(same)
        addresses.add(same[1])
    if piece:
        yield piece


async def _drawn(
    wanted: Sequence[_Same], where: Mapping[str, Any], newest: dict[_Same, Earlier]
) -> bool:
    """Note of each kind of payout that is wanted the newest one; False when there were more kinds.

    The store itself tells kinds apart: a thousand other payouts to one of the addresses do not
    stand before the one that is looked for.
    """
    people, addresses, _, units = (list(set(values)) for values in zip(*wanted, strict=True))
    pipeline: list[dict[str, Any]] = [
        {
            "$match": {
                "recipient_address": {"$in": addresses},
                "user_id": {"$in": [*people, ERASED]},
                "units": {"$in": units},
                "status": {"$nin": sorted(UNPAID)},
                **where,
            }
        },
        {
            "$group": {
                "_id": {name: f"${name}" for name in _SAME},
                "newest": {
                    "$top": {
                        "sortBy": {"created_at": DESCENDING, "_id": DESCENDING},
                        "output": {name: f"${name}" for name in _FIELDS},
                    }
                },
            }
        },
        {"$sort": {"newest.created_at": DESCENDING}},
        {"$limit": READ_PER_QUERY_MAX},
    ]
    cursor = await Payout.get_pymongo_collection().aggregate(
        pipeline, hint="recipient_history", maxTimeMS=QUERY_MS
    )
    read = 0
    asked: dict[tuple[str, str, int], set[_Same]] = {}
    for each in wanted:
        asked.setdefault(each[1:], set()).add(each)
    async for group in cursor:
        read += 1
        found = _same(group["_id"])
        alike = asked.get(found[1:], set())
        for same in alike if found[0] == ERASED else alike & {found}:
            _keep(newest, same, _read(group["newest"]))
    return read < READ_PER_QUERY_MAX


async def _undrawn(
    wanted: AbstractSet[_Same], where: Mapping[str, Any]
) -> tuple[dict[_Same, Earlier], bool]:
    """Of the wanted what is in batches that are no payouts yet; False when there were more."""
    newest: dict[_Same, Earlier] = {}
    batches = (
        Batch.get_pymongo_collection()
        .find(
            {"working": True, "stage": Stage.ACCEPTED.value, "ending": None, **where},
            {"rows": 1},
            sort=[("created_at", DESCENDING)],
            hint="work",
            batch_size=1,
        )
        .limit(BATCHES_MAX + 1)
        .max_time_ms(QUERY_MS)
    )
    read = 0
    async for batch in batches:
        read += 1
        if read > BATCHES_MAX:
            break
        for row in map(_DECODER.decode, unpack_payouts(batch["rows"])):
            same = (row.user_id, row.recipient_address, row.currency, row.units)
            if same in wanted:
                _keep(newest, same, Earlier(row.id, batch["_id"], row.status, row.created_at))
        await asyncio.sleep(0)
    return newest, read <= BATCHES_MAX


async def _scheduled(
    wanted: AbstractSet[_Same], owner: Mapping[str, str], newest: dict[_Same, Earlier]
) -> bool:
    """Note what schedules owe of the wanted; False when there was more."""
    try:
        owed, complete = await owed_to({same[0] for same in wanted}, owner, QUERY_MS)
    except ExecutionTimeout:
        return False
    for each in owed:
        same = (each.user_id, each.recipient_address, each.currency, each.units)
        if same in wanted:
            _keep(newest, same, Earlier(None, None, OWED, each.since, each.schedule_id))
    return complete


def _keep(newest: dict[_Same, Earlier], same: _Same, each: Earlier) -> None:
    seen = newest.get(same)
    if seen is None or seen.created_at < each.created_at:
        newest[same] = each


def _same(row: Mapping[str, Any]) -> _Same:
    return row["user_id"], row["recipient_address"], row["currency"], row["units"]


def _of(payout: Payout) -> _Same:
    return payout.user_id, payout.recipient_address, payout.currency, payout.units


def _read(row: Mapping[str, Any]) -> Earlier:
    return Earlier(row["_id"], row.get("batch_id"), row["status"], row["created_at"])
