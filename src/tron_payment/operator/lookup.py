"""What an id stands for: a payout, order, transaction, request or deposit, found by its index."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from tron_payment.db.faults import store_errors
from tron_payment.engine import Order
from tron_payment.gateway import Deposit, Payment
from tron_payment.http.idempotency import StoredRequest
from tron_payment.payouts import Payout

PAYOUTS_MAX: Final = 50
"""Of one order; a batch's transaction carries more than anybody reads."""

DEPOSITS_MAX: Final = 50
TXID: Final = re.compile(r"^(?:0x)?([0-9a-fA-F]{64})$")


@dataclass(slots=True)
class Found:
    """Everything that an id leads to."""

    txid: str | None = None
    request: StoredRequest | None = None
    payouts: list[Payout] = field(default_factory=list)
    order: Order | None = None
    payment: Payment | None = None
    deposits: list[Deposit] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """Ids of what audit entries and events may be about."""
        named = [payout.id for payout in self.payouts]
        if self.order is not None:
            named += [self.order.subject, self.order.id]
        if self.payment is not None:
            named.append(self.payment.id)
        return list(dict.fromkeys(named))

    def __bool__(self) -> bool:
        return bool(self.payouts or self.order or self.payment or self.deposits)


async def find(wanted: str) -> Found:
    """What this id leads to; nothing in it when nobody here knows it.

    Args:
        wanted: Id of a payout, order, payment, transfer, batch or stake, a txid, or the id
            of a stored request.
    """
    with store_errors():
        found = Found()
        if match := TXID.fullmatch(wanted):
            await _by_txid(found, match.group(1).lower())
            return found
        if await _by_object(found, wanted):
            return found
        found.request = await StoredRequest.find_one({"_id": wanted})
        for object_id in found.request.object_ids if found.request else ():
            if await _by_object(found, object_id):
                break
        return found


async def _by_object(found: Found, object_id: str) -> bool:
    """Fill in what an object's id leads to; False when it leads nowhere."""
    if (payout := await Payout.find_one({"_id": object_id})) is not None:
        found.payouts = [payout]
        found.order = await Order.find_one({"_id": payout.order_id})
    elif (payment := await Payment.find_one({"_id": object_id})) is not None:
        found.payment = payment
        found.deposits = await _deposits({"payment_id": payment.id})
        if payment.order_id:
            found.order = await Order.find_one({"_id": payment.order_id})
    else:
        found.order = await Order.find_one({"_id": object_id}) or await Order.find_one(
            {"subject": object_id}
        )
        if found.order is not None:
            await _payouts_of(found, found.order)
    return bool(found)


async def _by_txid(found: Found, txid: str) -> None:
    found.txid = txid
    found.order = await Order.find_one({"attempts.txid": txid})
    if found.order is not None:
        await _payouts_of(found, found.order)
    found.deposits = await _deposits({"txid": txid})
    if found.deposits:
        found.payment = await Payment.find_one({"_id": found.deposits[0].payment_id})


async def _payouts_of(found: Found, order: Order) -> None:
    query = Payout.find({"order_id": order.id}).sort("+row").limit(PAYOUTS_MAX)
    found.payouts = await query.to_list()


async def _deposits(where: dict[str, Any]) -> list[Deposit]:
    return await Deposit.find(where).sort("+block_number").limit(DEPOSITS_MAX).to_list()
