"""Finishing halves: what a process that died has begun with single payouts."""

import structlog

from tron_payment.chain import NodesUnavailable
from tron_payment.core.clock import Clock
from tron_payment.core.errors import Conflict
from tron_payment.engine import Engine, PerhapsPaid
from tron_payment.payouts import documents as store
from tron_payment.payouts.announce import Announcer
from tron_payment.payouts.apart import Apart, wish_of
from tron_payment.payouts.counting import Counting
from tron_payment.payouts.decisions import Decisions
from tron_payment.payouts.documents import SWEEP_AFTER, Payout
from tron_payment.payouts.domain import PayoutStatus
from tron_payment.payouts.orders import OrderMaker
from tron_payment.payouts.policy import ApprovalExpired
from tron_payment.payouts.telling import Telling

log = structlog.get_logger()


class Sweeper:
    """Places, tells and ends what is due; each payout for itself."""

    def __init__(
        self,
        *,
        clock: Clock,
        engine: Engine,
        orders: OrderMaker,
        counting: Counting,
        decisions: Decisions,
        announcer: Announcer,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._orders = orders
        self._counting = counting
        self._decisions = decisions
        self._announcer = announcer
        self._telling = telling

    async def step(self) -> bool:
        """One look at everything; False when nothing was due.

        Raises:
            AppError: One of them was refused; it is due again after `SWEEP_AFTER`.
            StoreUnavailable, NodesUnavailable
        """
        now = self._clock.now()
        apart = Apart("payout.not_swept")
        waiting, swept = await store.unswept(now), set[str]()
        for payout in waiting:
            with apart.one(payout_id=payout.id):
                await self._place(payout)
                swept.add(payout.id)
        await store.swept(sorted(swept))
        await store.sweep_later([p.id for p in waiting if p.id not in swept], now + SWEEP_AFTER)
        untold = await store.untold(now)
        for payout in untold:
            with apart.one(payout_id=payout.id):
                await self._telling.tell(payout)
        expired = False
        overdue = await store.approval_overdue(now)
        for payout in overdue if overdue and await self._may_expire() else ():
            with apart.one(payout_id=payout.id):
                expired |= await self._expire(payout)
        uncounted = await self._counting.uncount_abandoned()
        apart.end()
        return bool(waiting or untold or expired or uncounted)

    async def _place(self, payout: Payout) -> None:
        """A queued payout whose order was not stored before the process died."""
        assert payout.batch_id is None, payout.id
        if await self._engine.find(payout.order_id) is not None:
            return
        log.warning("payout.order_missing", payout_id=payout.id, order_id=payout.order_id)
        if payout.approvals_needed:
            await self._telling.tell(payout)  # it was told when it was made
        else:
            await self._announcer.made([payout])
        await self._engine.place(await wish_of(self._orders, [payout]))

    async def _may_expire(self) -> bool:
        """Whether anything may end at all: asked once, for slow nodes are slow each time."""
        try:
            await self._engine.see_unpaid([])
        except (PerhapsPaid, NodesUnavailable) as wait:
            log.info("payouts.expire_later", reason=wait.detail)
            return False
        return True

    async def _expire(self, payout: Payout) -> bool:
        """False when it may have been approved and paid, as far as a restored store knows: it
        waits on, and is looked at again."""
        try:
            await self._decisions.end_waiting(payout, PayoutStatus.REJECTED, ApprovalExpired.code)
        except (PerhapsPaid, NodesUnavailable) as wait:
            log.info("payout.expires_later", payout_id=payout.id, reason=wait.detail)
            return False
        except Conflict:
            pass  # approved or canceled in this moment
        return True
