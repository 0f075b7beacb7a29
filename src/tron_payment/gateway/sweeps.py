"""Sweeps: money of invoices' addresses goes to the treasury when it is worth the fee.

    funding     the address needs TRX that the order sets aside for its fee; the treasury sends it
    lending     energy of the treasury's stake goes there, when that is cheaper than burning
    moving      the money goes to the treasury
    returning   the energy goes back

TRX that was not burned stays at the address, for its next sweep or until it is worth one itself.
Each step is an order under an id derived from the sweep, so a step done twice is one step.
"""

from datetime import timedelta
from typing import Any, Final

import structlog

from tron_payment.core.address import Address
from tron_payment.core.errors import AppError, NotFound
from tron_payment.core.money import TRX
from tron_payment.db.cas import compare_and_set
from tron_payment.db.ledger import Pocket
from tron_payment.engine import MustWait, Order, OrderStatus
from tron_payment.gateway import sweep_documents as sweep_store
from tron_payment.gateway.lending import Progress
from tron_payment.gateway.rounds import Refusals, Round
from tron_payment.gateway.sweep_documents import LIFECYCLE, Sweep, SweepStatus
from tron_payment.gateway.sweep_starts import KIND, Starts, SweepParts
from tron_payment.gateway.transfers import Sending, contract_of, wish_of
from tron_payment.gateway.worth import is_worth_it

LEND_PATIENCE: Final = timedelta(minutes=10)
"""Then TRX is burned instead, unless the lending is signed; and what waits with lent energy and is
not signed is given up, so that the energy goes back."""

PATIENCE: Final = timedelta(hours=6)
"""Then what is not signed is given up though no energy waits, and is begun anew later with what it
costs then: a fee is sent once, and prices may have risen since."""

SIGNERS_PATIENCE: Final = timedelta(days=7)
"""The same, while people elsewhere have to sign for the fee."""

EMPTY_FOR: Final = timedelta(hours=1)
"""So long no node may show what we have lent before we believe that somebody else took it back."""

NOT_WORTH_IT: Final = "not worth its fee without lent energy"
NOT_FUNDED: Final = "the fee could not be sent for too long"
FUND_KIND: Final = "gateway.sweep_fee"
ENDED: Final = frozenset({OrderStatus.SETTLED, OrderStatus.FAILED, OrderStatus.CANCELED})

log = structlog.get_logger()


