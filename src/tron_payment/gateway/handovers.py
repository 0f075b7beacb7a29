"""What a payment of another kind becomes, and how its owner is told to do it.

    usdt       the USDT module's transfers        needs usdt:transfer
    trx        a direct payout                    needs payout:direct
    staking    the staking module                 needs staking:write
    fee        TRX to an address of our own       needs payout:direct
    contract   a call of a stranger's contract    needs payout:direct

The owner makes its object under ids derived from ours, so handing over twice is handing over once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tron_payment.chain import Resource
from tron_payment.core.address import parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import NotFound
from tron_payment.core.ids import derived_id
from tron_payment.core.money import TRX, USDT, Amount, parse_units
from tron_payment.db.ledger import Ledger
from tron_payment.engine import fee_cap
from tron_payment.gateway.documents import Happening, Payment
from tron_payment.gateway.domain import (
    ContractRefused,
    NotOurAddress,
    PaymentKind,
    PaymentStatus,
)
from tron_payment.gateway.own_documents import own_of
from tron_payment.gateway.transfers import outgoing_of
from tron_payment.gateway.views import (
    ContractRequest,
    FeeRequest,
    OtherRequest,
    StakingRequest,
    TransferRequest,
    TrxRequest,
    UsdtRequest,
    Viewer,
)
from tron_payment.http.idempotency import Idempotency
from tron_payment.http.permissions import require
from tron_payment.http.principals import Principal
from tron_payment.module import Deployment
from tron_payment.payouts import Payouts, PayoutWish, Route
from tron_payment.staking import Operation, StakeWish, Staking
from tron_payment.usdt import Kind, Rules, TokenRegistry, Transfers, TransferWish
from tron_payment.wallets import WalletForSigning, Wallets

T = TypeVar("T")
Hand = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Handover:
    """What we keep of a payment of another kind, and how it is handed over."""

    payment: Payment
    hand: Hand


class Handovers:
    """Judges payments of other kinds; stores nothing."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        idempotency: Idempotency,
        ledger: Ledger,
        deployment: Deployment,
        tokens: TokenRegistry,
        wallets: Wallets,
        transfers: Transfers,
        payouts: Payouts,
        staking: Staking,
        rules: Rules,
        viewer: Viewer,
        max_fee_sun: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._idempotency = idempotency
        self._ledger = ledger
        self._deployment = deployment
        self._tokens = tokens
        self._wallets = wallets
        self._transfers = transfers
        self._payouts = payouts
        self._staking = staking
        self._rules = rules
        self._viewer = viewer
        self._max_fee_sun = max_fee_sun

    async def judge(self, principal: Principal, asked: OtherRequest, payment_id: str) -> Handover:
        """The payment as its kind would make it.

        Raises:
            MissingPermission: The kind's own.
            AppError: What the owning module refuses.
        """
        match asked:
            case UsdtRequest():
                require(principal, "usdt:transfer")
                return await self._usdt(principal, asked, payment_id)
            case TrxRequest():
                require(principal, "payout:direct")
                return await self._trx(principal, asked, payment_id)
            case StakingRequest():
                require(principal, "staking:write")
                return await self._stake(principal, asked, payment_id)
            case FeeRequest():
                require(principal, "payout:direct")
                return await self._fee(principal, asked, payment_id)
            case ContractRequest():
                require(principal, "payout:direct")
                return await self._contract(principal, asked, payment_id)

    async def _usdt(
        self, principal: Principal, asked: TransferRequest, payment_id: str
    ) -> Handover:
        wish = TransferWish(
            kind=Kind.TRANSFER,
            wallet_id=asked.wallet_id,
            counterparty=asked.to_address,
            amount=asked.amount,
            currency=USDT.code,
            max_fee_sun=_fee(asked),
        )
        transfer_id = self._idempotency.object_id("trf", principal.id, payment_id)
        made = await _made(self._transfers.get(principal, transfer_id))
        transfer = made or await self._transfers.judge(principal, wish, transfer_id)
        payment = self._payment(
            principal,
            payment_id,
            PaymentKind.USDT,
            USDT.code,
            transfer.units,
            subject=transfer_id,
            order_id=transfer.order_id,
            wallet_id=transfer.wallet_id,
            to_address=transfer.counterparty,
            metadata=dict(asked.metadata),
        )
        return _to(self._transfers.request, principal, payment, wish)

    async def _trx(self, principal: Principal, asked: TransferRequest, payment_id: str) -> Handover:
        amount = Amount.parse(TRX, asked.amount)
        wish = PayoutWish(
            user_id=principal.id,
            recipient_address=asked.to_address,
            amount=amount,
            route=Route.DIRECT,
            wallet_id=asked.wallet_id,
            max_fee_sun=_fee(asked),
            metadata=dict(asked.metadata),
        )
        payout_id = self._idempotency.object_id("pay", principal.id, payment_id)
        made = await _made(self._payouts.get(principal, payout_id))
        payout = made or (await self._payouts.judge(principal, wish)).payout
        payment = self._payment(
            principal,
            payment_id,
            PaymentKind.TRX,
            TRX.code,
            amount.units,
            subject=payout_id,
            wallet_id=payout.wallet_id,
            to_address=payout.recipient_address,
            metadata=dict(asked.metadata),
        )
        return _to(self._payouts.request, principal, payment, wish)

    async def _stake(
        self, principal: Principal, asked: StakingRequest, payment_id: str
    ) -> Handover:
        amount = Amount.parse(TRX, asked.amount)
        wish = StakeWish(
            operation=Operation(asked.operation),
            wallet_id=asked.wallet_id,
            amount_sun=amount.units,
            resource=Resource(asked.resource),
        )
        stake_id = self._idempotency.object_id("stk", principal.id, payment_id)
        made = await _made(self._staking.get(principal, stake_id))
        stake = made or await self._staking.judge(principal, wish, stake_id)
        payment = self._payment(
            principal,
            payment_id,
            PaymentKind.STAKING,
            TRX.code,
            amount.units,
            subject=stake_id,
            order_id=stake.order_id,
            wallet_id=stake.wallet_id,
            metadata=dict(asked.metadata),
        )
        return _to(self._staking.request, principal, payment, wish)

    async def _fee(self, principal: Principal, asked: TransferRequest, payment_id: str) -> Handover:
        amount = Amount.parse(TRX, asked.amount)
        recipient = parse_address(asked.to_address, param="to_address")
        if not await self._ledger.is_holder(recipient):
            raise NotOurAddress(param="to_address")
        wallet = await self._wallets.signing_wallet(asked.wallet_id, principal)
        if wallet.address == recipient:
            raise NotOurAddress("this is the wallet that pays", param="to_address")
        handover = self._own(
            principal,
            payment_id,
            PaymentKind.FEE,
            amount.units,
            wallet,
            to_address=recipient,
            max_fee_sun=fee_cap(_fee(asked), self._max_fee_sun),
            metadata=dict(asked.metadata),
        )  # whoever imported the wallet may have its key, too: it is not better than a stranger's
        await self._rules.check(outgoing_of(handover.payment, self._tokens))
        return handover

    async def _contract(
        self, principal: Principal, asked: ContractRequest, payment_id: str
    ) -> Handover:
        """A call of a stranger's contract.

        Tokens have doors of their own, with rules about amounts and recipients; a registered one
        stays registered. So have routers, and a former one still has its books: it pays out for
        whoever calls it with the right wallet, past every rule about payouts, as long as it has
        anything.
        """
        contract = parse_address(asked.contract_address, param="contract_address")
        ours = {self._deployment.router_v0, self._deployment.router_kyc}
        ours |= await own_of(self._ledger, [contract])
        if contract in self._tokens.by_contract or contract in ours:
            raise ContractRefused(param="contract_address")
        units = parse_units(TRX.decimals, asked.call_value_trx, param="call_value_trx")
        wallet = await self._wallets.signing_wallet(asked.wallet_id, principal)
        handover = self._own(
            principal,
            payment_id,
            PaymentKind.CONTRACT,
            units,
            wallet,
            to_address=contract,
            call_data=bytes.fromhex(asked.data),
            max_fee_sun=fee_cap(_fee(asked), self._max_fee_sun),
            metadata=dict(asked.metadata),
        )
        await self._rules.check(outgoing_of(handover.payment, self._tokens))
        return handover

    def _own(
        self,
        principal: Principal,
        payment_id: str,
        kind: PaymentKind,
        units: int,
        wallet: WalletForSigning,
        **more: Any,
    ) -> Handover:
        payment = self._payment(
            principal,
            payment_id,
            kind,
            TRX.code,
            units,
            order_id=derived_id("ord", self._secret, payment_id),
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            detached=wallet.detached,
            **more,
        )
        return Handover(payment, nothing)

    def _payment(
        self,
        principal: Principal,
        payment_id: str,
        kind: PaymentKind,
        currency: str,
        units: int,
        **more: Any,
    ) -> Payment:
        now = self._clock.now()
        payment = Payment(
            id=payment_id,
            kind=kind,
            principal=principal.id,
            currency=currency,
            units=units,
            status=PaymentStatus.QUEUED,
            tracked=True,
            event_seq=1,
            news=True,
            created_at=now,
            updated_at=now,
            **more,
        )
        payment.events = [Happening(1, "payment.created", now, self._viewer.describe(payment))]
        return payment


def _to(
    request: Callable[..., Awaitable[object]], principal: Principal, payment: Payment, wish: object
) -> Handover:
    """To the module that owns it, which takes a wish once under the payment's id as its key."""
    return Handover(
        payment,
        lambda: request(
            principal,
            payment.id,
            wish,
            operation=f"payments.{payment.kind.value}",
            content=payment.id.encode(),
            answer=_no_answer,
        ),
    )


def _fee(asked: TransferRequest | ContractRequest) -> int | None:
    if asked.max_fee_trx is None:
        return None
    return parse_units(TRX.decimals, asked.max_fee_trx, param="max_fee_trx")


async def _made(found: Awaitable[T]) -> T | None:
    """What the owner has made already: we died after handing over, before our own was stored.

    It is under way, so the repeat must not be judged anew, and perhaps refused.
    """
    try:
        return await found
    except NotFound:
        return None


def _no_answer(_: object) -> bytes:
    return b"{}"


async def nothing() -> None:
    """The object of a repeated request exists already."""
