"""Charts: figures of the API as bars and columns, measured here in whole pixels and drawn as SVG.

The shapes are made in `_charts.html`; every chart also stands there as a table.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from tron_payment.console.api import Api
from tron_payment.console.desk import Desk
from tron_payment.console.kept import Looks
from tron_payment.console.pages import PAGE_OPT, tone, words

BAR_ROOM: Final = 200
"""Pixels of the longest bar."""

COLUMN_ROOM: Final = 140
"""Pixels of the highest column."""

DAYS_SHOWN: Final = 14
CHARTED_PAYOUTS: Final = 100
LAG_SHOWN: Final = 20
"""Blocks behind that fill a bar, in red: a minute on TRON."""

SETTLE_STEPS: Final = ((10, "under 10 s"), (60, "under 1 min"), (180, "under 3 min"))
SLOWER: Final = "slower"
ENERGY_SOURCES: Final = {
    "staked": ("from stakes", "good"),
    "creator": ("from the contract's creator", "wait"),
    "burned": ("burned", "bad"),
    "regained": ("regained", "act"),
}
"""Words and tone of each part of the energy chart."""

FIGURES: Final = Looks(60.0)


NOTHING: Final[Any] = (([], False), (None, None, None))
"""Before the figures are there."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `text` is its figure in words."""

    label: str
    text: str
    length: int
    tone: str = "act"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a column."""

    label: str
    count: int
    y: int
    height: int
    tone: str


@dataclass(frozen=True, slots=True)
class Column:
    """One day."""

    label: str
    parts: tuple[Part, ...]
    total: int


@dataclass(frozen=True, slots=True)
class EnergyColumns:
    """One day's energy: what was used, and what came back."""

    label: str
    used: Column
    regained: Column
    burned_trx: str


def bars(
    figures: Iterable[tuple[str, Decimal, str, str]], least: int = 0, room: int = BAR_ROOM
) -> list[Bar]:
    """Bars of (label, value, text, tone), the greatest as long as there is room.

    Args:
        least: What a bar of full length stands for at least, so that little looks like little.
    """
    rows = list(figures)
    most = max((value for _, value, _, _ in rows), default=Decimal())
    most = max(most, Decimal(least))
    return [Bar(label, text, _share(value, most, room), hue) for label, value, text, hue in rows]


def columns(counts: Mapping[str, Mapping[str, int]]) -> list[Column]:
    """Stacked columns of counts by label and status, in the order given."""
    most = max((sum(each.values()) for each in counts.values()), default=0)
    made = []
    for label, each in counts.items():
        parts, bottom = [], COLUMN_ROOM
        for status, count in sorted(each.items()):
            height = max(2, _share(Decimal(count), Decimal(most), COLUMN_ROOM))
            bottom -= height
            parts.append(Part(words(status), count, bottom, height, tone(status)))
        made.append(Column(label, tuple(parts), sum(each.values())))
    return made


def by_day(payouts: Iterable[Mapping[str, Any]]) -> list[Column]:
    """Payouts by the day (UTC) they were asked for and by status, the last days only."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in payouts:
        counts[each["created_at"][:10]][each["status"]] += 1
    return columns({day: counts[day] for day in sorted(counts)[-DAYS_SHOWN:]})


def analysed_days(rows: Iterable[Mapping[str, Any]]) -> list[Column]:
    """The same of the API's analytics, which count every payout."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["day"]].update(
            {"settled": row["settled"], "queued": row["open"], "failed": row["failed"]}
        )
    shown = {day: {s: n for s, n in counts[day].items() if n} for day in sorted(counts)}
    return columns({day: shown[day] for day in list(shown)[-DAYS_SHOWN:]})


def energy_columns(rows: Iterable[Mapping[str, Any]]) -> list[EnergyColumns]:
    """Energy used, by where it came from, and beside it what the stakes gave back."""
    shown = list(rows)[-DAYS_SHOWN:]
    most = max((max(row["energy_used"], row["energy_regained"]) for row in shown), default=0)

    def stack(row: Mapping[str, Any], names: Iterable[str]) -> tuple[Part, ...]:
        parts, bottom = [], COLUMN_ROOM
        for name in names:
            if count := row[f"energy_{name}"]:
                height = max(2, _share(Decimal(count), Decimal(most), COLUMN_ROOM))
                bottom -= height
                label, hue = ENERGY_SOURCES[name]
                parts.append(Part(label, count, bottom, height, hue))
        return tuple(parts)

    return [
        EnergyColumns(
            row["day"],
            Column("used", stack(row, ("staked", "creator", "burned")), row["energy_used"]),
            Column("regained", stack(row, ("regained",)), row["energy_regained"]),
            row["burned_trx"],
        )
        for row in shown
    ]


