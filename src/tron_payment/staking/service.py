"""Use cases of staking: ask for an operation, hold it back while the chain would refuse it,
follow what its order says, and keep track of what is unstaking."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import structlog
from litestar.status_codes import HTTP_202_ACCEPTED

from tron_payment.chain import Nodes, Resource
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, from_ms
from tron_payment.core.errors import AppError, Unavailable
from tron_payment.core.ids import derived_id
from tron_payment.db.cas import LostRace
from tron_payment.db.group import GroupInsert
from tron_payment.engine import Engine, FeeBound, Order
from tron_payment.http.idempotency import Idempotency, KeyReused, StoredAnswer
from tron_payment.http.paging import Page, PageRequest, fetch_page
from tron_payment.http.permissions import owner_filter
from tron_payment.http.principals import Principal
from tron_payment.staking import documents as store
from tron_payment.staking.documents import SWEEP_AFTER, Stake
from tron_payment.staking.domain import StakeNotFound, status_of
from tron_payment.staking.facts import StakeWish, check_form, check_state
from tron_payment.staking.orders import MODULE, contract_of, wish_of
from tron_payment.wallets import Wallets

HELD: Final = "chain_would_refuse"

V = TypeVar("V")
log = structlog.get_logger()


class Staking:
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
        self._clock = clock
        self._secret = secret
        self._idempotency = idempotency
        self._engine = engine
        self._nodes = nodes
        self._inserts = inserts
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
        now = self._clock.now()
        return Stake(
            id=stake_id,
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
            max_fee_sun=self._max_fee_sun if wish.max_fee_sun is None else wish.max_fee_sun,
            order_id=derived_id("ord", self._secret, stake_id),
            sweep_at=now + SWEEP_AFTER,
            created_at=now,
            updated_at=now,
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
        stake_id = self._idempotency.object_id("stk", principal.id, key)
        stake = None
        earlier = await self._idempotency.find(
            principal_id=principal.id, key=key, operation=operation, content=content
        )
        if earlier is not None:
            stake = await store.by_id(stake_id, {})
        if stake is None:
            stake = await self.judge(principal, wish, stake_id)
        accepted = stake
        return await self._idempotency.run(
            principal_id=principal.id,
            key=key,
            operation=operation,
            content=content,
            answer=(HTTP_202_ACCEPTED, answer(accepted)),
            effect=lambda: self._store(accepted),
            object_ids=[stake_id],
        )

    async def _store(self, stake: Stake) -> None:
        """Store a judged operation and its order. Safe to repeat, whatever happened before."""
        if not await self._inserts.insert(stake):
            earlier = await store.by_id(stake.id, {})
            assert earlier is not None, stake.id
            if contract_of(earlier) != contract_of(stake):
                raise KeyReused
            stake = earlier
        await self._engine.place(wish_of(stake))

    async def quote(self, stake: Stake) -> FeeBound:
        """What a judged operation may burn at most."""
        return await self._engine.fees.bound(contract_of(stake))

    async def get(self, principal: Principal, stake_id: str) -> Stake:
        """
        Raises:
            StakeNotFound: No such operation, or another principal's.
        """
        stake = await store.by_id(stake_id, owner_filter(principal, "stakes"))
        if stake is None:
            raise StakeNotFound(param="stake_id")
        return stake

    async def cancel(self, principal: Principal, stake_id: str) -> Stake:
        """Cancel an operation that is not signed.

        Raises:
            StakeNotFound: No such operation, or another principal's.
            OrderSigned, OrderFinished: It is too late.
        """
        stake = await self.get(principal, stake_id)
        await self._engine.place(wish_of(stake))
        await self._engine.cancel(stake.order_id)
        order = await self._engine.find(stake.order_id)
        if order is None:
            raise LostRace("the order is not there yet; try again")
        await self.follow([order])
        return await self.get(principal, stake_id)

    async def history(
        self, principal: Principal, page: PageRequest, view: Callable[[Stake], V]
    ) -> Page[V]:
        """Operations that the caller may see, newest first.

        Raises:
            InvalidFilter: An unknown status.
            InvalidCursor: Not from this list.
        """
        where: dict[str, Any] = owner_filter(principal, "stakes")
        where |= store.showing(page.statuses)
        return await fetch_page(Stake, where, page, view, newest_first=True)

    async def gate(self, orders: Sequence[Order]) -> Mapping[str, str]:
        """Hold our orders back while the chain would refuse them, instead of signing in vain.

        java-tron takes no failing system contract into a block, so such a transaction would only
        expire. The engine asks before it sets funds aside and again before it signs.
        """
        mine = [order for order in orders if order.module == MODULE]
        if not mine:
            return {}
        stakes = await store.of_orders([order.id for order in mine])
        waiting = {}
        for order in mine:
            stake = stakes.get(order.id)
            if stake is None:
                continue
            try:
                owner = Address(stake.signer)
                await check_state(self._nodes, _wish_again(stake), owner, stake.lock_blocks)
            except Unavailable:
                waiting[order.id] = "node"
            except AppError as refusal:
                waiting[order.id] = f"{HELD}: {refusal.code}"
        return waiting

    async def follow(self, orders: Sequence[Order]) -> None:
        """Hear of orders: take over what became of them. The engine calls this."""
        now = self._clock.now()
        await store.follow_orders([(each.id, each.version, _fields(each, now)) for each in orders])

    async def sweep(self) -> bool:
        """Finish halves: queued operations whose order was not stored before the process died."""
        waiting = await store.unswept(self._clock.now())
        for stake in waiting:
            if await self._engine.find(stake.order_id) is None:
                log.warning("stake.order_missing", stake_id=stake.id)
                await self._engine.place(wish_of(stake))
        await store.swept([each.id for each in waiting])
        return bool(waiting)


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


def _fields(order: Order, now: datetime) -> dict[str, Any]:
    """What an operation takes over from its order."""
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
            "block_number": outcome.block_number,
            "settled_at": from_ms(outcome.block_timestamp_ms),
        }
    return fields
