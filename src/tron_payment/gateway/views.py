"""Payments on the wire: what is asked, what is answered. Money is a decimal string here only."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from tron_payment.core.clock import rfc3339
from tron_payment.core.money import decimal_text, trx_text
from tron_payment.gateway.documents import Deposit, Payment
from tron_payment.gateway.domain import (
    EXPIRES_IN_MAX_S,
    METADATA_ENTRIES_MAX,
    METADATA_TEXT_MAX,
    OPEN,
    URL_LENGTH_MAX,
    PaymentKind,
)
from tron_payment.gateway.hints import Seen
from tron_payment.usdt import TokenRegistry

MetadataText = Annotated[str, msgspec.Meta(max_length=METADATA_TEXT_MAX)]
Metadata = Annotated[
    dict[MetadataText, MetadataText], msgspec.Meta(max_length=METADATA_ENTRIES_MAX)
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class InvoiceRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="invoice",
):
    """Ask somebody for money."""

    amount: str
    currency: Text
    wallet_id: str | None = None
    expires_in_s: Annotated[int, msgspec.Meta(ge=1, le=EXPIRES_IN_MAX_S)] | None = None
    return_url: Annotated[str, msgspec.Meta(max_length=URL_LENGTH_MAX)] | None = None
    metadata: Metadata = {}


class TransferRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """Money to somebody: `usdt` by the USDT module, `trx` as a direct payout."""

    to_address: Text
    amount: str
    wallet_id: str | None = None
    max_fee_trx: str | None = None
    metadata: Metadata = {}


class UsdtRequest(TransferRequest, frozen=True, kw_only=True, tag="usdt"):
    """A USDT transfer."""


class TrxRequest(TransferRequest, frozen=True, kw_only=True, tag="trx"):
    """A TRX transfer."""


class FeeRequest(TransferRequest, frozen=True, kw_only=True, tag="fee"):
    """TRX for the fees of one of our own addresses."""


class ContractRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="contract",
):
    """A call of a contract that holds no money of ours."""

    contract_address: Text
    data: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}){4,8192}$(?!\n)")]
    call_value_trx: str = "0"
    wallet_id: str | None = None
    max_fee_trx: str | None = None
    metadata: Metadata = {}


class StakingRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    tag="staking",
):
    """TRX staked for energy or bandwidth, or taken back."""

    amount: str
    operation: Literal["stake", "unstake"] = "stake"
    resource: Literal["ENERGY", "BANDWIDTH"] = "ENERGY"
    wallet_id: str | None = None
    metadata: Metadata = {}


OtherRequest = UsdtRequest | TrxRequest | FeeRequest | ContractRequest | StakingRequest
ProcessRequest = InvoiceRequest | OtherRequest


class DepositView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that arrived at the invoice's address; only `credited` ones count."""

    txid: str
    index: str
    outcome: str
    amount: str | None
    units: str
    currency: str | None
    token: str | None
    sender: str | None
    block_number: int
    block_time: str


class SeenView(msgspec.Struct, frozen=True, kw_only=True):
    """On its way: in a block that is not solidified, in the invoice's own currency. It would be
    credited if the block stays; until then it is not, and nothing is paid by it."""

    txid: str
    amount: str
    currency: str
    block_number: int


class RefundRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give money back that an invoice received."""

    payment_id: Text
    amount: str
    to_address: Text
    reason: Annotated[str, msgspec.Meta(max_length=METADATA_TEXT_MAX)] = ""


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund; only `settled` means that the money has left."""

    refund_id: str
    payment_id: str
    status: str
    amount: str
    currency: str
    to_address: str
    reason: str | None
    txid: str | None
    block_number: int | None
    waiting_for: str | None
    created_at: str


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as everybody sees it. `due` is what is still to be paid."""

    payment_id: str
    kind: str
    status: str
    amount: str
    currency: str
    metadata: dict[str, str]
    wallet_id: str | None
    address: str | None
    received: str | None
    refunded: str | None
    due: str | None
    expires_at: str | None
    checkout_url: str | None
    return_url: str | None
    to_address: str | None
    subject_id: str | None
    txid: str | None
    block_number: int | None
    fee_paid_trx: str | None
    waiting_for: str | None
    reason: str | None
    created_at: str
    updated_at: str


class PaymentDetailView(PaymentView, frozen=True, kw_only=True):
    """The same with what happened to it.

    `seen_amount` is the sum of `seen`, null for what is no invoice. `seen_in_full`: the invoice is
    open, and with what has been received that is all that is due. Neither says that it is paid.
    """

    deposits: list[DepositView]
    seen: list[SeenView]
    seen_amount: str | None
    seen_in_full: bool
    refunds: list[RefundView]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Shows payments: knows the currencies' decimals and where the checkout page is."""

    tokens: TokenRegistry
    base_url: str

    def text(self, currency: str, units: int) -> str:
        return decimal_text(units, self.tokens.asset(currency).decimals)

    def payment(self, payment: Payment) -> PaymentView:
        return PaymentView(**self._fields(payment))

    def describe(self, payment: Payment) -> dict[str, Any]:
        """What an event says of a payment."""
        return self.plain(self.payment(payment))

    def plain(self, view: msgspec.Struct) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(view)
        return shown

    def detail(
        self, payment: Payment, deposits: list[Deposit], seen: list[Seen]
    ) -> PaymentDetailView:
        seen_units = sum(each.units for each in seen)
        full = payment.received_units + seen_units >= payment.units - payment.tolerance_units
        is_invoice = payment.kind is PaymentKind.INVOICE
        return PaymentDetailView(
            **self._fields(payment),
            deposits=[self._deposit(each) for each in deposits],
            seen=[
                SeenView(
                    txid=each.txid,
                    amount=self.text(each.asset, each.units),
                    currency=each.asset,
                    block_number=each.block_number,
                )
                for each in seen
            ],
            seen_amount=self.text(payment.currency, seen_units) if is_invoice else None,
            seen_in_full=bool(seen) and payment.status in OPEN and full,
            refunds=[self.refund(payment, refund_id) for refund_id in payment.refunds],
        )

    def refund(self, payment: Payment, refund_id: str) -> RefundView:
        refund = payment.refunds[refund_id]
        return RefundView(
            refund_id=refund_id,
            payment_id=payment.id,
            status=refund.status.value,
            amount=self.text(payment.currency, refund.units),
            currency=payment.currency,
            to_address=refund.to_address,
            reason=refund.reason or None,
            txid=refund.txid,
            block_number=refund.block_number,
            waiting_for=refund.waiting_for or None,
            created_at=rfc3339(refund.created_at),
        )

    def _deposit(self, each: Deposit) -> DepositView:
        known = each.asset is not None and each.units is not None
        return DepositView(
            txid=each.txid,
            index=each.index,
            outcome=each.outcome.value,
            amount=self.text(each.asset or "", each.units or 0) if known else None,
            units=each.units_text,
            currency=each.asset,
            token=each.token,
            sender=each.sender,
            block_number=each.block_number,
            block_time=rfc3339(each.at),
        )

    def _fields(self, payment: Payment) -> dict[str, Any]:
        is_invoice = payment.kind is PaymentKind.INVOICE

        def text(units: int) -> str:
            return self.text(payment.currency, units)

        fee = payment.fee_paid_sun
        return {
            "payment_id": payment.id,
            "kind": payment.kind.value,
            "status": payment.status.value,
            "amount": text(payment.units),
            "currency": payment.currency,
            "metadata": payment.metadata,
            "wallet_id": payment.wallet_id,
            "address": payment.address,
            "received": text(payment.received_units) if is_invoice else None,
            "refunded": text(payment.refunded_units) if is_invoice else None,
            "due": text(max(0, payment.units - payment.received_units)) if is_invoice else None,
            "expires_at": None if payment.expires_at is None else rfc3339(payment.expires_at),
            "checkout_url": f"{self.base_url}/checkout/{payment.id}" if is_invoice else None,
            "return_url": payment.return_url,
            "to_address": payment.to_address,
            "subject_id": payment.subject,
            "txid": payment.txid,
            "block_number": payment.block_number,
            "fee_paid_trx": None if fee is None else trx_text(fee),
            "waiting_for": payment.waiting_for or None,
            "reason": payment.reason or None,
            "created_at": rfc3339(payment.created_at),
            "updated_at": rfc3339(payment.updated_at),
        }
