"""A node that is not there yet is waited for, and a known chain is served without one."""

from contextlib import AsyncExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.chain.scripted import ScriptedChain, ScriptedNode
from tests.ports import free_port
from tron_payment import serve
from tron_payment.chain import Nodes, NodesUnavailable, WrongNetwork
from tron_payment.core.clock import SystemClock
from tron_payment.core.errors import Unavailable
from tron_payment.db import installation
from tron_payment.settings import Settings


async def test_nodes_are_awaited_with_one_line_for_many_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serve, "NODE_RETRY_S", 0.01)
    url = f"http://127.0.0.1:{free_port()}"
    settings = Settings.model_construct(lucid_env="development", tron_node_url=url)
    async with AsyncExitStack() as stack:
        nodes = await serve.nodes_of(settings, stack)
        with capture_logs() as logs, pytest.raises(Unavailable):
            await serve._patiently(nodes, None, 0.5)
    assert [each["event"] for each in logs].count("nodes.awaited") == 1


async def test_a_new_store_waits_for_a_node_and_a_known_one_does_not(
    mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers later says first which chain it belongs to."""
    monkeypatch.setattr(serve, "KNOWN_PATIENCE_S", 0.0)
    monkeypatch.setattr(serve, "NODE_PATIENCE_S", 0.0)
    await mongo.connect([installation.Installation])
    ours, theirs = ScriptedChain(3), ScriptedChain(3)
    theirs.blocks[0] = type(theirs.blocks[0])(0, "0" * 64, 0, salt="theirs")
    genesis = ours.blocks[0].block_id
    node, other = ScriptedNode(ours, down=True), ScriptedNode(theirs, down=True)
    node.alias, other.alias = "a", "b"
    seconds = [0.0]
    nodes = Nodes([node.client(), other.client()], 1, lambda: seconds[0])
    with pytest.raises(NodesUnavailable):
        await serve._chain(nodes, None, needs_nodes=False)
    await installation.load(genesis, SystemClock())
    with pytest.raises(NodesUnavailable):
        await serve._chain(nodes, None, needs_nodes=True)
    assert await serve._chain(nodes, None, needs_nodes=False) == genesis
    other.down, seconds[0] = False, 3_600.0
    with pytest.raises(NodesUnavailable):
        await nodes.head()
    assert "genesis" in nodes.status()[1].last_error
    node.down, seconds[0] = False, 7_200.0
    assert (await nodes.head()).number == 3
    anew = Nodes([node.client(), other.client()], 1, lambda: seconds[0])
    with pytest.raises(WrongNetwork):
        await serve._chain(anew, None, needs_nodes=False)
