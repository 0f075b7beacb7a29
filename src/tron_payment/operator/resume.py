"""`resume`: after a contradiction, once the nodes agree: follow the chain again, and let back the
nodes that were set apart."""

import argparse
from collections.abc import Mapping
from typing import Any

from tron_payment.assembly import Assembly
from tron_payment.chain import Apart, ChainContradiction, MongoCursors, NodeRefused, Nodes, Position
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import Act
from tron_payment.operator.report import Exit, Report
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings


async def resume(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Compare the nodes where they differed; go on only where none contradicts.

    Written down before it is done: dying in between leaves what was stopped or apart as it is.
    """
    async with assembled(settings) as assembly:
        following = await _following(assembly)
        house = assembly.house
        await Apart(house.nodes, house.clock, house.audit).step()  # whom this look has outvoted
        nodes = await _nodes(assembly)
    return Report(
        {**following.data, **nodes.data},
        (*following.lines, *nodes.lines),
        max(following.exit, nodes.exit),
    )


async def _following(assembly: Assembly) -> Report:
    nodes, cursors = assembly.house.nodes, MongoCursors()
    at = await cursors.load()
    if at is None or not at.halted:
        return Report({"resumed": False, "reason": ""}, ("following has not stopped",))
    data: dict[str, Any] = {"resumed": False, "reason": at.halted, "block_number": at.number}
    if problem := await _still_wrong(nodes, at):
        lines = (f"stopped at block {at.number}: {at.halted}", f"still: {problem}")
        return Report(data | {"problem": problem}, lines, Exit.FAILED)
    after = {"nodes": len(nodes.status()), "agreement": nodes.agreement}
    await _write_down(assembly, "follower.resumed", str(at.number), {"halted": at.halted}, after)
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


async def _nodes(assembly: Assembly) -> Report:
    """Let back whoever shows what the others show, at the block it was outvoted about and now."""
    nodes = assembly.house.nodes
    configured = nodes.members.apart()
    told, lines, exit_ = [], [], Exit.OK
    for each in await Apart.load():
        if each.id not in configured:
            lines.append(f"{each.alias}, set apart {each.since:%Y-%m-%d}, is not configured now")
            continue
        alias = configured[each.id].alias
        problem = await _still_alone(nodes, alias, each.block_number)
        told.append({"node": alias, "block_number": each.block_number, "problem": problem})
        if problem:
            lines.append(f"{alias} stays apart: {problem}")
            exit_ = Exit.FAILED
            continue
        before = {"block_number": each.block_number, "shown": each.shown}
        await _write_down(assembly, "node.readmitted", alias, before, {})
        await Apart.let_back(each.id)
        had_shown = f"it had shown of block {each.block_number}: {each.shown}"
        lines.append(f"{alias} is used again; {had_shown}")
    return Report({"nodes": told}, tuple(lines), exit_)


async def _still_alone(nodes: Nodes, alias: str, number: int) -> str:
    """What speaks against using it again; empty when nothing does."""
    try:
        newest = (await nodes.solid_head()).number
        if shown := await nodes.compare(alias, newest):
            return f"it shows of block {newest}: {shown}"
    except (ChainContradiction, NodeRefused, Unavailable) as problem:
        return problem.detail
    try:
        if shown := await nodes.compare(alias, number):
            return f"it shows of block {number}: {shown}"
    except ChainContradiction as problem:
        return problem.detail
    except (NodeRefused, Unavailable):
        return ""  # nobody keeps blocks for ever, and it has come right since
    return ""


async def _write_down(
    assembly: Assembly,
    action: str,
    object_id: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    await assembly.house.audit.append(
        Act(
            actor="command-line",
            role="operator",
            action=action,
            object_id=object_id,
            before=dict(before),
            after=dict(after),
        )
    )
