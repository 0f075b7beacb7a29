"""The crash points that the sweep has met, as the table in `docs/exactly-once.md`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEEN: Final[set[tuple[str, str]]] = set()
"""(scenario, ``before|after label``)."""

PAGE: Final = Path(__file__).parents[2] / "docs" / "exactly-once.md"
BEGIN, END = "<!-- crash points: begin -->", "<!-- crash points: end -->"
MEANINGS: Final = {
    "db:cursors": "the follower's place moves on, after everything else of a block",
    "db:ledger_balances": "the balance cache is rolled forward",
    "db:ledger_entries+block": "a block's movements and the ends of its orders are booked",
    "db:ledger_entries+close": "a canceled or failed order's funds are released, for ever",
    "db:ledger_entries+open": "an address's opening balance is booked",
    "db:ledger_entries+reserve": "funds are set aside",
    "db:ledger_entries+watch": "an address's movements are booked from now on",
    "db:ledger_head": "the balance cache says how far it is",
    "db:ledger_holders": "an address becomes a holder",
    "db:opening_requests": "an opening is asked for, or done",
    "db:opening_requests.read_at_block": "the balances at a solid block are stored",
    "db:opening_requests.watched_at_block": "the block at which watching began is stored",
    "db:orders": "the order is stored",
    "db:orders.books_open": "the order's books are closed",
    "db:orders.due_at": "bytes were sent (a hint), or the order waits",
    "db:orders.news": "the module has heard",
    "db:orders=canceled": "the order ends without payment",
    "db:orders=failed": "a solid receipt says that nothing was paid",
    "db:orders=reserved": "funds are set aside, or the proof of death of an attempt is stored",
    "db:orders=settled": "a solid receipt says that it was paid",
    "db:orders=signed": "the signed bytes are stored, before anybody sees them",
    "db:timestamp_counters": "the signer's counter gives out timestamps",
    "node:account": "a TRX balance is read",
    "node:block": "a solid block is read",
    "node:broadcast": "the bytes leave the process",
    "node:constant_call": "the call is simulated for its energy",
    "node:head": "the chain's time is read",
    "node:parameters": "prices are read",
    "node:receipts": "a solid block's receipts are read",
    "node:solid_head": "the newest solid block's number is read",
    "sign": "the key signs",
}


def rendered() -> str:
    """The table, from what was seen."""
    scenarios: dict[str, set[str]] = {}
    phases: dict[str, set[str]] = {}
    for scenario, point in SEEN:
        phase, _, label = point.partition(" ")
        scenarios.setdefault(label, set()).add(scenario)
        phases.setdefault(label, set()).add(phase)
    lines = ["| point | what happens there | died | in |", "|---|---|---|---|"]
    for label in sorted(scenarios):
        died = ", ".join(sorted(phases[label], reverse=True))
        where = ", ".join(sorted(scenarios[label]))
        lines.append(f"| `{label}` | {MEANINGS[label]} | {died} | {where} |")
    return "\n".join(lines)


def in_docs() -> str:
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


@dataclass(frozen=True)
class Row:
    """A line of the page's table."""

    label: str
    meaning: str
    died: frozenset[str]
    scenarios: frozenset[str]


def rows() -> list[Row]:
    """The table as the page has it."""
    found = []
    for line in in_docs().splitlines()[2:]:
        label, meaning, died, where = (cell.strip() for cell in line.strip("|").split("|"))
        found.append(
            Row(
                label.strip("`"), meaning, frozenset(died.split(", ")), frozenset(where.split(", "))
            )
        )
    return found


def forget(scenario: str) -> None:
    """A sweep begins; another one, perhaps of code with a planted defect, has met other points."""
    SEEN.difference_update([each for each in SEEN if each[0] == scenario])


def assert_on_page(scenario: str) -> None:
    """What this scenario has met is what the page says of it: each test checks its own part, so
    that it does not matter which process runs which."""
    documented = {row.label: row.died for row in rows() if scenario in row.scenarios}
    met: dict[str, set[str]] = {}
    for _, point in (each for each in SEEN if each[0] == scenario):
        phase, _, label = point.partition(" ")
        met.setdefault(label, set()).add(phase)
    assert met.keys() == documented.keys(), f"CRASH_TABLE=write: {met.keys() ^ documented.keys()}"
    for label, phases in met.items():
        assert phases <= documented[label], f"CRASH_TABLE=write: {label} died {phases}"


def write() -> None:
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{BEGIN}\n{rendered()}\n{END}{tail}")
