"""A node that is outvoted about a solidified block is set apart, until a person lets it back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tron_payment import chain
from tron_payment.chain.breaker import FAILURES_TO_OPEN
from tron_payment.core.clock import SystemClock
from tron_payment.db.audit import Act, Audit, AuditEntry
from tron_payment.db.faults import StoreUnavailable

from .scripted import ScriptedChain, ScriptedNode

Mongo = Any  # the fixture of the same name in the outer conftest


def named(*scripted: ScriptedNode) -> list[ScriptedNode]:
    return [replace(each, alias="abcde"[place]) for place, each in enumerate(scripted)]


def nodes_of(scripted: list[ScriptedNode], agreement: int = 2) -> chain.Nodes:
    return chain.Nodes([each.client() for each in scripted], agreement, outvotes=True)


def keeper_of(nodes: chain.Nodes) -> chain.Apart:
    clock = SystemClock()
    return chain.Apart(nodes, clock, Audit(clock))


def apart(nodes: chain.Nodes) -> list[str]:
    return [each.alias for each in nodes.status() if each.apart]


def forked(shared: ScriptedChain, name: str = "lie") -> ScriptedNode:
    return ScriptedNode(shared.fork_at(4, name))


def other_receipts(shared: ScriptedChain) -> ScriptedNode:
    (receipt,) = shared.blocks[4].receipts()
    changed = [receipt | {"receipt": {"result": "OUT_OF_ENERGY"}, "result": "FAILED"}]
    return ScriptedNode(shared, replies={"gettransactioninfobyblocknum": changed})


def none_in_it(shared: ScriptedChain) -> ScriptedNode:
    empty = shared.blocks[4].json() | {"transactions": []}
    return ScriptedNode(
        shared, replies={"getblockbynum": empty, "gettransactioninfobyblocknum": []}
    )


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("lie", [forked, other_receipts, none_in_it])
async def test_one_of_three_is_outvoted_whoever_is_asked_first(
    place: int, lie: Callable[[ScriptedChain], ScriptedNode]
) -> None:
    shared = ScriptedChain(6)
    scripted = [ScriptedNode(shared) for _ in range(3)]
    scripted[place] = lie(shared)
    scripted = named(*scripted)
    nodes = nodes_of(scripted)
    written: list[list[str]] = []
    nodes.members.outvoted = lambda: written.append(apart(nodes))
    block = await nodes.solid_block(4)
    assert block.block_id == shared.blocks[4].block_id
    assert [each.txid for each in block.transactions] == [
        each.txid for each in shared.blocks[4].transactions
    ]
    assert apart(nodes) == ["abc"[place]]
    assert written == [apart(nodes)], "it is written down at once, not by the next look"

    scripted[place].asked.clear()
    await nodes.solid_block(5)
    await nodes.solid_head()
    await nodes.head()
    await nodes.picks(3)
    assert scripted[place].asked == [], "nothing is asked of it any more"
    await nodes.broadcast(b"bytes")
    assert scripted[place].told, "to be told costs nothing"


async def test_its_own_header_outvotes_nobody_when_it_is_alone() -> None:
    shared = ScriptedChain(6)
    for place in range(3):
        scripted = [ScriptedNode(shared) for _ in range(3)]
        scripted[place] = forked(shared)
        nodes = nodes_of(named(*scripted))
        assert (await nodes.solid_header(4)).block_id == shared.blocks[4].block_id
        assert apart(nodes) == ["abc"[place]]


async def test_where_no_majority_of_all_agrees_everything_stops() -> None:
    shared = ScriptedChain(6)
    honest = ScriptedNode(shared)
    for scripted, agreement in (
        ([honest, forked(shared)], 2),
        ([honest, forked(shared), forked(shared, "another")], 2),
        ([honest, honest, forked(shared)], 3),  # all have to agree
        ([honest, forked(shared), honest, forked(shared, "another")], 2),  # two are no majority
    ):
        nodes = nodes_of(named(*scripted), agreement)
        with pytest.raises(chain.ChainContradiction):
            await nodes.solid_block(4)
        assert apart(nodes) == []


async def test_whoever_is_away_decides_when_it_is_back() -> None:
    shared = ScriptedChain(6)
    for place in range(3):
        scripted = [ScriptedNode(shared) for _ in range(3)]
        scripted[place] = forked(shared)
        scripted = named(*scripted)
        nodes, away = nodes_of(scripted), scripted[(place + 1) % 3]
        away.down = True
        for _ in range(FAILURES_TO_OPEN + 1):
            with pytest.raises(chain.NodesUnavailable, match=r"contradict.*away decide"):
                await nodes.solid_block(4)
        assert apart(nodes) == []
        assert sum(bool(each.contradicts) for each in nodes.status()) == 2, "a person is told"
        away.down = False
        for member in nodes.members:
            member.breaker.succeeded()  # a test has no time to rest
        assert (await nodes.solid_block(4)).block_id == shared.blocks[4].block_id
        assert apart(nodes) == ["abc"[place]]
        assert [each.alias for each in nodes.status() if each.contradicts] == ["abc"[place]]


async def test_the_two_that_are_left_stop_when_they_differ() -> None:
    shared = ScriptedChain(6)
    scripted = named(ScriptedNode(shared), forked(shared), ScriptedNode(shared))
    nodes = nodes_of(scripted)
    await nodes.solid_block(4)
    scripted[2].chain = shared.fork_at(5, "later lie")
    with pytest.raises(chain.ChainContradiction):
        await nodes.solid_block(5)
    assert apart(nodes) == ["b"]


async def test_the_two_that_are_left_wait_for_each_other() -> None:
    shared = ScriptedChain(6)
    scripted = named(ScriptedNode(shared), forked(shared), ScriptedNode(shared))
    nodes = nodes_of(scripted)
    await nodes.solid_block(4)
    scripted[2].down = True
    with pytest.raises(chain.NodesUnavailable):
        await nodes.solid_block(5)
    scripted[2].down = False
    assert (await nodes.solid_block(5)).number == 5


async def test_every_process_and_every_start_keeps_it_apart_until_a_person_decides(
    mongo: Mongo,
) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    shared = ScriptedChain(6)
    scripted = named(ScriptedNode(shared), forked(shared), ScriptedNode(shared))
    one, other = nodes_of(scripted), nodes_of(scripted)
    keepers = [keeper_of(each) for each in (one, other)]
    for keeper in keepers:
        await keeper.step()
    await one.solid_block(4)
    assert (apart(one), apart(other)) == (["b"], [])
    for keeper in keepers:
        await keeper.step()
    assert (apart(one), apart(other)) == (["b"], ["b"])

    (kept,) = await chain.Apart.load()
    (told,) = await AuditEntry.find({"action": "node.set_apart"}).to_list()
    assert (told.object_id, told.after["block_number"]) == ("b", 4)
    strict = chain.Nodes([each.client() for each in scripted], 2)
    await keeper_of(strict).step()
    assert apart(strict) == [], "where any dissent stops, everybody is heard"
    assert (kept.alias, kept.block_number) == ("b", 4)
    assert SystemClock().now() - kept.since < timedelta(minutes=10)
    started = nodes_of([scripted[2], scripted[0], scripted[1]])  # in another place, too
    await keeper_of(started).step()
    assert apart(started) == ["b"]

    assert "the id" in await one.compare("b", 4)
    scripted[1].chain = shared
    assert await one.compare("b", 4) == ""
    await chain.Apart.let_back(kept.id)
    for keeper in keepers:
        await keeper.step()
    assert (apart(one), apart(other)) == ([], [])
    assert not any(each.contradicts for each in one.status())
    assert await chain.Apart.load() == []

    scripted[1].chain = shared.fork_at(5, "again")
    await other.solid_block(5)
    for keeper in reversed(keepers):
        await keeper.step()
    assert (apart(one), apart(other)) == (["b"], ["b"]), "it lies again and is apart again"


async def test_wherever_the_process_dies_it_is_audited_once(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.connect([*chain.DOCUMENTS, AuditEntry])
    shared = ScriptedChain(6)
    scripted = named(ScriptedNode(shared), forked(shared), ScriptedNode(shared))
    one = nodes_of(scripted)
    await one.solid_block(4)
    append = Audit.append

    async def dies_before(*_: object) -> AuditEntry:
        raise StoreUnavailable("killed here")

    async def dies_after(log: Audit, act: Act) -> AuditEntry:
        await append(log, act)
        raise StoreUnavailable("killed here")

    for death in (dies_before, dies_after):
        with monkeypatch.context() as patch:
            patch.setattr(Audit, "append", death)
            with pytest.raises(StoreUnavailable):
                await keeper_of(nodes_of(scripted) if death is dies_after else one).step()
    for _ in range(2):
        await keeper_of(nodes_of(scripted)).step()  # another process
    (told,) = await AuditEntry.find({"action": "node.set_apart"}).to_list()
    (kept,) = await chain.Apart.load()
    assert (told.object_id, told.at, kept.untold) == ("b", kept.since, "")
