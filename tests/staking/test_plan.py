"""The energy plan: its arithmetic, and a simulated week on the devnet against its prediction."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.usdt.world import ALICE, World, world_of
from tron_payment import network, staking, usdt, wallets
from tron_payment.core.money import parse_units
from tron_payment.db.ledger import Pocket
from tron_payment.devnet import params
from tron_payment.engine import Order
from tron_payment.staking.plan import Market, Means, Need, Way, extra_stake_sun, gives, make_plan

TRX = 1_000_000
MAIN_NET = Market(
    energy_price_sun=100,
    bandwidth_price_sun=1000,
    free_bytes=600,
    energy_total=180_000_000_000,
    energy_weight_trx=19_000_000_000,
    bandwidth_total=43_200_000_000,
    bandwidth_weight_trx=26_000_000_000,
)
POOR = Means(0, 0, 0, 0, 0)
RICH = Means(0, 0, 0, 0, 10_000_000 * TRX)


def test_burning_a_hundred_payouts_a_day_for_a_month() -> None:
    plan = make_plan(Need(100, 100 * 64_285, 345), MAIN_NET, POOR, 30)
    (burn, same) = (plan.cost(Way.BURN), plan.cost(Way.AS_NOW))
    assert burn is not None and same is not None
    assert burn.energy_burned_sun == 100 * 64_285 * 100 * 30
    assert burn.bandwidth_burned_sun == 99 * 345 * 1000 * 30, "one a day is free"
    assert same.total_sun == burn.total_sun


def test_staking_replaces_burning_and_tells_how_much() -> None:
    plan = make_plan(Need(100, 100 * 64_285, 345), MAIN_NET, RICH, 30)
    cheapest = plan.cheapest
    assert (cheapest.way, cheapest.total_sun) == (Way.STAKE, 0)
    assert 678_000 * TRX < cheapest.energy_stake_sun < 680_000 * TRX
    assert cheapest.stake_sun == plan.full_stake_sun
    assert gives(cheapest.energy_stake_sun, 0, 180_000_000_000, 19_000_000_000) >= 6_428_500


def test_a_stake_is_kept_within_the_spare_trx_and_goes_where_it_saves_most() -> None:
    means = Means(0, 0, 0, 0, 40_000 * TRX)
    plan = make_plan(Need(100, 100 * 64_285, 345), MAIN_NET, means, 30)
    stake = plan.cost(Way.STAKE)
    assert stake is not None and 20_000 * TRX < stake.stake_sun < 40_000 * TRX
    assert stake.bandwidth_stake_sun > 0, "a byte is dearer than it is to stake for"
    assert stake.energy_stake_sun > 0, "what is left goes there"
    left_sun = means.spare_sun - stake.stake_sun - stake.total_sun
    assert 0 <= left_sun < 2 * TRX, "the fees of the month are left, and no more"
    burn = plan.cost(Way.BURN)
    assert burn is not None and stake.total_sun < burn.total_sun


@pytest.mark.parametrize("days", [1, 30, 90])
def test_what_is_needed_for_fees_is_not_staked(days: int) -> None:
    """12,345.6 TRX are burned within two weeks, and a stake comes back in two weeks."""
    means = Means(0, 0, 0, 0, 12_345_600_000)
    plan = make_plan(Need(100, 100 * 97_285, 345), MAIN_NET, means, days)
    stake = plan.cost(Way.STAKE)
    assert stake is not None and stake.stake_sun == 0
    assert plan.cheapest.stake_sun == 0


def test_a_stake_that_saves_more_than_it_takes_is_advised_whatever_is_burned_without() -> None:
    alone = Market(100, 1000, 600, 180_000_000_000, 1, 43_200_000_000, 26_000_000_000)
    means = Means(0, 0, 0, 0, 2_000 * TRX)
    plan = make_plan(Need(100, 100 * 97_285, 345), alone, means, 30)
    stake = plan.cost(Way.STAKE)
    assert stake is not None and 0 < stake.energy_stake_sun < 3 * TRX
    assert stake.energy_burned_sun == 0


def test_capital_that_earns_more_elsewhere_is_not_staked() -> None:
    dear = Market(**{name: getattr(MAIN_NET, name) for name in MAIN_NET.__slots__} | {
        "capital_cost_bps": 9_000
    })  # fmt: skip
    plan = make_plan(Need(100, 100 * 64_285, 345), dear, RICH, 30)
    stake = plan.cost(Way.STAKE)
    assert stake is not None and stake.energy_stake_sun == 0


def test_renting_is_compared_when_its_price_is_known() -> None:
    renting = Market(**{name: getattr(MAIN_NET, name) for name in MAIN_NET.__slots__} | {
        "rent_sun_per_energy": 35
    })  # fmt: skip
    plan = make_plan(Need(100, 100 * 64_285, 345), renting, POOR, 30)
    rent = plan.cheapest
    assert rent.way is Way.RENT
    assert rent.rent_sun == 100 * 64_285 * 35 * 30
    assert make_plan(Need(1, 1, 1), MAIN_NET, POOR, 30).cost(Way.RENT) is None


def test_nothing_to_send_costs_nothing() -> None:
    plan = make_plan(Need(0, 0, 0), MAIN_NET, RICH, 30)
    assert plan.full_stake_sun == 0
    assert all(each.total_sun == 0 and each.stake_sun == 0 for each in plan.costs)


@given(
    wanted=st.integers(1, 10**9),
    own_trx=st.integers(0, 10**7),
    weight_trx=st.integers(0, 10**11),
)
def test_the_stake_gives_what_is_wanted(wanted: int, own_trx: int, weight_trx: int) -> None:
    weight = weight_trx + own_trx
    total = 180_000_000_000
    own_yield = own_trx * total // weight if weight else 0
    stake = extra_stake_sun(wanted, own_trx * TRX, total, weight)
    if wanted + own_yield < total:
        assert gives(stake, own_trx * TRX, total, weight) >= wanted


@given(
    transactions=st.integers(0, 10_000),
    energy_each=st.integers(0, 200_000),
    spare_trx=st.integers(0, 10**8),
    limit=st.integers(0, 10**9),
)
def test_the_plan_never_advises_what_costs_more(
    transactions: int, energy_each: int, spare_trx: int, limit: int
) -> None:
    means = Means(0, 0, limit, limit // 100, spare_trx * TRX)
    plan = make_plan(Need(transactions, transactions * energy_each, 345), MAIN_NET, means, 30)
    burn, same, stake = (plan.cost(way) for way in (Way.BURN, Way.AS_NOW, Way.STAKE))
    assert burn is not None and same is not None and stake is not None
    assert plan.cheapest.total_sun <= stake.total_sun <= same.total_sun <= burn.total_sun
    assert stake.stake_sun <= means.spare_sun
    if stake.stake_sun:
        assert stake.stake_sun + stake.total_sun <= means.spare_sun


@pytest.mark.parametrize(
    "stake_trx",
    [
        pytest.param(0, marks=pytest.mark.slow),
        3_000,
        pytest.param(6_000, marks=pytest.mark.slow),
    ],
)
async def test_a_simulated_week_costs_what_the_plan_predicts(
    mongo: Any, tmp_path: Path, stake_trx: int
) -> None:
    """Four transfers a day: burned, half covered by a stake, and nearly all."""
    async with world_of(
        mongo,
        tmp_path,
        builders=(network, wallets, usdt, staking),
        documents=staking.DOCUMENTS,
        parameters=(
            (params.TOTAL_ENERGY_WEIGHT, 17_000_000_000),
            (params.TOTAL_NET_WEIGHT, 26_000_000_000),
        ),
    ) as world:
        await world.fund(ALICE, usdt_units=1)
        if stake_trx:
            wish = {"wallet_id": await world.wallet_id(), "resource": "ENERGY"}
            wish["amount"] = str(stake_trx)
            assert (await world.post("/staking/stake", wish)).status_code == 202
        await world.settle()
        await next_day(world)
        asked = {"payouts_per_day": 4, "cold_percent": 0, "days": 7}
        said = (await world.get("/staking/plan", **asked)).json()
        (predicted,) = [each for each in said["costs"] if each["way"] == "as_now"]

        for _ in range(7):
            for _ in range(4):
                await pay(world)
            await world.settle()
            await next_day(world)
        orders = await Order.find({"module": "usdt"}).to_list()
        assert len(orders) == 28 and all(each.outcome for each in orders)
        real_sun = sum(each.outcome.fee_sun for each in orders)
        predicted_sun = parse_units(6, predicted["total_trx"])
        assert abs(real_sun - predicted_sun) * 20 <= real_sun, (real_sun, predicted_sun)

        await spare_is_what_no_order_and_no_fee_needs(world, asked)
        typical = (await world.get("/staking/plan")).json()
        assert typical["source"] == "typical" and typical["transactions_per_day"] >= 4
        picture = await world.get("/staking/plan/chart")
        assert picture.status_code == 200 and picture.text.startswith("<svg")
        refused = await world.get("/staking/plan", days=0)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")


async def spare_is_what_no_order_and_no_fee_needs(world: World, asked: dict[str, Any]) -> None:
    said = (await world.get("/staking/plan", **asked)).json()
    free = await world.house.ledger.balance(world.hot, Pocket.AVAILABLE, "TRX")
    kept = free - parse_units(6, said["spare_trx"])
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "1"}
    fee = (await world.post("/usdt/transfer", wish | {"dry_run": True})).json()["fee"]
    assert parse_units(6, fee["max_fee_trx"]) <= kept < 2 * parse_units(6, fee["max_fee_trx"])


async def pay(world: World) -> None:
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "1"}
    assert (await world.post("/usdt/transfer", wish)).status_code == 202


async def next_day(world: World) -> None:
    await world.mine(1, skip_ms=24 * 3600 * 1000)
    await world.mine(22)
    await world.work()
