"""The wire: ports, methods, bodies, and connections that break."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.devnet.client import ALICE, Client
from tron_payment.devnet import Devnet, DevnetConfig, serving
from tron_payment.devnet.store import FolderInUse, Store


@pytest.fixture
async def ports() -> AsyncIterator[tuple[Devnet, str, str]]:
    devnet = Devnet(DevnetConfig(port=0, block_ms=0, usdt=False))
    await devnet.start()
    async with serving(devnet) as (port, solid_port):
        yield devnet, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{solid_port}"
    await devnet.stop()


async def test_the_solidity_port_serves_nothing_else(ports: tuple[Devnet, str, str]) -> None:
    _, full, solid = ports
    async with httpx.AsyncClient(verify=False) as http:
        for url, status in (
            (full + "/wallet/getnowblock", 200),
            (full + "/walletsolidity/getnowblock", 200),
            (solid + "/walletsolidity/getnowblock", 200),
            (solid + "/wallet/getnowblock", 405),
            (solid + "/v1/accounts/x", 405),
        ):
            assert (await http.post(url)).status_code == status, url
        assert (await http.get(solid + "/wallet/getnowblock")).status_code == 404


async def test_a_dropped_answer_closes_the_connection(ports: tuple[Devnet, str, str]) -> None:
    devnet, full, _ = ports
    devnet.faults.add({"kind": "drop_answer", "times": 1})
    async with httpx.AsyncClient(verify=False) as http:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await http.post(full + "/wallet/getnowblock")
        assert (await http.post(full + "/wallet/getnowblock")).status_code == 200


async def test_a_delayed_answer_holds_nobody_else_up(ports: tuple[Devnet, str, str]) -> None:
    devnet, full, _ = ports
    devnet.faults.add({"kind": "delay", "delay_ms": 400, "path": "/wallet/getnodeinfo"})
    async with httpx.AsyncClient(verify=False) as http:
        slow = asyncio.create_task(http.post(full + "/wallet/getnodeinfo"))
        await http.post(full + "/wallet/getnowblock")
        assert not slow.done()
        assert (await slow).status_code == 200


async def test_requests_may_be_json_forms_or_queries(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    expected = await client.wallet("getaccount", address=ALICE.text, visible=True)
    assert expected["address"] == ALICE.text
    form = {"address": ALICE.text, "visible": "true"}
    assert (await client.http.post("/wallet/getaccount", data=form)).json() == expected
    assert (await client.http.get("/wallet/getaccount", params=form)).json() == expected


async def test_getnowblock_reads_visible_from_the_query_only(client: Client) -> None:
    body = (await client.wallet("getnowblock", visible=True))["block_header"]["raw_data"]
    assert body["witness_address"].startswith("41")
    query = (await client.http.post("/wallet/getnowblock?visible=true")).json()
    assert query["block_header"]["raw_data"]["witness_address"].startswith("T")


async def test_errors_come_with_status_200(client: Client) -> None:
    for content in (b"{", b"[]", b'{"address": 1'):
        response = await client.http.post("/wallet/getaccount", content=content)
        assert response.status_code == 200
        assert response.json()["Error"].startswith("class ")
    answer = await client.wallet("broadcasthex", transaction="zz")
    assert "INVALID hex String" in answer["Error"]
    answer = await client.wallet("broadcasthex", transaction="ffff")
    assert "InvalidProtocolBuffer" in answer["Error"]


async def test_pages_may_ask_the_node_but_not_the_controls(client: Client) -> None:
    for path, allowed in (("/wallet/getnowblock", "*"), ("/devnet/info", None)):
        response = await client.http.get(path)
        assert response.headers.get("access-control-allow-origin") == allowed
    asked = await client.http.options("/wallet/broadcasthex")
    assert "POST" in asked.headers["access-control-allow-methods"]


async def test_a_body_has_a_bound(client: Client) -> None:
    response = await client.http.post("/wallet/getaccount", content=b" " * 4_200_000)
    assert response.status_code == 413


async def test_controls_refuse_what_they_do_not_know(client: Client) -> None:
    for method, path, status in (
        ("GET", "/devnet/nothing", 404),
        ("GET", "/devnet/mine", 405),
        ("POST", "/devnet/restore", 404),
        ("POST", "/devnet/pace", 409),
    ):
        response = await client.http.request(method, path)
        assert response.status_code == status, path
    bad = await client.http.post("/devnet/mine", json={"blocks": 0})
    assert bad.status_code == 400


async def test_the_pace_makes_blocks_and_can_be_paused() -> None:
    devnet = Devnet(DevnetConfig(block_ms=50, usdt=False))
    await devnet.start()
    begin = devnet.chain.head.number
    while devnet.chain.head.number < begin + 5:
        await asyncio.sleep(0.01)
    times = [devnet.chain.block(n).timestamp_ms for n in range(2, begin + 5)]  # type: ignore[union-attr]
    assert all(moment % 50 == 0 for moment in times)
    assert times == sorted(set(times))
    devnet.set_pace(0)
    await asyncio.sleep(0.06)
    paused = devnet.chain.head.number
    await asyncio.sleep(0.2)
    assert devnet.chain.head.number == paused
    await devnet.stop()


async def test_a_clock_that_went_back_does_not_stop_the_chain(tmp_path: Path) -> None:
    config = DevnetConfig(block_ms=100, usdt=False, data=tmp_path)
    devnet = Devnet(config)
    await devnet.start()
    await devnet.snapshot("early")
    await devnet.travel(86_400_000)
    ahead_ms = devnet.chain.head.timestamp_ms
    assert await devnet.restore("early")
    while devnet.chain.head.timestamp_ms < ahead_ms:
        await asyncio.sleep(0.01)
    await devnet.stop()

    devnet = Devnet(config)  # as if the journey had never been noted
    devnet.store.set_meta("offset_ms", "0")
    await devnet.stop()
    devnet = Devnet(config)
    await devnet.start()
    number = devnet.chain.head.number
    while devnet.chain.head.number < number + 2:
        await asyncio.sleep(0.01)
    await devnet.stop()


def test_two_devnets_never_share_a_folder(tmp_path: Path) -> None:
    first = Store(tmp_path)
    with pytest.raises(FolderInUse):
        Store(tmp_path)
    first.close()
    Store(tmp_path).close()


@pytest.mark.parametrize(
    "path", ["listproposals", "getassetissuelist", "listexchanges", "getdelegatedresource"]
)
async def test_lists_of_what_is_not_here_are_empty(client: Client, path: str) -> None:
    assert await client.wallet(path) == {}


async def test_the_old_index_of_delegations_names_the_account(client: Client) -> None:
    path = "getdelegatedresourceaccountindex"
    assert await client.solid(path, value=ALICE.hex) == {"account": ALICE.hex}


async def test_the_pace_goes_on_after_blocks_made_at_once() -> None:
    devnet = Devnet(DevnetConfig(block_ms=50, usdt=False))
    await devnet.start()
    try:
        await devnet.mine(300)  # fifteen seconds of chain time
        made = devnet.chain.head.number
        assert devnet.now_ms() >= devnet.chain.head.timestamp_ms
        async with asyncio.timeout(30):
            while devnet.chain.head.number < made + 3:
                await asyncio.sleep(0.02)
    finally:
        await devnet.stop()
