"""What a plan can be asked, by HTTP or on the command line, and within which bounds."""

from dataclasses import dataclass
from typing import Final

from tron_payment.core.address import Address, parse_address
from tron_payment.core.money import TRX, parse_units
from tron_payment.http.principals import Principal
from tron_payment.staking.forecast import Forecast, Forecasts, Question
from tron_payment.wallets import Wallets

PLAN_DAYS: Final = 30
PLAN_DAYS_MAX: Final = 365
PAYOUTS_PER_DAY_MAX: Final = 10_000_000
COLD_PERCENT: Final = 50
"""Recipients that hold no USDT yet, when nothing is said: half of them."""

RENT_MAX: Final = 1_000_000
CAPITAL_COST_BPS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuery:
    """A question; without `payouts_per_day` the last 30 days speak. Callers keep the bounds."""

    wallet_id: str | None = None
    """None for both this and `address`: the wallet that pays when none is named."""

    address: str | None = None
    days: int = PLAN_DAYS
    payouts_per_day: int | None = None
    cold_percent: int = COLD_PERCENT
    keep_trx: str = "0"
    rent_sun_per_energy: int | None = None
    capital_cost_bps: int = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """A forecast and whose it is."""

    address: Address
    forecast: Forecast


class Plans:
    """Answers questions."""

    def __init__(self, *, wallets: Wallets, forecasts: Forecasts) -> None:
        self._wallets = wallets
        self._forecasts = forecasts

    async def plan(self, asked: PlanQuery, principal: Principal | None) -> Planned:
        """
        Args:
            principal: Who asks; None for the operator on the command line.

        Raises:
            InvalidAddress, InvalidAmount: In the question.
            NotFound: No such wallet.
            NoWallet: None is named, and there is no default one.
            NodesUnavailable: No node answers.
        """
        if asked.address is not None:
            address = parse_address(asked.address, param="address")
        else:
            address = await self._wallets.paying_address(asked.wallet_id, principal)
        question = Question(
            address=address,
            days=asked.days,
            payouts_per_day=asked.payouts_per_day,
            cold_percent=asked.cold_percent,
            keep_sun=parse_units(TRX.decimals, asked.keep_trx, param="keep_trx"),
            rent_sun_per_energy=asked.rent_sun_per_energy,
            capital_cost_bps=asked.capital_cost_bps,
        )
        return Planned(address, await self._forecasts.forecast(question))
