"""`energy plan`: what payouts will cost, and the stake that makes them cheapest.

The question, its bounds and the answer are those of ``GET /api/v1/staking/plan``.
"""

import argparse
from typing import Any, Final

import msgspec

from tron_payment import staking
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Network, Settings
from tron_payment.staking import PlanQuery, Plans, PlanView
from tron_payment.wallets import NoWallet

BOUNDS: Final = {
    "days": (1, staking.PLAN_DAYS_MAX),
    "payouts_per_day": (0, staking.PAYOUTS_PER_DAY_MAX),
    "cold_percent": (0, 100),
    "rent_sun_per_energy": (0, staking.RENT_MAX),
    "capital_cost_bps": (0, staking.CAPITAL_COST_BPS_MAX),
}


async def energy(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Ask, and show numbers and bars."""
    given: dict[str, Any] = {}
    for name, (least, most) in BOUNDS.items():
        value = getattr(arguments, name)
        if value is None:
            continue
        if not least <= value <= most:
            flag = "--" + name.replace("_", "-")
            return failure("usage", f"{flag} is from {least} to {most}", Exit.USAGE)
        given[name] = value
    query = PlanQuery(
        wallet_id=arguments.wallet,
        address=arguments.address,
        keep_trx=arguments.keep_trx,
        **given,
    )
    async with assembled(settings) as assembly:
        try:
            planned = await assembly.house.use(Plans).plan(query, None)
        except NoWallet as error:
            detail = f"{error.detail}; --wallet WALLET_ID says it (`tron-payment wallets list`)"
            return failure(error.code, detail, Exit.USAGE)
    view = PlanView.of(planned.address, planned.forecast)
    lines = [
        *_lines(view, settings.tron_network),
        "",
        *staking.bars(planned.forecast.plan),
        "",
        _advice(view),
    ]
    return Report(msgspec.to_builtins(view), lines)


def _lines(view: PlanView, network: Network) -> list[str]:
    far_more = ""
    if network is Network.DEVNET:
        far_more = "; about ten on a public network: few stake on a devnet, and stake shares energy"
    rows = [
        ("address", view.address),
        ("from", "the last 30 days" if view.source == "typical" else "what was announced"),
        ("transactions a day", f"{view.transactions_per_day:,}"),
        ("energy a day", f"{view.energy_per_day:,}, own limit {view.energy_limit:,}"),
        ("bandwidth a day", f"{view.bandwidth_per_day:,}, own limit {view.bandwidth_limit:,}"),
        ("prices", f"{view.energy_price_sun} sun an energy, {view.bandwidth_price_sun} a byte"),
        ("a stake gives", f"{view.energy_per_trx:,} energy a day for 1 TRX{far_more}"),
        ("may be staked", f"{view.spare_trx} TRX"),
        ("burns nothing", f"with {view.full_stake_trx} TRX more staked"),
        ("period", f"{view.days} days"),
    ]
    return [f"{name:<20}{value}" for name, value in rows]


def _advice(view: PlanView) -> str:
    best = next(each for each in view.costs if each.way == view.cheapest)
    if view.transactions_per_day == 0:
        return "nothing was sent and nothing is planned: say --payouts-per-day"
    if best.way == "stake" and (best.stake_energy_trx, best.stake_bandwidth_trx) != ("0", "0"):
        return (
            f"cheapest: stake {best.stake_energy_trx} TRX for energy and "
            f"{best.stake_bandwidth_trx} TRX for bandwidth; saves {best.saved_trx} TRX "
            f"in {view.days} days"
        )
    if best.way == "rent":
        return (
            f"cheapest: borrow what is missing for {best.rent_trx} TRX; saves {best.saved_trx} TRX "
            f"in {view.days} days"
        )
    return f"cheapest: leave it as it is; {best.total_trx} TRX"
