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
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError, NotFound
from tron_payment.core.ids import derived_id
from tron_payment.core.money import SUN_PER_TRX, TRX, USDT
from tron_payment.db.cas import LostRace, compare_and_set, insert_once
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.ledger import Ledger, Pocket
from tron_payment.engine import Engine, FeeBound, OrderStatus
from tron_payment.gateway import documents as store
from tron_payment.gateway import sweep_documents as sweep_store
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.domain import OPEN, PaymentStatus
from tron_payment.gateway.lending import Lending, Loan, Progress, Room
from tron_payment.gateway.rounds import Later, Round, alone
from tron_payment.gateway.sweep_documents import LIFECYCLE, Sweep, SweepStatus
from tron_payment.gateway.transfers import Sending, contract_of, wish_of
from tron_payment.usdt import TokenRegistry
from tron_payment.wallets import WalletCannotSign, WalletForSigning, Wallets

USDT_MIN_UNITS: Final = 5 * 10**6
"""Less is not worth anybody's while, whatever the fee."""

FEE_SHARE_PERCENT: Final = 25
"""At most so much of what is swept may be burned; what is too little waits for more."""

TRX_WORTH_UNITS: Final = 350_000
"""USDT units that a TRX counts as in that rule. No price is asked of anybody for it."""

LEND_PATIENCE: Final = timedelta(minutes=10)
"""Then TRX is burned instead, unless the lending is signed; and what waits with lent energy and is
not signed is given up, so that the energy goes back."""

RETRY_AFTER: Final = timedelta(hours=1)
"""Whatever failed is not begun anew before."""

EMPTY_FOR: Final = timedelta(hours=1)
"""So long no node may show what we have lent before we believe that somebody else took it back."""

LATER_PAUSE: Final = timedelta(minutes=5)
"""Between two looks at a deposit that waits for energy, whose fee a node has to be asked for."""

NO_LOAN: Final = Loan()
NOT_WORTH_IT: Final = "not worth its fee without lent energy"
TRX_MIN_SUN: Final = 5 * 10**6
"""Left after the fee; bandwidth costs a third of a TRX at most."""

KIND: Final = "gateway.sweep"
FUND_KIND: Final = "gateway.sweep_fee"
ENDED: Final = frozenset({OrderStatus.SETTLED, OrderStatus.FAILED, OrderStatus.CANCELED})
FINISHED: Final = tuple(status for status in PaymentStatus if status not in OPEN)
"""An invoice that may still be topped up keeps its money until it is full or expired."""

log = structlog.get_logger()


