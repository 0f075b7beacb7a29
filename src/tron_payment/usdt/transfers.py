"""Use cases of token transfers and approvals: ask for one, follow what its order says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.chain import Nodes, TriggerContract
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.ids import derived_id
from tron_payment.core.money import Amount, parse_units
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, Expect, ExpectKind, Order, Spend, Wish
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import SWEEP_AFTER, Transfer
from tron_payment.usdt.domain import (
    ApprovalInFlight,
    Kind,
    RecipientBlacklisted,
    RecipientIsContract,
    RecipientIsSender,
    TransferNotFound,
    allowance_guard,
    check_recipient,
    status_of,
)
from tron_payment.usdt.outgoing import NoRules, Outgoing, Rules
from tron_payment.usdt.screening import Screening
from tron_payment.usdt.tokens import RegisteredToken, TokenRegistry
from tron_payment.usdt.trc20 import Token, approve_data, transfer_data
from tron_payment.wallets import Wallets

MODULE: Final = "usdt"

V = TypeVar("V")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferWish:
    """A transfer or approval as a caller asks for it; texts as they came."""

    kind: Kind
    wallet_id: str | None
    counterparty: str
    amount: str
    currency: str
    max_fee_sun: int | None = None
    expected_allowance: str | None = None
    """Of an approval: what the allowance is now, to replace it by another than zero."""


class Transfers:
    """Token transfers and approvals of this installation."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        idempotency: Idempotency,
        engine: Engine,
        nodes: Nodes,
        inserts: GroupInsert,
        wallets: Wallets,
        tokens: TokenRegistry,
        screening: Screening,
        max_fee_sun: int,
    ) -> None:
        self._clock = clock
        self._secret = secret
        self._idempotency = idempotency
        self._engine = engine
        self._nodes = nodes
        self._inserts = inserts
        self._wallets = wallets
        self._tokens = tokens
        self._screening = screening
        self._max_fee_sun = max_fee_sun
        self.rules: Rules = NoRules()
        """The policy; plugged in by the module that keeps it."""

    async def judge(self, principal: Principal, wish: TransferWish, transfer_id: str) -> Transfer:
        """Decide whether this may be done; stores nothing.

        Raises:
            Refused: Currency, amount, address, recipient or policy.
            NotFound: No such wallet.
            Conflict: Frozen wallet, or an allowance that must not be replaced.
            Unavailable: The chain cannot be asked.
        """
        token = self._tokens.get(wish.currency)
        if wish.kind is Kind.TRANSFER:
            units = Amount.parse(token.asset, wish.amount).units
            counterparty = parse_address(wish.counterparty, param="to_address")
            check_recipient(counterparty, token.contract, param="to_address")
            await self._screen(counterparty)
        else:
            units = parse_units(token.asset.decimals, wish.amount)
            counterparty = parse_address(wish.counterparty, param="spender")
            check_recipient(counterparty, token.contract, param="spender")
            expected = wish.expected_allowance
            if expected is not None:
                parse_units(token.asset.decimals, expected, param="expected_allowance")
        wallet = await self._wallets.signing_wallet(wish.wallet_id, principal)
        if wallet.address == counterparty:
            raise RecipientIsSender(param="to_address" if wish.kind is Kind.TRANSFER else "spender")
        live = None
        if wish.kind is Kind.APPROVAL:
            live = f"{wallet.address}:{token.contract}:{counterparty}"
            await self._guard(token, wallet.address, counterparty, units, wish.expected_allowance)
            await self._refuse_second_approval(live, transfer_id)
        now = self._clock.now()
        transfer = Transfer(
            id=transfer_id,
            kind=wish.kind,
            principal=principal.id,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            counterparty=counterparty,
            currency=token.asset.code,
            token=token.contract,
            units=units,
            detached=wallet.detached,
            max_fee_sun=self._max_fee_sun if wish.max_fee_sun is None else wish.max_fee_sun,
            order_id=derived_id("ord", self._secret, transfer_id),
            live_approval=live,
            sweep_at=now + SWEEP_AFTER,
            created_at=now,
            updated_at=now,
        )
        if transfer.units:  # an approval of zero takes an allowance back
            await self.rules.check(outgoing_of(transfer))
        return transfer

    async def request(
        self,
        principal: Principal,
        key: str,
        wish: TransferWish,
        *,
        operation: str,
        content: bytes,
        answer: Callable[[Transfer], bytes],
    ) -> StoredAnswer:
        """Accept a transfer once; a repeat gets the stored answer and never a second transfer.

        Args:
            key: The idempotency key; the transfer's id is derived from it and the principal.
            operation: The endpoint's name, whatever path it was reached by.
            content: The canonical request, for telling a repeat from a reuse of the key.
            answer: Writes the body of the 202.

        Raises:
            Refused, NotFound, Conflict, Unavailable: See `judge`; nothing was stored then.
        """
        transfer_id = self._idempotency.object_id("trf", principal.id, key)
        transfer = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            transfer = await store.by_id(transfer_id, {})
        fresh = transfer is None
        accepted = transfer or await self.judge(principal, wish, transfer_id)

        async def accept() -> StoredAnswer:
            return await self._idempotency.run(
                principal_id=principal.id,
                key=key,
                operation=operation,
                content=content,
                answer=(HTTP_202_ACCEPTED, answer(accepted)),
                effect=lambda: self._store(accepted),
                object_ids=[transfer_id],
            )

        return await self.rules.admit(outgoing_of(accepted), accept) if fresh else await accept()

    async def _store(self, transfer: Transfer) -> None:
        """Store a judged transfer and its order. Safe to repeat, whatever happened in between.

        Raises:
            ApprovalInFlight: Another approval of the same spender was faster.
        """
        try:
            created = await self._inserts.insert(transfer)
        except DuplicateValue:
            raise ApprovalInFlight(param="spender") from None
        if not created:
            earlier = await store.by_id(transfer.id, {})
            assert earlier is not None, transfer.id
            if _content(earlier) != _content(transfer):
                raise KeyReused
            transfer = earlier
        await self._engine.place(wish_of(transfer))

    async def get(self, principal: Principal, transfer_id: str) -> Transfer:
        """
        Raises:
            TransferNotFound: No such transfer, or another principal's.
        """
        transfer = await store.by_id(transfer_id, owner_filter(principal, "transfers"))
        if transfer is None:
            raise TransferNotFound(param="transfer_id")
        return transfer

    async def history(
        self, principal: Principal, page: PageRequest, view: Callable[[Transfer], V]
    ) -> Page[V]:
        """Transfers and approvals that the caller may see, newest first.

        Raises:
            InvalidFilter: An unknown status.
            InvalidCursor: Not from this list.
        """
        where: dict[str, Any] = owner_filter(principal, "transfers")
        where |= store.showing(page.statuses)
        return await fetch_page(Transfer, where, page, view, newest_first=True)

    async def stats(self) -> dict[str, Any]:
        """Transfers by status."""
        return {"transfers": await store.counts(), "tokens": len(self._tokens.all)}

    async def follow(self, orders: Sequence[Order]) -> None:
        """Hear of orders: take over what became of them. The engine calls this."""
        now = self._clock.now()
        await store.follow_orders([(each.id, each.version, _fields(each, now)) for each in orders])

    async def sweep(self) -> bool:
        """Finish halves: queued transfers whose order was not stored before the process died."""
        waiting = await store.unswept(self._clock.now())
        for transfer in waiting:
            if await self._engine.find(transfer.order_id) is None:
                log.warning("transfer.order_missing", transfer_id=transfer.id)
                await self._engine.place(wish_of(transfer))
        await store.swept([each.id for each in waiting])
        return bool(waiting)

    async def _screen(self, recipient: Address) -> None:
        if await self._screening.is_contract(recipient):
            raise RecipientIsContract(param="to_address")
        if await self._screening.blacklisted(recipient):
            raise RecipientBlacklisted(param="to_address")

    async def _guard(
        self,
        token: RegisteredToken,
        owner: Address,
        spender: Address,
        units: int,
        expected: str | None,
    ) -> None:
        """Read the allowance on the newest state and guard the race (see `allowance_guard`)."""
        current = await self._nodes.read(
            lambda node: Token(node, token.contract).allowance(owner, spender)
        )
        decimals = token.asset.decimals
        wanted = None if expected is None else parse_units(decimals, expected)
        allowance_guard(current, units, wanted, decimals)

    async def _refuse_second_approval(self, live: str, transfer_id: str) -> None:
        earlier = await store.moving_approval(live)
        if earlier is not None and earlier.id != transfer_id:
            raise ApprovalInFlight(param="spender", extra={"transfer_id": earlier.id})


