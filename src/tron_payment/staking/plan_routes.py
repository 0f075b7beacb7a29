"""HTTP of the energy plan: numbers and a picture of the same question."""

from typing import Annotated, Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from tron_payment.http.principals import Principal
from tron_payment.staking import plan_query as q
from tron_payment.staking.chart import chart
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.plan_query import PlanQuery
from tron_payment.staking.plan_views import PlanView

READ: dict[str, Any] = {"permission": "staking:read"}


def provide_plan_query(
    wallet_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
    address: Annotated[str | None, QueryParameter(max_length=64)] = None,
    days: Annotated[int, QueryParameter(ge=1, le=q.PLAN_DAYS_MAX)] = q.PLAN_DAYS,
    payouts_per_day: Annotated[int | None, QueryParameter(ge=0, le=q.PAYOUTS_PER_DAY_MAX)] = None,
    cold_percent: Annotated[int, QueryParameter(ge=0, le=100)] = q.COLD_PERCENT,
    keep_trx: Annotated[str, QueryParameter(max_length=40)] = "0",
    rent_sun_per_energy: Annotated[int | None, QueryParameter(ge=0, le=q.RENT_MAX)] = None,
    capital_cost_bps: Annotated[int, QueryParameter(ge=0, le=q.CAPITAL_COST_BPS_MAX)] = 0,
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
        planned = await staking.plans.plan(asked, principal)
        return PlanView.of(planned.address, planned.forecast)

    @get("/chart", media_type="image/svg+xml", opt={**READ, "produces": ("image/svg+xml",)})
    async def plan_chart(
        self,
        staking: NamedDependency[StakingDesk],
        principal: NamedDependency[Principal],
        asked: NamedDependency[PlanQuery],
    ) -> Response[str]:
        """The plan as a picture: one bar for each way."""
        planned = await staking.plans.plan(asked, principal)
        return Response(chart(planned.forecast.plan), media_type="image/svg+xml")
