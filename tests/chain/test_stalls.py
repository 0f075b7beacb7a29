"""A node that stalls contract calls only is asked last for them, not for anything else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpcore
import pytest

from tron_payment import chain
from tron_payment.chain.calls import RESPONSE_BYTES_MAX
from tron_payment.chain.errors import CallTooLong
from tron_payment.chain.stalls import CALLS_REST_FIRST_S, CALLS_REST_MAX_S, STALLS_TO_REST

from .scripted import ALICE, BOB, Reply, ScriptedChain, ScriptedNode
from .test_nodes import Seconds, nodes_of

CALL = "triggerconstantcontract"
FINE = {"result": {"result": True}, "energy_used": 5}
TOO_LONG = b" " * (RESPONSE_BYTES_MAX + 1)


class Stalling(ScriptedNode):
    """Answers calls of these data too long, or with another status; the rest as it should."""

    stalls: tuple[bytes, ...] | None = ()
    """None: every call."""

    status = 200

    async def handle(self, path: str, body: dict[str, Any]) -> Reply:
        if not path.endswith(CALL):
            return await super().handle(path, body)
        self.asked.append(CALL)
        if self.stalls is None or bytes.fromhex(body["data"]) in self.stalls:
            return self.status, TOO_LONG
        return 200, json.dumps(FINE).encode()

    @property
    def calls(self) -> int:
        return self.asked.count(CALL)


class World:
    def __init__(self, count: int = 2) -> None:
        self.clock = Seconds()
        shared = ScriptedChain(5)
        self.scripted = [Stalling(shared) for _ in range(count)]
        self.first = self.scripted[0]
        self.nodes = nodes_of(*self.scripted, clock=self.clock)

    async def call(self, *data: bytes) -> None:
        for each in data:
            assert (await self.nodes.constant_call(ALICE, BOB, each)).energy_used == 5


DIFFERENT = [bytes([n]) for n in range(STALLS_TO_REST)]


@pytest.mark.parametrize("status", [200, 500])
async def test_a_node_that_stalls_different_calls_is_asked_last_for_them_alone(status: int) -> None:
    world = World()
    world.first.stalls, world.first.status = None, status
    for data in DIFFERENT:
        await world.call(data)
        await world.nodes.head()  # what else it is asked goes well
    assert world.first.calls == STALLS_TO_REST
    assert (await world.nodes.pick()).alias == "b", "calls are among what is read there"
    await world.call(b"more", b"and more")
    assert world.first.calls == STALLS_TO_REST, "nobody waits for it"

    assert world.nodes.status()[0].breaker is chain.BreakerState.CLOSED
    world.first.asked.clear()
    await world.nodes.read(lambda node: node.head())
    assert world.first.asked == ["getblock"], "for anything else it is the first still"


async def test_one_heavy_call_and_any_call_that_nobody_answers_put_no_node_to_rest() -> None:
    world = World()
    world.first.stalls = (b"heavy",)
    await world.call(*[b"heavy"] * (2 * STALLS_TO_REST))
    for each in world.scripted:
        each.stalls = None
    for data in DIFFERENT * 2:
        with pytest.raises(chain.NodesUnavailable):
            await world.call(data)
    for each in world.scripted:
        each.stalls = ()
    asked = world.first.calls
    await world.call(b"light")
    assert world.first.calls == asked + 1 and (await world.nodes.pick()).alias == "a"


async def test_an_answer_in_between_says_that_it_can() -> None:
    world = World()
    world.first.stalls = tuple(DIFFERENT)
    for _ in range(3):
        await world.call(*DIFFERENT[:-1], b"light")
    assert (await world.nodes.pick()).alias == "a"


async def test_a_refusal_by_another_node_is_an_answer_in_time() -> None:
    world = World()
    world.first.stalls = None

    async def refuse(path: str, body: dict[str, Any]) -> Reply:
        return 200, json.dumps({"result": {"code": "CONTRACT_VALIDATE_ERROR"}}).encode()

    world.scripted[1].handle = refuse  # type: ignore[method-assign]
    world.nodes = nodes_of(*world.scripted, clock=world.clock)
    for data in DIFFERENT:
        with pytest.raises(chain.NodeRefused):
            await world.call(data)
    assert world.nodes.members[0].stalls.rests(world.clock.now)


async def test_after_its_rest_one_call_decides() -> None:
    world = World()
    world.first.stalls = None
    await world.call(*DIFFERENT)
    rest_s = CALLS_REST_FIRST_S
    for _ in range(6):
        calls = world.first.calls
        world.clock.now += rest_s - 1
        await world.call(b"x")
        assert world.first.calls == calls
        world.clock.now += 1
        await world.call(b"x", b"y")
        assert world.first.calls == calls + 1, "a single trial"
        rest_s = min(2 * rest_s, CALLS_REST_MAX_S)
    world.first.stalls = ()
    world.clock.now += rest_s
    await world.call(b"x", b"y")
    assert world.first.calls == calls + 3
    world.first.stalls = None
    await world.call(*DIFFERENT[:-1])
    assert (await world.nodes.pick()).alias == "a", "all is forgotten"


async def test_one_that_rests_from_calls_is_asked_when_nobody_else_answers() -> None:
    world = World()
    world.first.stalls = None
    await world.call(*DIFFERENT)
    world.first.stalls = ()
    world.scripted[1].stalls = None
    await world.call(b"x")
    world.first.stalls = None
    await world.nodes.head()
    with pytest.raises(chain.NodesUnavailable):
        await world.call(b"x")


class EndlessPool:
    """Begins each answer and never ends it."""

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        return httpcore.Response(200, content=self._content())

    async def _content(self) -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()


async def test_an_answer_that_does_not_end_is_a_stall_as_well() -> None:
    world = World()
    endless = chain.NodeClient("a", "http://a", "http://a", EndlessPool(), None, 0.01)
    with pytest.raises(CallTooLong):
        await endless.constant_call(ALICE, BOB, b"")
    world.nodes = chain.Nodes([endless, world.scripted[1].client()], 1, world.clock)
    await world.call(*DIFFERENT)
    assert world.nodes.members[0].stalls.rests(world.clock.now)
    assert world.nodes.status()[0].failures == 0, "no breaker counts it"
