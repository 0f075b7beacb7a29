"""What the plan predicts for the demo's payouts, and what the chain then really takes.

The month is slow (`make soak`); three days of the same are in every run.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from tests.conftest import Mongo
from tests.gateway.world import Payer
from tests.payouts.world import world
from tests.staking.month import Month, all_settled, cost_of, demo_rows
from tron_payment.core.address import Address, address_bytes
from tron_payment.core.money import SUN_PER_TRX, parse_units, trx_text
from tron_payment.staking.plan import FEES_KEPT_DAYS

HISTORY_DAYS: Final = 2
"""What the plan has seen when it is asked."""

RENT_SUN: Final = 60
"""A lender's price for one energy a day; burning costs 100."""

TOLERANCE: Final = 20
"""The reciprocal: a twentieth is five percent."""

SPARE_SHARE: Final = 2
"""Half of what would burn nothing may be staked."""


async def burn(month: Month, days: int) -> tuple[int, int]:
    """Everything is burned."""
    view = await month.plan(days=days)
    before, paid = await month.balance_sun(), month.paid_sun
    await month.run(days)
    real = before - await month.balance_sun() - (month.paid_sun - paid)
    assert cost_of(view, "as_now")["total_trx"] == cost_of(view, "burn")["total_trx"]
    return parse_units(6, cost_of(view, "burn")["total_trx"]), real


async def stake(month: Month, days: int) -> tuple[int, int]:
    """Half of the TRX that would burn nothing is staked, as the plan advises; what is burned in
    the next month is left besides."""
    first = await month.plan(days=days)
    spare = parse_units(6, first["full_stake_trx"]) // SPARE_SHARE
    keep = parse_units(6, first["spare_trx"]) - spare
    half = cost_of(await month.plan(days=days, keep_trx=trx_text(keep)), "stake")
    keep -= parse_units(6, half["total_trx"]) * max(days, FEES_KEPT_DAYS) // days
    view = await month.plan(days=days, keep_trx=trx_text(keep))
    advice = cost_of(view, "stake")
    assert view["cheapest"] == "stake"
    before, paid = await month.balance_sun(), month.paid_sun
    staked = 0
    for resource, name in (("ENERGY", "stake_energy_trx"), ("BANDWIDTH", "stake_bandwidth_trx")):
        if advice[name] != "0":
            await month.stake(resource, advice[name])
            staked += parse_units(6, advice[name])
    assert 0 < staked * 100 <= spare * 101
    await month.run(days)
    real = before - await month.balance_sun() - (month.paid_sun - paid) - staked
    return parse_units(6, advice["total_trx"]), real


async def delegation(month: Month, days: int) -> tuple[int, int]:
    """A lender delegates what is missing, and is paid for it in advance, on the chain."""
    spare = (await month.plan(days=days))["spare_trx"]
    view = await month.plan(days=days, rent_sun_per_energy=RENT_SUN, keep_trx=spare)
    rent = cost_of(view, "rent")
    assert view["cheapest"] == "rent", view
    before, paid = await month.balance_sun(), month.paid_sun
    lender = Payer(0x1E4DE7)
    await lend(month, lender, view["energy_per_day"] - view["energy_limit"])
    body = {"user_id": "lender", "recipient_address": lender.address, "amount": rent["rent_trx"]}
    answer = await month.pay.post("/payouts/direct", body | {"currency": "TRX"})
    assert answer.status_code == 202, answer.text
    await month.settle()
    await month.run(days)
    real = before - await month.balance_sun() - (month.paid_sun - paid)
    return parse_units(6, rent["total_trx"]), real


async def lend(month: Month, lender: Payer, energy: int) -> None:
    """Somebody stakes for so much energy a day and delegates it to the treasury."""
    chain = month.pay.world
    said = await month.pay.house.nodes.resources(month.pay.world.treasury)
    trx = -(-energy * said.total_energy_weight // said.total_energy_limit)
    trx += trx // 1000  # its own weight makes each TRX give a little less
    await chain.fund(lender.address, str(trx + 10))
    owner = lender.raw.hex()
    for path, body in (
        ("freezebalancev2", {"frozen_balance": trx * SUN_PER_TRX}),
        (
            "delegateresource",
            {
                "balance": trx * SUN_PER_TRX,
                "receiver_address": address_bytes(Address(month.treasury)).hex(),
            },
        ),
    ):
        built = await chain._wallet(path, owner_address=owner, resource="ENERGY", **body)
        await chain.send(lender, built)
        await chain.solidify()
    after = await month.pay.house.nodes.resources(month.pay.world.treasury)
    assert after.energy_limit >= energy, (after.energy_limit, energy)


WAYS: Final[dict[str, Callable[[Month, int], Awaitable[tuple[int, int]]]]] = {
    "burn": burn,
    "stake": stake,
    "delegation": delegation,
}


async def predicted_and_real(
    mongo: Mongo, way: str, days: int, *, every: int, parts: int
) -> tuple[int, int]:
    """In sun.

    Args:
        every: Take each n-th row of the demo only.
        parts: Of a day, see `Month`. The first of them finds the whole stake unused, each other
            what has come back since; over a month that is within the tolerance.
    """
    async with world(mongo, max_payout_amount="10000") as pay:
        month = Month(pay, demo_rows()[::every], parts)
        await month.prepare()
        await month.run(HISTORY_DAYS)
        found = await WAYS[way](month, days)
        extra = 1 if way == "delegation" else 0
        await all_settled(len(month.rows) * month.day + extra)
        assert await pay.house.ledger.verify() is None
        return found


def within_five_percent(predicted: int, real: int) -> bool:
    print(f"predicted {trx_text(predicted)} TRX, real {trx_text(real)} TRX")
    return abs(predicted - real) * TOLERANCE <= real


@pytest.mark.parametrize("way", WAYS)
async def test_three_days_cost_what_the_plan_predicts(mongo: Mongo, way: str) -> None:
    predicted, real = await predicted_and_real(mongo, way, days=3, every=5, parts=1)
    assert within_five_percent(predicted, real), (predicted, real)


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("way", WAYS)
async def test_a_month_costs_what_the_plan_predicts(mongo: Mongo, way: str) -> None:
    predicted, real = await predicted_and_real(mongo, way, days=30, every=1, parts=1)
    assert within_five_percent(predicted, real), (predicted, real)


def test_the_months_rows_are_the_demos() -> None:
    rows: list[dict[str, Any]] = demo_rows()
    assert {row["route"] for row in rows} == {"v0", "kyc", "direct"} and len(rows) == 35
