"""Use cases of token transfers and approvals: ask for one, follow what its order says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tron_payment.chain import Nodes, TriggerContract
from tron_payment.core.address import Address, parse_address
from tron_payment.core.clock import Clock
from tron_payment.core.money import Amount, parse_units
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, Expect, ExpectKind, Spend, Wish, fee_cap
from tron_payment.http.idempotency import Idempotency, StoredAnswer
from tron_payment.http.principals import Principal
from tron_payment.ordered import ObjectKind, OrderedObjects
from tron_payment.usdt import documents as store
from tron_payment.usdt.documents import Transfer
from tron_payment.usdt.domain import (
    ApprovalInFlight,
    Kind,
    RecipientBlacklisted,
    RecipientIsContract,
    RecipientIsSender,
    TransferNotFound,
    allowance_guard,
    check_recipient,
)
from tron_payment.usdt.outgoing import NoRules, Outgoing, Rules
from tron_payment.usdt.screening import Screening
from tron_payment.usdt.tokens import RegisteredToken, TokenRegistry
from tron_payment.usdt.trc20 import Token, approve_data, transfer_data
from tron_payment.wallets import Wallets

MODULE: Final = "usdt"


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


class Transfers(OrderedObjects[Transfer]):
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
        super().__init__(
            KIND,
            clock=clock,
            secret=secret,
            idempotency=idempotency,
            engine=engine,
            inserts=inserts,
        )
        self._nodes = nodes
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
        transfer = Transfer(
            **self._order_part(transfer_id, self._clock.now()),
            kind=wish.kind,
            principal=principal.id,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            counterparty=counterparty,
            currency=token.asset.code,
            token=token.contract,
            units=units,
            detached=wallet.detached,
            max_fee_sun=fee_cap(wish.max_fee_sun, self._max_fee_sun),
            live_approval=live,
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

        Raises:
            Refused, NotFound, Conflict, Unavailable: See `judge`; nothing was stored then.
        """
        return await self._accept(
            principal,
            key,
            operation=operation,
            content=content,
            judge=lambda transfer_id: self.judge(principal, wish, transfer_id),
            answer=answer,
            admit=lambda transfer, accept: self.rules.admit(outgoing_of(transfer), accept),
        )

    async def stats(self) -> dict[str, Any]:
        """Transfers by status."""
        return {"transfers": await store.counts(), "tokens": len(self._tokens.all)}

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
        order_id=transfer.order_id,
        principal=transfer.principal,
        wallet_id=transfer.wallet_id,
        recipient=transfer.counterparty,
        currency=transfer.currency,
        units=transfer.units,
        contract=wish_of(transfer).contract,
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


KIND: Final = ObjectKind(
    document=Transfer,
    prefix="trf",
    plural="transfers",
    param="transfer_id",
    not_found=TransferNotFound,
    wish_of=wish_of,
    content_of=_content,
    collision=lambda: ApprovalInFlight(param="spender"),
    unset_when_final=("live_approval",),
)
