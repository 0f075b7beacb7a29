"""Charts: whole pixels, nothing lost, nothing divided by zero."""

from decimal import Decimal
from typing import Any

from tron_payment.console.charts import (
    BAR_ROOM,
    COLUMN_ROOM,
    analysed_days,
    bars,
    by_day,
    energy_by_day,
    energy_columns,
    fees_by_source,
    lag_bars,
    money_by_day,
    settling_times,
)


def payout(status: str = "settled", day: str = "2026-11-20", **more: Any) -> dict[str, Any]:
    fee = {"paid_trx": more.get("fee"), "source": more.get("source")}
    return {
        "status": status,
        "created_at": f"{day}T10:00:00Z",
        "updated_at": more.get("updated_at"),
        "fee": fee,
    }


def test_the_longest_bar_fills_the_room() -> None:
    found = bars([("a", Decimal(1), "1", "act"), ("b", Decimal(4), "4", "act")])
    assert [bar.length for bar in found] == [BAR_ROOM // 4, BAR_ROOM]
    assert [bar.length for bar in bars([("a", Decimal(0), "0", "act")])] == [0]
    assert bars([]) == []


def test_columns_count_every_payout_of_the_last_days() -> None:
    rows = [payout(day=f"2026-11-{day:02}") for day in range(1, 21)] + [payout("failed")] * 3
    found = by_day(rows)
    assert len(found) == 14 and found[-1].label == "2026-11-20" and found[-1].total == 4
    assert sum(part.height for part in found[-1].parts) <= COLUMN_ROOM
    assert {part.tone for part in found[-1].parts} == {"good", "bad"}
    assert by_day([]) == []


def test_fees_are_means_by_source() -> None:
    rows = [payout(fee="2", source="burn"), payout(fee="4", source="burn"), payout("queued")]
    (bar,) = fees_by_source(rows)
    assert (bar.label, bar.text) == ("burn", "3.0000 TRX, of 2")


def test_settling_times_fall_into_steps() -> None:
    rows = [payout(updated_at=f"2026-11-20T10:{text}Z") for text in ("00:09", "00:59", "30:00")]
    assert [bar.text for bar in settling_times(rows)] == ["1", "1", "0", "1"]


def test_money_is_added_without_rounding() -> None:
    lines = [{"day": "2026-11-20", "currency": "USDT", "paid_out": "0.1"}] * 3
    lines.append({"day": "2026-11-20", "currency": "TRX", "paid_out": "9"})
    (bar,) = money_by_day(lines, "USDT", "paid_out")
    assert bar.text == "0.30"


def test_lag_is_shown_for_follower_and_nodes() -> None:
    nodes = [{"alias": "n1", "lag_blocks": -1}, {"alias": "n2", "lag_blocks": None}]
    found = lag_bars({"follower": {"lag_blocks": 30}, "nodes": nodes})
    assert [(bar.label, bar.tone) for bar in found] == [("follower", "bad"), ("n1", "good")]
    assert lag_bars(None) == []


def test_analytics_are_added_over_routes() -> None:
    one = {"day": "2026-11-20", "settled": 2, "open": 1, "failed": 0, "energy_used": 7}
    (column,) = analysed_days([one, one])
    assert column.total == 6 and {part.label for part in column.parts} == {"settled", "queued"}
    assert energy_by_day([one, one])[0].text == "14 energy"


def test_energy_stands_by_its_source_beside_what_came_back() -> None:
    row = {
        "day": "2026-11-20",
        "energy_used": 130_000,
        "energy_staked": 65_000,
        "energy_creator": 0,
        "energy_burned": 65_000,
        "energy_regained": 32_500,
        "burned_trx": "6.5",
    }
    (day,) = energy_columns([row])
    assert [(p.label, p.count, p.height) for p in day.used.parts] == [
        ("from stakes", 65_000, COLUMN_ROOM // 2),
        ("burned", 65_000, COLUMN_ROOM // 2),
    ]
    assert [(p.label, p.y, p.height) for p in day.regained.parts] == [
        ("regained", COLUMN_ROOM * 3 // 4, COLUMN_ROOM // 4)
    ]
    assert energy_columns([]) == []
    none = {name: 0 for name in row if name.startswith("energy")}
    (still,) = energy_columns([{**row, **none}])
    assert (still.used.parts, still.regained.parts) == ((), ())
