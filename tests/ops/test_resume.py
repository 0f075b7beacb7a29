"""`tron-payment resume` and nodes that were set apart: whom it lets back, and what it says."""

from typing import Any

import msgspec
import pytest

from tests.chain.scripted import ScriptedChain, ScriptedNode
from tests.chain.test_apart import apart, forked, keeper_of, named, nodes_of
from tests.conftest import Mongo
from tron_payment import chain
from tron_payment.chain.errors import NodeHasNot
from tron_payment.core.clock import SystemClock
from tron_payment.db.audit import Audit, AuditEntry
from tron_payment.operator.report import Exit, Report
from tron_payment.operator.resume import readmit

DISPUTED = 4


async def asked(nodes: chain.Nodes, *, force: bool = False) -> Report:
    await keeper_of(nodes).step()
    return await readmit(nodes, Audit(SystemClock()), force=force)


async def readmitted() -> list[AuditEntry]:
    return await AuditEntry.find({"action": "node.readmitted"}).to_list()


async def outvoted() -> tuple[list[ScriptedNode], chain.Nodes]:
    """Three nodes, the second of which was on a fork, was set apart, and has come right."""
    shared = ScriptedChain(6)
    scripted = named(ScriptedNode(shared), forked(shared), ScriptedNode(shared))
    nodes = nodes_of(scripted)
    await nodes.solid_block(DISPUTED)
    assert apart(nodes) == ["b"]
    return scripted, nodes


async def test_a_node_is_let_back_when_it_shows_what_the_others_show(mongo: Mongo) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    scripted, nodes = await outvoted()
    report = await asked(nodes, force=True)
    assert report.exit is Exit.FAILED and "b stays apart: it shows of block" in report.lines[0]
    scripted[1].chain = scripted[0].chain
    report = await asked(nodes)
    assert report.exit is Exit.OK and report.lines[0].startswith("b is used again"), report
    assert await chain.Apart.load() == []
    (entry,) = await readmitted()
    assert (entry.object_id, entry.after) == ("b", {})


@pytest.mark.parametrize(
    "answer",
    [
        NodeHasNot("b", "has no such block"),
        chain.NodeRefused("ERROR", "no"),
        chain.NodeUnavailable("b", "HTTP status 500"),
    ],
    ids=["has not", "refused", "error"],
)
async def test_a_node_that_hides_the_block_stays_apart_unless_a_person_insists(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, answer: Exception
) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    scripted, nodes = await outvoted()
    scripted[1].chain = scripted[0].chain
    client = nodes.members[1].client
    receipts = client.receipts

    async def hidden(number: int, *more: Any) -> Any:
        if number == DISPUTED:
            raise answer
        return await receipts(number, *more)

    monkeypatch.setattr(client, "receipts", hidden)
    report = await asked(nodes)
    assert report.exit is Exit.FAILED
    (line,) = report.lines
    assert line.startswith("b stays apart: it does not show block 4 any more"), line
    assert "was not compared" in line and "`tron-payment resume --force`" in line
    assert [each.alias for each in await chain.Apart.load()] == ["b"]
    assert await readmitted() == []

    report = await asked(nodes, force=True)
    assert report.exit is Exit.OK and "b is used again" in report.lines[0]
    assert "it was not compared" in report.lines[0]
    assert await chain.Apart.load() == []
    (entry,) = await readmitted()
    assert "not compared" in entry.after["not_compared"], "it stays written down"


async def test_nobody_insists_on_a_node_that_still_says_otherwise(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    scripted, nodes = await outvoted()
    scripted[1].chain = scripted[0].chain
    client = nodes.members[1].client
    receipts = client.receipts

    async def failed(number: int, *more: Any) -> Any:
        found = await receipts(number, *more)
        if number != DISPUTED:
            return found
        return [msgspec.structs.replace(each, result="FAILED") for each in found]

    monkeypatch.setattr(client, "receipts", failed)
    report = await asked(nodes, force=True)
    assert report.exit is Exit.FAILED and "it shows of block 4" in report.lines[0], report
    assert [each.alias for each in await chain.Apart.load()] == ["b"]


async def test_a_second_person_who_asks_sets_nobody_apart_again(mongo: Mongo) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    scripted, service = await outvoted()
    keeper = keeper_of(service)
    await keeper.step()
    scripted[1].chain = scripted[0].chain
    second = nodes_of(scripted)
    its_keeper = keeper_of(second)
    await its_keeper.step()  # as `assemble` does
    assert (await asked(nodes_of(scripted))).exit is Exit.OK
    await its_keeper.step()  # as `resume` does
    assert (await readmit(second, Audit(SystemClock()), force=False)).lines == ()
    await keeper.step()
    assert apart(service) == []


async def test_it_says_what_is_true_of_nodes_that_are_not_asked_about(mongo: Mongo) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    scripted, nodes = await outvoted()
    await keeper_of(nodes).step()
    strict = chain.Nodes([each.client() for each in scripted], 2)
    report = await asked(strict)
    assert report.exit is Exit.OK
    assert "b, set apart" in report.lines[0] and "NODE_DISSENT=stop" in report.lines[0], report
    without = nodes_of([scripted[0], scripted[2]])
    assert (await asked(without)).lines[0].endswith("is not configured now")
