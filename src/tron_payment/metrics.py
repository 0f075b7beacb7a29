"""The figures that Prometheus reads: what each means, and the one collector that shows them.

Labels are bounded by the code or the configuration: a status, a node's alias, a loop, a route's
template, a role of a wallet. An address, a user or a txid is never a label. Figures about the
store (orders, payouts, funds, audit) are the installation's, the same from every process; take
`max` over them, not `sum`. docs/operations.md explains every line; a test compares.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from bson import ObjectId
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from pymongo import monitoring

PREFIX: Final = "tronpay_"
MONGO_BUCKETS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10)
MONGO_OPERATIONS: Final = frozenset(
    {"find", "getMore", "insert", "update", "delete", "findAndModify", "aggregate", "hello"}
)
OTHER: Final = "other"

disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric. Counters end in ``_total`` and only grow while the process lives."""

    help: str
    labels: tuple[str, ...] = ()

    counter: bool = False


FIGURES: Final[Mapping[str, Spec]] = {
    "build_info": Spec("Always 1", ("version", "network")),
    "orders": Spec("Orders that are not finished (installation)", ("status",)),
    "orders_oldest_seconds": Spec("Age of the first in the queue (installation)", ("status",)),
    "orders_concluded_total": Spec("Orders that this process ended", ("status",), True),
    "order_attempts_total": Spec("Transactions by how they ended, here", ("result",), True),
    "payouts": Spec("Payouts that are not finished (installation)", ("status",)),
    "payouts_oldest_seconds": Spec("Age of the oldest (installation)", ("status",)),
    "follower_block": Spec("Last solidified block applied"),
    "follower_lag_blocks": Spec("Solidified blocks not yet applied"),
    "follower_block_age_seconds": Spec("Our clock minus the last applied block's time"),
    "follower_halted": Spec("1: the chain contradicted itself and a person must look"),
    "follower_applied_total": Spec("Blocks that this process applied", counter=True),
    "node_up": Spec("1: the node's circuit is closed", ("node",)),
    "node_head_block": Spec("Newest block that the node showed", ("node",)),
    "node_solid_block": Spec("Newest solidified block that the node showed", ("node",)),
    "node_lag_blocks": Spec("Solidified blocks behind the best node", ("node",)),
    "node_calls_total": Spec("Calls to the node", ("node",), True),
    "node_failures_total": Spec("Calls that the node did not answer", ("node",), True),
    "nodes_required": Spec("How many nodes must show the same block (NODE_AGREEMENT)"),
    "node_contradicts": Spec("1: it showed another block than the others", ("node",)),
    "node_apart": Spec("1: outvoted about a block, and not used until a person decides", ("node",)),
    "clock_offset_seconds": Spec("Our clock minus the newest head that enough nodes show"),
    "reconciliation_difference": Spec("Chain against books, smallest units", ("asset",)),
    "reconciliation_block": Spec("Newest solidified block of the last comparison"),
    "reconciliation_age_seconds": Spec("Since the last comparison was finished"),
    "unmatched_outgoing": Spec(
        "Transactions out of our addresses that nobody ordered or acknowledged (installation)"
    ),
    "ledger_left_out": Spec(
        "How often the books had no room for what a token claims, within a day (installation)"
    ),
    "safe_mode_seconds": Spec("How long safe mode has lasted, 0 when it is off (installation)"),
    "funds_units": Spec("Booked funds, smallest units", ("holder", "asset", "pocket")),
    "energy_available": Spec("Energy that the holder can use now", ("holder",)),
    "module_figure": Spec("Numbers of a module's own stats", ("module", "name")),
    "transfers_unproved": Spec(
        "Transactions by which contracts sent us TRX, told by too few nodes (installation)"
    ),
    "audit_entries": Spec("Entries in the audit log (installation)"),
    "audit_pending": Spec("Accepted requests not in the audit log yet (installation)"),
    "audit_pending_oldest_seconds": Spec("Age of the oldest of them (installation)"),
    "audit_chain_ok": Spec("1: every entry since our start follows from the one before"),
    "audit_log_ok": Spec("1: the whole log was sound when it was last read; none before the first"),
    "audit_verified_age_seconds": Spec("Since the whole log was read and sound, or our start"),
    "loop_steps_total": Spec("Steps of a background loop", ("loop",), True),
    "loop_failures_total": Spec("Steps that failed", ("loop",), True),
    "loop_failing": Spec("1: the last step failed", ("loop",)),
    "log_events_total": Spec("Events by name, also those below the log level", ("event",), True),
    "log_errors_total": Spec("Events of level error and critical", ("event",), True),
    "log_lines_lost_total": Spec("Lines of the log that could not be written", counter=True),
    "mongo_writable": Spec("1: the store has a primary that takes writes"),
    "egress_blocked_total": Spec("Connections and look-ups refused inside", ("kind",), True),
}