class Sweeps:
    """Starts sweeps and moves them on."""

    def __init__(
        self,
        *,
        clock: Clock,
        secret: bytes,
        engine: Engine,
        ledger: Ledger,
        tokens: TokenRegistry,
        wallets: Wallets,
        lending: Lending,
        max_fee_sun: int,
    ) -> None:
        self._lending = lending
        self._clock = clock
        self._secret = secret
        self._engine = engine
        self._ledger = ledger
        self._tokens = tokens
        self._wallets = wallets
        self._max_fee_sun = max_fee_sun
        self._moving, self._resting = Round(), Round()
        self._rooms: dict[Address, Room] = {}
        self._later = Later()
        self._said = False

    async def step(self) -> bool:
        """Move live sweeps on, then start new ones; True when something was done."""
        done = False
        sweeps = await sweep_store.live(self._moving.skip)
        self._moving.took(len(sweeps), sweep_store.LIVE_MAX)
        for sweep in sweeps:
            done |= await alone(self._advance(sweep), sweep_id=sweep.id)
        return await self._start_new() or done

    async def _start_new(self) -> bool:
        """Look at what is not moving. Only a default wallet that was said is swept to: the only
        funded one may be whoever's who imported it."""
        done = False
        payments = await store.sweepable(FINISHED, self._resting.skip)
        if payments and self._wallets.default_address is None:
            if not self._said:
                log.warning("sweep.no_treasury", detail="HOT_WALLET_ADDRESS is not set")
            self._said = True
            return False
        self._rooms.clear()
        self._resting.took(len(payments), store.SWEEPS_AT_ONCE)
        for payment in payments:
            done |= await alone(self._look(payment), payment_id=payment.id)
        return done

    async def _look(self, payment: Payment) -> bool:
        """Start what is worth it; when nothing is, stop looking until more comes."""
        assert payment.address is not None and payment.wallet_id is not None
        if await sweep_store.is_moving(payment.address):
            return False
        try:
            source = await self._wallets.signing_wallet(payment.wallet_id)
        except WalletCannotSign:
            return await self._forget(payment)
        except AppError as refusal:  # a frozen wallet thaws, and the money is still there
            log.debug("sweep.impossible", payment_id=payment.id, reason=refusal.code)
            return False
        if source.detached:
            return await self._forget(payment)
        try:
            treasury = await self._wallets.signing_wallet(None)
        except AppError as refusal:  # whatever it is, another wallet can be made the default
            log.info("sweep.no_treasury", payment_id=payment.id, reason=refusal.code)
            return False
        if treasury.address == payment.address:
            return False
        held = await self._ledger.holdings(Address(payment.address))
        usdt = held.get(USDT.code, {}).get(Pocket.AVAILABLE, 0)
        trx = held.get(TRX.code, {}).get(Pocket.AVAILABLE, 0)
        if usdt >= USDT_MIN_UNITS:
            now, waiting = self._clock.now(), (payment.address, usdt)
            if self._later.has(waiting, now):
                return False
            if await sweep_store.rests(payment.address, USDT.code, now - RETRY_AFTER):
                return False
            need = await self._fee(payment, USDT.code, usdt, treasury.address)
            loan = await self._loan(treasury, need)
            if is_worth_it(usdt, loan.cost_sun if loan.stake_sun else need.hold_sun):
                return await self._start(payment, USDT.code, usdt, treasury, loan, need)
            if loan.later and is_worth_it(usdt, loan.cost_sun):
                self._later.put(waiting, now + LATER_PAUSE)
                return False
        spare = trx - (await self._fee(payment, TRX.code, max(trx, 1), treasury.address)).hold_sun
        if spare >= TRX_MIN_SUN:
            return await self._start(payment, TRX.code, spare, treasury)
        return await self._forget(payment)

    async def _loan(self, treasury: WalletForSigning, need: FeeBound) -> Loan:
        """What the treasury's stake has left for this, after those before it in this round."""
        if treasury.detached:
            return Loan()
        room = self._rooms.get(treasury.address)
        if room is None:
            room = self._rooms[treasury.address] = await self._lending.room(treasury.address)
        return await self._lending.plan(room, need)

    async def _start(
        self,
        payment: Payment,
        asset: str,
        units: int,
        treasury: WalletForSigning,
        loan: Loan = NO_LOAN,
        need: FeeBound | None = None,
    ) -> bool:
        assert payment.address is not None and payment.wallet_id is not None
        now, lent_sun = self._clock.now(), loan.stake_sun
        if await sweep_store.rests(payment.address, asset, now - RETRY_AFTER):
            return False
        number = await sweep_store.count(payment.address, asset)
        sweep_id = derived_id("swp", self._secret, payment.address, asset, str(number))
        sweep = Sweep(
            id=sweep_id,
            payment_id=payment.id,
            wallet_id=payment.wallet_id,
            address=payment.address,
            asset=asset,
            units=units,
            destination=treasury.address,
            treasury_wallet_id=treasury.wallet_id,
            treasury_detached=treasury.detached,
            live=f"{payment.address}|{asset}",
            status=SweepStatus.FUNDING,
            fee_order_id=derived_id("ord", self._secret, sweep_id, "fee"),
            lent_sun=lent_sun,
            asked_sun=lent_sun,
            order_id=derived_id("ord", self._secret, sweep_id),
            created_at=now,
            updated_at=now,
        )
        try:
            await insert_once(sweep)
        except DuplicateValue:
            return False
        if need is not None and lent_sun:
            self._rooms[treasury.address].promise(lent_sun, need.energy)
        log.info("sweep.started", sweep_id=sweep_id, asset=asset, units=units, lent_sun=lent_sun)
        return True

    async def _advance(self, sweep: Sweep) -> bool:
        match sweep.status:
            case SweepStatus.FUNDING:
                return await self._fund(sweep)
            case SweepStatus.LENDING:
                return await self._lend(sweep)
            case SweepStatus.RETURNING:
                return await self._return(sweep)
        await self._engine.place(wish_of(self._sending(sweep), self._tokens))
        order = await self._engine.find(sweep.order_id)
        if order is None or order.status not in ENDED:
            if order is not None and sweep.lends:
                await self._hurry(sweep)
            return False
        has_moved = order.status is OrderStatus.SETTLED
        reason = "" if has_moved else order.reason
        target = SweepStatus.RETURNING if sweep.lends else _ending(has_moved)
        await self._move(sweep, target, reason, has_moved=has_moved)
        return True

    async def _hurry(self, sweep: Sweep) -> None:
        """What is not signed for long is given up; the lent energy goes back meanwhile."""
        if self._clock.now() - sweep.updated_at < LEND_PATIENCE:
            return
        try:
            await self._engine.cancel(sweep.order_id)
        except AppError as refusal:  # signed: it will end by itself
            log.info("sweep.awaited", sweep_id=sweep.id, reason=refusal.code)

    async def _lend(self, sweep: Sweep) -> bool:
        progress = await self._lending.lend(sweep)
        if progress is Progress.UNDER_WAY:
            if self._clock.now() - sweep.updated_at < LEND_PATIENCE:
                return False
            try:
                await self._lending.give_up(sweep)
                return False
            except NotFound:  # it could not even be asked for
                progress = Progress.NEVER
            except AppError as refusal:  # signed: it may still come about
                log.info("sweep.energy_awaited", sweep_id=sweep.id, reason=refusal.code)
                return False
        if progress is Progress.DONE:
            await self._move(sweep, SweepStatus.MOVING)
            return True
        need = await self._engine.fees.bound(contract_of(self._sending(sweep), self._tokens))
        if is_worth_it(sweep.units, need.hold_sun):
            await self._move(sweep, SweepStatus.MOVING, lent_sun=0)
        else:
            await self._move(sweep, SweepStatus.RETURNING, NOT_WORTH_IT)
        return True

    async def _return(self, sweep: Sweep) -> bool:
        """Energy goes back, however long that takes; the address is free for another sweep."""
        progress = await self._lending.take_back(sweep)
        if progress is Progress.EMPTY:
            since = sweep.empty_since or self._clock.now()
            if sweep.empty_since is None:
                await self._note(sweep, empty_since=since)
            if self._clock.now() - since < EMPTY_FOR or not await self._lending.is_nowhere(sweep):
                return False
            log.warning("sweep.energy_taken_elsewhere", sweep_id=sweep.id, address=sweep.address)
        elif progress is Progress.UNDER_WAY:
            if sweep.empty_since is not None:
                await self._note(sweep, empty_since=None)
            return False
        await self._move(sweep, _ending(sweep.has_moved), sweep.reason)
        return True

    async def _fund(self, sweep: Sweep) -> bool:
        """See that the address can pay the fee; the treasury sends what is missing, once."""
        address = Address(sweep.address)
        need = await self._engine.fees.bound(contract_of(self._sending(sweep), self._tokens))
        has = await self._ledger.balance(address, Pocket.AVAILABLE, TRX.code)
        has -= sweep.units if sweep.asset == TRX.code else 0
        if has >= need.hold_sun:
            lends = sweep.lent_sun > 0
            await self._move(sweep, SweepStatus.LENDING if lends else SweepStatus.MOVING)
            return True
        order = await self._engine.find(sweep.fee_order_id)
        if order is None:
            if need.hold_sun > self._max_fee_sun:
                return False
            return await self._send_fee(sweep, need.hold_sun - has)
        if order.status in (OrderStatus.FAILED, OrderStatus.CANCELED):
            await self._move(sweep, SweepStatus.FAILED, f"fee: {order.reason}")
            return True
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
            max_fee_sun=self._max_fee_sun,
            detached=sweep.treasury_detached,
        )
        return await self._engine.place(wish_of(sending, self._tokens))

    async def _note_fee(self, sweep: Sweep, units: int) -> Sweep:
        """The amount is decided once, so that the order placed again is the same order."""
        return sweep if sweep.fee_sun else await self._note(sweep, fee_sun=units)

    async def _note(self, sweep: Sweep, **fields: Any) -> Sweep:
        return await compare_and_set(Sweep, sweep.id, version=sweep.version, set=fields)

    async def _fee(self, payment: Payment, asset: str, units: int, to: Address) -> FeeBound:
        assert payment.address is not None and payment.wallet_id is not None
        sending = Sending(
            order_id="",
            kind=KIND,
            subject="",
            wallet_id=payment.wallet_id,
            signer=Address(payment.address),
            recipient=to,
            currency=asset,
            units=units,
            max_fee_sun=self._max_fee_sun,
        )
        return await self._engine.fees.bound(contract_of(sending, self._tokens))

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
            max_fee_sun=self._max_fee_sun,
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
                "updated_at": self._clock.now(),
                **fields,
            },
            unset=("live",) if LIFECYCLE.is_final(target) else (),
        )
        log.info("sweep.moved", sweep_id=sweep.id, status=target.value, reason=reason)

    async def _forget(self, payment: Payment) -> bool:
        """True when it was: a long list of those is gone through at once, and delays nobody."""
        try:
            await store.change(payment, payment.updated_at, {}, unset=("sweepable",))
        except LostRace:
            return False
        return True


def is_worth_it(units: int, fee_sun: int) -> bool:
    """Whether so many USDT units may cost so much to move."""
    fee_units = fee_sun * TRX_WORTH_UNITS // SUN_PER_TRX
    return fee_units * 100 <= units * FEE_SHARE_PERCENT


def _ending(has_moved: bool) -> SweepStatus:
    return SweepStatus.SETTLED if has_moved else SweepStatus.FAILED
