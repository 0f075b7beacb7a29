"""The staking module: Stake 2.0 as orders of the engine, refused before the chain refuses."""

from typing import Final

from beanie import Document

from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.staking.accounts import StakedAccounts
from tron_payment.staking.chart import bars
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.documents import Stake, Unstaking
from tron_payment.staking.domain import Operation
from tron_payment.staking.energy import EnergyBook
from tron_payment.staking.energy_documents import EnergyHour
from tron_payment.staking.energy_routes import EnergyController
from tron_payment.staking.expiries import Expiries
from tron_payment.staking.facts import StakeWish
from tron_payment.staking.forecast import Forecast, Forecasts, Question
from tron_payment.staking.orders import MODULE
from tron_payment.staking.plan_query import (
    CAPITAL_COST_BPS_MAX,
    COLD_PERCENT,
    PAYOUTS_PER_DAY_MAX,
    PLAN_DAYS,
    PLAN_DAYS_MAX,
    RENT_MAX,
    PlanQuery,
    Plans,
)
from tron_payment.staking.plan_routes import PlanController
from tron_payment.staking.plan_views import PlanView
from tron_payment.staking.routes import StakingController
from tron_payment.staking.service import Staking
from tron_payment.wallets import Wallets

DOCUMENTS: Final[tuple[type[Document], ...]] = (Stake, Unstaking, EnergyHour)
SWEEP_IDLE_S: Final = 5.0
SERVICE: Final = "trx-staking"

__all__ = [
    "CAPITAL_COST_BPS_MAX",
    "COLD_PERCENT",
    "DOCUMENTS",
    "PAYOUTS_PER_DAY_MAX",
    "PLAN_DAYS",
    "PLAN_DAYS_MAX",
    "RENT_MAX",
    "Forecast",
    "Forecasts",
    "Operation",
    "PlanQuery",
    "PlanView",
    "Plans",
    "Question",
    "Stake",
    "StakeWish",
    "Staking",
    "StakingDesk",
    "Unstaking",
    "bars",
    "build",
]


async def build(house: House) -> Module:
    """Wire the module."""
    wallets, accounts = house.use(Wallets), StakedAccounts(house.nodes)
    operations = Staking(
        clock=house.clock,
        secret=house.secret,
        idempotency=house.idempotency,
        engine=house.engine,
        nodes=house.nodes,
        inserts=house.inserts,
        wallets=wallets,
        max_fee_sun=house.settings.max_fee_sun,
    )
    expiries = Expiries(
        ledger=house.ledger,
        cursors=house.cursors,
        watched=house.engine.watched,
        fees=house.engine.fees,
        events=house.events,
        secret=house.secret,
    )
    forecasts = Forecasts(
        clock=house.clock,
        engine=house.engine,
        ledger=house.ledger,
        nodes=house.nodes,
        accounts=accounts,
        deployment=house.deployment,
    )
    plans = Plans(wallets=wallets, forecasts=forecasts)
    desk = StakingDesk(
        operations=operations,
        accounts=accounts,
        expiries=expiries,
        plans=plans,
        energy=EnergyBook(ledger=house.ledger, watched=house.engine.watched, clock=house.clock),
    )
    house.engine.hear(MODULE, operations.follow)
    house.engine.gate(operations.gate)
    house.offer(operations)
    house.offer(desk)
    house.offer(plans)
    return Module(
        name="staking",
        service=SERVICE,
        routers=(StakingController, PlanController, EnergyController),
        dependencies={"staking": desk},
        loops=(Loop("staking.sweep", operations.sweep, SWEEP_IDLE_S, SERVICE),),
        on_block=desk.on_block,
        stats=desk.stats,
    )
