"""The staking module: Stake 2.0 as orders of the engine, refused before the chain refuses."""

from typing import Final

from beanie import Document

from tron_payment.loops import Loop
from tron_payment.module import House, Module
from tron_payment.staking.accounts import StakedAccounts
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.documents import Stake, Unstaking
from tron_payment.staking.domain import Operation
from tron_payment.staking.expiries import Expiries
from tron_payment.staking.facts import StakeWish
from tron_payment.staking.forecast import Forecast, Forecasts, Question
from tron_payment.staking.orders import MODULE
from tron_payment.staking.plan_routes import PlanController
from tron_payment.staking.routes import StakingController
from tron_payment.staking.service import Staking
from tron_payment.wallets import Wallets

DOCUMENTS: Final[tuple[type[Document], ...]] = (Stake, Unstaking)
SWEEP_IDLE_S: Final = 5.0
SERVICE: Final = "trx-staking"

__all__ = [
    "DOCUMENTS",
    "Forecast",
    "Forecasts",
    "Operation",
    "Question",
    "Stake",
    "StakeWish",
    "Staking",
    "StakingDesk",
    "Unstaking",
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
        ledger=house.ledger, fees=house.engine.fees, events=house.events, secret=house.secret
    )
    desk = StakingDesk(
        operations=operations,
        accounts=accounts,
        expiries=expiries,
        forecasts=Forecasts(
            clock=house.clock,
            engine=house.engine,
            nodes=house.nodes,
            accounts=accounts,
            deployment=house.deployment,
        ),
        wallets=wallets,
    )
    house.engine.hear(MODULE, operations.follow)
    house.engine.gate(operations.gate)
    house.offer(operations)
    house.offer(desk)
    return Module(
        name="staking",
        service=SERVICE,
        routers=(StakingController, PlanController),
        dependencies={"staking": desk},
        loops=(Loop("staking.sweep", operations.sweep, SWEEP_IDLE_S, SERVICE),),
        on_block=expiries.on_block,
        stats=desk.stats,
    )
