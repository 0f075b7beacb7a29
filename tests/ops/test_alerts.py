"""Alert rules are what Prometheus would load: shapes, durations, expressions, labels that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tron_payment import egress, logs, metrics
from tron_payment.measuring import ALERTED_ERRORS, LIVE_ORDERS, LIVE_PAYOUTS, put_events

ROOT = Path(__file__).parents[2]
GROUPS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
DURATION = re.compile(r"^([0-9]+(ms|[smhdwy]))+$")
EVERYWHERE = frozenset({"job", "instance"})
FRONT_DOOR = {
    "http_requests_total": ("method", "route", "status"),
    "http_request_seconds": ("method", "route"),
}
LABELS = {
    **{
        metrics.PREFIX + name: set(spec.labels)
        for table in (metrics.FIGURES, metrics.HISTOGRAMS, metrics.COUNTERS)
        for name, spec in table.items()
    },
    **{name: set(labels) for name, labels in FRONT_DOOR.items()},
    **{
        name: set()
        for name in ("process_start_time_seconds", "process_resident_memory_bytes", "up")
    },
}
FUNCTIONS = frozenset(
    {
        "abs",
        "absent",
        "changes",
        "count",
        "histogram_quantile",
        "increase",
        "quantile_over_time",
        "rate",
        "sum",
        "max",
        "min",
        "and",
        "or",
    }
)
SELECTOR = re.compile(r"\b([a-z_][a-z0-9_]*+)(?!\s*\()\s*(\{[^}]*\})?(\[[^\]]*\])?")
COUNTED = re.compile(r"\b(?:increase|rate)\(([a-z_]+_total)\b")
MATCHER = re.compile(r'^\s*([a-z_]+)\s*(=|!=|=~|!~)\s*"([^"]*)"\s*$')


TOLD_S = 60
"""After this somebody knows of a full disk."""

ELECTION_S = 15


def seconds(duration: str) -> int:
    assert re.fullmatch(r"[0-9]+[sm]", duration), duration
    return int(duration[:-1]) * (60 if duration[-1] == "m" else 1)


def names(rule: dict[str, Any]) -> str:
    return str(rule["alert"])


def without_grouping(expression: str) -> str:
    return re.sub(r"\b(by|without)\s*\([^)]*\)", " ", expression)


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_a_rule_has_the_fields_that_prometheus_knows(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"]) and DURATION.match(rule["for"])
    assert set(rule["labels"]) == {"severity"}
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert "{{" not in rule["annotations"]["summary"], "no template: nothing to get wrong"


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_an_expression_is_balanced_and_compares(rule: dict[str, Any]) -> None:
    text = re.sub(r'"[^"]*"', '""', rule["expr"])
    open_ones: list[str] = []
    for char in text:
        if char in "([{":
            open_ones.append(char)
        elif char in ")]}":
            assert open_ones and open_ones.pop() + char in ("()", "[]", "{}"), rule["expr"]
    assert not open_ones
    assert re.search(r"(>|<|==|!=)", text), "an alert without a comparison always fires"
    for span in re.findall(r"\[([^\]]*)\]", text):
        window, *step = span.split(":")  # a subquery has both
        assert DURATION.match(window) and all(map(DURATION.match, step)), span


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_an_expression_asks_for_labels_that_the_figure_has(rule: dict[str, Any]) -> None:
    found = 0
    for name, selector, span in SELECTOR.findall(without_grouping(rule["expr"])):
        if name in FUNCTIONS:
            continue
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        labels = LABELS[name] if name in LABELS else LABELS[base]
        found += 1
        inner = selector.strip("{}")
        for matcher in re.findall(r'[a-z_]+\s*(?:=~|!~|!=|=)\s*"[^"]*"', inner):
            parts = MATCHER.match(matcher)
            assert parts is not None, matcher
            label, operator, value = parts.groups()
            assert label in labels | EVERYWHERE, f"{name} has no label {label}"
            if operator in ("=~", "!~"):
                re.compile(value)
        counts = name.endswith(("_total", "_bucket"))
        assert counts == bool(span) or name == "process_start_time_seconds", f"{name}{span}"
    assert found


def test_groupings_are_by_labels_that_exist() -> None:
    every = set().union(*LABELS.values()) | EVERYWHERE | {"le"}
    for rule in RULES:
        for grouping in re.findall(r"\bby\s*\(([^)]*)\)", rule["expr"]):
            assert {label.strip() for label in grouping.split(",")} <= every, rule["alert"]


def test_there_is_an_alert_for_everything_that_runs_dry() -> None:
    by_name = {rule["alert"]: rule["expr"] for rule in RULES}
    assert len(by_name) == len(RULES), "names are unique"
    assert 'holder=~"router_.*"' in by_name["RouterLow"] and 'asset="USDT"' in by_name["RouterLow"]
    assert (
        'holder="hot"' in by_name["HotWalletTrxLow"] and 'asset="TRX"' in by_name["HotWalletTrxLow"]
    )
    assert "tronpay_energy_available" in by_name["EnergyLow"]


def test_a_store_that_fails_is_told_within_a_minute_and_an_election_is_not() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    scrape_s = seconds(yaml.safe_load(text)["global"]["scrape_interval"])
    (group,) = [each for each in GROUPS if each["name"] == "tron-payment-store"]
    (rule,) = [rule for rule in group["rules"] if rule["alert"] == "StoreFailing"]
    window_s = seconds(re.findall(r"\[(\w+)\]", rule["expr"])[0])
    assert window_s > 2 * scrape_s, "a rate takes two samples"
    assert scrape_s + seconds(group["interval"]) + seconds(rule["for"]) <= TOLD_S
    # what an election broke off is in two samples that follow each other, and in the rate so long
    assert scrape_s >= ELECTION_S and window_s < seconds(rule["for"])


def test_an_alert_asks_for_statuses_that_are_shown() -> None:
    """Statuses that are final have no figure."""
    asked = set(
        re.findall(r'tronpay_(orders|payouts)(?:_oldest_seconds)?\{status="(\w+)"', str(RULES))
    )
    shown = {("orders", each) for each in LIVE_ORDERS} | {
        ("payouts", each) for each in LIVE_PAYOUTS
    }
    assert asked <= shown
    assert asked >= {("orders", "quarantined"), ("payouts", "quarantined")}, "both page"


def test_prometheus_is_told_of_the_rules_and_of_the_service() -> None:
    text = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text()
    configuration = yaml.safe_load(text)
    assert any("alerts.yml" in path for path in configuration["rule_files"])
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', str(RULES))) <= set(jobs)
    (names,) = jobs["tron-payment"]["dns_sd_configs"]
    assert names["names"] == ["tron-payment"] and names["type"] == "A", "every replica by itself"
    assert names["port"] == 8090 and "static_configs" not in jobs["tron-payment"]


def test_an_alert_for_an_event_sees_the_first_of_them() -> None:
    asked = set(re.findall(r'tronpay_log_errors_total\{event="([^"]+)"', str(RULES)))
    assert asked == set(ALERTED_ERRORS)


def test_what_alerts_count_is_shown_before_it_happens() -> None:
    """`increase` and `rate` take the first value of a series for what was there before."""
    figures = metrics.Figures()
    put_events(figures, logs.Meter())
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.make_registry(figures, metrics.MongoWatch()).collect()
        for sample in family.samples
    }
    asked = {name for rule in RULES for name in COUNTED.findall(rule["expr"])}
    for name, *labels in (
        ("tronpay_orders_concluded_total", "failed"),
        ("tronpay_order_attempts_total", "expired"),
        ("tronpay_log_errors_total", "wallet.key_unreadable"),
        ("tronpay_mongo_failures_total", "update"),
        ("tronpay_log_lines_lost_total",),
    ):
        assert shown[name, *labels] == 0, name
        asked.remove(name)
    assert set(egress.blocked().values()) == {0}
    # every node has its own from the first look on, and http/front.py shows its own
    assert asked == {
        *("tronpay_egress_blocked_total", "tronpay_node_failures_total", "http_requests_total"),
    }
