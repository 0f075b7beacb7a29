"""Refunds: money back, of what an invoice has received on solidified blocks, and never more.

A refund is taken from the payment's own numbers by one compare-and-set, which carries everything
its order is made of; the order is placed after, by whoever comes. A refund that can never be paid
gives its part free again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.chain import NOBODY, Cursors
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.ids import derived_id
from tron_payment.core.money import Amount
from tron_payment.db.audit import Act
from tron_payment.db.cas import LostRace
from tron_payment.db.ledger import Ledger
from tron_payment.engine import Engine, Order
from tron_payment.gateway import deposit_documents as deposit_store
from tron_payment.gateway import documents as store
from tron_payment.gateway.documents import Payment, RefundPart
from tron_payment.gateway.domain import (
    REFUNDS_MAX,
    NotAnInvoice,
    PaymentKind,
    PaymentNotFound,
    RecipientBlacklisted,
    RecipientIsContract,
    RecipientIsOwn,
    RecipientRefused,
    RefundExceedsReceived,
    RefundState,
    TooManyRefunds,
    refund_status_of,
    refundable,
)
from tron_payment.gateway.own_documents import own_of
from tron_payment.gateway.rounds import Round
from tron_payment.gateway.transfers import Sending, contract_of, wish_of
from tron_payment.gateway.views import RefundRequest, Viewer
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.usdt import Outgoing, Rules, Screening, TokenRegistry
from tron_payment.wallets import Wallets

KIND: Final = "gateway.refund"
HOLD_ATTEMPTS_MAX: Final = 20

log = structlog.get_logger()


class Recipients:
    """Sees that an address may be paid."""

    def __init__(self, ledger: Ledger, screening: Screening) -> None:
        self._ledger = ledger
        self._screening = screening

    async def check(self, text: str, *, param: str) -> Address:
        """The address, if it is a stranger's and no trap.

        Raises:
            InvalidAddress, RecipientRefused
            Unavailable: The chain cannot be asked about it.
        """
        address = parse_address(text, param=param)
        if address == NOBODY:
            raise RecipientRefused("this is the zero address: nobody has its key", param=param)
        if await own_of(self._ledger, [address]):
            raise RecipientIsOwn(param=param)
        if await self._screening.is_contract(address):
            raise RecipientIsContract(param=param)
        if await self._screening.blacklisted(address):
            raise RecipientBlacklisted(param=param)
        return address


class Refunds:
    """Takes, places and follows refunds."""

    def __init__(
        self,
        *,
        clock: Clock,
        cursors: Cursors,
        secret: bytes,
        idempotency: Idempotency,
        engine: Engine,
        tokens: TokenRegistry,
        wallets: Wallets,
        recipients: Recipients,
        rules: Rules,
        viewer: Viewer,
        max_fee_sun: int,
    ) -> None:
        self._clock = clock
        self._cursors = cursors
        self._secret = secret
        self._idempotency = idempotency
        self._engine = engine
        self._tokens = tokens
        self._wallets = wallets
        self._recipients = recipients
        self._rules = rules
        self._viewer = viewer
        self._max_fee_sun = max_fee_sun
        self._round = Round()

    async def request(
        self,
        principal: Principal,
        key: str,
        asked: RefundRequest,
        *,
        content: bytes,
        answer: Callable[[Payment, str], bytes],
    ) -> StoredAnswer:
        """Accept a refund once; a repeat gets the stored answer and never a second refund.

        Raises:
            Refused: Amount, address or policy.
            PaymentNotFound: No such payment, or another merchant's.
            NotAnInvoice, RefundExceedsReceived, TooManyRefunds
            InFlight: The same request is under way.
        """

        async def attempt() -> StoredAnswer:
            return await self._request(principal, key, asked, content, answer)

        return await self._idempotency.once(principal.id, key, attempt)

    async def _request(
        self,
        principal: Principal,
        key: str,
        asked: RefundRequest,
        content: bytes,
        answer: Callable[[Payment, str], bytes],
    ) -> StoredAnswer:
        operation = "payments.refund"
        refund_id = self._idempotency.object_id("ref", principal.id, key)
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        payment = await self._payment(principal, asked.payment_id)
        fresh = payment is None or refund_id not in payment.refunds
        if payment is None or fresh or earlier is None:
            payment = await self.judge(principal, asked, refund_id)
        accepted, part = payment, payment.refunds[refund_id]

        async def accept() -> StoredAnswer:
            return await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=operation,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(accepted, refund_id)),
                effect=lambda: self._accept(accepted.id, refund_id, part),
                object_ids=[refund_id],
                act=Act(
                    actor=principal.id,
                    role=principal.role.value,
                    action="",
                    object_id=refund_id,
                    after=told_of(accepted, part),
                ),
            )

        going = await self._outgoing(refund_id, accepted, part)
        return await self._rules.admit(going, accept) if fresh else await accept()

    async def judge(self, principal: Principal, asked: RefundRequest, refund_id: str) -> Payment:
        """The payment as it would be with this refund; stores nothing."""
        recipient = await self._recipients.check(asked.to_address, param="to_address")
        payment = await self._payment(principal, asked.payment_id)
        if payment is None:
            raise PaymentNotFound(param="payment_id")
        amount = Amount.parse(self._tokens.asset(payment.currency), asked.amount)
        if payment.kind is not PaymentKind.INVOICE:
            raise NotAnInvoice(param="payment_id")
        if (held := payment.refunds.get(refund_id)) is not None:
            check_same(held, amount.units, recipient)
            return payment
        await self._check(payment, amount.units, recipient)
        wallet = await self._wallets.signing_wallet(None)
        part = RefundPart(
            units=amount.units,
            to_address=recipient,
            reason=asked.reason,
            requested_by=principal.id,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            detached=wallet.detached,
            order_id=derived_id("ord", self._secret, refund_id),
            created_at=self._clock.now(),
        )
        await self._rules.check(await self._outgoing(refund_id, payment, part))
        after: Payment = payment.model_copy(
            update={"refunds": {**payment.refunds, refund_id: part}}
        )
        return after

    async def follow(self, orders: Sequence[Order]) -> None:
        """Hear of the orders of refunds."""
        for order in orders:
            if order.kind == KIND:
                await self._follow(order)

    async def step(self) -> bool:
        """Finish halves: refunds whose order was not placed before the process died."""
        placed = False
        payments = await store.refunding(self._round.skip)
        self._round.took(len(payments), store.TRACKED_AT_ONCE)
        for payment in payments:
            for refund_id, part in payment.refunds.items():
                if part.state is RefundState.HELD:
                    order = await self._engine.find(part.order_id)
                    if order is None:
                        log.warning("refund.order_missing", refund_id=refund_id)
                        await self._place(payment, part)
                        placed = True
        return placed

    async def _payment(self, principal: Principal, payment_id: str) -> Payment | None:
        return await store.by_id(payment_id, owner_filter(principal, "payments"))

    async def _check(self, payment: Payment, units: int, recipient: Address) -> None:
        """See that so much is left of what the deposits have brought: the sum that the payment
        says must be theirs."""
        left = refundable(payment.received_units, payment.parts)
        came = await deposit_store.credited(payment.id, recipient)
        if missing := max(0, payment.received_units - came.units):
            log.error("refund.received_not_credited", payment_id=payment.id, units=missing)
            left = max(0, left - missing)
        if units > left:
            text = self._viewer.text(payment.currency, left)
            raise RefundExceedsReceived(f"at most {text} can be refunded", param="amount")
        if len(payment.refunds) >= REFUNDS_MAX:
            raise TooManyRefunds

    async def _accept(self, payment_id: str, refund_id: str, part: RefundPart) -> None:
        """Take the part and place its order. Safe to repeat, whatever happened in between."""
        payment = await self._hold(payment_id, refund_id, part)
        await self._place(payment, payment.refunds[refund_id])

    async def _hold(self, payment_id: str, refund_id: str, part: RefundPart) -> Payment:
        for _ in range(HOLD_ATTEMPTS_MAX):
            payment = await store.by_id(payment_id)
            assert payment is not None, payment_id
            if (held := payment.refunds.get(refund_id)) is not None:
                check_same(held, part.units, part.to_address)
                return payment
            await self._check(payment, part.units, Address(part.to_address))
            await self._rules.check(await self._outgoing(refund_id, payment, part))
            after = payment.model_copy(update={"refunds": {**payment.refunds, refund_id: part}})
            try:
                return await store.change(
                    payment,
                    self._clock.now(),
                    {f"refunds.{refund_id}": part, "refunding": True},
                    [("refund.queued", self._told(after, refund_id))],
                )
            except LostRace:
                continue
        raise LostRace("the payment keeps changing; try again")

    async def _place(self, payment: Payment, part: RefundPart) -> None:
        await self._engine.place(wish_of(self._sending(payment, part), self._tokens))

    def _sending(self, payment: Payment, part: RefundPart) -> Sending:
        return Sending(
            order_id=part.order_id,
            kind=KIND,
            subject=payment.id,
            wallet_id=part.wallet_id,
            signer=Address(part.signer),
            recipient=Address(part.to_address),
            currency=payment.currency,
            units=part.units,
            max_fee_sun=self._max_fee_sun,
            detached=part.detached,
        )

    async def _outgoing(self, refund_id: str, payment: Payment, part: RefundPart) -> Outgoing:
        """What the policy has to know; only what an address itself has paid needs no allow-list."""
        to = Address(part.to_address)
        came = await deposit_store.credited(payment.id, to)
        went = sum(
            each.units
            for key, each in payment.refunds.items()
            if key != refund_id and each.to_address == to and each.state is not RefundState.RELEASED
        )
        return Outgoing(
            object_id=refund_id,
            order_id=part.order_id,
            principal=part.requested_by,
            wallet_id=part.wallet_id,
            recipient=part.to_address,
            currency=payment.currency,
            units=part.units,
            contract=contract_of(self._sending(payment, part), self._tokens),
            back_to_payer=part.units <= came.of_sender - went,
        )

    async def _follow(self, order: Order) -> None:
        for _ in range(HOLD_ATTEMPTS_MAX):
            payment = await store.by_id(order.subject)
            assert payment is not None, order.subject
            refund_id, part = next(
                (key, each) for key, each in payment.refunds.items() if each.order_id == order.id
            )
            if part.order_version >= order.version:
                return
            try:
                await self._take_over(payment, refund_id, part, order)
            except LostRace:
                continue
            return
        raise LostRace(f"{order.subject} keeps changing")

    async def _take_over(
        self, payment: Payment, refund_id: str, part: RefundPart, order: Order
    ) -> None:
        outcome = order.outcome
        tried = order.tried
        changed = replace(
            part,
            status=refund_status_of(order.status),
            order_version=order.version,
            waiting_for=order.waiting_for,
            txid=tried[-1].txid if tried else None,
            block_number=outcome.block_number if outcome else None,
            fee_paid_sun=outcome.fee_sun if outcome else None,
            settled_at=from_ms(outcome.block_timestamp_ms) if outcome else None,
        )
        refunds = {**payment.refunds, refund_id: changed}
        after = payment.model_copy(update={"refunds": refunds})
        status = after.status_at(await self._chain_time())
        after = after.model_copy(update={"status": status})
        changes = {f"refunds.{refund_id}": changed, "status": status.value}
        happenings = []
        if changed.status is not part.status:
            happenings.append((f"refund.{changed.status}", self._told(after, refund_id)))
        if status is not payment.status:
            happenings.append((f"payment.{status.value}", self._viewer.describe(after)))
        unset = () if after.refunding_units else ("refunding",)
        await store.change(payment, self._clock.now(), changes, happenings, unset)

    def _told(self, payment: Payment, refund_id: str) -> dict[str, object]:
        refund = self._viewer.refund(payment, refund_id)
        return self._viewer.describe(payment) | {"refund": self._viewer.plain(refund)}

    async def _chain_time(self) -> datetime:
        cursor = await self._cursors.load()
        return self._clock.now() if cursor is None else from_ms(cursor.timestamp_ms)


def check_same(held: RefundPart, units: int, to_address: str) -> None:
    """
    Raises:
        KeyReused: What was refunded under this key is something else.
    """
    if (held.units, held.to_address) != (units, to_address):
        raise KeyReused


def told_of(payment: Payment, part: RefundPart) -> dict[str, object]:
    """What the audit log keeps of a refund that was accepted."""
    return {
        "payment_id": payment.id,
        "order_id": part.order_id,
        "wallet_id": part.wallet_id,
        "recipient_address": part.to_address,
        "currency": payment.currency,
        "units": part.units,
    }
