"""The energy plan as a picture, as SVG or as text: one bar for each way. Pure."""

from typing import Final

from tron_payment.core.money import trx_text
from tron_payment.staking.plan import Cost, Plan, Way

WIDTH: Final = 640
ROW: Final = 56
TOP: Final = 48
LEFT: Final = 150
BAR: Final = 26
LABELS: Final = {
    Way.BURN: "burn everything",
    Way.AS_NOW: "as now",
    Way.STAKE: "stake more",
    Way.RENT: "rent",
}
COLORS: Final = ("#c0504d", "#e0a458", "#7a8fb8", "#9a9a9a")
"""Energy burned, bandwidth burned, rent, capital."""

STYLE: Final = (
    "text{fill:#12151b}.soft{fill:#596273}"
    "@media(prefers-color-scheme:dark){text{fill:#eceef2}.soft{fill:#a2abba}}"
)
"""The picture has no ground of its own: its words are dark, or light where people like it dark."""

MARKS: Final = "█▓▒░"
"""The same parts in text."""

LEGEND: Final = "█ energy burned  ▓ bandwidth burned  ▒ rent  ░ capital"
BAR_CHARACTERS: Final = 40


def chart(plan: Plan) -> str:
    """An SVG picture of the costs, the cheapest first; readable without its colours."""
    most = max(1, *(each.total_sun for each in plan.costs))
    height = TOP + ROW * len(plan.costs)
    rows = "".join(_row(cost, most, TOP + ROW * n) for n, cost in enumerate(plan.costs))
    title = f"{plan.days} days, {plan.need.transactions} transactions a day"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13" role="img">'
        f"<title>{title}</title><style>{STYLE}</style>"
        f'<text x="12" y="26" font-size="15" font-weight="bold">{title}</text>{rows}</svg>'
    )


def bars(plan: Plan) -> list[str]:
    """The same in lines of text, the cheapest first; each under 100 characters of normal sums."""
    most = max(1, *(each.total_sun for each in plan.costs))
    lines = []
    for cost in plan.costs:
        bar = "".join(
            mark * (amount * BAR_CHARACTERS // most)
            for amount, mark in zip(_parts(cost), MARKS, strict=True)
        )
        stake = f", stake {trx_text(cost.stake_sun)} TRX" if cost.stake_sun else ""
        lines.append(
            f"{LABELS[cost.way]:<16}{bar:<{BAR_CHARACTERS}} {trx_text(cost.total_sun)} TRX{stake}"
        )
    return [*lines, LEGEND]


def _parts(cost: Cost) -> tuple[int, int, int, int]:
    """In sun, in the order of `COLORS`."""
    return cost.energy_burned_sun, cost.bandwidth_burned_sun, cost.rent_sun, cost.capital_sun


def _row(cost: Cost, most: int, y: int) -> str:
    room = WIDTH - LEFT - 130
    x, parts = LEFT, []
    for amount, color in zip(_parts(cost), COLORS, strict=True):
        width = amount * room // most
        if width:
            parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{BAR}" fill="{color}"/>')
            x += width
    stake = f"stake {_grouped(cost.stake_sun)} TRX" if cost.stake_sun else ""
    return (
        f'<text x="12" y="{y + 18}">{LABELS[cost.way]}</text>{"".join(parts)}'
        f'<text x="{x + 8}" y="{y + 18}">{_grouped(cost.total_sun)} TRX</text>'
        f'<text x="12" y="{y + 34}" font-size="11" class="soft">{stake}</text>'
    )


def _grouped(sun: int) -> str:
    """``37254.15`` as ``37,254.15``."""
    whole, point, rest = trx_text(sun).partition(".")
    return f"{int(whole):,}{point}{rest}"
