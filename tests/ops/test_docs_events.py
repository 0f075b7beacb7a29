"""Every event that the code can tell is in docs/events.md, and no other is."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from tests.ops.live import Live
from tron_payment.gateway.domain import PaymentStatus, RefundStatus
from tron_payment.payouts.batch_documents import BatchStatus
from tron_payment.payouts.domain import PayoutStatus

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "tron_payment"
STORE: Final = "tron_payment.db.events"
STATUSES: Final[dict[str, type[StrEnum]]] = {
    "payout": PayoutStatus,
    "batch": BatchStatus,
    "payment": PaymentStatus,
    "refund": RefundStatus,
}
"""What comes behind ``payout.`` and so on, where the code puts a status there."""

NEVER_TOLD: Final = frozenset({"batch.awaiting_approval", "payment.awaiting_payment"})
"""Statuses in which a thing begins and never comes back to: no event, or ``payment.created``."""

PASSED_ON: Final = frozenset({"each.type"})
"""The outbox hands on what other places of this list have named."""

LOGS: Final = ("log.", "describe")
"""Calls that write a line of the log, or of the audit log."""

HAPPENING: Final = re.compile(r"^(payment|refund)\.[a-z_{}]*$")
ROW: Final = re.compile(r"^\| `([a-z_]+\.[a-z_]+)` \|", re.MULTILINE)


def documented() -> set[str]:
    return set(ROW.findall((ROOT / "docs" / "events.md").read_text()))


def text_of(node: ast.expr, tree: ast.Module) -> str | None:
    """A constant, a module's constant, or ``prefix.{}``; None when it is something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    if isinstance(node, ast.Name):
        for each in tree.body:
            if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == node.id:
                return text_of(each.value, tree) if each.value else None
    return None


def told_directly(tree: ast.Module) -> Iterator[str]:
    """Types of the events that a file makes itself."""
    if STORE not in {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}:
        return
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Event":
            for keyword in call.keywords:
                if keyword.arg == "type" and ast.unparse(keyword.value) not in PASSED_ON:
                    text = text_of(keyword.value, tree)
                    assert text is not None, f"what is {ast.unparse(keyword.value)}?"
                    yield text


def told_by_payments(tree: ast.Module) -> Iterator[str]:
    """Types of the happenings that payments keep for the outbox; what logs are told is none."""
    logged = {
        id(part)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith(LOGS)
        for part in ast.walk(call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in logged:
            text = text_of(node, tree)
            if text is not None and HAPPENING.match(text) and not text.endswith("."):
                yield text


def told() -> set[str]:
    """Every type of event in the code, statuses written out."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if "devnet" in path.parts:
            continue
        tree = ast.parse(path.read_text())
        found |= set(told_directly(tree))
        if path.parent == SOURCE / "gateway":
            found |= set(told_by_payments(tree))
    names: set[str] = set()
    for text in found:
        prefix, _, rest = text.partition(".")
        names |= {f"{prefix}.{s}" for s in STATUSES[prefix]} if rest == "{}" else {text}
    return names - NEVER_TOLD


def test_every_event_is_documented_and_no_other() -> None:
    assert told() == documented()


def test_the_reader_finds_each_way_of_telling() -> None:
    names = told()
    assert {"payout.settled", "batch.completed", "payment.created", "refund.queued"} <= names
    assert {"payment.deposit_credited", "webhook_endpoint.ping", "payment.paid"} <= names
    assert "payment.booked" not in names  # a line of the log


def test_what_a_payout_tells_is_documented(live: Live) -> None:
    payout_id = live.settled(live.pay())["payout_id"]
    events = live.call("GET", "/api/v1/payments/events?limit=100").json()["data"]
    assert {each["type"] for each in events} <= documented()
    assert any(each["object_id"] == payout_id for each in events)
