"""The energy plan: what payouts will cost, and the stake that makes them cheapest. Pure.

What is true on TRON (tron-facts 4; java-tron ResourceProcessor, EnergyProcessor):

- A stake of x TRX gives each day ``x * total limit / total weight``; our own stake adds to the
  weight, so the last TRX gives less than the first.
- What was used comes back within 24 hours, so a limit of L carries L a day, in a burst or evenly.
- Energy is taken from the stake as far as it goes, the rest is burned. Bandwidth is taken whole
  for each transaction: from the stake, else from the free 600 bytes a day, else it is burned.
- A stake is not spent. What it costs is what the TRX would have earned elsewhere meanwhile.
- A stake is out of reach for 14 days: what is burned in spite of it must be left in the balance.

Amounts are integers of sun; every division is rounded against the plan, so it never promises
more than it keeps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tron_payment.core.money import SUN_PER_TRX

DAYS_PER_YEAR: Final = 365
BASIS_POINTS: Final = 10_000
STAKE_MIN_TRX: Final = 1
FEES_KEPT_DAYS: Final = 30
"""What is burned in so many days, or in the whole period if that is longer, is not staked."""

FITTING_ROUNDS_MAX: Final = 1_000
"""Each round asks for a whole TRX less at least; on main net a handful are enough."""


class Way(StrEnum):
    """How the energy is had."""

    BURN = "burn"
    AS_NOW = "as_now"
    STAKE = "stake"
    RENT = "rent"


@dataclass(frozen=True, slots=True)
class Need:
    """What one account sends each day."""

    transactions: int
    energy: int
    """Of all of them together."""
    bytes_each: int


@dataclass(frozen=True, slots=True)
class Market:
    """Prices and weights of the chain now."""

    energy_price_sun: int
    bandwidth_price_sun: int
    free_bytes: int
    """Each account's, each day."""
    energy_total: int
    energy_weight_trx: int
    bandwidth_total: int
    bandwidth_weight_trx: int
    rent_sun_per_energy: int | None = None
    """What a lender asks for one energy a day, if anybody was asked."""
    capital_cost_bps: int = 0
    """What staked TRX would earn elsewhere in a year, in ten-thousandths."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the account has. Stakes in sun."""

    energy_stake_sun: int
    bandwidth_stake_sun: int
    energy_limit: int
    """Of own and borrowed stakes together."""
    bandwidth_limit: int
    spare_sun: int
    """TRX that may be staked besides, as far as what is burned then is still left of it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One way's bill over the whole period, in sun."""

    way: Way
    energy_burned_sun: int
    bandwidth_burned_sun: int
    rent_sun: int
    capital_sun: int
    """What the staked TRX does not earn elsewhere."""
    energy_stake_sun: int
    """To be staked besides what is staked now."""
    bandwidth_stake_sun: int

    @property
    def total_sun(self) -> int:
        return self.energy_burned_sun + self.bandwidth_burned_sun + self.rent_sun + self.capital_sun

    @property
    def stake_sun(self) -> int:
        return self.energy_stake_sun + self.bandwidth_stake_sun


@dataclass(frozen=True, slots=True)
class Plan:
    """All ways, the cheapest first."""

    days: int
    need: Need
    costs: tuple[Cost, ...]
    full_stake_sun: int
    """What would have to be staked besides to burn nothing at all."""

    @property
    def cheapest(self) -> Cost:
        return self.costs[0]

    def cost(self, way: Way) -> Cost | None:
        return next((each for each in self.costs if each.way is way), None)


def make_plan(need: Need, market: Market, means: Means, days: int) -> Plan:
    """Compare burning, what there is, staking more, and renting, over so many days."""
    assert days > 0 and need.transactions >= 0 and need.energy >= 0
    full_energy = extra_stake_sun(
        max(0, need.energy - means.energy_limit),
        means.energy_stake_sun,
        market.energy_total,
        market.energy_weight_trx,
    )
    wanted_bytes = _bytes_to_stake(need, market, means)
    full_bandwidth = extra_stake_sun(
        max(0, wanted_bytes - means.bandwidth_limit),
        means.bandwidth_stake_sun,
        market.bandwidth_total,
        market.bandwidth_weight_trx,
    )
    costs = [
        _cost(Way.BURN, need, market, days, 0, 0),
        _cost(Way.AS_NOW, need, market, days, means.energy_limit, means.bandwidth_limit),
        _staked(need, market, means, days, full_energy, full_bandwidth),
    ]
    if market.rent_sun_per_energy is not None:
        costs.append(_rented(need, market, means, days))
    costs.sort(key=lambda each: (each.total_sun, each.stake_sun))
    return Plan(days, need, tuple(costs), full_energy + full_bandwidth)


