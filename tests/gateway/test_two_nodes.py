"""Reconciliation asks two nodes when there are two: they agree, lag, fall silent or lie."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.client_pool import ClientPool
from tests.gateway.test_deposits import PAYER
from tests.gateway.test_reconciliation import run
from tests.gateway.world import SOLID_LAG, World
from tron_payment.chain import ChainContradiction, NodeClient, Nodes
from tron_payment.gateway import Deposit, Reconciliations
from tron_payment.gateway.readings import WITNESS_MISSES_MAX, Readings

Alter = Callable[[str, Any], Any]


class SecondNode(httpx.AsyncBaseTransport):
    """The devnet as another node shows it: answers pass through `alter`."""

    def __init__(self, world: World) -> None:
        self._inner = httpx.ASGITransport(world.devnet.asgi)
        self.alter: Alter = lambda _, answer: answer
        self.asked = 0
        self.both: Nodes | None = None
        """Both nodes, which have to agree about each block."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        answer = await self._inner.handle_async_request(request)
        body = json.loads(await answer.aread() or b"{}")
        altered = self.alter(request.url.path, body)
        if altered is None:
            raise httpx.ConnectError("the second node is away")
        return httpx.Response(answer.status_code, json=altered)


@pytest.fixture
async def second(gateway: World) -> AsyncIterator[SecondNode]:
    """A second node in the house's reconciliation."""
    other = SecondNode(gateway)
    async with httpx.AsyncClient(transport=other, base_url="http://second.example") as http:
        clients = [
            gateway.nodes.members[0].client,
            NodeClient(
                "node-2",
                "http://second.example",
                "http://second.example",
                ClientPool(http),
                SecretStr(""),
                15,
            ),
        ]
        house = gateway.house
        service: Reconciliations = gateway.service(Reconciliations)
        service._readings = Readings(Nodes(clients), house.openings, house.cursors)
        other.both = Nodes(clients, agreement=2)
        yield other


async def test_what_both_show_alike_is_confirmed(gateway: World, second: SecondNode) -> None:
    report = await run(gateway)
    assert report["balanced"] is True
    assert report["confirmed"] == report["addresses"] != 0
    assert report["dissent"] == []
    assert second.asked > 0


async def test_a_node_that_lies_by_one_sun_is_named_with_what_it_says(
    gateway: World, second: SecondNode
) -> None:
    def one_sun_more(path: str, answer: Any) -> Any:
        if path.endswith("/getaccount") and "balance" in answer:
            return answer | {"balance": answer["balance"] + 1}
        return answer

    second.alter = one_sun_more
    report: Any = await run(gateway)
    assert (report["balanced"], report["difference"]) == (False, {"TRX": "0", "USDT": "0"})
    mine = next(each for each in report["dissent"] if each["address"] == gateway.treasury)
    assert (mine["about"], mine["currency"], mine["pocket"]) == ("units", "TRX", "available")
    assert (mine["node"], mine["other_node"]) == ("node-1", "node-2")
    assert mine["amount"] == "100000" and mine["other_amount"] == "100000.000001"
    assert report["confirmed"] == report["addresses"] - len(report["dissent"])


async def test_a_node_on_another_chain_of_blocks_is_named(
    gateway: World, second: SecondNode
) -> None:
    def another_id(path: str, answer: Any) -> Any:
        if "blockID" in answer:
            return answer | {"blockID": answer["blockID"][:16] + "00" * 24}
        return answer

    second.alter = another_id
    report: Any = await run(gateway)
    assert report["balanced"] is False
    assert {each["about"] for each in report["dissent"]} == {"block_id"}
    assert report["confirmed"] == 0


@pytest.mark.parametrize("how", ["silent", "behind"])
async def test_a_node_that_cannot_confirm_is_left_out_and_the_report_says_so(
    gateway: World, second: SecondNode, how: str
) -> None:
    def alter(path: str, answer: Any) -> Any:
        header = answer.get("block_header")
        if how == "silent":
            return None if path.endswith("/getaccount") else answer
        if header is None:
            return answer
        number = header["raw_data"]["number"] - 2
        raw = header["raw_data"] | {"number": number}
        block_id = f"{number:016x}" + answer["blockID"][16:]
        return answer | {"blockID": block_id, "block_header": header | {"raw_data": raw}}

    second.alter = alter
    report: Any = await run(gateway)
    assert (report["balanced"], report["confirmed"]) == (True, 0)
    assert report["addresses"] >= 1
    assert second.asked < 100 * WITNESS_MISSES_MAX


async def test_a_deposit_that_the_other_node_does_not_have_is_not_credited(
    gateway: World, second: SecondNode
) -> None:
    """It stands on another fork: following stops for a person, and goes on where it was."""
    follower = gateway.assembly.follower
    assert second.both is not None
    follower._nodes = second.both
    await gateway.fund(PAYER.address, "5000")
    await gateway.fund(PAYER.address, "5000", "USDT")
    await gateway.solidify()
    invoice = await gateway.invoice("25")
    await gateway.pay(PAYER, invoice["address"], "25")
    await gateway.devnet.mine()
    number = gateway.devnet.chain.head.number

    def forked(path: str, answer: Any) -> Any:
        header = answer.get("block_header") if isinstance(answer, dict) else None
        if header and header["raw_data"]["number"] == number:
            return answer | {"blockID": answer["blockID"][:16] + "ab" * 24}
        return answer

    second.alter = forked
    await gateway.devnet.mine(SOLID_LAG + 2)
    with pytest.raises(ChainContradiction):
        while await follower.step():
            pass
    assert follower.status().number == number - 1
    assert (await gateway.payment(invoice["payment_id"]))["received"] == "0"
    assert await Deposit.find_all().count() == 0
    second.alter = lambda _, answer: answer
    with pytest.raises(ChainContradiction):  # until somebody has looked
        await follower.step()
    await follower.resume()
    while await follower.step():
        pass
    assert (await gateway.payment(invoice["payment_id"]))["status"] == "paid"
    assert await Deposit.find_all().count() == 1
