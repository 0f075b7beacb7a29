"""What a benchmark answers, and how it is printed."""

from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

COLUMNS: Final = ("what", "figure", "beside", "ratio", "aim", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `beside` is the bare thing measured in the same run."""

    what: str
    figure: str
    beside: str = ""
    ratio: float | None = None
    aim: str = ""
    notes: str = ""


def print_table(rows: list[Row], console: Console) -> None:
    """One aligned table; what belongs together was measured in one run."""
    table = Table(title="tron-payment benchmarks", title_justify="left")
    for column in COLUMNS:
        right = column in ("figure", "beside", "ratio")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        table.add_row(row.what, row.figure, row.beside, ratio, row.aim, row.notes)
    console.print(table)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them are."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
