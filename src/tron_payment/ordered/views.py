"""The part of a request and of an answer that is the same for whatever an order carries."""

from typing import Any

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import TRX, parse_units, trx_text
from tron_payment.ordered.documents import OrderedDocument
from tron_payment.ordered.domain import shown


class MoneyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every request has that becomes an order."""

    wallet_id: str
    max_fee_trx: str | None = None
    dry_run: bool = False

    @property
    def max_fee_sun(self) -> int | None:
        """The caller's maximum fee; None for the usual one. Raises InvalidAmount."""
        if self.max_fee_trx is None:
            return None
        return parse_units(TRX.decimals, self.max_fee_trx, param="max_fee_trx")


class FeeView(msgspec.Struct, frozen=True, kw_only=True):
    """In TRX. `paid_trx` is null until the transaction's block is solidified."""

    max_fee_trx: str
    paid_trx: str | None
    source: str


class OrderedView(msgspec.Struct, frozen=True, kw_only=True):
    """Where an object stands; only `settled` means done."""

    status: str
    wallet_id: str
    fee: FeeView
    txid: str | None
    attempts: int
    waiting_for: str
    reason: str
    block_number: int | None
    settled_at: str | None
    created_at: str
    updated_at: str


def order_part(document: OrderedDocument) -> dict[str, Any]:
    """The fields of `OrderedView`."""
    paid = document.fee_paid_sun
    return {
        "status": shown(document.status, document.sent_at),
        "wallet_id": document.wallet_id,
        "fee": FeeView(
            max_fee_trx=trx_text(document.max_fee_sun),
            paid_trx=None if paid is None else trx_text(paid),
            source="maximum" if paid is None else "receipt",
        ),
        "txid": document.txid,
        "attempts": document.attempts,
        "waiting_for": document.waiting_for,
        "reason": document.reason,
        "block_number": document.block_number,
        "settled_at": None if document.settled_at is None else rfc3339(document.settled_at),
        "created_at": rfc3339(document.created_at),
        "updated_at": rfc3339(document.updated_at),
    }
