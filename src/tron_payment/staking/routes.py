"""HTTP of staking: translates, does not think."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.core.address import Address, parse_address
from tron_payment.core.errors import NotFound
from tron_payment.core.money import TRX, parse_units, trx_text
from tron_payment.http.idempotency import MaybeIdempotencyKey, canonical, required_key, respond
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.staking import views as v
from tron_payment.staking.accounts import Staked
from tron_payment.staking.chart import chart
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.domain import Operation
from tron_payment.staking.facts import StakeWish
from tron_payment.staking.forecast import Forecast, Question

READ: dict[str, Any] = {"permission": "staking:read"}
PLAN_DAYS: Final = 30
PLAN_DAYS_MAX: Final = 365
PAYOUTS_PER_DAY_MAX: Final = 10_000_000
COLD_PERCENT: Final = 50
"""Recipients that hold no USDT yet, when nothing is said: half of them."""

RENT_MAX: Final = 1_000_000
WRITE: dict[str, Any] = {"permission": "staking:write", "rate": "payout"}


class AccountUnknown(NotFound, code="account_unknown"):
    """The account does not exist on the chain."""


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


class StakingController(Controller):
    """`/staking`: TRX staked for energy, bandwidth and votes."""

    path = "/staking"
    tags = ("staking",)
    dependencies = {
        "page": Provide(provide_page, sync_to_thread=False),
        "asked": Provide(provide_plan_query, sync_to_thread=False),
    }

    @post("/stake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def stake(
        self,
        data: JSONBody[v.StakeRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Stake TRX for energy or bandwidth."""
        return await _request(staking, principal, data, data.wish(Operation.STAKE), idempotency_key)

    @post("/unstake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def unstake(
        self,
        data: JSONBody[v.StakeRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Begin to unstake; the TRX comes free after the chain's delay of 14 days."""
        return await _request(
            staking, principal, data, data.wish(Operation.UNSTAKE), idempotency_key
        )

    @post("/delegate", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def delegate(
        self,
        data: JSONBody[v.DelegateRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Lend the resource of a stake, locked for a while or not."""
        return await _request(staking, principal, data, data.wish(), idempotency_key)

    @post("/undelegate", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def undelegate(
        self,
        data: JSONBody[v.UndelegateRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Take a lent resource back."""
        return await _request(staking, principal, data, data.wish(), idempotency_key)

    @post("/vote", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def vote(
        self,
        data: JSONBody[v.VoteRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Replace all votes of the account."""
        return await _request(staking, principal, data, data.wish(), idempotency_key)

    @post("/withdraw", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def withdraw(
        self,
        data: JSONBody[v.WithdrawRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Take back what has finished unstaking, or claim voting rewards."""
        return await _request(staking, principal, data, data.wish(), idempotency_key)

    @post("/cancel-unstake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def cancel_unstake(
        self,
        data: JSONBody[v.CancelRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
        idempotency_key: MaybeIdempotencyKey = None,
    ) -> Response[v.StakeView]:
        """Stake again what is unstaking; what has finished comes back."""
        return await _request(staking, principal, data, data.wish(), idempotency_key)

    @get("/operations", opt=READ)
    async def operations(
        self,
        page: NamedDependency[PageRequest],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
    ) -> Page[v.StakeView]:
        """Your operations, newest first."""
        return await staking.operations.history(principal, page, v.StakeView.of)

    @get("/operations/{stake_id:str}", opt=READ)
    async def read(
        self,
        stake_id: FromPath[str],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
    ) -> v.StakeView:
        """One operation as it stands."""
        return v.StakeView.of(await staking.operations.get(principal, stake_id))

    @post("/operations/{stake_id:str}/cancel", status_code=HTTP_200_OK, opt=WRITE)
    async def cancel(
        self,
        stake_id: FromPath[str],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
    ) -> v.StakeView:
        """Cancel an operation that is not signed."""
        return v.StakeView.of(await staking.operations.cancel(principal, stake_id))

    @get("/status/{address:str}", opt=READ)
    async def status(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> v.StatusView:
        """Stakes, delegations, unstakings, votes and rewards of any account."""
        holder = parse_address(address, param="address")
        return v.StatusView.of(
            await _staked(staking, address), await staking.accounts.lending(holder)
        )

    @get("/balance/{address:str}", opt=READ)
    async def balance(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> v.BalanceView:
        """An account's TRX by what it is doing."""
        return v.BalanceView.of(await _staked(staking, address))

    @get("/rewards/{address:str}", opt=READ)
    async def rewards(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> v.RewardsView:
        """Voting rewards and when they may be claimed."""
        return v.RewardsView.of(await _staked(staking, address))

    @get("/resources/{address:str}", opt=READ)
    async def resources(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> v.ResourcesView:
        """Energy and bandwidth of an account now."""
        holder = parse_address(address, param="address")
        head, said = await staking.accounts.resources(holder)
        return v.ResourcesView.of(holder, head.number, said)

    @get("/statistics", opt=READ)
    async def statistics(self, staking: NamedDependency[StakingDesk]) -> v.StatisticsView:
        """Totals of this installation's operations, and its unstakings."""
        rows = await staking.totals()
        return v.StatisticsView(
            currency=TRX.code,
            operations=[
                v.TotalView(
                    operation=row["_id"]["operation"],
                    status=row["_id"]["status"],
                    count=row["n"],
                    amount=trx_text(row["sun"]),
                    fee_trx=trx_text(row["fee_sun"]),
                )
                for row in rows
            ],
            unstaking=[v.tracked(each) for each in await staking.expiries.pending()],
        )

    @get("/plan", opt=READ)
    async def plan(
        self,
        staking: NamedDependency[StakingDesk],
        principal: NamedDependency[Principal],
        asked: NamedDependency[PlanQuery],
    ) -> v.PlanView:
        """What payouts will cost, and how much to stake for the cheapest period."""
        forecast = await _forecast(staking, principal, asked)
        return v.PlanView.of(forecast.address, forecast.forecast)

    @get("/plan/chart", media_type="image/svg+xml", opt={**READ, "produces": ("image/svg+xml",)})
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


async def _staked(staking: StakingDesk, address: str) -> Staked:
    found = await staking.accounts.staked(parse_address(address, param="address"))
    if found is None:
        raise AccountUnknown(param="address")
    return found


async def _request(
    staking: StakingDesk, principal: Principal, data: v.Base, wish: StakeWish, key: str | None
) -> Response[Any]:
    if data.dry_run:
        stake = await staking.operations.judge(principal, wish, "")
        bound = await staking.operations.quote(stake)
        view = v.DryRunView(
            decision="accept",
            would_be_status=stake.status.value,
            operation=stake.operation.value,
            address=stake.signer,
            fee={"max_fee_trx": trx_text(bound.hold_sun), "source": "parameters"},
        )
        return Response(view, status_code=HTTP_200_OK)
    stored = await staking.operations.request(
        principal,
        required_key(key),
        wish,
        operation=f"staking.{wish.operation}",
        content=canonical(data),
        answer=lambda each: msgspec.json.encode(v.StakeView.of(each)),
    )
    return respond(stored, v.StakeView)
