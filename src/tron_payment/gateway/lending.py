"""Energy for sweeps from the treasury's own stake, lent to the address that needs it.

A deposit address has no energy, and a token's transfer burns TRX for it. When the treasury's
stake has enough to spare, lending it costs two small transactions instead. Lending and taking
back are operations of the staking module under keys derived from the sweep, so each is done once
and stands in its history.

What was lent is known by the stored operation that lent it, not by what a node says: only that it
is nowhere on the chain for a while ends the taking back without having taken back.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from tron_payment.chain import AccountResources, NodeRefused, Nodes, Resource
from tron_payment.core.address import Address
from tron_payment.core.errors import AppError, Conflict, NotFound, Refused, Unavailable
from tron_payment.core.money import SUN_PER_TRX
from tron_payment.engine import Engine, FeeBound
from tron_payment.gateway import sweep_documents as sweep_store
from tron_payment.gateway.sweep_documents import Sweep, SweepStatus
from tron_payment.http.idempotency import Idempotency
from tron_payment.http.principals import Principal, Role
from tron_payment.ordered import OrderedStatus
from tron_payment.staking import Operation, Stake, StakeWish, Staking

LENDING_BYTES: Final = 2 * 512
"""Both transactions with their signatures; more than they are."""

LEND_MIN_SUN: Final = SUN_PER_TRX
"""java-tron lends no less."""

TAKE_BACK_MAX: Final = 100
"""Operations to take the same energy back, each after the one before was canceled or failed."""

NOTHING: Final = "nothing_delegated"
"""The refusal of a taking back for which the chain has nothing."""

DEAD: Final = frozenset({OrderedStatus.FAILED, OrderedStatus.CANCELED})
US: Final = Principal(id="payment-gateway", role=Role.OPERATOR, permissions=frozenset())
"""Who asks the staking module."""

log = structlog.get_logger()


class Progress(StrEnum):
    """How far a lending or taking back is."""

    UNDER_WAY = "under_way"
    DONE = "done"
    NEVER = "never"
    """It was refused or given up: nothing is lent."""

    EMPTY = "empty"
    """A node says that there is nothing to take back."""


@dataclass(slots=True)
class Room:
    """What a treasury's stake can lend now, without what is promised already."""

    resources: AccountResources
    energy: int
    spare_sun: int
    promised_sun: int
    """To sweeps that have not ended; it comes back."""

    own_sun: int
    """Staked for energy and not lent, used or not. What others lend to us cannot be lent on."""

    def stake_for(self, energy: int) -> int:
        """The stake in sun whose energy is so much, rounded up."""
        weight, total = self.resources.total_energy_weight, self.resources.total_energy_limit
        return max(LEND_MIN_SUN, -(-energy * weight * SUN_PER_TRX // total)) if total else 0

    def promise(self, stake_sun: int, energy: int) -> None:
        """Nobody else gets it."""
        self.energy -= energy
        self.spare_sun -= stake_sun
        self.promised_sun += stake_sun


@dataclass(frozen=True, slots=True)
class Loan:
    """What a sweep may have of the treasury's stake."""

    stake_sun: int = 0
    """0: it burns."""

    cost_sun: int = 0
    """What lending and taking back burn at most."""

    later: bool = False
    """The stake is large enough, but used or lent at present."""


class Lending:
    """Plans and carries out the lending of energy."""

    def __init__(
        self, nodes: Nodes, engine: Engine, staking: Staking, idempotency: Idempotency
    ) -> None:
        self._nodes = nodes
        self._engine = engine
        self._staking = staking
        self._idempotency = idempotency

    async def room(self, treasury: Address) -> Room:
        """What may be lent now.

        Raises:
            NodesUnavailable: No node answers.
        """
        found = await self._nodes.resources(treasury)
        spare = await self._nodes.read(
            lambda node: node.can_delegate_max(treasury, Resource.ENERGY)
        )
        lent = await sweep_store.lent_by(treasury)
        ahead = lent.get(SweepStatus.FUNDING, 0) + lent.get(SweepStatus.LENDING, 0)
        weight = found.total_energy_weight * SUN_PER_TRX
        taken = -(-ahead * found.total_energy_limit // weight) if weight else 0
        account = await self._nodes.account(treasury)
        own = 0 if account is None else account.frozen.get(Resource.ENERGY, 0)
        return Room(found, found.energy_left - taken, spare - ahead, sum(lent.values()), own)

    async def plan(self, room: Room, need: FeeBound) -> Loan:
        """What to lend for this need: nothing when burning is cheaper, or there is not enough.

        Raises:
            NodesUnavailable: No node answers.
        """
        prices = await self._engine.fees.parameters()
        cost_sun = LENDING_BYTES * prices["getTransactionFee"]
        if need.energy * prices["getEnergyFee"] <= cost_sun:
            return Loan()
        stake = room.stake_for(need.energy)
        if stake and need.energy <= room.energy and stake <= room.spare_sun:
            return Loan(stake, cost_sun)
        return Loan(later=room.own_sun + room.promised_sun >= stake > 0, cost_sun=cost_sun)

    async def lend(self, sweep: Sweep) -> Progress:
        """Lend what the plan says, once."""
        try:
            stake = await self._asked(sweep, Operation.DELEGATE)
        except (Refused, Conflict) as refusal:
            log.warning("sweep.energy_refused", sweep_id=sweep.id, reason=refusal.code)
            if refusal.retryable:
                return Progress.UNDER_WAY
            try:  # another process may have asked meanwhile, which is why we are refused
                stake = await self._staking.get(US, self._stake_id(sweep, Operation.DELEGATE))
            except NotFound:
                return Progress.NEVER
        except AppError as problem:
            log.info("sweep.energy_waits", sweep_id=sweep.id, reason=problem.code)
            return Progress.UNDER_WAY
        return _progress(stake)

    async def take_back(self, sweep: Sweep) -> Progress:
        """Take back what was lent, once; what is not lent yet never will be.

        Never `NEVER` while something may be lent: whatever refuses it passes, or is repaired.
        """
        try:
            lent = await self._staking.get(US, self._stake_id(sweep, Operation.DELEGATE))
        except NotFound:
            return Progress.NEVER
        if lent.status in DEAD:
            return Progress.NEVER
        try:
            if lent.status is not OrderedStatus.SETTLED:
                await self.give_up(sweep)
                return Progress.UNDER_WAY
            for number in range(1, TAKE_BACK_MAX + 1):
                stake = await self._asked(sweep, Operation.UNDELEGATE, number)
                if stake.status not in DEAD:
                    return _progress(stake)
        except AppError as refusal:
            log.info("sweep.energy_waits", sweep_id=sweep.id, reason=refusal.code)
            return Progress.EMPTY if refusal.code == NOTHING else Progress.UNDER_WAY
        log.error("sweep.energy_not_returned", sweep_id=sweep.id, address=sweep.address)
        return Progress.UNDER_WAY

    async def is_nowhere(self, sweep: Sweep) -> bool:
        """Whether every node that answers, and enough do, says that the treasury lends the address
        no energy."""
        owner, receiver, said = Address(sweep.destination), Address(sweep.address), 0
        for member in self._nodes.members:
            try:
                found = await self._nodes.ask(
                    member.client.alias, lambda node: node.delegations(owner, receiver)
                )
            except (Unavailable, NodeRefused):  # its operator may have switched the question off
                continue
            if any(each.energy_sun for each in found):
                return False
            said += 1
        return said >= self._nodes.agreement

    async def give_up(self, sweep: Sweep) -> None:
        """Cancel a lending that does not come about.

        Raises:
            OrderSigned, OrderFinished: It may come about.
            NotFound: It was never asked for.
        """
        await self._staking.cancel(US, self._stake_id(sweep, Operation.DELEGATE))

    async def _asked(self, sweep: Sweep, operation: Operation, number: int = 1) -> Stake:
        stake_id = self._stake_id(sweep, operation, number)
        try:
            return await self._staking.get(US, stake_id)
        except NotFound:
            wish = StakeWish(
                operation=operation,
                wallet_id=sweep.treasury_wallet_id,
                amount_sun=sweep.asked_sun or sweep.lent_sun,
                resource=Resource.ENERGY,
                receiver=Address(sweep.address),
            )
            await self._staking.request(
                US,
                _key(sweep, operation, number),
                wish,
                operation=f"sweep.{operation}",
                content=sweep.id.encode(),
                answer=lambda _: b"{}",
            )
        return await self._staking.get(US, stake_id)

    def _stake_id(self, sweep: Sweep, operation: Operation, number: int = 1) -> str:
        return self._idempotency.object_id("stk", US.id, _key(sweep, operation, number))


def _progress(stake: Stake) -> Progress:
    if stake.status is OrderedStatus.SETTLED:
        return Progress.DONE
    return Progress.NEVER if stake.status in DEAD else Progress.UNDER_WAY


def _key(sweep: Sweep, operation: Operation, number: int) -> str:
    again = f"-{number}" if number > 1 else ""
    return f"sweep-{operation}{again}-{sweep.id}"
