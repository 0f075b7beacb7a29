"""Token operations on the wire: money is a decimal string here and only here."""

import msgspec

from tron_payment.core.money import USDT, decimal_text, trx_text
from tron_payment.ordered import MoneyRequest, OrderedView, order_part
from tron_payment.usdt.documents import Transfer
from tron_payment.usdt.domain import Kind
from tron_payment.usdt.estimates import Estimate
from tron_payment.usdt.tokens import RegisteredToken, TokenRegistry
from tron_payment.usdt.transfers import TransferWish


class TransferRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token transfer as asked for."""

    to_address: str
    amount: str
    currency: str = USDT.code

    def wish(self) -> TransferWish:
        """The request, typed. Raises InvalidAmount."""
        return TransferWish(
            kind=Kind.TRANSFER,
            wallet_id=self.wallet_id,
            counterparty=self.to_address,
            amount=self.amount,
            currency=self.currency,
            max_fee_sun=self.max_fee_sun,
        )


class ApproveRequest(MoneyRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An allowance as asked for; zero revokes it."""

    spender: str
    amount: str
    currency: str = USDT.code
    expected_allowance: str | None = None
    """What the allowance is now; needed to change one that is not zero to another."""

    def wish(self) -> TransferWish:
        """The request, typed. Raises InvalidAmount."""
        return TransferWish(
            kind=Kind.APPROVAL,
            wallet_id=self.wallet_id,
            counterparty=self.spender,
            amount=self.amount,
            currency=self.currency,
            max_fee_sun=self.max_fee_sun,
            expected_allowance=self.expected_allowance,
        )


class EstimateRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transfer to be estimated; one of `from_address` and `wallet_id`."""

    to_address: str
    amount: str
    from_address: str | None = None
    wallet_id: str | None = None
    currency: str = USDT.code


class RegisterRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be registered by its contract."""

    contract_address: str
    symbol: str | None = None


class TransferView(OrderedView, frozen=True, kw_only=True):
    """A transfer or approval as everybody sees it; only `settled` means done."""

    transfer_id: str
    kind: str
    from_address: str
    to_address: str
    """The recipient, or the spender of an approval."""

    amount: str
    currency: str

    @classmethod
    def of(cls, transfer: Transfer, tokens: TokenRegistry) -> "TransferView":
        return cls(
            transfer_id=transfer.id,
            kind=transfer.kind.value,
            from_address=transfer.signer,
            to_address=transfer.counterparty,
            amount=decimal_text(transfer.units, tokens.asset(transfer.currency).decimals),
            currency=transfer.currency,
            **order_part(transfer),
        )


class QuotedFee(msgspec.Struct, frozen=True, kw_only=True):
    """What may be burned at most now, and what it is made of."""

    max_fee_trx: str
    energy: int
    fee_limit_trx: str
    source: str = "simulation"


class DryRunView(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen; nothing is stored."""

    decision: str
    would_be_status: str
    wallet_id: str
    from_address: str
    to_address: str
    amount: str
    currency: str
    fee: QuotedFee


class EstimateView(msgspec.Struct, frozen=True, kw_only=True):
    """What a transfer costs on the newest block."""

    from_address: str
    to_address: str
    amount: str
    currency: str
    energy_used: int
    energy_penalty: int
    bandwidth: int
    energy_price_sun: int
    bandwidth_price_sun: int
    fee_trx: str
    """When all of it is burned."""

    expected_fee_trx: str
    """With the stakes and free bandwidth that the payer has now."""

    recipient: str
    """``hot``, ``cold`` or ``unactivated``."""

    block_number: int

    @classmethod
    def of(
        cls, token: RegisteredToken, sender: str, recipient: str, units: int, estimate: Estimate
    ) -> "EstimateView":
        return cls(
            from_address=sender,
            to_address=recipient,
            amount=decimal_text(units, token.asset.decimals),
            currency=token.asset.code,
            energy_used=estimate.energy_used,
            energy_penalty=estimate.energy_penalty,
            bandwidth=estimate.bandwidth,
            energy_price_sun=estimate.energy_price_sun,
            bandwidth_price_sun=estimate.bandwidth_price_sun,
            fee_trx=trx_text(estimate.burned_sun),
            expected_fee_trx=trx_text(estimate.expected_sun),
            recipient=estimate.recipient.value,
            block_number=estimate.block_number,
        )


class BalanceView(msgspec.Struct, frozen=True, kw_only=True):
    """A balance and the block that it was read at."""

    address: str
    balance: str
    currency: str
    at: str
    block_number: int
    block_id: str
    block_time: str
    exact: bool
    """False when blocks came faster than we could read: then it is of this block or the next."""


class AllowanceView(msgspec.Struct, frozen=True, kw_only=True):
    """What a spender may still take."""

    owner: str
    spender: str
    allowance: str
    currency: str


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token that we keep books for."""

    currency: str
    name: str
    contract_address: str
    decimals: int

    @classmethod
    def of(cls, token: RegisteredToken) -> "TokenView":
        return cls(
            currency=token.asset.code,
            name=token.name,
            contract_address=token.contract,
            decimals=token.asset.decimals,
        )


class TokensView(msgspec.Struct, frozen=True, kw_only=True):
    data: list[TokenView]
    has_more: bool = False
    next_cursor: str | None = None


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the issuer did."""

    kind: str
    details: dict[str, str]
    txid: str
    block_number: int
    at: str


class WatchView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether USDT moves freely now, and what its issuer did last."""

    currency: str
    contract_address: str
    paused: bool
    fee_basis_points: int
    maximum_fee: str
    notices: list[NoticeView]
