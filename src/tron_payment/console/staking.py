"""Staking, and the energy plan with its chart."""

from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from litestar import get
from litestar.di import NamedDependency

from tron_payment.console.charts import Bar, bars
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Looks
from tron_payment.console.overview import Text
from tron_payment.console.pages import PAGE_OPT

STAKING: Final = "/api/v1/staking"
PAGE_ROWS: Final = 25
WAYS: Final = {
    "burn": "burn everything",
    "as_now": "as it is now",
    "stake": "stake more",
    "rent": "borrow energy",
}
"""The plan's ways in words."""

PLANS: Final = Looks(60.0)
"""Plans, each of a month's transactions."""


@get("/console/staking", opt=PAGE_OPT)
async def staking(
    desk: NamedDependency[Desk],
    days: Text = None,
    payouts_per_day: Text = None,
    cursor: Text = None,
    done: Text = None,
    look: Text = None,
) -> Any:
    """What is staked, and what energy costs by every way; with `look` the page waits for that."""
    given = {"days": days, "payouts_per_day": payouts_per_day}
    asked = urlencode({name: value for name, value in given.items() if value})
    seen = await desk.look(PLANS, f"{STAKING}/plan?{asked}", patient=bool(look))
    statistics = await desk.api.maybe(f"{STAKING}/statistics")
    operations = await desk.api.get(f"{STAKING}/operations", cursor=cursor, limit=PAGE_ROWS)
    return desk.page(
        "staking.html",
        "/console/staking",
        done=done,
        seen=seen,
        plan=seen.value,
        bars=_bars(seen.value["costs"]) if seen.value else [],
        ways=WAYS,
        devnet=desk.network == "devnet",
        asked=asked,
        days=days or "",
        payouts_per_day=payouts_per_day or "",
        statistics=statistics,
        operations=operations,
    )


def _bars(costs: list[dict[str, Any]]) -> list[Bar]:
    """What each way costs, the cheapest first and in green: the very figures of the page."""
    return bars(
        (
            WAYS[row["way"]],
            Decimal(row["total_trx"]),
            f"{Decimal(row['total_trx']):,.2f} TRX",
            "plain" if index else "good",
        )
        for index, row in enumerate(costs)
    )


HANDLERS: Final = (staking,)
