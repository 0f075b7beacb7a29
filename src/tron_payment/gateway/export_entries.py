"""What an accountant books: every movement of a day that is final, one row each.

    received       money at an invoice's address, with what became of it (`outcome`)
    refunded       money given back, with the fee of the network
    paid_out       a payout, with its fee
    transferred    a token transfer that was no payout, with its fee
    network_fee    what any other transaction of ours burned: sweeps, staking, approvals, and
                   whatever failed in its block; `outcome` says which, `counterparty` who paid

So the fees of all rows together are what the books have paid to the network. A row counts on the
day (UTC) of its solidified block, which never changes. Where the caller gave a rate, the row has
its value in their currency: the exact product, rounded half to even to cents.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tron_payment.core.clock import from_ms, rfc3339, to_ms
from tron_payment.core.money import TRX, InvalidAmount, decimal_text, parse_units, trx_text
from tron_payment.db.faults import store_errors
from tron_payment.engine import Order
from tron_payment.gateway.documents import Deposit, Payment
from tron_payment.gateway.domain import DepositOutcome, RefundStatus
from tron_payment.gateway.reports import Period
from tron_payment.gateway.views import Viewer
from tron_payment.payouts import Payout, PayoutStatus
from tron_payment.usdt import Kind, Transfer

RATE_DECIMALS: Final = 9
VALUE_DECIMALS: Final = 2
PAGE: Final = 500
"""Rows read at once."""

NO_MONEY: Final = (
    DepositOutcome.OWN_WALLET.value,
    DepositOutcome.UNKNOWN_TOKEN.value,
    DepositOutcome.NOT_BOOKED.value,
)

Rates = Mapping[str, int]
"""By currency what one of it is worth, in 10**-9 of the caller's currency."""


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One movement. `amount` has a sign: what left is negative."""

    time: str
    kind: str
    object_id: str
    merchant: str
    amount: str
    currency: str
    fee_trx: str
    outcome: str
    counterparty: str
    txid: str
    block_number: int | None
    reference: str
    value: str
    value_currency: str


def parse_rates(given: Mapping[str, str]) -> dict[str, int]:
    """
    Raises:
        InvalidAmount: A rate that is no positive decimal of at most nine places.
    """
    rates = {code: parse_units(RATE_DECIMALS, text, param="rates") for code, text in given.items()}
    if not all(rates.values()):
        raise InvalidAmount("a rate is more than zero", param="rates")
    return rates


def worth(units: int, decimals: int, rate: int) -> str:
    """``worth(1_500_000, 6, 920_000_000) == "1.38"``: units at a rate, half to even."""
    scale = 10 ** (decimals + RATE_DECIMALS - VALUE_DECIMALS)
    whole, rest = divmod(abs(units) * rate, scale)
    whole += 2 * rest > scale or (2 * rest == scale and whole % 2)
    return decimal_text(-whole if units < 0 else whole, VALUE_DECIMALS)


class Entries:
    """Reads a day's movements.

    Args:
        rates, value_currency: The caller's, or nothing.
        owner: Filter on `principal`; empty for those who see all.
    """

    def __init__(
        self, viewer: Viewer, rates: Rates, value_currency: str, owner: Mapping[str, str]
    ) -> None:
        self._viewer = viewer
        self._rates = rates
        self._value_currency = value_currency
        self._owner = dict(owner)
        self._told_sun: Counter[str] = Counter()
        """Of the day under way, by txid: the part of its fee that stands in rows."""

    async def of(self, day: Period) -> AsyncIterator[EntryRow]:
        """Every row of the days in the period, kind by kind, each in a stable order."""
        between = day.between()
        self._told_sun.clear()
        async for deposit in self._found(
            Deposit, {"at": between, "outcome": {"$nin": list(NO_MONEY)}}
        ):
            yield self._received(deposit)
        async for payment in self._found(
            Payment, {"updated_at": {"$gte": between["$gte"]}, "received_units": {"$gt": 0}}
        ):
            for row in self._refunded(payment, between):
                yield row
        settled = {"status": PayoutStatus.SETTLED.value, "settled_at": between}
        async for payout in self._found(Payout, settled):
            yield self._paid_out(payout)
        async for transfer in self._found(Transfer, settled | {"kind": Kind.TRANSFER.value}):
            yield self._transferred(transfer)
        if not self._owner:
            between_ms = {how: to_ms(at) for how, at in between.items()}
            async for order in self._found(Order, {"result.block_timestamp_ms": between_ms}):
                if (rest := self._burned(order)) is not None:
                    yield rest

    async def _found(self, model: Any, condition: dict[str, Any]) -> AsyncIterator[Any]:
        """Page after page in the order of the ids."""
        last = ""
        while True:
            query = {**condition, **self._owner, "_id": {"$gt": last}}
            with store_errors():
                rows = await model.find(query).sort("+_id").limit(PAGE).to_list()
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def _received(self, deposit: Deposit) -> EntryRow:
        return self._row(
            deposit.at,
            "received",
            deposit.payment_id,
            deposit.principal,
            deposit.asset or "",
            deposit.units or 0,
            outcome=deposit.outcome.value,
            counterparty=deposit.sender or "",
            txid=deposit.txid,
            block_number=deposit.block_number,
        )

    def _refunded(self, payment: Payment, between: Mapping[str, datetime]) -> list[EntryRow]:
        return [
            self._row(
                part.settled_at,
                "refunded",
                refund_id,
                payment.principal,
                payment.currency,
                -part.units,
                fee_sun=part.fee_paid_sun,
                counterparty=part.to_address,
                txid=part.txid,
                block_number=part.block_number,
                reference=part.reason,
            )
            for refund_id, part in sorted(payment.refunds.items())
            if part.status is RefundStatus.SETTLED
            and part.settled_at is not None
            and between["$gte"] <= part.settled_at < between["$lt"]
        ]

    def _paid_out(self, payout: Payout) -> EntryRow:
        assert payout.settled_at is not None, payout.id
        return self._row(
            payout.settled_at,
            "paid_out",
            payout.id,
            payout.principal,
            payout.currency,
            -payout.units,
            fee_sun=(payout.fee_paid_sun or 0) - payout.fee_before_sun,
            counterparty=payout.recipient_address,
            txid=payout.txid,
            block_number=payout.block_number,
            reference=payout.merchant_reference or "",
        )

    def _transferred(self, transfer: Transfer) -> EntryRow:
        assert transfer.settled_at is not None, transfer.id
        return self._row(
            transfer.settled_at,
            "transferred",
            transfer.id,
            transfer.principal,
            transfer.currency,
            -transfer.units,
            fee_sun=transfer.fee_paid_sun,
            counterparty=transfer.counterparty,
            txid=transfer.txid,
            block_number=transfer.block_number,
        )

    def _burned(self, order: Order) -> EntryRow | None:
        """What is left of a transaction's fee when the rows before have told theirs."""
        result = order.outcome
        assert result is not None, order.id
        rest = result.fee_sun - self._told_sun[result.txid]
        if not rest:
            return None
        return self._row(
            from_ms(result.block_timestamp_ms),
            "network_fee",
            order.subject,
            "",
            TRX.code,
            0,
            fee_sun=rest,
            outcome=order.kind,
            counterparty=order.signer,
            txid=result.txid,
            block_number=result.block_number,
            reference=result.receipt,
        )

    def _row(
        self,
        at: datetime | None,
        kind: str,
        object_id: str,
        merchant: str,
        currency: str,
        units: int,
        *,
        txid: str | None,
        block_number: int | None,
        counterparty: str,
        fee_sun: int | None = None,
        outcome: str = "",
        reference: str = "",
    ) -> EntryRow:
        assert at is not None, object_id
        decimals = self._viewer.tokens.asset(currency).decimals
        rate = self._rates.get(currency)
        if txid and fee_sun:
            self._told_sun[txid] += fee_sun
        return EntryRow(
            time=rfc3339(at),
            kind=kind,
            object_id=object_id,
            merchant=merchant,
            amount=decimal_text(units, decimals),
            currency=currency,
            fee_trx=trx_text(fee_sun or 0),
            outcome=outcome,
            counterparty=counterparty,
            txid=txid or "",
            block_number=block_number,
            reference=reference,
            value="" if rate is None else worth(units, decimals, rate),
            value_currency="" if rate is None else self._value_currency,
        )
