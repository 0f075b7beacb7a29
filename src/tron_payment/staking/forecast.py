"""What an account sends in a day: from what it has sent, what waits, and what is announced."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from tron_payment.chain import Account, AccountResources, Nodes, Resource
from tron_payment.core.address import Address
from tron_payment.core.clock import Clock, to_ms
from tron_payment.core.money import TRX
from tron_payment.db.ledger import Ledger, Pocket
from tron_payment.engine import Engine, Order, OrderStatus
from tron_payment.module import Deployment
from tron_payment.network import UsdtCost, transfer_bandwidth, usdt_cost
from tron_payment.staking.accounts import StakedAccounts
from tron_payment.staking.plan import Market, Means, Need, Plan, make_plan

LOOK_BACK: Final = timedelta(days=30)
ONE_DAY: Final = timedelta(days=1)
ORDERS_MAX: Final = 50_000
"""Settled orders that a forecast looks at, newest first."""

RANK_SLACK_MS: Final = 600_000
"""An order's rank is its time of creation in ms, at most this much to and fro (its priority)."""

ONCE: Final = ("deployments", "staking", "wallets")
"""Modules whose orders are not sent every day: contracts, stakes, permissions."""

HOLD_MARGIN_PERCENT: Final = 150
"""As much at least as the engine's fee limit is above what a transfer takes."""

HOLD_BYTES: Final = 64
"""More than a transfer's bytes grow by where the engine reckons with the most there may be."""

