"""`safe-mode`: why nothing is signed, until when; and its end by a person who answers for it."""

import argparse
from datetime import UTC, datetime
from typing import Any

from tron_payment.chain import MongoCursors, Position
from tron_payment.core.clock import rfc3339
from tron_payment.engine import SafeMode, SafeModes
from tron_payment.operator.report import Exit, Report, failure
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings

OFF = "safe mode is off: what may be signed is signed"
UNREFUTED = (
    "a node claims the blocks {0.claimed_from} to {0.claimed_to}, or a date that they do not bear "
    "out, and too few others have answered to refute it: it lasts until they do, or until block "
    "{0.claimed_to} was followed; is a node gone for good, take it out of TRON_NODE_URL and restart"
)


async def safe_mode(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Show it, or end it. Bad (exit code 1) while it is on, and when it must not be ended yet."""
    async with assembled(settings) as assembly:
        safe_modes = assembly.house.engine.safe_mode
        if arguments.action == "end":
            return await end(safe_modes, arguments.reason or "")
        return await show(safe_modes)


async def show(safe_modes: SafeModes) -> Report:
    """Whether it is on, why, until when, and what it waits for."""
    mode = await SafeMode.find_one({})
    waiting = len(await safe_modes.unexplained())
    if mode is None:
        return Report({"on": False, "unexplained": waiting}, (OFF,))
    return _told(mode, waiting, await MongoCursors().load())


async def end(safe_modes: SafeModes, reason: str) -> Report:
    """End it now. What a restored store has forgotten may be signed and paid again from then on."""
    if not reason.strip():
        return failure("usage", "--reason is needed: it is written down", Exit.USAGE)
    if waiting := len(await safe_modes.unexplained()):
        detail = f"to be acknowledged first, because nobody here ordered them: {waiting}"
        return failure("unexplained_transactions", detail, Exit.FAILED)
    ended = await safe_modes.end(f"command-line: {reason}")
    line = "safe mode has ended; what waits is signed now" if ended else OFF
    return Report({"on": False, "ended": ended}, (line,))


def _told(mode: SafeMode, waiting: int, at: Position | None) -> Report:
    until = datetime.fromtimestamp(mode.until_ms / 1000, UTC)
    data: dict[str, Any] = {
        "on": True,
        "since": rfc3339(mode.since),
        "why": mode.why,
        "until": rfc3339(until),
        "claimed_blocks": [mode.claimed_from, mode.claimed_to] if mode.claimed_to else None,
        "unexplained": waiting,
    }
    lines = [f"safe mode is on since {mode.since:%Y-%m-%d %H:%M:%S} UTC ({mode.why})"]
    if at is not None:
        followed = datetime.fromtimestamp(at.timestamp_ms / 1000, UTC)
        data["followed_to"] = rfc3339(followed)
        left_s = max(0, mode.until_ms - at.timestamp_ms) // 1000
        lines.append(
            f"the chain is followed to {followed:%H:%M:%S}, block {at.number}; safe mode lasts to "
            f"{until:%Y-%m-%d %H:%M:%S} of the chain's time, {left_s} s more"
        )
    if mode.claimed_to:
        lines.append(UNREFUTED.format(mode))
    if waiting:
        lines.append(
            f"transactions that nobody here ordered and nobody has acknowledged: {waiting} "
            "(GET /api/v1/policy/unexplained)"
        )
    return Report(data, tuple(lines), Exit.FAILED)
