"""`trace ID`: one timeline, from the API request to the webhook's delivery."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tron_payment.console.pages import EXPLORERS
from tron_payment.core.address import Address
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import TRX, USDT, decimal_text
from tron_payment.db.audit import Audit
from tron_payment.db.events import Event
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import SUM, LedgerEntry, Pocket, Posting, account
from tron_payment.engine import LIFECYCLE, Attempt, Order
from tron_payment.gateway import Delivery
from tron_payment.http.idempotency import StoredRequest
from tron_payment.operator.lookup import Found, find
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.payouts import Payout
from tron_payment.settings import Settings

ENTRIES_MAX: Final = 200
"""Of each kind: audit entries, events, deliveries, journal entries."""

NOWHERE: Final = "nothing here has this id; an X-Request-ID stands in the logs only"
POSTINGS_SHOWN: Final = 10
REQUEST_NEAR: Final = timedelta(minutes=1)
"""A request and what it makes are stored within this time."""

READ_MS: Final = 5_000
REF_END: Final = ";"
"""Behind every ``<txid>:<index>``."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened. `at` is our clock's time, or the block's own."""

    at: datetime
    what: str
    detail: str
    place: int = 0
    """Which comes first of two at the same time."""


async def trace(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Everything that is known of one id, in the order in which it happened."""
    async with assembled(settings) as assembly:
        found = await find(arguments.id)
        if not found:
            return failure("not_found", NOWHERE, Exit.FAILED)
        with store_errors():
            moments = await _moments(found, assembly.house.audit)
        at = await assembly.house.cursors.load()
    explorer = EXPLORERS.get(settings.tron_network.value, "")
    txids = _txids(found)
    data: dict[str, Any] = {
        "id": arguments.id,
        "request_id": found.request.id if found.request else None,
        "payouts": [payout.id for payout in found.payouts],
        "payment": found.payment.id if found.payment else None,
        "order_id": found.order.id if found.order else None,
        "status": found.order.status.value if found.order else None,
        "waiting_for": _waiting_for(found.order),
        "solid_block": at.number if at else None,
        "transactions": [
            {"txid": txid, "explorer": explorer + txid if explorer else None} for txid in txids
        ],
        "timeline": [
            {"at": rfc3339(each.at), "what": each.what, "detail": each.detail} for each in moments
        ],
    }
    return Report(data, list(_lines(data, moments)))


def _lines(data: dict[str, Any], moments: list[Moment]) -> Iterator[str]:
    names = [*data["payouts"][:3], data["payment"], data["order_id"]]
    yield " · ".join(name for name in names if name)
    start = moments[0].at if moments else None
    for each in moments:
        assert start is not None
        since = (each.at - start).total_seconds()
        yield f"{rfc3339(each.at):<24} {since:>+11.3f} s  {each.what:<12} {each.detail}"
    if data["waiting_for"]:
        yield f"waits for {data['waiting_for']}: `tron-payment payouts explain` has the advice"
    for each in data["transactions"]:
        yield f"transaction {each['txid']} {each['explorer'] or '(no public explorer)'}"


def _waiting_for(order: Order | None) -> str | None:
    """What an order that has ended once waited for is no news."""
    if order is None or LIFECYCLE.is_final(order.status):
        return None
    return order.waiting_for or None


def _txids(found: Found) -> list[str]:
    tried = [each.txid for each in found.order.tried] if found.order else []
    seen = [deposit.txid for deposit in found.deposits]
    return list(dict.fromkeys([*tried, *seen]))


async def _moments(found: Found, audit: Audit) -> list[Moment]:
    """All sources, oldest first."""
    found.request = found.request or await _request_of(found)
    moments: list[Moment] = []
    if (request := found.request) is not None:
        detail = f"{request.operation} by {request.principal}, answered {request.status_code}"
        moments.append(Moment(request.created_at, "request", f"{detail}, {request.id}"))
    for payout in found.payouts:
        moments += _payout(payout)
    if (payment := found.payment) is not None:
        detail = f"{payment.id} {payment.kind.value} by {payment.principal}"
        moments.append(Moment(payment.created_at, "payment", detail, 1))
    for deposit in found.deposits:
        what = f"{deposit.units_text} {deposit.asset or deposit.token} in {deposit.txid}"
        where = f"block {deposit.block_number} {deposit.block_id}: {deposit.outcome.value}"
        moments.append(Moment(deposit.at, "deposit", f"{what}, {where}", 5))
    if found.order is not None:
        moments += _order(found.order)
    subjects = found.subjects
    for entry in await audit.page({"object_id": {"$in": subjects}}, None, ENTRIES_MAX):
        by = f"{entry.action} by {entry.actor} ({entry.role})"
        asked = f", request {entry.request_id}" if entry.request_id else ""
        moments.append(Moment(entry.at, "audit", f"{by}, entry {entry.seq}{asked}", 2))
    for event in await _events(subjects):
        moments.append(Moment(event.at, "event", f"{event.type} {event.object_id}", 8))
    for delivery in await _deliveries(subjects):
        moments += _delivery(delivery)
    for each in await booked(found):
        moments.append(Moment(each.at, "ledger", entry_text(each, found), 7))
    return sorted(moments, key=lambda each: (each.at, each.place))


def _payout(payout: Payout) -> Iterator[Moment]:
    to = f"{decimal_text(payout.units, USDT.decimals)} {payout.currency}"
    detail = f"{payout.id} {payout.route.value}: {to} to {payout.recipient_address}"
    yield Moment(payout.created_at, "payout", detail, 1)
    for vote in payout.approvals:
        yield Moment(vote["at"], "approval", f"{payout.id} by {vote['by']} ({vote['role']})", 2)


def _order(order: Order) -> Iterator[Moment]:
    yield Moment(order.created_at, "order", f"{order.id} {order.kind} of {order.signer}", 3)
    for each in order.tried:
        yield from _attempt(each)
    if (result := order.outcome) is not None:
        fee = decimal_text(result.fee_sun, TRX.decimals)
        detail = (
            f"{result.receipt} in block {result.block_number} {result.block_id}, "
            f"fee {fee} TRX, energy {result.energy_used}"
        )
        yield Moment(from_ms(result.block_timestamp_ms), "block", detail, 5)
    reason = f", {order.reason}" if order.reason else ""
    yield Moment(order.updated_at, "order", f"last change: {order.status.value}{reason}", 9)


def _attempt(each: Attempt) -> Iterator[Moment]:
    until = rfc3339(from_ms(each.expiration_ms))
    yield Moment(each.signed_at, "signed", f"attempt {each.number} {each.txid} until {until}", 3)
    if each.sent_at is not None:
        yield Moment(each.sent_at, "broadcast", f"attempt {each.number} sent to the nodes", 4)
    if (death := each.death) is not None:
        detail = (
            f"attempt {each.number} {death.verdict.value}: "
            f"blocks {death.from_block} to {death.to_block} were read"
        )
        yield Moment(from_ms(death.block_timestamp_ms), "dead", detail, 6)


def _delivery(delivery: Delivery) -> Iterator[Moment]:
    for tried in delivery.log:
        said = f"answered {tried.status_code}" if tried.status_code else tried.error
        detail = f"{delivery.type} to {delivery.endpoint_id}: {said}, {tried.took_ms} ms"
        yield Moment(tried.at, "webhook", detail, 8)
    if not delivery.log:
        waits = f"{delivery.type} to {delivery.endpoint_id}: {delivery.status.value}"
        yield Moment(delivery.created_at, "webhook", waits, 8)


def entry_text(entry: LedgerEntry, found: Found) -> str:
    """An entry with its postings that are about us; with a block it is the proof of solidity."""
    refs = {found.order.id} if found.order else set()
    txids = tuple(f"{txid}:" for txid in _txids(found))
    ours = [
        each
        for each in entry.postings
        if each.ref in refs or each.ref.startswith(txids) or _sums(each, entry, found)
    ]
    shown = [_posting(each) for each in ours[:POSTINGS_SHOWN]]
    if len(ours) > POSTINGS_SHOWN:
        shown.append(f"and {len(ours) - POSTINGS_SHOWN} more")
    solid = "" if entry.block_number is None else f" of solidified block {entry.block_number}"
    return f"entry {entry.id}{solid} ({entry.cause}): " + ("; ".join(shown) or "no money moved")


def _posting(posting: Posting) -> str:
    moved = f"{posting.units} {posting.asset} {posting.source} → {posting.destination}"
    if posting.transactions == 1:
        return moved
    return f"{moved} (the sum of {posting.transactions} transactions of this block)"


def _sums(posting: Posting, entry: LedgerEntry, found: Found) -> bool:
    """Whether a deposit is in this sum, which is kept under the first transaction's id only."""
    return posting.transactions > 1 and any(
        each.block_number == entry.block_number
        and posting.asset == each.asset
        and posting.destination == account(Address(each.address), Pocket.AVAILABLE)
        for each in found.deposits
    )


async def _request_of(found: Found) -> StoredRequest | None:
    """The stored request that made the object, sought around the time when it was made."""
    first = found.payouts[0] if found.payouts else found.payment
    if first is None:
        return None
    near = {"$gte": first.created_at - REQUEST_NEAR, "$lte": first.created_at + REQUEST_NEAR}
    named = [first.id]
    if isinstance(first, Payout) and first.batch_id:
        named.append(first.batch_id)
    query = {
        "forgotten": {"$in": [False, True]},
        "created_at": near,
        "object_ids": {"$in": named},
    }
    raw = await StoredRequest.get_pymongo_collection().find_one(query, max_time_ms=READ_MS)
    return StoredRequest.model_validate(raw) if raw else None


async def _events(subjects: list[str]) -> list[Event]:
    query = Event.find({"object_id": {"$in": subjects}}).sort("+object_seq")
    return await query.limit(ENTRIES_MAX).to_list()


async def _deliveries(subjects: list[str]) -> list[Delivery]:
    """By endpoint, as the index has them."""
    endpoints = await Delivery.get_pymongo_collection().distinct("endpoint_id")
    query = {"endpoint_id": {"$in": endpoints}, "object_id": {"$in": subjects}}
    return await Delivery.find(query).limit(ENTRIES_MAX).to_list()


async def booked(found: Found) -> list[LedgerEntry]:
    """Journal entries about the order or about the transactions that came in."""
    either: list[dict[str, Any]] = []
    if found.order is not None:
        either += [{field: found.order.id} for field in ("reserves", "finals", "postings.ref")]
    for txid in dict.fromkeys(each.txid for each in found.deposits):
        either.append({"postings.ref": {"$gte": f"{txid}:", "$lt": f"{txid}{REF_END}"}})
    for deposit in found.deposits:
        name = account(Address(deposit.address), Pocket.AVAILABLE)
        summed = {"ref": {"$regex": f":{SUM}:"}, "destination": name}
        cause = f"block:{deposit.block_number}"
        either.append({"cause": cause, "postings": {"$elemMatch": summed}})
    if not either:
        return []
    return await LedgerEntry.find({"$or": either}).sort("+_id").limit(ENTRIES_MAX).to_list()
