"""Every figure is there, bounded and explained; every alert has its page."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from tests import plain
from tests.ops.installation import hot_address, until
from tests.ops.live import RECIPIENT, Live
from tron_payment import metrics

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "tron-payment.json"

NAMES = {
    *(metrics.PREFIX + name for name in (*metrics.FIGURES, *metrics.HISTOGRAMS, *metrics.COUNTERS)),
    *metrics.FRONT_DOOR,
}


def samples(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_times_are_shown_as_the_library_shows_them() -> None:
    bounds, name, text = metrics.MONGO_BUCKETS_S, "some_seconds", "How long it took"
    theirs, ours = CollectorRegistry(), HistogramMetricFamily(name, text, labels=("of",))
    histogram = Histogram(name, text, ("of",), buckets=bounds, registry=theirs)
    for label, several in (("a", (0.0, 0.001, 0.0011, 10.0, 10.5, 3600.0)), ("b", (0.25, 2.5))):
        first, second = metrics.Times(bounds), metrics.Times(bounds)
        for number, seconds in enumerate(several):
            histogram.labels(label).observe(seconds)
            (first, second)[number % 2].add(seconds)
        assert (first + second).count == len(several)
        (first + second).show(ours, (label,))

    class Ours(Collector):
        def collect(self) -> list[HistogramMetricFamily]:
            return [ours]

    shown = CollectorRegistry()
    shown.register(Ours())
    assert generate_latest(shown) == generate_latest(theirs)


def test_a_running_service_shows_its_figures(live: Live) -> None:
    payout = live.settled(live.pay())

    def shown() -> str | None:
        text = plain.get(live.url + "/metrics").text
        seen = samples(text)
        concluded = seen.get("tronpay_orders_concluded_total", {}).get(("settled",), 0)
        return text if concluded and "tronpay_funds_units" in seen else None

    text = until(shown, "figures", within_s=90)
    seen = samples(text)
    assert seen["tronpay_build_info"] == {("private", "0.1.0"): 1}
    assert seen["tronpay_node_up"] == {("node-1",): 1}
    assert seen["tronpay_node_solid_block"][("node-1",)] > 0
    assert seen["tronpay_follower_halted"] == {(): 0}
    assert seen["tronpay_egress_blocked_total"] == {("connect",): 0, ("lookup",): 0}
    assert seen["tronpay_audit_chain_ok"] == {(): 1}
    assert seen["tronpay_mongo_operation_seconds_count"][("find",)] > 10
    assert seen["tronpay_mongo_writable"] == {(): 1}
    assert seen["tronpay_log_lines_lost_total"] == {(): 0}
    for asset in ("TRX", "USDT"):
        assert (asset, "hot", "available") in seen["tronpay_funds_units"]
    assert seen["tronpay_log_errors_total"][("wallet.key_unreadable",)] == 0
    assert seen["tronpay_order_attempts_total"][("succeeded",)] >= 1
    assert seen["tronpay_orders_concluded_total"][("failed",)] == 0
    initiated = [key for key in seen["http_requests_total"] if "202" in key]
    assert initiated and all(
        tuple("500" if each == "202" else each for each in key) in seen["http_requests_total"]
        for key in initiated
    )
    for stranger in (hot_address(), RECIPIENT, payout["txid"], payout["payout_id"], "alice"):
        assert stranger not in text
    for family in text_string_to_metric_families(text):
        assert len(family.samples) < 1_000, family.name
        if family.name.startswith("tronpay"):
            assert family.name in NAMES or f"{family.name}_total" in NAMES, family.name


def test_every_figure_is_explained() -> None:
    text = OPERATIONS.read_text()
    explained = set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE))
    assert explained >= NAMES, NAMES - explained
    foreign = {n for n in explained if n.startswith(metrics.PREFIX)} - NAMES
    assert not foreign


def _used(expression: str) -> set[str]:
    found = set(re.findall(r"\b(tronpay_[a-z_]+|http_requests?[a-z_]*)\b", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def test_every_alert_has_a_page_and_uses_figures_that_exist() -> None:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) >= 20
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    for rule in alerts:
        page = rule["annotations"]["runbook"]
        assert (ROOT / page).is_file(), page
        text = (ROOT / page).read_text()
        assert f"# {rule['alert']}" in text, f"{page} has no section {rule['alert']}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert _used(rule["expr"]) <= NAMES | recorded, rule["expr"]
    pages = {rule["annotations"]["runbook"] for rule in alerts}
    names = {rule["alert"] for rule in alerts}
    for path in (ROOT / "docs" / "runbooks").glob("*.md"):
        if path.name != "README.md":
            assert str(path.relative_to(ROOT)) in pages, path
            assert set(re.findall(r"^# (\w+)$", path.read_text(), re.MULTILINE)) <= names, path


def test_the_dashboard_uses_figures_that_exist() -> None:
    board = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len(panels) >= 12
    for panel in panels:
        for target in panel["targets"]:
            assert _used(target["expr"]) and _used(target["expr"]) <= NAMES, target["expr"]
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", sorted(metrics.FIGURES))
def test_counters_end_in_total_and_nothing_else_does(name: str) -> None:
    assert metrics.FIGURES[name].counter is name.endswith("_total")
