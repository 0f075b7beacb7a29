"""The drift guard: a chain parameter that changes is noticed, written down and audited.

It reads the same remembered parameters that quotes are made from, so a noticed price is in the
next quote.
"""

from typing import Final

import structlog

from tron_payment.chain import Nodes
from tron_payment.core.clock import Clock
from tron_payment.db.audit import Act, Audit
from tron_payment.db.cas import LostRace
from tron_payment.engine import Fees
from tron_payment.network import documents as store
from tron_payment.network.documents import KnownParameters, ParameterChange

PRICES: Final = frozenset(
    {
        "getEnergyFee",
        "getTransactionFee",
        "getMemoFee",
        "getMultiSignFee",
        "getCreateAccountFee",
        "getCreateNewAccountFeeInSystemContract",
        "getUpdateAccountPermissionFee",
        "getFreeNetLimit",
        "getMaxFeeLimit",
    }
)
"""Changes of these alter what a payment costs; the others are only written down."""

log = structlog.get_logger()


class Drift:
    """Compares the chain's parameters with what was known."""

    def __init__(self, *, fees: Fees, nodes: Nodes, audit: Audit, clock: Clock) -> None:
        self._fees = fees
        self._nodes = nodes
        self._audit = audit
        self._clock = clock

    async def step(self) -> bool:
        """One comparison; False, because the next has time."""
        parameters = await self._fees.parameters()
        known = await store.known_parameters()
        now = self._clock.now()
        if known is None:
            await store.first_parameters(KnownParameters(parameters=dict(parameters), seen_at=now))
        elif known.parameters != parameters:
            head = await self._nodes.head()
            names = sorted(
                name
                for name in known.parameters.keys() | parameters.keys()
                if known.parameters.get(name) != parameters.get(name)
            )
            changes = [
                ParameterChange(
                    id=f"{known.version:08d}.{name}",
                    name=name,
                    before=known.parameters.get(name),
                    after=parameters.get(name),
                    noticed_at=now,
                    head_block=head.number,
                )
                for name in names
            ]
            await store.remember_changes(changes)
            try:
                await store.renew_parameters(known, parameters, now)
            except LostRace:
                return False  # another process has noticed the same
        await self._tell()
        return False

    async def _tell(self) -> None:
        """Audit what is new; after a crash in between it is told twice, never not at all."""
        for change in await store.unaudited():
            await self._audit.append(
                Act(
                    actor="service",
                    role="service",
                    action="chain.parameter_changed",
                    object_id=change.name,
                    before={"value": change.before},
                    after={"value": change.after, "head_block": change.head_block},
                )
            )
            await store.mark_audited(change.id)
            report = log.warning if change.name in PRICES else log.info
            report("parameter.changed", name=change.name, before=change.before, after=change.after)
