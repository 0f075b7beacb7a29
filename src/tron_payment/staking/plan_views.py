"""The energy plan on the wire: TRX as decimal strings, energy and bandwidth as whole numbers."""

import msgspec

from tron_payment.core.address import Address
from tron_payment.core.money import SUN_PER_TRX, trx_text
from tron_payment.staking.forecast import Forecast
from tron_payment.staking.plan import Cost, Way, gives


class CostView(msgspec.Struct, frozen=True, kw_only=True):
    """One way to have the energy: its bill over the whole period, in TRX."""

    way: str
    """``burn``: everything. ``as_now``: with the stakes there are. ``stake``: stake more.
    ``rent``: borrow what is missing at the price that was given."""

    total_trx: str
    energy_burned_trx: str
    bandwidth_burned_trx: str
    rent_trx: str
    capital_trx: str
    stake_energy_trx: str
    """To be staked besides what is staked now; it is not spent."""

    stake_bandwidth_trx: str
    saved_trx: str
    """Against burning everything."""


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """What payouts will cost and the cheapest way to have the energy; cheapest first."""

    address: str
    days: int
    source: str
    transactions_per_day: int
    energy_per_day: int
    bandwidth_per_day: int
    energy_limit: int
    bandwidth_limit: int
    energy_price_sun: int
    bandwidth_price_sun: int
    cheapest: str
    full_stake_trx: str
    """What would have to be staked besides to burn nothing at all."""

    spare_trx: str
    """May be staked as far as what is burned besides is left of it: without what `keep_trx` and
    live orders take, and the fee that one transfer sets aside."""

    energy_per_trx: int
    """Energy a day that one TRX more staked gives on this chain; where few stake, it is a lot."""

    costs: list[CostView]

    @classmethod
    def of(cls, address: Address, forecast: Forecast) -> "PlanView":
        plan, market = forecast.plan, forecast.market
        burn = plan.cost(Way.BURN)
        assert burn is not None
        return cls(
            address=address,
            days=plan.days,
            source=forecast.source,
            transactions_per_day=plan.need.transactions,
            energy_per_day=plan.need.energy,
            bandwidth_per_day=plan.need.transactions * plan.need.bytes_each,
            energy_limit=forecast.means.energy_limit,
            bandwidth_limit=forecast.means.bandwidth_limit,
            energy_price_sun=market.energy_price_sun,
            bandwidth_price_sun=market.bandwidth_price_sun,
            cheapest=plan.cheapest.way.value,
            full_stake_trx=trx_text(plan.full_stake_sun),
            spare_trx=trx_text(forecast.means.spare_sun),
            energy_per_trx=gives(
                SUN_PER_TRX,
                forecast.means.energy_stake_sun,
                market.energy_total,
                market.energy_weight_trx,
            ),
            costs=[_cost_view(each, burn.total_sun) for each in plan.costs],
        )


def _cost_view(cost: Cost, burn_sun: int) -> CostView:
    return CostView(
        way=cost.way.value,
        total_trx=trx_text(cost.total_sun),
        energy_burned_trx=trx_text(cost.energy_burned_sun),
        bandwidth_burned_trx=trx_text(cost.bandwidth_burned_sun),
        rent_trx=trx_text(cost.rent_sun),
        capital_trx=trx_text(cost.capital_sun),
        stake_energy_trx=trx_text(cost.energy_stake_sun),
        stake_bandwidth_trx=trx_text(cost.bandwidth_stake_sun),
        saved_trx=trx_text(burn_sun - cost.total_sun),
    )
