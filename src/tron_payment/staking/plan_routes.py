"""HTTP of the energy plan: numbers and a picture of the same question."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from tron_payment.core.address import Address, parse_address
from tron_payment.core.money import TRX, parse_units
from tron_payment.http.principals import Principal
from tron_payment.staking.chart import chart
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.forecast import Forecast, Question
from tron_payment.staking.plan_views import PlanView

READ: dict[str, Any] = {"permission": "staking:read"}
PLAN_DAYS: Final = 30
PLAN_DAYS_MAX: Final = 365
PAYOUTS_PER_DAY_MAX: Final = 10_000_000
COLD_PERCENT: Final = 50
"""Recipients that hold no USDT yet, when nothing is said: half of them."""

RENT_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuery:
    """The query of a plan."""

    wallet_id: str | None
    address: str | None
    days: int
    payouts_per_day: int | None
    cold_percent: int
    keep_trx: str
    rent_sun_per_energy: int | None
    capital_cost_bps: int


def provide_plan_query(
    wallet_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
    address: Annotated[str | None, QueryParameter(max_length=64)] = None,
    days: Annotated[int, QueryParameter(ge=1, le=PLAN_DAYS_MAX)] = PLAN_DAYS,
    payouts_per_day: Annotated[int | None, QueryParameter(ge=0, le=PAYOUTS_PER_DAY_MAX)] = None,
    cold_percent: Annotated[int, QueryParameter(ge=0, le=100)] = COLD_PERCENT,
    keep_trx: Annotated[str, QueryParameter(max_length=40)] = "0",
    rent_sun_per_energy: Annotated[int | None, QueryParameter(ge=0, le=RENT_MAX)] = None,
    capital_cost_bps: Annotated[int, QueryParameter(ge=0, le=10_000)] = 0,
) -> PlanQuery:
    """Read the query; without `payouts_per_day` the last 30 days speak."""
    return PlanQuery(
        wallet_id=wallet_id,
        address=address,
        days=days,
        payouts_per_day=payouts_per_day,
        cold_percent=cold_percent,
        keep_trx=keep_trx,
        rent_sun_per_energy=rent_sun_per_energy,
        capital_cost_bps=capital_cost_bps,
    )


class PlanController(Controller):
    """`/staking/plan`: what payouts will cost, and the stake that makes them cheapest."""

    path = "/staking/plan"
    tags = ("staking",)
    dependencies = {"asked": Provide(provide_plan_query, sync_to_thread=False)}

    @get("/", opt=READ)
    async def plan(
        self,
        staking: NamedDependency[StakingDesk],
        principal: NamedDependency[Principal],
        asked: NamedDependency[PlanQuery],
    ) -> PlanView:
        """What payouts will cost, and how much to stake for the cheapest period."""
        forecast = await _forecast(staking, principal, asked)
        return PlanView.of(forecast.address, forecast.forecast)

    @get("/chart", media_type="image/svg+xml", opt={**READ, "produces": ("image/svg+xml",)})
    async def plan_chart(
        self,
        staking: NamedDependency[StakingDesk],
        principal: NamedDependency[Principal],
        asked: NamedDependency[PlanQuery],
    ) -> Response[str]:
        """The plan as a picture: one bar for each way."""
        forecast = await _forecast(staking, principal, asked)
        picture = chart(forecast.forecast.plan)
        return Response(picture, media_type="image/svg+xml")


@dataclass(frozen=True, slots=True)
class _Asked:
    address: Address
    forecast: Forecast


async def _forecast(staking: StakingDesk, principal: Principal, asked: PlanQuery) -> _Asked:
    if asked.address is not None:
        address = parse_address(asked.address, param="address")
    else:
        address = await staking.address_of(asked.wallet_id, principal)
    question = Question(
        address=address,
        days=asked.days,
        payouts_per_day=asked.payouts_per_day,
        cold_percent=asked.cold_percent,
        keep_sun=parse_units(TRX.decimals, asked.keep_trx, param="keep_trx"),
        rent_sun_per_energy=asked.rent_sun_per_energy,
        capital_cost_bps=asked.capital_cost_bps,
    )
    return _Asked(address, await staking.forecasts.forecast(question))
