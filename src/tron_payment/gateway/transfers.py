"""Orders of the gateway itself: refunds, sweeps, fees for our own addresses, contract calls."""

from dataclasses import dataclass
from typing import Final

from tron_payment.chain import Contract, Transfer, TriggerContract
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.money import TRX
from tron_payment.engine import Expect, ExpectKind, Spend, Wish
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.domain import PaymentKind
from tron_payment.usdt import Outgoing, TokenRegistry

MODULE: Final = "gateway"
TRC20_TRANSFER: Final = bytes.fromhex("a9059cbb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Units of a currency on their way to an address."""

    order_id: str
    kind: str
    subject: str
    wallet_id: str
    signer: Address
    recipient: Address
    currency: str
    units: int
    max_fee_sun: int
    detached: bool = False


def contract_of(sending: Sending, tokens: TokenRegistry) -> Contract:
    """The transfer that the transaction must say."""
    if sending.currency == TRX.code:
        return Transfer(sending.signer, sending.recipient, sending.units)
    token = tokens.get(sending.currency).contract
    bare = address_bytes(sending.recipient)[1:]
    data = TRC20_TRANSFER + bare.rjust(32, b"\0") + sending.units.to_bytes(32, "big")
    return TriggerContract(sending.signer, token, data)


def wish_of(sending: Sending, tokens: TokenRegistry) -> Wish:
    """The order of a transfer; the same transfer always gives the same order."""
    expects: tuple[Expect, ...] = ()
    if sending.currency != TRX.code:
        expects = (
            Expect(
                ExpectKind.TRC20_TRANSFER,
                sending.order_id,
                tokens.get(sending.currency).contract,
                sending.signer,
                sending.recipient,
                sending.units,
            ),
        )
    return Wish(
        order_id=sending.order_id,
        module=MODULE,
        kind=sending.kind,
        subject=sending.subject,
        wallet_id=sending.wallet_id,
        signer=sending.signer,
        contract=contract_of(sending, tokens),
        expects=expects,
        spends=(Spend(sending.signer, sending.currency, sending.units),),
        max_fee_sun=sending.max_fee_sun,
        detached=sending.detached,
    )


def wish_of_own(payment: Payment, tokens: TokenRegistry) -> Wish:
    """The order of a payment of the kind `fee` or `contract`."""
    assert payment.order_id and payment.wallet_id and payment.signer and payment.to_address
    signer, recipient = Address(payment.signer), Address(payment.to_address)
    kind = f"{MODULE}.{payment.kind}"
    if payment.kind is PaymentKind.FEE:
        sending = Sending(
            order_id=payment.order_id,
            kind=kind,
            subject=payment.id,
            wallet_id=payment.wallet_id,
            signer=signer,
            recipient=recipient,
            currency=payment.currency,
            units=payment.units,
            max_fee_sun=payment.max_fee_sun,
            detached=payment.detached,
        )
        return wish_of(sending, tokens)
    assert payment.call_data is not None, payment.id
    return Wish(
        order_id=payment.order_id,
        module=MODULE,
        kind=kind,
        subject=payment.id,
        wallet_id=payment.wallet_id,
        signer=signer,
        contract=TriggerContract(signer, recipient, payment.call_data, payment.units),
        spends=(Spend(signer, TRX.code, payment.units),) if payment.units else (),
        max_fee_sun=payment.max_fee_sun,
        detached=payment.detached,
    )


def outgoing_of(payment: Payment, tokens: TokenRegistry) -> Outgoing:
    """Of a call of a stranger's contract, which takes the TRX sent along, or of TRX for fees."""
    assert payment.wallet_id and payment.to_address and payment.order_id, payment.id
    return Outgoing(
        object_id=payment.id,
        order_id=payment.order_id,
        principal=payment.principal,
        wallet_id=payment.wallet_id,
        recipient=payment.to_address,
        currency=payment.currency,
        units=payment.units,
        contract=wish_of_own(payment, tokens).contract,
        stranger=payment.kind is PaymentKind.CONTRACT,
    )
