"""Many recipients are asked about at once, and one by one where a node cannot do that."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from pydantic import SecretStr

from tests.client_pool import ClientPool
from tests.gateway.world import SOLID_LAG, START_MS, somebody
from tron_payment.chain import NodeClient, Nodes
from tron_payment.core.address import Address
from tron_payment.core.clock import ManualClock, from_ms
from tron_payment.devnet import Devnet, DevnetConfig
from tron_payment.usdt import Screening

URL = "http://devnet.example"


@asynccontextmanager
async def screening(
    refuse: Callable[[dict[str, Any]], bool] = lambda body: False,
) -> AsyncIterator[tuple[Screening, Devnet, list[str], httpx.AsyncClient]]:
    """A screening on a devnet; the paths that it asks; `refuse` makes the node refuse a body."""
    devnet = Devnet(DevnetConfig(block_ms=0, seed="screening", start_ms=START_MS))
    await devnet.start()
    await devnet.mine(SOLID_LAG + 5)
    asked: list[str] = []
    inner = httpx.ASGITransport(devnet.asgi)

    class Watching(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request.url.path)
            if refuse(msgspec.json.decode(request.content)):
                refusal = {"result": {"code": "OTHER_ERROR", "message": b"no".hex()}}
                return httpx.Response(200, json=refusal)
            return await inner.handle_async_request(request)

    async with (
        httpx.AsyncClient(transport=Watching()) as http,
        httpx.AsyncClient(transport=inner, base_url=URL) as control,
    ):
        nodes = Nodes([NodeClient("node", URL, URL, ClientPool(http), SecretStr(""), 15)])
        usdt = Address(devnet.info()["usdt_contract"])
        clock = ManualClock(from_ms(devnet.now_ms()))
        try:
            yield Screening(nodes=nodes, clock=clock, usdt=usdt), devnet, asked, control
        finally:
            await devnet.stop()


async def prepared(devnet: Devnet, control: httpx.AsyncClient) -> tuple[list[Address], Address]:
    """A hundred and fifty strangers, one of them blacklisted, and the token itself."""
    strangers = [somebody(n) for n in range(1, 151)]
    bad = strangers[77]
    answer = await control.post(
        "/devnet/usdt", json={"function": "addBlackList", "arguments": [bad]}
    )
    assert answer.status_code == 200, answer.text
    await devnet.mine(SOLID_LAG + 3)
    return [*strangers, Address(devnet.info()["usdt_contract"])], bad


async def test_a_hundred_recipients_cost_two_questions() -> None:
    async with screening() as (screen, devnet, asked, control):
        recipients, bad = await prepared(devnet, control)
        await screen.look(recipients)
        assert len(asked) == 4, asked
        assert {path.split("/")[1] for path in asked} == {"wallet", "walletsolidity"}
        found = [a for a in recipients if await screen.blacklisted(a)]
        contracts = [a for a in recipients if await screen.is_contract(a)]
        assert (found, contracts) == ([bad], recipients[-1:])
        assert len(asked) == 4, "everything was known"
        await screen.look(recipients)
        assert len(asked) == 4


async def test_a_node_that_cannot_do_that_is_asked_one_by_one() -> None:
    def refuse(body: dict[str, Any]) -> bool:
        return "owner_address" in body and "contract_address" not in body

    async with screening(refuse) as (screen, devnet, asked, control):
        recipients, bad = await prepared(devnet, control)
        some = [*recipients[70:80], recipients[-1]]
        await screen.look(some)
        assert len(asked) == 2
        await screen.look(some)
        assert len(asked) == 2, "not tried again for a while"
        assert [a for a in some if await screen.blacklisted(a)] == [bad]
        assert [a for a in some if await screen.is_contract(a)] == [recipients[-1]]
        assert len(asked) == 2 + 3 * len(some)


async def test_the_newest_block_is_enough_to_be_blacklisted_and_a_pardon_must_be_solid() -> None:
    async with screening() as (screen, devnet, _, control):
        alone, *some = [somebody(n) for n in range(1, 4)]

        async def listed() -> list[bool]:
            screen._answers.clear()
            await screen.look(some)
            return [await screen.blacklisted(each) for each in (alone, *some)]

        for function in ("addBlackList", "removeBlackList"):
            for each in (alone, *some):
                body = {"function": function, "arguments": [each]}
                assert (await control.post("/devnet/usdt", json=body)).status_code == 200
            await devnet.mine(1)
            assert await listed() == [True] * 3, function
            await devnet.mine(SOLID_LAG + 3)
        assert await listed() == [False] * 3, "solidified, so that no fork brings it back"
