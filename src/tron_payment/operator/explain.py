"""`payouts explain`: where a payout is, what it waits for, and every proof that there is."""

import argparse
from typing import Any, Final

from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import TRX, decimal_text
from tron_payment.engine import LIFECYCLE, Attempt, Order, OrderStatus
from tron_payment.operator.payout_list import listed
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.payouts import BROADCAST, RETRY, Payout, explained, who_ended
from tron_payment.settings import Settings

EVENTS: Final = {
    "met": "found, as expected",
    "skipped": "the contract passed over it: it had been paid or canceled before",
    "missing": "not found",
}
"""What the receipt says of an expected event, in words."""


async def payouts(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Everything that is known about one payout; or a list of them."""
    if arguments.action == "list":
        return await listed(arguments, settings)
    if arguments.payout_id is None:
        return failure("usage", "say which PAYOUT_ID", Exit.USAGE)
    async with assembled(settings) as assembly:
        payout = await Payout.get(arguments.payout_id)
        if payout is None:
            return failure("not_found", "there is no such payout", Exit.FAILED)
        order = await assembly.house.engine.find(payout.order_id)
        at = await assembly.house.cursors.load()
        told = explained(payout, await who_ended(assembly.house.audit, payout))
    waiting = order is not None and not LIFECYCLE.is_final(order.status)
    data: dict[str, Any] = {
        "payout_id": payout.id,
        "status": told.status,
        "route": payout.route.value,
        "recipient_address": payout.recipient_address,
        "order_id": payout.order_id,
        "order_status": _shown(order) if order else None,
        "waiting_for": (order.waiting_for or None) if order and waiting else None,
        "what_happened": told.what_happened,
        "waits_for": told.waits_for,
        "what_to_do": told.what_to_do,
        "reason": payout.reason or None,
        "attempts": [_attempt(each) for each in order.tried] if order else [],
        "proof": _proof(order) if order else None,
        "solid_block": at.number if at else None,
    }
    return Report(data, _lines(payout, order, data))


def _lines(payout: Payout, order: Order | None, data: dict[str, Any]) -> list[str]:
    lines = [f"{payout.id}: {data['status']}, {payout.route.value} to {payout.recipient_address}"]
    lines += data["what_happened"]
    if data["waits_for"]:
        lines.append(f"It waits for {data['waits_for']}.")
    advice = data["what_to_do"].replace(RETRY, f"tron-payment payouts retry {payout.id}")
    lines.append(f"What to do: {advice}.")
    if order is None:
        return [*lines, f"It has no order {payout.order_id} (yet)."]
    lines.append(f"Order {order.id}: {data['order_status']}")
    for each in data["attempts"]:
        end = each["death"] or ("in the chain" if data["proof"] else "may still be taken")
        lines.append(f"  attempt {each['number']} {each['txid']} until {each['expires_at']}: {end}")
    if order.status is OrderStatus.SIGNED:
        lines.append("Only a solidified block decides. It is never sent twice: a new transaction "
                     "is made after the proof that this one is dead.")  # fmt: skip
    elif order.status is OrderStatus.QUARANTINED:
        lines.append("A person must look: see Quarantined in docs/runbooks/money.md.")
    if (proof := data["proof"]) is not None:
        lines.append(
            f"Block {proof['block_number']} {proof['block_id']}: {proof['receipt']}, "
            f"fee {proof['fee_trx']} TRX"
        )
        if (own := proof["events"].get(payout.id)) is not None:
            lines.append(f"The contract's event of this payout: {EVENTS.get(own, own)}")
        if others := len(proof["events"].keys() - {payout.id}):
            lines.append(f"The transaction carried {others} other payouts.")
    return lines


def _shown(order: Order) -> str:
    """As payouts are shown: signed and sent are one stored state, a send time tells them apart."""
    sent = order.status is OrderStatus.SIGNED and order.tried and order.tried[-1].sent_at
    return BROADCAST if sent else order.status.value


def _attempt(each: Attempt) -> dict[str, Any]:
    death = each.death
    return {
        "number": each.number,
        "txid": each.txid,
        "signed_at": rfc3339(each.signed_at),
        "sent_at": rfc3339(each.sent_at) if each.sent_at else None,
        "expires_at": rfc3339(from_ms(each.expiration_ms)),
        "death": None
        if death is None
        else f"{death.verdict}: blocks {death.from_block} to {death.to_block} were read",
    }


def _proof(order: Order) -> dict[str, Any] | None:
    if (found := order.outcome) is None:
        return None
    return {
        "txid": found.txid,
        "block_number": found.block_number,
        "block_id": found.block_id,
        "receipt": found.receipt,
        "fee_trx": decimal_text(found.fee_sun, TRX.decimals),
        "events": found.proofs,
    }
