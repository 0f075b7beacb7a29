"""Use cases of staking: ask for an operation, and hold it back while the chain would refuse it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from tron_payment.chain import Nodes, Resource
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, Unavailable
from tron_payment.db.faults import StoreUnavailable
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, FeeBound, Order, fee_cap
from tron_payment.http.idempotency import Idempotency, StoredAnswer
from tron_payment.http.principals import Principal
from tron_payment.ordered import ObjectKind, OrderedObjects, of_orders
from tron_payment.staking.documents import Stake
from tron_payment.staking.domain import StakeNotFound, is_over
from tron_payment.staking.facts import StakeWish, check_form, check_state
from tron_payment.staking.orders import MODULE, contract_of, wish_of
from tron_payment.wallets import Wallets

HELD: Final = "chain_would_refuse"
EXPIRED: Final = "expired"
"""The reason of an operation that waited too long for whatever it waited for."""

log = structlog.get_logger()

KIND: Final = ObjectKind(
    document=Stake,
    prefix="stk",
    plural="stakes",
    param="stake_id",
    not_found=StakeNotFound,
    wish_of=wish_of,
    content_of=contract_of,
)


class Staking(OrderedObjects[Stake]):
    """The staking operations of this installation."""

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
        self._max_fee_sun = max_fee_sun

    async def judge(self, principal: Principal, wish: StakeWish, stake_id: str) -> Stake:
        """Decide whether the chain would take this now; stores nothing.

        Raises:
            Refused, Conflict: What java-tron would refuse (`rules`), a frozen wallet.
            NotFound: No such wallet.
            Unavailable: The chain cannot be asked.
        """
        blocks = check_form(wish, await self._engine.fees.parameters())
        wallet = await self._wallets.signing_wallet(wish.wallet_id, principal)
        await check_state(self._nodes, wish, wallet.address, blocks)
        return Stake(
            **self._order_part(stake_id, self._clock.now()),
            operation=wish.operation,
            principal=principal.id,
            wallet_id=wallet.wallet_id,
            signer=wallet.address,
            amount_sun=wish.amount_sun,
            resource=None if wish.resource is None else wish.resource.value,
            receiver=wish.receiver,
            lock_blocks=blocks,
            votes=[{"address": address, "count": count} for address, count in wish.votes],
            detached=wallet.detached,
            max_fee_sun=fee_cap(wish.max_fee_sun, self._max_fee_sun),
        )

    async def request(
        self,
        principal: Principal,
        key: str,
        wish: StakeWish,
        *,
        operation: str,
        content: bytes,
        answer: Callable[[Stake], bytes],
    ) -> StoredAnswer:
        """Accept an operation once; a repeat gets the stored answer and never a second one.

        Raises:
            Refused, NotFound, Conflict, Unavailable: See `judge`; nothing was stored then.
        """
        return await self._accept(
            principal,
            key,
            operation=operation,
            content=content,
            judge=lambda stake_id: self.judge(principal, wish, stake_id),
            answer=answer,
        )

    async def quote(self, stake: Stake) -> FeeBound:
        """What a judged operation may burn at most."""
        return await self._engine.fees.bound(contract_of(stake))

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Hold our orders back while the chain would refuse them, instead of signing in vain.

        java-tron takes no failing system contract into a block, so such a transaction would only
        expire. The engine asks before it sets funds aside and again before it signs. What has
        waited too long fails (`domain.is_over`): done much later, it would be about another state
        of the account, as a cancelation about an unstaking that nobody has thought of yet.
        """
        mine = [order for order in orders if order.module == MODULE]
        if not mine:
            return {}
        stakes = await of_orders(Stake, [order.id for order in mine])
        waiting = {}
        for order in mine:
            stake = stakes.get(order.id)
            if stake is None:
                continue
            held = await self._held(stake)
            if is_over(self._clock.now() - stake.created_at, stake.detached, held.startswith(HELD)):
                held = f"{EXPIRED}: {held}" if held else EXPIRED
                await self._give_up(order, held)
            if held:
                waiting[order.id] = held
        return waiting

    async def _held(self, stake: Stake) -> str:
        """What an operation has to wait for; empty for nothing."""
        try:
            owner = Address(stake.signer)
            await check_state(self._nodes, _wish_again(stake), owner, stake.lock_blocks)
        except Unavailable:
            return "node"
        except AppError as refusal:
            return f"{HELD}: {refusal.code}"
        return ""

    async def _give_up(self, order: Order, reason: str) -> None:
        """Let it fail; what cannot end now is held, and given up at the next look."""
        try:
            await self._engine.refuse(order.id, reason)
        except StoreUnavailable:
            raise
        except AppError as refusal:
            log.info("stake.not_given_up", order_id=order.id, reason=refusal.code)


def _wish_again(stake: Stake) -> StakeWish:
    """The wish that a stored operation was made from, for another look at the chain."""
    return StakeWish(
        operation=stake.operation,
        wallet_id=stake.wallet_id,
        amount_sun=stake.amount_sun,
        resource=None if stake.resource is None else Resource(stake.resource),
        receiver=None if stake.receiver is None else Address(stake.receiver),
        votes=tuple((Address(each["address"]), int(each["count"])) for each in stake.votes),
    )
