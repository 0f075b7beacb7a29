"""Which addresses of invoices are swept: what they hold, and what of it is worth its fee."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Final

import structlog

from tron_payment.core.address import Address
from tron_payment.core.clock import Clock
from tron_payment.core.errors import AppError
from tron_payment.core.ids import derived_id
from tron_payment.core.money import TRX
from tron_payment.db.cas import LostRace, insert_once
from tron_payment.db.faults import DuplicateValue
from tron_payment.db.ledger import Ledger, Pocket
from tron_payment.engine import Engine, FeeBound, MustWait
from tron_payment.gateway import documents as store
from tron_payment.gateway import sweep_documents as sweep_store
from tron_payment.gateway import sweep_turn_documents as turn
from tron_payment.gateway.documents import Payment
from tron_payment.gateway.lending import Lending, Loan, Room
from tron_payment.gateway.rounds import Later, Refusals, Round
from tron_payment.gateway.sweep_documents import Sweep, SweepStatus
from tron_payment.gateway.transfers import Sending, contract_of
from tron_payment.gateway.worth import TRX_MIN_SUN, is_worth_it, least_units, tokens_of
from tron_payment.usdt import TokenRegistry
from tron_payment.wallets import WalletCannotSign, WalletForSigning, Wallets

RETRY_AFTER: Final = timedelta(hours=1)
"""Whatever failed is not begun anew before."""

LATER_PAUSE: Final = timedelta(minutes=5)
"""Between two looks at a deposit that waits for energy, whose fee a node has to be asked for."""

DEAR_PAUSE: Final = turn.LONGEST_REST
"""Between two looks at one that costs too much as prices are."""

NO_LOAN: Final = Loan()
KIND: Final = "gateway.sweep"

log = structlog.get_logger()


class Verdict(Enum):
    """What is to be done about one token at an address."""

    STARTED = auto()
    LATER = auto()
    """It is moved soon, and the TRX there may be needed for it."""

    DEAR = auto()
    """It is worth moving when that costs less."""

    LITTLE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepParts:
    """What sweeps are begun and moved on with."""

    clock: Clock
    secret: bytes = field(repr=False)
    """Of the installation; the ids of sweeps follow from it."""

    engine: Engine
    ledger: Ledger
    tokens: TokenRegistry
    wallets: Wallets
    lending: Lending
    max_fee_sun: int


class Starts:
    """Looks at what does not move."""

    def __init__(self, parts: SweepParts) -> None:
        self._parts = parts
        self._resting = Round()
        self._rooms: dict[Address, Room] = {}
        self._later, self._dear = Later(LATER_PAUSE), Later(DEAR_PAUSE)
        self._said = False

    async def step(self, refusals: Refusals) -> bool:
        """One piece of them. Only a default wallet that was said is swept to: the only funded one
        may be whoever's who imported it."""
        done = False
        now = self._parts.clock.now()
        payments = await turn.fresh(self._resting.skip)
        rested = await turn.rested(now)
        if (payments or rested) and self._parts.wallets.default_address is None:
            if not self._said:
                log.warning("sweep.no_treasury", detail="HOT_WALLET_ADDRESS is not set")
            self._said = True
            return False
        self._rooms.clear()
        self._resting.took(len(payments), turn.SWEEPS_AT_ONCE)
        await turn.put_off(rested, now + LATER_PAUSE)
        for payment in (*payments, *rested):
            if refusals.are_an_outage:
                break
            done |= await refusals.alone(self._look(payment), payment_id=payment.id)
        return done

    async def _look(self, payment: Payment) -> bool:
        """Start what is worth it; when nothing ever is, stop looking until more comes."""
        assert payment.address is not None and payment.wallet_id is not None
        tokens = tokens_of(payment)
        if await sweep_store.is_moving(payment.address, (*tokens, TRX.code)):
            return False
        try:
            source = await self._parts.wallets.signing_wallet(payment.wallet_id)
        except WalletCannotSign:
            return await self._forget(payment)
        except AppError as refusal:  # a frozen wallet thaws, and the money is still there
            log.debug("sweep.impossible", payment_id=payment.id, reason=refusal.code)
            return False
        if source.detached:
            return await self._forget(payment)
        try:
            treasury = await self._parts.wallets.signing_wallet(None)
        except AppError as refusal:  # whatever it is, another wallet can be made the default
            log.info("sweep.no_treasury", payment_id=payment.id, reason=refusal.code)
            return False
        if treasury.address == payment.address:
            return False
        held = await self._parts.ledger.holdings(Address(payment.address))
        verdicts = set()
        for asset in tokens:
            units = held.get(asset, {}).get(Pocket.AVAILABLE, 0)
            verdict = await self._judge(payment, asset, units, treasury)
            if verdict is Verdict.STARTED:
                return True
            verdicts.add(verdict)
        if Verdict.LATER in verdicts:
            return False
        trx = held.get(TRX.code, {}).get(Pocket.AVAILABLE, 0)
        spare = trx - (await self._fee(payment, TRX.code, max(trx, 1), treasury.address)).hold_sun
        if spare >= TRX_MIN_SUN:
            return await self._start(payment, TRX.code, spare, treasury)
        if Verdict.DEAR in verdicts:
            await turn.put_off([payment], self._parts.clock.now() + DEAR_PAUSE)
            return False
        return await self._forget(payment)

    async def _judge(
        self, payment: Payment, asset: str, units: int, treasury: WalletForSigning
    ) -> Verdict:
        assert payment.address is not None
        if units < least_units(asset, payment):
            return Verdict.LITTLE
        now, waiting = self._parts.clock.now(), (payment.address, asset, units)
        if self._later.has(waiting, now):
            return Verdict.LATER
        if self._dear.has(waiting, now):
            return Verdict.DEAR
        if await sweep_store.rests(payment.address, asset, now - RETRY_AFTER, now):
            return Verdict.LATER
        try:
            need = await self._fee(payment, asset, units, treasury.address)
        except MustWait as wait:  # what else is there can move
            log.info("sweep.waits", payment_id=payment.id, reason=wait.waiting_for)
            self._later.put(waiting, now)
            return Verdict.LATER
        if need.hold_sun > self._parts.max_fee_sun:
            log.warning("sweep.too_dear", payment_id=payment.id, reason=need.above_maximum)
            self._dear.put(waiting, now)
            return Verdict.DEAR
        loan = await self._loan(treasury, need)
        if is_worth_it(asset, units, loan.cost_sun if loan.stake_sun else need.hold_sun):
            started = await self._start(payment, asset, units, treasury, loan, need)
            return Verdict.STARTED if started else Verdict.LATER
        if loan.later and is_worth_it(asset, units, loan.cost_sun):
            self._later.put(waiting, now)
            return Verdict.LATER
        self._dear.put(waiting, now)
        return Verdict.DEAR

    async def _loan(self, treasury: WalletForSigning, need: FeeBound) -> Loan:
        """What the treasury's stake has left for this, after those before it in this round."""
        if treasury.detached:
            return Loan()
        room = self._rooms.get(treasury.address)
        if room is None:
            room = self._rooms[treasury.address] = await self._parts.lending.room(treasury.address)
        return await self._parts.lending.plan(room, need)

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
        now, lent_sun = self._parts.clock.now(), loan.stake_sun
        if await sweep_store.rests(payment.address, asset, now - RETRY_AFTER, now):
            return False
        number = await sweep_store.count(payment.address, asset)
        sweep_id = derived_id("swp", self._parts.secret, payment.address, asset, str(number))
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
            fee_order_id=derived_id("ord", self._parts.secret, sweep_id, "fee"),
            lent_sun=lent_sun,
            asked_sun=lent_sun,
            order_id=derived_id("ord", self._parts.secret, sweep_id),
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
            max_fee_sun=self._parts.max_fee_sun,
        )
        return await self._parts.engine.fees.bound(contract_of(sending, self._parts.tokens))

    async def _forget(self, payment: Payment) -> bool:
        """True when it was: a long list of those is gone through at once, and delays nobody."""
        try:
            await store.change(payment, payment.updated_at, {}, unset=("sweepable",))
        except LostRace:
            return False
        return True