WAITING: Final = (OrderStatus.QUEUED, OrderStatus.RESERVED, OrderStatus.AWAITING_SIGNATURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the plan is asked for; None means as it was lately."""

    address: Address
    days: int
    payouts_per_day: int | None
    cold_percent: int
    """Share of recipients that hold no USDT yet, when payouts are announced."""

    keep_sun: int
    """TRX that must stay in the balance, besides what fees need."""

    rent_sun_per_energy: int | None
    capital_cost_bps: int


@dataclass(frozen=True, slots=True)
class Typical:
    """What the account's orders of the last days were like."""

    orders: int
    energy: int
    """Of all of them together."""
    bytes_total: int
    per_day: int
    """In the whole days since the first of them; all of them on the first day."""
    waiting: int
    """Orders not yet signed."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan and what it was made from."""

    plan: Plan
    market: Market
    means: Means
    typical: Typical
    source: str
    """``announced`` by the caller, or ``typical``: from the orders of the last 30 days."""


class Forecasts:
    """Makes plans from the store and the chain."""

    def __init__(
        self,
        *,
        clock: Clock,
        engine: Engine,
        ledger: Ledger,
        nodes: Nodes,
        accounts: StakedAccounts,
        deployment: Deployment,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._ledger = ledger
        self._nodes = nodes
        self._accounts = accounts
        self._deployment = deployment

    async def forecast(self, question: Question) -> Forecast:
        """Look at the account, the market and its orders, and make the plan.

        Raises:
            NodesUnavailable: No node answers.
        """
        address = question.address
        _, resources = await self._accounts.resources(address)
        staked = await self._accounts.staked(address)
        market = _market(await self._engine.fees.parameters(), resources, question)
        account = None if staked is None else staked.account
        cost = await usdt_cost(self._nodes, self._deployment.usdt, [address])
        kept = question.keep_sun + self._hold_sun(address, cost, market)
        means = _means(account, resources, await self._free_sun(address, account) - kept)
        typical = await self._typical(address, market.bandwidth_price_sun)
        need, source = self._need(question, typical, cost)
        plan = make_plan(need, market, means, question.days)
        return Forecast(plan, market, means, typical, source)

    async def _free_sun(self, address: Address, account: Account | None) -> int:
        """TRX that no order has set aside; all of it where we keep no books."""
        if account is None:
            return 0
        if not await self._ledger.is_holder(address):
            return account.balance_sun
        available = await self._ledger.balance(address, Pocket.AVAILABLE, TRX.code)
        return min(account.balance_sun, available)

    def _hold_sun(self, address: Address, cost: UsdtCost, market: Market) -> int:
        """What a transfer sets aside for its fee before it is signed, though a stake may pay it:
        without so much nothing is sent."""
        energy = cost.cold_energy * HOLD_MARGIN_PERCENT // 100
        size = transfer_bandwidth(address, self._deployment.usdt) + HOLD_BYTES
        return energy * market.energy_price_sun + size * market.bandwidth_price_sun

    def _need(self, question: Question, typical: Typical, cost: UsdtCost) -> tuple[Need, str]:
        """What is sent each day: as announced, else as lately, or what waits if that is more."""
        count = question.payouts_per_day
        if count is None and typical.orders:
            count = max(typical.per_day, typical.waiting)
            each = -(-typical.energy // typical.orders)
            size = -(-typical.bytes_total // typical.orders)
            return Need(count, count * each, size), "typical"
        source = "typical" if count is None else "announced"
        there, count = self._deployment, typical.waiting if count is None else count
        cold = -(-count * question.cold_percent // 100)
        energy = cold * cost.cold_energy + (count - cold) * cost.warm_energy
        return Need(count, energy, transfer_bandwidth(question.address, there.usdt)), source

    async def _typical(self, address: Address, bandwidth_price_sun: int) -> Typical:
        now = self._clock.now()
        since = now - LOOK_BACK
        settled = {
            "status": OrderStatus.SETTLED.value,
            "rank": {"$gte": to_ms(since) - RANK_SLACK_MS},
            "signer": address,
            "module": {"$nin": ONCE},
            "created_at": {"$gte": since},
        }
        pipeline: list[dict[str, Any]] = [
            {"$match": settled},
            {"$sort": {"rank": -1}},  # the index `work` gives them in this order
            {"$limit": ORDERS_MAX},
            {
                "$group": {
                    "_id": None,
                    "orders": {"$sum": 1},
                    "energy": {"$sum": "$result.energy_used"},
                    "bytes": {"$sum": "$result.bandwidth_used"},
                    "burned_sun": {"$sum": "$result.bandwidth_burned_sun"},
                    "first": {"$min": "$created_at"},
                }
            },
        ]
        orders = Order.get_pymongo_collection()
        rows = [row async for row in await orders.aggregate(pipeline, hint="work")]
        waiting = await orders.count_documents(
            {
                "signer": address,
                "status": {"$in": [each.value for each in WAITING]},
                "module": {"$nin": ONCE},
            }
        )
        if not rows:
            return Typical(0, 0, 0, 0, waiting)
        row = rows[0]
        bytes_total = row["bytes"] + row["burned_sun"] // max(1, bandwidth_price_sun)
        days = (now - row["first"]) // ONE_DAY
        whole = row["orders"]
        if days:  # the day that is not over says little
            until = {"$gte": row["first"], "$lt": row["first"] + days * ONE_DAY}
            whole = await orders.count_documents(
                settled | {"created_at": until}, limit=ORDERS_MAX, hint="work"
            )
        return Typical(
            orders=row["orders"],
            energy=row["energy"],
            bytes_total=bytes_total,
            per_day=-(-whole // max(1, days)),
            waiting=waiting,
        )


def _market(
    parameters: Mapping[str, int], resources: AccountResources, question: Question
) -> Market:
    return Market(
        energy_price_sun=parameters["getEnergyFee"],
        bandwidth_price_sun=parameters["getTransactionFee"],
        free_bytes=parameters.get("getFreeNetLimit", 0),
        energy_total=resources.total_energy_limit,
        energy_weight_trx=resources.total_energy_weight,
        bandwidth_total=resources.total_net_limit,
        bandwidth_weight_trx=resources.total_net_weight,
        rent_sun_per_energy=question.rent_sun_per_energy,
        capital_cost_bps=question.capital_cost_bps,
    )


def _means(account: Account | None, resources: AccountResources, spare_sun: int) -> Means:
    if account is None:
        return Means(0, 0, resources.energy_limit, resources.net_limit, 0)
    return Means(
        energy_stake_sun=account.frozen[Resource.ENERGY],
        bandwidth_stake_sun=account.frozen[Resource.BANDWIDTH],
        energy_limit=resources.energy_limit,
        bandwidth_limit=resources.net_limit,
        spare_sun=max(0, spare_sun),
    )