def extra_stake_sun(wanted: int, own_sun: int, total: int, weight_trx: int) -> int:
    """The least stake, in whole TRX, that gives `wanted` more of a resource each day.

    With weight W (ours in it) and x more TRX the whole stake gives (own + x) * total / (W + x).
    Solved for x; where the chain has not so much to give it is as much as doubles the weight.
    """
    if wanted <= 0:
        return 0
    own_trx = own_sun // SUN_PER_TRX
    goal = wanted + (own_trx * total // weight_trx if weight_trx else 0)
    if goal >= total:
        return max(weight_trx, STAKE_MIN_TRX) * SUN_PER_TRX
    x_trx = -(-(goal * weight_trx - own_trx * total) // (total - goal))
    return max(x_trx, STAKE_MIN_TRX) * SUN_PER_TRX


def gives(stake_sun: int, own_sun: int, total: int, weight_trx: int) -> int:
    """What a stake of `stake_sun` more gives each day, its own weight counted."""
    extra_trx = stake_sun // SUN_PER_TRX
    weight = weight_trx + extra_trx
    if weight == 0:
        return 0
    before = (own_sun // SUN_PER_TRX) * total // weight_trx if weight_trx else 0
    return max(0, (own_sun // SUN_PER_TRX + extra_trx) * total // weight - before)


def _staked(
    need: Need, market: Market, means: Means, days: int, full_energy: int, full_bandwidth: int
) -> Cost:
    """Stake where a TRX saves most first, as far as the spare TRX reaches for that and for what
    is burned beside it; nothing when it does not pay."""
    best = _with_stake(need, market, means, days, 0, 0)
    for energy, bandwidth in ((full_energy, full_bandwidth), (full_energy, 0), (0, full_bandwidth)):
        other = _fitting(need, market, means, days, energy, bandwidth)
        if other is not None and other.total_sun < best.total_sun:
            best = other
    return best


def _fitting(
    need: Need, market: Market, means: Means, days: int, full_energy: int, full_bandwidth: int
) -> Cost | None:
    """The largest stakes that leave what is burned beside them; None when none do.

    The less is staked the more is burned, so asking again with what the last answer leaves comes
    down to the largest sum that fits, and passes none.
    """
    energy_first = _saving_sun(full_energy, market, means, energy=True) >= _saving_sun(
        full_bandwidth, market, means, energy=False
    )
    budget = means.spare_sun
    for _ in range(FITTING_ROUNDS_MAX):
        first, second = (
            (full_energy, full_bandwidth) if energy_first else (full_bandwidth, full_energy)
        )
        first = min(first, budget) // SUN_PER_TRX * SUN_PER_TRX
        second = min(second, budget - first) // SUN_PER_TRX * SUN_PER_TRX
        energy, bandwidth = (first, second) if energy_first else (second, first)
        cost = _with_stake(need, market, means, days, energy, bandwidth)
        if cost.stake_sun + _burned_ahead_sun(cost, days) <= means.spare_sun:
            return cost
        budget = min(cost.stake_sun - SUN_PER_TRX, means.spare_sun - _burned_ahead_sun(cost, days))
        if budget < SUN_PER_TRX:
            return None
    return None


def _burned_ahead_sun(cost: Cost, days: int) -> int:
    """What must stay in the balance to be burned: no stake comes back in time for it."""
    burned = cost.energy_burned_sun + cost.bandwidth_burned_sun
    return burned // days * max(days, FEES_KEPT_DAYS)


def _saving_sun(stake_sun: int, market: Market, means: Means, *, energy: bool) -> int:
    """Sun that each TRX of this stake saves a day."""
    if stake_sun == 0:
        return 0
    if energy:
        own, total, weight = means.energy_stake_sun, market.energy_total, market.energy_weight_trx
        price = market.energy_price_sun
    else:
        own, total = means.bandwidth_stake_sun, market.bandwidth_total
        weight, price = market.bandwidth_weight_trx, market.bandwidth_price_sun
    return gives(stake_sun, own, total, weight) * price * SUN_PER_TRX // stake_sun


def _with_stake(
    need: Need, market: Market, means: Means, days: int, energy_sun: int, bandwidth_sun: int
) -> Cost:
    energy = means.energy_limit + gives(
        energy_sun, means.energy_stake_sun, market.energy_total, market.energy_weight_trx
    )
    net = means.bandwidth_limit + gives(
        bandwidth_sun, means.bandwidth_stake_sun, market.bandwidth_total,
        market.bandwidth_weight_trx,
    )  # fmt: skip
    return _cost(Way.STAKE, need, market, days, energy, net, energy_sun, bandwidth_sun)


def _rented(need: Need, market: Market, means: Means, days: int) -> Cost:
    """Rent the energy that is missing; bandwidth as now."""
    assert market.rent_sun_per_energy is not None
    missing = max(0, need.energy - means.energy_limit)
    now = _cost(Way.RENT, need, market, days, need.energy, means.bandwidth_limit)
    return Cost(
        Way.RENT,
        0,
        now.bandwidth_burned_sun,
        missing * market.rent_sun_per_energy * days,
        0,
        0,
        0,
    )


def _cost(
    way: Way,
    need: Need,
    market: Market,
    days: int,
    energy_limit: int,
    bandwidth_limit: int,
    energy_stake_sun: int = 0,
    bandwidth_stake_sun: int = 0,
) -> Cost:
    burned_energy = max(0, need.energy - energy_limit)
    burned_transactions = max(0, need.transactions - _covered(need, market, bandwidth_limit))
    capital = (energy_stake_sun + bandwidth_stake_sun) * market.capital_cost_bps * days
    return Cost(
        way,
        burned_energy * market.energy_price_sun * days,
        burned_transactions * need.bytes_each * market.bandwidth_price_sun * days,
        0,
        -(-capital // (BASIS_POINTS * DAYS_PER_YEAR)),
        energy_stake_sun,
        bandwidth_stake_sun,
    )


def _covered(need: Need, market: Market, bandwidth_limit: int) -> int:
    """Transactions a day whose bandwidth is paid by the stake or is free."""
    if need.bytes_each == 0:
        return need.transactions
    return bandwidth_limit // need.bytes_each + market.free_bytes // need.bytes_each


def _bytes_to_stake(need: Need, market: Market, means: Means) -> int:
    """The bandwidth limit that burns nothing."""
    free = market.free_bytes // need.bytes_each if need.bytes_each else need.transactions
    return max(0, need.transactions - free) * need.bytes_each
