"""`resume`: after a contradiction, once the nodes agree: follow the chain again, and let back the
nodes that were set apart."""

import argparse
from collections.abc import Mapping
from typing import Any

from tron_payment.chain import Apart, ChainContradiction, MongoCursors, NodeRefused, Nodes, Position
from tron_payment.core.errors import Unavailable
from tron_payment.db.audit import Act, Audit
from tron_payment.operator.report import Exit, Report
from tron_payment.operator.reread import Reread
from tron_payment.operator.runner import assembled
from tron_payment.settings import Settings


async def resume(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Compare the nodes where they differed; go on only where none contradicts.

    Written down before it is done: dying in between leaves what was stopped or apart as it is.
    """
    async with assembled(settings) as assembly:
        house = assembly.house
        if arguments.from_block is not None:
            safe_modes = house.engine.safe_mode
            reread = Reread(house.nodes, house.ledger, house.openings, safe_modes, house.audit)
            return await reread.from_block(arguments.from_block)
        following = await _following(house.nodes, house.audit)
        await assembly.apart.step()  # whom this look has outvoted
        nodes = await readmit(house.nodes, house.audit, force=arguments.force)
    return Report(
        {**following.data, **nodes.data},
        (*following.lines, *nodes.lines),
        max(following.exit, nodes.exit),
    )


async def _following(nodes: Nodes, audit: Audit) -> Report:
    cursors = MongoCursors()
    at = await cursors.load()
    if at is None or not at.halted:
        return Report({"resumed": False, "reason": ""}, ("following has not stopped",))
    data: dict[str, Any] = {"resumed": False, "reason": at.halted, "block_number": at.number}
    if problem := await _still_wrong(nodes, at):
        lines = (f"stopped at block {at.number}: {at.halted}", f"still: {problem}")
        return Report(data | {"problem": problem}, lines, Exit.FAILED)
    after = {"nodes": len(nodes.status()), "agreement": nodes.agreement}
    await _write_down(audit, "follower.resumed", str(at.number), {"halted": at.halted}, after)
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
        newest = await nodes.solid_head()
        await nodes.compare_behind()
        if newest.number > at.number:
            following = await nodes.solid_block(at.number + 1)
            if following.parent_id != at.block_id:
                return f"block {following.number} follows {following.parent_id}"
    except ChainContradiction as contradiction:
        return contradiction.reason
    return ""


async def readmit(nodes: Nodes, audit: Audit, *, force: bool) -> Report:
    """Let back whoever shows what the others show, at the block it was outvoted about and now.

    Args:
        force: Also whom nobody can compare at that block any more.
    """
    configured = {each.client.identity: each.client.alias for each in nodes.members}
    told, lines, exit_ = [], [], Exit.OK
    for each in await Apart.load():
        alias = configured.get(each.id)
        if alias is None or not nodes.outvotes:
            now = "is not configured now" if alias is None else "is used while NODE_DISSENT=stop"
            lines.append(f"{alias or each.alias}, set apart {each.since:%Y-%m-%d}, {now}")
            continue
        nodes.members.keep_apart(each.id, each.block_number, each.shown)
        problem = await _wrong_now(nodes, alias)
        unknown = ""
        if not problem:
            problem, unknown = await _wrong_then(nodes, alias, each.block_number)
        if unknown and not force:
            problem = f"{unknown}; `tron-payment resume --force` uses it all the same"
        told.append({"node": alias, "block_number": each.block_number, "problem": problem})
        if problem:
            lines.append(f"{alias} stays apart: {problem}")
            exit_ = Exit.FAILED
            continue
        before = {"block_number": each.block_number, "shown": each.shown}
        after = {"not_compared": unknown} if unknown else {}
        await _write_down(audit, "node.readmitted", alias, before, after)
        await Apart.let_back(each.id)
        had_shown = f"it had shown of block {each.block_number}: {each.shown}"
        lines.append(f"{alias} is used again; {'; '.join(filter(None, (had_shown, unknown)))}")
    return Report({"nodes": told}, tuple(lines), exit_)


async def _wrong_now(nodes: Nodes, alias: str) -> str:
    """What speaks against using it again at the newest solidified block; empty when nothing."""
    try:
        newest = (await nodes.solid_head()).number
        shown = await nodes.compare(alias, newest)
    except (ChainContradiction, NodeRefused, Unavailable) as problem:
        return problem.detail
    return f"it shows of block {newest}: {shown}" if shown else ""


async def _wrong_then(nodes: Nodes, alias: str, number: int) -> tuple[str, str]:
    """The same at the block about which it was outvoted; and why that is not known."""
    whose = "the others do"
    try:
        await nodes.solid_block(number)
        whose = "it does"
        shown = await nodes.compare(alias, number)
    except ChainContradiction as problem:
        return problem.detail, ""
    except (NodeRefused, Unavailable) as problem:  # nobody keeps blocks for ever
        lost = f"{whose} not show block {number} any more ({problem.detail})"
        return "", f"{lost}, so it was not compared"
    return (f"it shows of block {number}: {shown}" if shown else ""), ""


async def _write_down(
    audit: Audit,
    action: str,
    object_id: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    await audit.append(
        Act(
            actor="command-line",
            role="operator",
            action=action,
            object_id=object_id,
            before=dict(before),
            after=dict(after),
        )
    )