def outgoing_of(transfer: Transfer) -> Outgoing:
    """What the policy has to know; an allowance counts like the money that it gives away."""
    return Outgoing(
        object_id=transfer.id,
        principal=transfer.principal,
        wallet_id=transfer.wallet_id,
        recipient=transfer.counterparty,
        currency=transfer.currency,
        units=transfer.units,
    )


def wish_of(transfer: Transfer) -> Wish:
    """The order of a transfer; the same transfer always gives the same order."""
    signer, token = Address(transfer.signer), Address(transfer.token)
    counterparty = Address(transfer.counterparty)
    expects: tuple[Expect, ...] = ()
    spends: tuple[Spend, ...] = ()
    if transfer.kind is Kind.TRANSFER:
        data = transfer_data(counterparty, transfer.units)
        expects = (
            Expect(
                ExpectKind.TRC20_TRANSFER, transfer.id, token, signer, counterparty, transfer.units
            ),
        )
        spends = (Spend(signer, transfer.currency, transfer.units),)
    else:
        data = approve_data(counterparty, transfer.units)
    return Wish(
        order_id=transfer.order_id,
        module=MODULE,
        kind=f"usdt.{transfer.kind}",
        subject=transfer.id,
        wallet_id=transfer.wallet_id,
        signer=signer,
        contract=TriggerContract(signer, token, data),
        expects=expects,
        spends=spends,
        max_fee_sun=transfer.max_fee_sun,
        detached=transfer.detached,
    )


def _content(transfer: Transfer) -> tuple[Any, ...]:
    """What makes two transfers the same."""
    return (transfer.kind, transfer.counterparty, transfer.token, transfer.units)


def _fields(order: Order, now: datetime) -> dict[str, Any]:
    """What a transfer takes over from its order."""
    fields: dict[str, Any] = {
        "status": status_of(order.status).value,
        "waiting_for": order.waiting_for,
        "reason": order.reason,
        "attempts": len(order.attempts),
        "updated_at": now,
    }
    if order.attempts:
        newest = order.tried[-1]
        fields |= {"txid": newest.txid, "sent_at": newest.sent_at}
    if (outcome := order.outcome) is not None:
        fields |= {
            "txid": outcome.txid,
            "fee_paid_sun": outcome.fee_sun,
            "energy_used": outcome.energy_used,
            "block_number": outcome.block_number,
            "block_id": outcome.block_id,
            "settled_at": from_ms(outcome.block_timestamp_ms),
        }
    return fields
