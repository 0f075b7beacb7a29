"""What one look shows of nodes that were outvoted, and of what is waited for."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.conftest import Mongo
from tests.payouts.world import Pay, person
from tests.payouts.world import world as payouts_world
from tron_payment.chain import Nodes
from tron_payment.chain.apart import ApartNode
from tron_payment.console.kept import Look
from tron_payment.console.pages import environment
from tron_payment.operator import monitor

PATHS = ("initiate", "direct")
"""By a router or not: what it costs differs."""


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


async def test_waits_are_counted_by_their_word_whatever_the_fee(pay: Pay) -> None:
    made = [await pay.pay(path, max_fee_trx="0", recipient_address=person()) for path in PATHS]
    await pay.tick()
    texts = {(await pay.payout(each["payout_id"]))["waiting_for"] for each in made}
    assert len(texts) == len(PATHS), "each fee is another"
    data = await monitor.look(pay.house)
    assert data["waiting"] == {"fee_above_maximum": len(PATHS)}
    assert f"{len(PATHS)} wait for fee_above_maximum" in monitor._lines(data)
