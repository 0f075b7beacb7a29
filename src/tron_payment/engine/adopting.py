"""After a restore: what the store has forgotten, the chain still knows.

A transaction that no attempt explains, but that says exactly what an unsigned order wants, becomes
that order's attempt. It ends it as if we had signed it ourselves, which we had, after the backup.

An order with live bytes takes none: they may stand in the next block. What it signed later itself
was signed behind the proof that they are dead, and stands in a later block than that proof.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from tron_payment import chain
from tron_payment.chain import MalformedRawData, SolidBlock, SolidTransaction
from tron_payment.db.ledger import View
from tron_payment.engine import documents as store
from tron_payment.engine import restored_documents as restored
from tron_payment.engine.booking import Claim
from tron_payment.engine.documents import Order
from tron_payment.engine.domain import Attempt, OrderStatus
from tron_payment.engine.holds import holds_of_postings

ADOPTED_REST: Final = timedelta(days=1)
"""An adopted attempt stands in a block already; there is nothing to send."""

log = structlog.get_logger()


async def candidates(
    block: SolidBlock,
    transactions: Collection[SolidTransaction],
    taken: Mapping[str, Order],
    view: View,
) -> list[tuple[Order, SolidTransaction]]:
    """Unsigned orders that these transactions, which no attempt explains, carry out to the letter.

    Equal orders are as good as each other: the first in rank is taken, each once. But those that
    are booked as ended by this block come first, and only they where one of them is not there: a
    transaction may be that one's. What has ended otherwise is left out: another block has it, or
    nothing was paid. What does not decode was never signed here, whatever contract java-tron reads
    in it.
    """
    signers = set(await restored.unsigned_signers())
    equal: dict[str, list[SolidTransaction]] = defaultdict(list)
    for transaction in transactions:
        if transaction.txid not in taken and transaction.owner in signers and _decodes(transaction):
            equal[repr(transaction.contract)].append(transaction)
    found = []
    lost = bool(equal) and await restored.any_absent(await view.ended_by(block.number))
    for same in equal.values():
        contract = store.contract_document(same[0].contract)
        orders = await restored.unsigned_with(same[0].owner, contract)
        ids = [order.id for order in orders]
        ended, finished = await view.ended_in(ids), await view.finished(ids)
        mine = [order for order in orders if ended.get(order.id) == block.number]
        free = [order for order in orders if order.id not in finished and not lost]
        found += list(zip([*mine, *free], same, strict=False))
    return found


async def has_forgotten(
    block: SolidBlock,
    transactions: Collection[SolidTransaction],
    taken: Mapping[str, Order],
    view: View,
) -> bool:
    """Whether one of these transactions, which no attempt explains, is an unsigned order's to the
    letter, so that the store must have forgotten that it was signed."""
    return bool(await candidates(block, transactions, taken, view))


async def adopt(block: SolidBlock, taken: Mapping[str, Order], view: View, now: datetime) -> None:
    """Make what the block has, and the store has forgotten, the attempts of its orders."""
    for order, transaction in await candidates(block, block.transactions, taken, view):
        said = chain.decode(transaction.raw)
        attempt = Attempt(
            number=len(order.attempts) + 1,
            txid=transaction.txid,
            raw=transaction.raw,
            signatures=(),
            fee_limit_sun=said.fee_limit_sun,
            timestamp_ms=said.timestamp_ms,
            expiration_ms=said.expiration_ms,
            ref_block_number=block.number - 1,
            signed_at=now,
        )
        adopted = {
            "live_txid": attempt.txid,
            "live_expiration_ms": attempt.expiration_ms,
            "due_at": now + ADOPTED_REST,
        }
        push = {"attempts": store.stored(attempt)}
        move = store.move(order, OrderStatus.SIGNED, now, set=adopted, push=push)
        if await store.apply_moves([move]):
            log.warning("order.adopted", order_id=order.id, txid=attempt.txid)


def was_adopted(order: Order) -> bool:
    """Whether the chain has told the order's live attempt: its signatures are not kept."""
    live = order.live
    return order.status is OrderStatus.SIGNED and live is not None and not live.signatures


async def claims(view: View, orders: Mapping[str, Order]) -> dict[str, Claim]:
    """What each of these orders, by txid, still has set aside.

    An order that was adopted between the entry that set its funds aside and the move that says so
    does not know of them: the journal does.
    """
    finished = await view.finished([order.id for order in orders.values()])
    untold = {order.id for order in orders.values() if not order.holds} - finished
    held = {
        order_id: tuple(holds_of_postings(await view.reservation(order_id)))
        for order_id in await view.reserved(sorted(untold))
    }
    return {
        txid: Claim(order.id, held.get(order.id, order.held), order.id not in finished)
        for txid, order in orders.items()
    }


def _decodes(transaction: SolidTransaction) -> bool:
    try:
        chain.decode(transaction.raw)
    except MalformedRawData:
        return False
    return True