def energy_by_day(rows: Iterable[Mapping[str, Any]]) -> list[Bar]:
    """Energy that payouts used, by day."""
    used: Counter[str] = Counter()
    for row in rows:
        used[row["day"]] += row["energy_used"]
    return bars(
        (day, Decimal(used[day]), f"{used[day]:,} energy", "act")
        for day in sorted(used)[-DAYS_SHOWN:]
    )


def fees_by_source(payouts: Iterable[Mapping[str, Any]]) -> list[Bar]:
    """What a settled payout cost on average, by where its energy came from."""
    paid: dict[str, list[Decimal]] = defaultdict(list)
    for each in payouts:
        fee = each["fee"]
        if fee["paid_trx"] is not None and fee["source"]:
            paid[fee["source"]].append(Decimal(fee["paid_trx"]))
    means = {source: sum(fees, Decimal()) / len(fees) for source, fees in sorted(paid.items())}
    return bars(
        (words(source), mean, f"{mean:.4f} TRX, of {len(paid[source])}", "act")
        for source, mean in means.items()
    )


def settling_times(payouts: Iterable[Mapping[str, Any]]) -> list[Bar]:
    """How many settled payouts took how long, from the wish until it was known that their block
    is solidified: what somebody waited."""
    counts: Counter[str] = Counter()
    for each in payouts:
        if each["status"] == "settled":
            counts[_step(_moment(each["updated_at"]) - _moment(each["created_at"]))] += 1
    names = [name for _, name in SETTLE_STEPS] + [SLOWER]
    return bars((name, Decimal(counts[name]), f"{counts[name]:,}", "good") for name in names)


def money_by_day(lines: Iterable[Mapping[str, Any]], currency: str, name: str) -> list[Bar]:
    """One amount of the report by day, of one currency, the last days only; bars that stand."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        if line["currency"] == currency:
            totals[line["day"]] += Decimal(line[name])
    days = sorted(totals)[-DAYS_SHOWN:]
    rows = ((day, totals[day], f"{totals[day]:,.2f}", "act") for day in days)
    return bars(rows, room=COLUMN_ROOM)


def lag_bars(status: Mapping[str, Any] | None) -> list[Bar]:
    """How far the follower and each node are behind, in blocks."""
    if status is None:
        return []
    follower = [("follower", status["follower"]["lag_blocks"])]
    nodes = [(node["alias"], node["lag_blocks"]) for node in status["nodes"]]
    rows = (
        (
            name,
            Decimal(max(0, lag)),
            f"{lag} block{'' if lag == 1 else 's'}",
            "bad" if lag >= LAG_SHOWN else "good",
        )
        for name, lag in follower + nodes
        if lag is not None
    )
    return bars(rows, least=LAG_SHOWN)


@get("/console/charts", opt=PAGE_OPT)
async def charts_page(
    desk: NamedDependency[Desk],
    look: Annotated[str | None, QueryParameter(max_length=8)] = None,
) -> Any:
    """Charts of the newest payouts and of the days; the overview shows them too.

    Figures that are not there yet come after; with `look` the page waits for them.
    """
    await desk.api.get("/api/v1/me")  # a token that is over sees no figures either
    status, seen = await asyncio.gather(
        desk.api.maybe("/status"),
        desk.look(FIGURES, "charts", lambda: _figures(desk.api), patient=bool(look)),
    )
    (payouts, more), (report, analytics, energy) = seen.value or NOTHING
    lines = report["data"] if report else []
    return desk.page(
        "charts.html",
        "/console",
        figures=seen,
        seen=len(payouts),
        more=more,
        days=analysed_days(analytics["rows"]) if analytics else by_day(payouts),
        days_complete=analytics is not None,
        energy=energy_by_day(analytics["rows"]) if analytics and not energy else [],
        energy_days=energy_columns(energy["data"]) if energy else [],
        fees=fees_by_source(payouts),
        times=settling_times(payouts),
        paid_out=money_by_day(analytics["rows"] if analytics else [], "USDT", "amount_settled"),
        received=money_by_day(lines, "USDT", "received"),
        lag=lag_bars(status),
        room=(BAR_ROOM, COLUMN_ROOM),
    )


async def _figures(api: Api) -> Any:
    """The newest payouts, and the reports of the days that are shown."""
    since = (datetime.now(UTC) - timedelta(days=DAYS_SHOWN)).strftime("%Y-%m-%d")
    return await asyncio.gather(
        api.rows("/api/v1/payouts/history", CHARTED_PAYOUTS),
        api.all(
            f"/api/v1/payments/reports?of=deposits&from={since}",
            f"/api/v1/payouts/analytics?created_after={since}T00:00:00Z",
            f"/api/v1/staking/energy?days={DAYS_SHOWN}",
        ),
    )


def _share(value: Decimal, most: Decimal, room: int) -> int:
    return int(value * room / most) if most > 0 else 0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _step(took: Any) -> str:
    for limit_s, name in SETTLE_STEPS:
        if took.total_seconds() < limit_s:
            return name
    return SLOWER


HANDLERS: Final = (charts_page,)
