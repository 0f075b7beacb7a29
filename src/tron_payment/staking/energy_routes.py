"""HTTP of the energy that was used and regained."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.core.money import trx_text
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.energy_domain import EnergyDay

DAYS: Final = 14
DAYS_MAX: Final = 90
READ: dict[str, Any] = {"permission": "staking:read"}


class EnergyDayView(msgspec.Struct, frozen=True, kw_only=True):
    """Energy of the installation's own transactions on one day (UTC, of their blocks)."""

    day: str
    transactions: int
    energy_used: int
    energy_staked: int
    """From the senders' stakes, own and lent to them: a receipt does not tell them apart."""

    energy_creator: int
    """From the stakes of the contracts' creators."""

    energy_burned: int
    burned_trx: str
    """Burned for `energy_burned`."""

    energy_regained: int
    """Given back by the stake on this day: what was used comes back evenly over 24 hours."""

    @classmethod
    def of(cls, day: EnergyDay) -> "EnergyDayView":
        return cls(
            day=day.day.isoformat(),
            transactions=day.transactions,
            energy_used=day.energy,
            energy_staked=day.staked,
            energy_creator=day.creator,
            energy_burned=day.burned,
            burned_trx=trx_text(day.burned_sun),
            energy_regained=day.regained,
        )


class EnergyView(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest day first; days without anything are left out."""

    data: list[EnergyDayView]


class EnergyController(Controller):
    """`/staking/energy`: what was used, from where, and what came back."""

    path = "/staking/energy"
    tags = ("staking",)

    @get("/", opt=READ)
    async def energy(
        self,
        staking: NamedDependency[StakingDesk],
        days: Annotated[int, QueryParameter(ge=1, le=DAYS_MAX)] = DAYS,
    ) -> EnergyView:
        """Energy by day, by the receipts of solidified blocks, counted since this was installed."""
        return EnergyView(data=[EnergyDayView.of(day) for day in await staking.energy.days(days)])
