"""Reads the figures: what is in memory often, what costs a query seldom.

Two loops: `glance` asks nobody but the store, by index and with bounds; `look` asks the nodes and
the modules. Neither changes anything, and a failure of theirs is only a gap in a graph.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from beanie import Document
from pymongo import ASCENDING

from tron_payment import egress, logs
from tron_payment.chain import BreakerState
from tron_payment.core.address import Address
from tron_payment.core.clock import to_ms
from tron_payment.core.money import TRX, USDT
from tron_payment.db.audit import AuditEntry, Head
from tron_payment.db.faults import store_errors
from tron_payment.db.ledger import Pocket
from tron_payment.engine import LEFT_OUT, Order, OrderStatus, SafeMode
from tron_payment.engine import LIFECYCLE as ORDER_LIFECYCLE
from tron_payment.gateway import Reconciliations
from tron_payment.loops import Loop
from tron_payment.metrics import Figures
from tron_payment.payouts import LIFECYCLE as PAYOUT_LIFECYCLE
from tron_payment.payouts import Payout, PayoutStatus
from tron_payment.wallets import NoWallet, Wallets

if TYPE_CHECKING:
    from tron_payment.assembly import Assembly

GLANCE_S: Final = 5.0
LOOK_S: Final = 30.0
COUNT_MAX: Final = 100_000
"""A backlog longer than this is shown as this."""

MODULE_FIGURES_MAX: Final = 100
"""Of one module; more would be data, not figures."""

LEFT_OUT_SHOWN: Final = timedelta(days=1)
"""Longer than it takes until somebody looks; what stays is in the audit log and the reports."""

ALERTED_ERRORS: Final = ("wallet.key_unreadable",)
"""Errors in the log that alerts.yml asks for by name; shown as 0 until the first."""

SERVICE: Final = "tron-client"
HOT: Final = "hot"
_NAME: Final = re.compile(r"^[a-z][a-z_]{0,40}$")
_ATTEMPT_RESULTS: Final = {"settled": "succeeded", "failed": "reverted", "quarantined": "doubtful"}


def _live(lifecycle: Any, statuses: Any) -> tuple[str, ...]:
    return tuple(status.value for status in statuses if not lifecycle.is_final(status))


LIVE_ORDERS: Final = _live(ORDER_LIFECYCLE, OrderStatus)
LIVE_PAYOUTS: Final = _live(PAYOUT_LIFECYCLE, PayoutStatus)
"""Statuses that have figures: of what is not finished."""


class Measuring:
    """Fills the figures of a running service."""

    def __init__(self, assembly: "Assembly", figures: Figures, version: str) -> None:
        self._assembly = assembly
        self._house = assembly.house
        self._figures = figures
        self._verified: Head | None = None
        self._payer: Address | None = None
        """Whose money went when no wallet was named, at the last look."""

        figures.put("build_info", 1, version, self._house.settings.tron_network.value)

    @property
    def loops(self) -> tuple[Loop, ...]:
        return (
            Loop("metrics.glance", self.glance, GLANCE_S, SERVICE),
            Loop("metrics.look", self.look, LOOK_S, SERVICE),
        )

    async def glance(self) -> bool:
        """Memory, and bounded queries by index."""
        now = self._house.clock.now()
        self._process()
        self._follower(now)
        self._nodes()
        for name, model, live, order in (
            ("orders", Order, LIVE_ORDERS, "rank"),
            ("payouts", Payout, LIVE_PAYOUTS, "created_at"),
        ):
            await self._queue(name, model, live, order, now)
        count, oldest = await self._assembly.journal.pending()
        self._figures.put("audit_pending", count)
        self._figures.put("audit_pending_oldest_seconds", oldest)
        return False

    async def look(self) -> bool:
        """Nodes, funds, the last reconciliation, the audit chain, the modules' own numbers."""
        nodes = self._house.nodes
        heads = sorted((n.head_timestamp_ms for n in await nodes.probe() if n.head), reverse=True)
        now = self._house.clock.now()
        if heads:  # one node alone that runs ahead says nothing about our clock
            newest = heads[min(nodes.agreement, len(heads)) - 1]
            self._figures.put("clock_offset_seconds", (to_ms(now) - newest) / 1000)
        self._nodes()
        await self._reconciliation(now)
        await self._unproved()
        await self._unexplained(now)
        await self._left_out(now)
        await self._audit()
        for module in self._assembly.modules:
            if module.stats is not None:
                self._module(module.name, await module.stats())
        await self._funds()
        return False

    # ---- memory ------------------------------------------------------------------------------

    def _process(self) -> None:
        put = self._figures.put
        for kind, count in egress.blocked().items():
            put("egress_blocked_total", count, kind)
        put_events(self._figures, logs.meter)
        for loop in self._assembly.loops.all:
            put("loop_steps_total", loop.steps, loop.name)
            put("loop_failures_total", loop.failures, loop.name)
            put("loop_failing", bool(loop.last_error), loop.name)

    def _follower(self, now: datetime) -> None:
        at, put = self._assembly.follower.status(), self._figures.put
        put("follower_block", at.number)
        put("follower_lag_blocks", at.lag_blocks)
        put("follower_halted", bool(at.halted))
        put("follower_applied_total", at.applied)
        if at.timestamp_ms:
            put("follower_block_age_seconds", (to_ms(now) - at.timestamp_ms) / 1000)

    def _nodes(self) -> None:
        put = self._figures.put
        put("nodes_required", self._house.nodes.agreement)
        for node in self._house.nodes.status():
            put("node_up", node.breaker is BreakerState.CLOSED, node.alias)
            put("node_head_block", node.head, node.alias)
            put("node_solid_block", node.solid, node.alias)
            put("node_lag_blocks", node.lag_blocks, node.alias)
            put("node_calls_total", node.calls, node.alias)
            put("node_failures_total", node.failures, node.alias)
            put("node_contradicts", bool(node.contradicts), node.alias)
            put("node_apart", node.apart, node.alias)

    # ---- the store ---------------------------------------------------------------------------

    async def _queue(
        self, name: str, model: type[Document], live: tuple[str, ...], order: str, now: datetime
    ) -> None:
        """How many of each status are unfinished, and how old the first of them is."""
        collection = model.get_pymongo_collection()
        unfinished = {"status": {"$in": live}}
        idle = await collection.find_one(unfinished, {"_id": 1}) is None
        for status in live:
            if idle:  # one question instead of one for each status
                self._figures.put(name, 0, status)
                self._figures.put(f"{name}_oldest_seconds", 0, status)
                continue
            condition = {"status": status}
            first = await collection.find_one(
                condition, {"created_at": 1}, sort=[(order, ASCENDING)]
            )
            count = 0
            if first is not None:
                count = await collection.count_documents(condition, limit=COUNT_MAX)
            age = (now - first["created_at"]).total_seconds() if first is not None else 0.0
            self._figures.put(name, count, status)
            self._figures.put(f"{name}_oldest_seconds", age, status)

    async def _reconciliation(self, now: datetime) -> None:
        last = await self._house.use(Reconciliations).last()
        if last is None:
            return
        differences: dict[tuple[str, ...], float] = {
            (asset,): units for asset, units in last.difference.items()
        }
        self._figures.replace("reconciliation_difference", differences)
        self._figures.put("reconciliation_block", last.solid_block or 0)
        if last.finished_at is not None:
            age = (now - last.finished_at).total_seconds()
            self._figures.put("reconciliation_age_seconds", age)

    async def _unproved(self) -> None:
        self._figures.put("transfers_unproved", await self._house.engine.internal.unproved())

    async def _unexplained(self, now: datetime) -> None:
        """What a person still has to answer for, and how long safe mode has kept us from signing.

        Reports keep what was acknowledged; the figure does not, or the next theft would not show.
        """
        waiting = await self._house.engine.safe_mode.unexplained()
        self._figures.put("unmatched_outgoing", len(waiting))
        mode = await SafeMode.find_one()
        age = (now - mode.since).total_seconds() if mode is not None else 0.0
        self._figures.put("safe_mode_seconds", age)

    async def _left_out(self, now: datetime) -> None:
        """How often the books had no room for something, of late; again where a block repeats."""
        told = {"action": LEFT_OUT, "at": {"$gte": now - LEFT_OUT_SHOWN}}
        with store_errors():
            entries = AuditEntry.get_pymongo_collection()
            count = await entries.count_documents(told, limit=COUNT_MAX)
        self._figures.put("ledger_left_out", count)

    async def _audit(self) -> None:
        """Verify what was added since the last look; `audit verify` reads all of it."""
        head = await self._house.audit.head()
        if head is None:  # a log that is gone is no empty one
            self._figures.put("audit_chain_ok", self._verified is None)
            return
        if self._verified is None:
            self._verified = head
        bad = await self._house.audit.verify(self._verified.seq, self._verified)
        if bad is None:
            self._verified = head
        self._figures.put("audit_entries", head.seq)
        self._figures.put("audit_chain_ok", bad is None)

    async def _funds(self) -> None:
        deployment = self._house.deployment
        holders: dict[str, Address | None] = {
            HOT: await self._paying(),
            "router_v0": deployment.router_v0,
            "router_kyc": deployment.router_kyc,
        }
        funds: dict[tuple[str, ...], float] = {}
        for holder, address in holders.items():
            if address is None:
                continue
            held = await self._house.ledger.holdings(address)
            for asset in (TRX.code, USDT.code):  # an alert for little must see nothing, too
                held.setdefault(asset, {}).setdefault(Pocket.AVAILABLE, 0)
            for asset, pockets in held.items():
                for pocket, units in pockets.items():
                    funds[holder, asset, pocket.value] = units
        self._figures.replace("funds_units", funds)
        energy: dict[tuple[str, ...], float] = {}
        if (hot := holders[HOT]) is not None:
            found = await self._house.nodes.resources(hot)
            energy[HOT,] = max(0, found.energy_limit - found.energy_used)
        self._figures.replace("energy_available", energy)

    async def _paying(self) -> Address | None:
        """Whose money goes when no wallet is named; None where nobody's does.

        The only funded one stays in sight when it has nothing any more: its alert is for just that.
        """
        try:
            self._payer = await self._house.use(Wallets).paying_address(None)
        except NoWallet:
            if self._payer is not None and await self._has_funds(self._payer):
                self._payer = None  # it is one of several now
        return self._payer

    async def _has_funds(self, address: Address) -> bool:
        held = await self._house.ledger.holdings(address)
        return any(units > 0 for pockets in held.values() for units in pockets.values())

    def _module(self, module: str, stats: Mapping[str, Any]) -> None:
        flat = dict(_numbers("", stats))
        for name in sorted(flat)[:MODULE_FIGURES_MAX]:
            self._figures.put("module_figure", flat[name], module, name)


def put_events(figures: Figures, meter: logs.Meter) -> None:
    """What was counted of events; `increase` does not see the first of what was not there."""
    put = figures.put
    put("log_lines_lost_total", meter.lost)
    for event, count in meter.events.items():
        put("log_events_total", count, event)
    for event, count in (dict.fromkeys(ALERTED_ERRORS, 0) | meter.errors).items():
        put("log_errors_total", count, event)
    for status, count in (dict.fromkeys(_ATTEMPT_RESULTS, 0) | meter.concluded).items():
        put("orders_concluded_total", count, status)
        put("order_attempts_total", count, _ATTEMPT_RESULTS.get(status, status))
    put("order_attempts_total", meter.expired, "expired")


def _numbers(prefix: str, stats: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Whole numbers under names that the code chose; everything else is no figure."""
    found: list[tuple[str, float]] = []
    for key, value in stats.items():
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += _numbers(f"{name}_", value)
        elif isinstance(value, int):
            found.append((name, value))
    return found