HISTOGRAMS: Final[Mapping[str, Spec]] = {
    "mongo_operation_seconds": Spec("Time that the store took", ("operation",)),
}
COUNTERS: Final[Mapping[str, Spec]] = {
    "mongo_failures_total": Spec("Operations that the store refused or left", ("operation",), True),
}
FRONT_DOOR: Final = ("http_requests_total", "http_request_seconds")
"""Made by http/front.py: by method, route template and status."""


class Figures(Collector):
    """The present value of each figure of the table."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in FIGURES}

    def put(self, name: str, value: float, *labels: str) -> None:
        """Set one value."""
        assert len(labels) == len(FIGURES[name].labels), name
        self._values[name][labels] = value

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set all values of a figure; labels that are not given disappear."""
        assert all(len(labels) == len(FIGURES[name].labels) for labels in values), name
        self._values[name] = dict(values)

    def get(self, name: str, *labels: str) -> float | None:
        return self._values[name].get(labels)

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        for name, spec in FIGURES.items():
            if not self._values[name]:
                continue
            kind = CounterMetricFamily if spec.counter else GaugeMetricFamily
            family = kind(PREFIX + name, spec.help, labels=spec.labels)
            for labels, value in list(self._values[name].items()):
                family.add_metric(labels, value)
            yield family


class Times:
    """How often something took how long; as prometheus_client's histogram, whose three locks for
    each time are for threads, and whatever is timed here happens in the event loop's."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = tuple(bounds_s)
        self._counts = [0] * (len(self._bounds_s) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self._sum_s += seconds

    @property
    def count(self) -> int:
        return sum(self._counts)

    def show(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add what was counted to a histogram, whose buckets each count those before them, too."""
        bounds = [*(str(float(each)) for each in self._bounds_s), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._sum_s)

    def __add__(self, other: "Times") -> "Times":
        both = Times(self._bounds_s)
        both._counts = [sum(pair) for pair in zip(self._counts, other._counts, strict=True)]
        both._sum_s = self._sum_s + other._sum_s
        return both


class MongoWatch(monitoring.CommandListener, monitoring.TopologyListener, Collector):
    """Times every command of every client of this process, and knows whether there is a primary."""

    def __init__(self) -> None:
        spec = COUNTERS["mongo_failures_total"]
        self._failures = Counter(
            PREFIX + "mongo_failures_total", spec.help, spec.labels, registry=None
        )
        self._times = {name: Times(MONGO_BUCKETS_S) for name in (*MONGO_OPERATIONS, OTHER)}
        self._writable: dict[ObjectId, bool] = {}
        for name in self._times:  # `rate` does not see the first of what was not there
            self._failures.labels(name)

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Nothing to note yet."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._times[_operation(event.command_name)].add(event.duration_micros / 1e6)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._failures.labels(_operation(event.command_name)).inc()

    def opened(self, event: monitoring.TopologyOpenedEvent) -> None:
        """Nothing is known of it yet."""

    def description_changed(self, event: monitoring.TopologyDescriptionChangedEvent) -> None:
        writable = event.new_description.has_writable_server()
        self._writable[event.topology_id] = writable

    def closed(self, event: monitoring.TopologyClosedEvent) -> None:
        self._writable.pop(event.topology_id, None)

    @property
    def writable(self) -> bool:
        """Whether each client knows a server that takes writes. Without one no command begins, so
        none fails; a member that is away while another one is the primary changes nothing here."""
        return all(self._writable.values())

    def collect(self) -> Iterable[Metric]:
        """For the registry."""
        gauge = "mongo_writable"
        yield GaugeMetricFamily(PREFIX + gauge, FIGURES[gauge].help, value=self.writable)
        name = "mongo_operation_seconds"
        spec = HISTOGRAMS[name]
        family = HistogramMetricFamily(PREFIX + name, spec.help, labels=spec.labels)
        for operation, times in self._times.items():
            times.show(family, (operation,))
        yield family

    def register(self, registry: CollectorRegistry) -> None:
        registry.register(self)
        registry.register(self._failures)


def watch_mongo() -> MongoWatch:
    """Listen to all clients made from now on."""
    watch = MongoWatch()
    monitoring.register(watch)
    return watch


def make_registry(figures: Figures, mongo: MongoWatch | None = None) -> CollectorRegistry:
    """Everything that `/metrics` shows but the front door's own."""
    registry = CollectorRegistry()
    registry.register(figures)
    if mongo is not None:
        mongo.register(registry)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _operation(command: str) -> str:
    return command if command in MONGO_OPERATIONS else OTHER
