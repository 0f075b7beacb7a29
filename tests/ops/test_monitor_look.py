"""A node that was outvoted is not shown as one in use."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.conftest import Mongo
from tests.payouts.world import Pay
from tests.payouts.world import world as payouts_world
from tron_payment.chain import Nodes
from tron_payment.chain.apart import ApartNode
from tron_payment.console.kept import Look
from tron_payment.console.pages import environment
from tron_payment.operator import monitor


@pytest.fixture
async def pay(mongo: Mongo) -> AsyncIterator[Pay]:
    async with payouts_world(mongo) as made:
        yield made


async def test_a_node_that_is_apart_is_called_so(pay: Pay) -> None:
    (member,) = pay.house.nodes.members
    outvoting = Nodes([member.client], 1, outvotes=True)
    house = replace(pay.house, nodes=outvoting)
    (before,) = (await monitor.look(house))["nodes"]
    assert not before["apart"]
    found = ApartNode(
        id=member.client.identity,
        alias=member.client.alias,
        block_number=1,
        shown="another block",
        since=pay.house.clock.now(),
    )
    await found.insert()

    data = await monitor.look(house)
    assert data["nodes"][0]["apart"] and not data["sound"], "nobody is left to ask"
    (line,) = [line for line in monitor._lines(data) if line.startswith("node ")]
    assert "apart: outvoted" in line and "in use" not in line
    assert not (await monitor.look(pay.house))["nodes"][0]["apart"], "it counts: nobody outvotes"

    pay.house.nodes.members.keep_apart(member.client.identity, 1, "another block")
    status = await pay.world.http.get("/status", headers=pay.world.bearer("operator"))
    assert status.json()["nodes"][0]["apart"]
    page = environment().get_template("health.html", globals={"asks_code": lambda _: False})
    shown = page.render(
        visitor=None,
        menu=[],
        path="/console/health",
        notice=None,
        can=lambda _: True,
        may=lambda _: True,
        service=status.json(),
        ready=Look(),
        fees=Look(),
        certificates=[],
        changes=[],
        lag=[],
        works={},
    )
    assert "apart: outvoted" in shown and ">in use<" not in shown
