"""`resume`: follow the chain again after a contradiction, once the nodes agree."""

import argparse
from typing import Any

from tron_payment.chain import ChainContradiction, MongoCursors, Nodes, Position
from tron_payment.db.audit import Act
from tron_payment.operator.report import Exit, Report
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings


async def resume(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Compare the nodes where following has stopped; go on only where none contradicts.

    Written down before it is done: dying in between leaves a following that is still stopped.
    """
    async with assembled(settings) as assembly:
        nodes, cursors = assembly.house.nodes, MongoCursors()
        at = await cursors.load()
        if at is None or not at.halted:
            return Report({"resumed": False, "reason": ""}, ("following has not stopped",))
        data: dict[str, Any] = {"resumed": False, "reason": at.halted, "block_number": at.number}
        if problem := await _still_wrong(nodes, at):
            lines = (f"stopped at block {at.number}: {at.halted}", f"still: {problem}")
            return Report(data | {"problem": problem}, lines, Exit.FAILED)
        await assembly.house.audit.append(
            Act(
                actor="command-line",
                role="operator",
                action="follower.resumed",
                object_id=str(at.number),
                before={"halted": at.halted},
                after={"nodes": len(nodes.status()), "agreement": nodes.agreement},
            )
        )
        await cursors.resume(at.halted)
    line = f"following goes on after block {at.number}; it had stopped: {at.halted}"
    return Report(data | {"resumed": True}, (line,))


async def _still_wrong(nodes: Nodes, at: Position) -> str:
    """What speaks against going on from there; empty when nothing does."""
    try:
        applied = await nodes.solid_header(at.number)
        if applied.block_id != at.block_id:
            return (
                f"block {at.number} was applied as {at.block_id}, "
                f"and the nodes show {applied.block_id}"
            )
        if (await nodes.solid_head()).number > at.number:
            following = await nodes.solid_block(at.number + 1)
            if following.parent_id != at.block_id:
                return f"block {following.number} follows {following.parent_id}"
    except ChainContradiction as contradiction:
        return contradiction.reason
    return ""