class Sweeps:
    """Starts sweeps and moves them on."""

    def __init__(self, parts: SweepParts) -> None:
        self._parts = parts
        self._moving = Round()
        self._starts = Starts(parts)

    async def step(self) -> bool:
        """Move live sweeps on, then start new ones; True when something was done.

        Raises:
            AppError: One of them was refused; the others were looked at nevertheless.
        """
        done, refusals = False, Refusals()
        sweeps = await sweep_store.live(self._moving.skip)
        self._moving.took(len(sweeps), sweep_store.LIVE_MAX)
        for sweep in sorted(sweeps, key=_nearness, reverse=True):
            if refusals.are_an_outage:
                break
            done |= await refusals.alone(self._advance(sweep), sweep_id=sweep.id)
        done |= await self._starts.step(refusals)
        refusals.tell()
        return done

    async def _advance(self, sweep: Sweep) -> bool:
        match sweep.status:
            case SweepStatus.FUNDING:
                return await self._fund(sweep)
            case SweepStatus.LENDING:
                return await self._lend(sweep)
            case SweepStatus.RETURNING:
                return await self._return(sweep)
        await self._parts.engine.place(wish_of(self._sending(sweep), self._parts.tokens))
        order = await self._parts.engine.find(sweep.order_id)
        assert order is not None, sweep.id
        if order.status not in ENDED:
            if self._is_late(sweep, LEND_PATIENCE if sweep.lends else PATIENCE):
                await self._give_up(sweep, order)
            return False
        has_moved = order.status is OrderStatus.SETTLED
        reason = "" if has_moved else order.reason
        target = SweepStatus.RETURNING if sweep.lends else _ending(has_moved)
        await self._move(sweep, target, reason, has_moved=has_moved)
        return True

    def _is_late(self, sweep: Sweep, patience: timedelta) -> bool:
        """Whether it has been where it is for longer."""
        return self._parts.clock.now() - sweep.updated_at >= patience

    async def _give_up(self, sweep: Sweep, order: Order) -> None:
        """Cancel what is not signed; what it has set aside is free again, and lent energy goes
        back."""
        try:
            await self._parts.engine.cancel(order.id)
        except AppError as refusal:  # signed: it will end by itself
            log.info("sweep.awaited", sweep_id=sweep.id, reason=refusal.code)

    async def _lend(self, sweep: Sweep) -> bool:
        progress = await self._parts.lending.lend(sweep)
        if progress is Progress.UNDER_WAY:
            if not self._is_late(sweep, LEND_PATIENCE):
                return False
            try:
                await self._parts.lending.give_up(sweep)
                return False
            except NotFound:  # it could not even be asked for
                progress = Progress.NEVER
            except AppError as refusal:  # signed: it may still come about
                log.info("sweep.energy_awaited", sweep_id=sweep.id, reason=refusal.code)
                return False
        if progress is Progress.DONE:
            await self._move(sweep, SweepStatus.MOVING)
            return True
        try:
            need = await self._parts.engine.fees.bound(
                contract_of(self._sending(sweep), self._parts.tokens)
            )
        except MustWait as wait:
            if not self._is_late(sweep, LEND_PATIENCE):
                raise
            await self._move(sweep, SweepStatus.RETURNING, wait.waiting_for)
            return True
        if is_worth_it(sweep.asset, sweep.units, need.hold_sun):
            await self._move(sweep, SweepStatus.MOVING, lent_sun=0)
        else:
            await self._move(sweep, SweepStatus.RETURNING, NOT_WORTH_IT)
        return True

    async def _return(self, sweep: Sweep) -> bool:
        """Energy goes back, however long that takes; the address is free for another sweep."""
        progress = await self._parts.lending.take_back(sweep)
        if progress is Progress.EMPTY:
            since = sweep.empty_since or self._parts.clock.now()
            if sweep.empty_since is None:
                await self._note(sweep, empty_since=since)
            if (
                self._parts.clock.now() - since < EMPTY_FOR
                or not await self._parts.lending.is_nowhere(sweep)
            ):
                return False
            log.warning("sweep.energy_taken_elsewhere", sweep_id=sweep.id, address=sweep.address)
        elif progress is Progress.UNDER_WAY:
            if sweep.empty_since is not None:
                await self._note(sweep, empty_since=None)
            return False
        await self._move(sweep, _ending(sweep.has_moved), sweep.reason)
        return True

    async def _fund(self, sweep: Sweep) -> bool:
        """See that the address can pay the fee; the treasury sends what is missing, once.

        The order is read before the balance: what a settled one has brought is in it.
        """
        order = await self._parts.engine.find(sweep.fee_order_id)
        is_late = self._is_late(sweep, SIGNERS_PATIENCE if sweep.treasury_detached else PATIENCE)
        if is_late:
            if order is None:
                await self._move(sweep, SweepStatus.FAILED, NOT_FUNDED)
                return True
            if order.status not in ENDED:
                await self._give_up(sweep, order)
        if order is not None and order.status in (OrderStatus.FAILED, OrderStatus.CANCELED):
            await self._move(sweep, SweepStatus.FAILED, f"fee: {order.reason}")
            return True
        try:
            need = await self._parts.engine.fees.bound(
                contract_of(self._sending(sweep), self._parts.tokens)
            )
        except MustWait as wait:  # the token is paused, or one of the two on its blacklist
            if not (is_late and order is not None and order.status is OrderStatus.SETTLED):
                raise
            await self._move(sweep, SweepStatus.FAILED, wait.waiting_for)
            return True
        has = await self._parts.ledger.balance(Address(sweep.address), Pocket.AVAILABLE, TRX.code)
        has -= sweep.units if sweep.asset == TRX.code else 0
        if has >= need.hold_sun:
            lends = sweep.lent_sun > 0
            await self._move(sweep, SweepStatus.LENDING if lends else SweepStatus.MOVING)
            return True
        if order is None:
            if need.hold_sun > self._parts.max_fee_sun:
                await self._move(sweep, SweepStatus.FAILED, need.above_maximum)
                return True
            return await self._send_fee(sweep, need.hold_sun - has)
        if order.status is OrderStatus.SETTLED:  # and still too little: prices have risen
            await self._move(sweep, SweepStatus.FAILED, "the fee rose meanwhile")
            return True
        return False

    async def _send_fee(self, sweep: Sweep, units: int) -> bool:
        sweep = await self._note_fee(sweep, units)
        sending = Sending(
            order_id=sweep.fee_order_id,
            kind=FUND_KIND,
            subject=sweep.id,
            wallet_id=sweep.treasury_wallet_id,
            signer=Address(sweep.destination),
            recipient=Address(sweep.address),
            currency=TRX.code,
            units=sweep.fee_sun,
            max_fee_sun=self._parts.max_fee_sun,
            detached=sweep.treasury_detached,
        )
        return await self._parts.engine.place(wish_of(sending, self._parts.tokens))

    async def _note_fee(self, sweep: Sweep, units: int) -> Sweep:
        """The amount is decided once, so that the order placed again is the same order."""
        return sweep if sweep.fee_sun else await self._note(sweep, fee_sun=units)

    async def _note(self, sweep: Sweep, **fields: Any) -> Sweep:
        return await compare_and_set(Sweep, sweep.id, version=sweep.version, set=fields)

    def _sending(self, sweep: Sweep) -> Sending:
        return Sending(
            order_id=sweep.order_id,
            kind=KIND,
            subject=sweep.id,
            wallet_id=sweep.wallet_id,
            signer=Address(sweep.address),
            recipient=Address(sweep.destination),
            currency=sweep.asset,
            units=sweep.units,
            max_fee_sun=self._parts.max_fee_sun,
        )

    async def _move(
        self, sweep: Sweep, target: SweepStatus, reason: str = "", **fields: Any
    ) -> None:
        LIFECYCLE.require(sweep.status, target)
        if target is SweepStatus.RETURNING:
            fields["live"] = f"returning|{sweep.id}"
        await compare_and_set(
            Sweep,
            sweep.id,
            version=sweep.version,
            where={"status": sweep.status.value},
            set={
                "status": target.value,
                "reason": reason,
                "updated_at": self._parts.clock.now(),
                **fields,
            },
            unset=("live",) if LIFECYCLE.is_final(target) else (),
        )
        log.info("sweep.moved", sweep_id=sweep.id, status=target.value, reason=reason)


def _nearness(sweep: Sweep) -> int:
    """How near its end: what only has to give energy back needs no node's prices."""
    return tuple(SweepStatus).index(sweep.status)


def _ending(has_moved: bool) -> SweepStatus:
    return SweepStatus.SETTLED if has_moved else SweepStatus.FAILED
