"""HTTP of staking: translates, does not think."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from tron_payment.core.address import parse_address
from tron_payment.core.errors import NotFound
from tron_payment.core.money import TRX, trx_text
from tron_payment.db.acts import describe
from tron_payment.http.paging import Page, PageRequest, provide_page
from tron_payment.http.principals import Principal
from tron_payment.ordered import provide_caller
from tron_payment.staking import account_views as a
from tron_payment.staking import requests as r
from tron_payment.staking import views as v
from tron_payment.staking.accounts import Staked
from tron_payment.staking.asking import Asking, provide_asking
from tron_payment.staking.desk import StakingDesk
from tron_payment.staking.domain import Operation

READ: dict[str, Any] = {"permission": "staking:read"}
WRITE: dict[str, Any] = {"permission": "staking:write", "rate": "payout", "audit": "request"}
CANCEL: dict[str, Any] = {"permission": "staking:write", "rate": "payout"}


class AccountUnknown(NotFound, code="account_unknown"):
    """The account does not exist on the chain."""


class StakingController(Controller):
    """`/staking`: TRX staked for energy, bandwidth and votes."""

    path = "/staking"
    tags = ("staking",)
    dependencies = {
        "page": Provide(provide_page, sync_to_thread=False),
        "caller": Provide(provide_caller, sync_to_thread=False),
        "ask": Provide(provide_asking, sync_to_thread=False),
    }

    @post("/stake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def stake(
        self, data: JSONBody[r.StakeRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Stake TRX for energy or bandwidth."""
        return await ask(data, data.wish(Operation.STAKE))

    @post("/unstake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def unstake(
        self, data: JSONBody[r.StakeRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Begin to unstake; the TRX comes free after the chain's delay of 14 days."""
        return await ask(data, data.wish(Operation.UNSTAKE))

    @post("/delegate", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def delegate(
        self, data: JSONBody[r.DelegateRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Lend the resource of a stake, locked for a while or not."""
        return await ask(data, data.wish())

    @post("/undelegate", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def undelegate(
        self, data: JSONBody[r.UndelegateRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Take a lent resource back."""
        return await ask(data, data.wish())

    @post("/vote", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def vote(
        self, data: JSONBody[r.VoteRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Replace all votes of the account."""
        return await ask(data, data.wish())

    @post("/withdraw", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def withdraw(
        self, data: JSONBody[r.WithdrawRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Take back what has finished unstaking, or claim voting rewards."""
        return await ask(data, data.wish())

    @post("/cancel-unstake", status_code=HTTP_202_ACCEPTED, opt=WRITE)
    async def cancel_unstake(
        self, data: JSONBody[r.CancelRequest], ask: NamedDependency[Asking]
    ) -> Response[v.StakeView]:
        """Stake again what is unstaking; what has finished comes back."""
        return await ask(data, data.wish())

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

    @post("/operations/{stake_id:str}/cancel", status_code=HTTP_200_OK, opt=CANCEL)
    async def cancel(
        self,
        stake_id: FromPath[str],
        principal: NamedDependency[Principal],
        staking: NamedDependency[StakingDesk],
    ) -> v.StakeView:
        """Cancel an operation that is not signed."""
        canceled = await staking.operations.cancel(principal, stake_id)
        after = {"status": canceled.status.value, "order_id": canceled.order_id}
        describe(action="stake.cancel", after=after)
        return v.StakeView.of(canceled)

    @get("/status/{address:str}", opt=READ)
    async def status(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> a.StatusView:
        """Stakes, delegations, unstakings, votes and rewards of any account."""
        holder = parse_address(address, param="address")
        return a.StatusView.of(
            await _staked(staking, address), await staking.accounts.lending(holder)
        )

    @get("/balance/{address:str}", opt=READ)
    async def balance(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> a.BalanceView:
        """An account's TRX by what it is doing."""
        return a.BalanceView.of(await _staked(staking, address))

    @get("/rewards/{address:str}", opt=READ)
    async def rewards(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> a.RewardsView:
        """Voting rewards and when they may be claimed."""
        return a.RewardsView.of(await _staked(staking, address))

    @get("/resources/{address:str}", opt=READ)
    async def resources(
        self, address: FromPath[str], staking: NamedDependency[StakingDesk]
    ) -> a.ResourcesView:
        """Energy and bandwidth of an account now."""
        holder = parse_address(address, param="address")
        head, said = await staking.accounts.resources(holder)
        return a.ResourcesView.of(holder, head.number, said)

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


async def _staked(staking: StakingDesk, address: str) -> Staked:
    found = await staking.accounts.staked(parse_address(address, param="address"))
    if found is None:
        raise AccountUnknown(param="address")
    return found
