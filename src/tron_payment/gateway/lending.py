"""Energy for sweeps from the treasury's own stake, lent to the address that needs it.

A deposit address has no energy, and a token's transfer burns TRX for it. When the treasury's
stake has enough to spare, lending it costs two small transactions instead. Lending and taking
back are operations of the staking module under keys derived from the sweep, so each is done once
and stands in its history.
"""

from enum import StrEnum
from typing import Final

import structlog

from tron_payment.chain import Nodes, Resource
from tron_payment.core.address import Address
from tron_payment.core.errors import AppError, Conflict, NotFound, Refused
from tron_payment.core.money import SUN_PER_TRX
from tron_payment.engine import Engine, FeeBound
from tron_payment.gateway.sweep_documents import Sweep
from tron_payment.http.idempotency import Idempotency
from tron_payment.http.principals import Principal, Role
from tron_payment.ordered import OrderedStatus
from tron_payment.staking import Operation, Stake, StakeWish, Staking

LENDING_BYTES: Final = 2 * 512
"""Both transactions with their signatures; more than they are."""

LEND_MIN_SUN: Final = SUN_PER_TRX
"""java-tron lends no less."""

PASSING: Final = frozenset({"wallet_frozen", "delegation_locked"})
"""Refusals that end: what was lent is still there to be taken back."""

US: Final = Principal(id="payment-gateway", role=Role.OPERATOR, permissions=frozenset())
"""Who asks the staking module."""

log = structlog.get_logger()


class Progress(StrEnum):
    """How far a lending or taking back is."""

    UNDER_WAY = "under_way"
    DONE = "done"
    NEVER = "never"


class Lending:
    """Plans and carries out the lending of energy."""

    def __init__(
        self, nodes: Nodes, engine: Engine, staking: Staking, idempotency: Idempotency
    ) -> None:
        self._nodes = nodes
        self._engine = engine
        self._staking = staking
        self._idempotency = idempotency

    async def plan(self, treasury: Address, need: FeeBound) -> int:
        """Sun of the treasury's stake to lend for this need; 0 when burning is cheaper, or the
        stake has not enough to spare.

        Raises:
            NodesUnavailable: No node answers.
        """
        prices = await self._engine.fees.parameters()
        if need.energy * prices["getEnergyFee"] <= LENDING_BYTES * prices["getTransactionFee"]:
            return 0
        found = await self._nodes.resources(treasury)
        if found.energy_left < need.energy or not found.total_energy_limit:
            return 0
        stake = -(
            -need.energy * found.total_energy_weight * SUN_PER_TRX // found.total_energy_limit
        )
        stake = max(LEND_MIN_SUN, stake)
        spare = await self._nodes.read(
            lambda node: node.can_delegate_max(treasury, Resource.ENERGY)
        )
        return stake if stake <= spare else 0

    async def cost_sun(self) -> int:
        """What lending and taking back burn at most."""
        prices = await self._engine.fees.parameters()
        return LENDING_BYTES * prices["getTransactionFee"]

    async def lend(self, sweep: Sweep) -> Progress:
        """Lend what the plan says, once."""
        return await self._do(sweep, Operation.DELEGATE)

    async def take_back(self, sweep: Sweep) -> Progress:
        """Take back what was lent, once."""
        return await self._do(sweep, Operation.UNDELEGATE)

    async def give_up(self, sweep: Sweep) -> None:
        """Cancel a lending that does not come about.

        Raises:
            OrderSigned, OrderFinished: It may come about.
        """
        await self._staking.cancel(US, self._stake_id(sweep, Operation.DELEGATE))

    async def _do(self, sweep: Sweep, operation: Operation) -> Progress:
        try:
            stake = await self._asked(sweep, operation)
        except (Refused, Conflict) as refusal:
            if operation is Operation.UNDELEGATE and refusal.code in PASSING:
                log.info("sweep.energy_waits", sweep_id=sweep.id, reason=refusal.code)
                return Progress.UNDER_WAY
            log.warning("sweep.energy_refused", sweep_id=sweep.id, reason=refusal.code)
            return Progress.NEVER
        except AppError as problem:
            log.info("sweep.energy_waits", sweep_id=sweep.id, reason=problem.code)
            return Progress.UNDER_WAY
        match stake.status:
            case OrderedStatus.SETTLED:
                return Progress.DONE
            case OrderedStatus.FAILED | OrderedStatus.CANCELED:
                return Progress.NEVER
            case _:
                return Progress.UNDER_WAY

    async def _asked(self, sweep: Sweep, operation: Operation) -> Stake:
        stake_id = self._stake_id(sweep, operation)
        try:
            return await self._staking.get(US, stake_id)
        except NotFound:
            wish = StakeWish(
                operation=operation,
                wallet_id=sweep.treasury_wallet_id,
                amount_sun=sweep.lent_sun,
                resource=Resource.ENERGY,
                receiver=Address(sweep.address),
            )
            await self._staking.request(
                US,
                _key(sweep, operation),
                wish,
                operation=f"sweep.{operation}",
                content=sweep.id.encode(),
                answer=lambda _: b"{}",
            )
        return await self._staking.get(US, stake_id)

    def _stake_id(self, sweep: Sweep, operation: Operation) -> str:
        return self._idempotency.object_id("stk", US.id, _key(sweep, operation))


def _key(sweep: Sweep, operation: Operation) -> str:
    return f"sweep-{operation}-{sweep.id}"
