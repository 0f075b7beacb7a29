"""Each failure on command, as a client sees it, and rules that make no sense."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.devnet.client import ALICE, BOB, Client
from tron_payment.devnet import Devnet

QUOTA = "The key exceeds the frequency limit(15), and the query server is suspended for 30s"


async def rule(client: Client, **fields: Any) -> None:
    assert "id" in await client.post("/devnet/faults", **fields)


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_over_the_quota_a_gateway_answers(client: Client, status: int) -> None:
    await rule(client, kind="status", status=status, times=2, retry_after_s=3)
    node = await client.http.post("/wallet/getnowblock")
    grid = await client.http.get(f"/v1/accounts/{ALICE.text}")
    assert (node.status_code, grid.status_code) == (status, status)
    assert node.json() == {"Error": QUOTA}
    assert grid.json() == {"success": False, "error": QUOTA, "statusCode": status}
    assert node.headers["retry-after"] == grid.headers["retry-after"] == "3"
    assert (await client.http.post("/wallet/getnowblock")).status_code == 200


async def test_a_status_means_that_nothing_happened(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    built = await client.wallet(
        "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=1
    )
    await rule(client, path="/wallet/broadcast*", kind="status", status=503, times=1)
    assert "Error" in await client.send(built, ALICE)
    assert not devnet.chain.pending


async def test_a_page_comes_with_status_200(client: Client) -> None:
    await rule(client, kind="html", times=1)
    answer = await client.http.post("/wallet/getnowblock")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    with pytest.raises(json.JSONDecodeError):
        answer.json()


async def test_half_an_answer_is_no_json_though_it_happened(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    built = await client.wallet(
        "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=1
    )
    await rule(client, path="/wallet/broadcast*", kind="truncate", times=1)
    with pytest.raises(json.JSONDecodeError):
        await client.send(built, ALICE)
    assert len(devnet.chain.pending) == 1


async def test_others_are_served_while_an_answer_is_late(client: Client) -> None:
    await rule(client, path="/wallet/getnodeinfo", kind="delay", delay_ms=500)
    late = asyncio.create_task(client.wallet("getnodeinfo"))
    await asyncio.sleep(0)
    for _ in range(3):
        assert "blockID" in await client.wallet("getnowblock")
    assert not late.done()
    assert "block" in await late


async def test_dropped_before_and_dropped_after(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    for kind, pending in (("drop_request", 0), ("drop_answer", 1)):
        built = await client.wallet(
            "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=1
        )
        await rule(client, path="/wallet/broadcast*", kind=kind, times=1)
        with pytest.raises(httpx.RemoteProtocolError):
            await client.send(built, ALICE)
        assert len(devnet.chain.pending) == pending


async def test_stale_to_the_last_block_and_back_again(client: Client, devnet: Devnet) -> None:
    txid = await client.fund(ALICE)
    await devnet.mine(25)
    await rule(client, path="/wallet*", kind="lag", blocks=26)
    assert await client.wallet("gettransactioninfobyid", value=txid) == {}
    assert await client.solid("gettransactioninfobyid", value=txid) == {}
    await client.http.delete("/devnet/faults")
    assert (await client.wallet("gettransactioninfobyid", value=txid))["id"] == txid
    assert (await client.solid("gettransactioninfobyid", value=txid))["id"] == txid


async def test_a_lie_about_a_solid_receipt(client: Client, devnet: Devnet) -> None:
    txid = await client.fund(ALICE)
    await devnet.mine(25)
    await rule(
        client,
        path="/walletsolidity/gettransactioninfobyid",
        kind="lie",
        answer={"result": "FAILED", "receipt": {"result": "REVERT"}},
        times=1,
    )
    lie = await client.solid("gettransactioninfobyid", value=txid)
    truth = await client.solid("gettransactioninfobyid", value=txid)
    assert (lie["result"], lie["receipt"]["result"]) == ("FAILED", "REVERT")
    assert lie["blockNumber"] == truth["blockNumber"]
    assert "result" not in truth


async def test_a_flapping_height_goes_backwards(client: Client, devnet: Devnet) -> None:
    await devnet.mine(25)
    await client.post("/devnet/fork", depth=2)
    await devnet.mine(2)
    await rule(client, path="/wallet/getnowblock", kind="flap")
    seen = [await client.wallet("getnowblock") for _ in range(4)]
    heights = [block["block_header"]["raw_data"]["number"] for block in seen]
    assert heights == [heights[0], heights[1], heights[0], heights[1]]
    assert heights[1] < heights[0]


@pytest.mark.parametrize("depth", [1, 7, 18])
async def test_a_fork_of_any_depth_above_the_solid_block(
    client: Client, devnet: Devnet, depth: int
) -> None:
    await devnet.mine(30)
    head, solid = devnet.chain.head.number, devnet.chain.solid_number
    before = {n: devnet.chain.block(n) for n in range(solid, head + 1)}
    await client.post("/devnet/fork", depth=depth)
    for number, old in before.items():
        new = devnet.chain.block(number)
        assert old is not None and new is not None
        assert (new.id == old.id) is (number <= head - depth)
    assert devnet.chain.head.number == head + 1
    assert devnet.chain.solid_number >= solid


async def test_a_probable_fault_comes_now_and_then(client: Client) -> None:
    await rule(client, kind="status", status=503, probability=0.5)
    answers = [(await client.http.post("/wallet/getnowblock")).status_code for _ in range(60)]
    assert {200, 503} == set(answers)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": None},
        {"kind": "delay", "delay_ms": "x"},
        {"kind": "delay", "delay_ms": 10**9},
        {"kind": "html", "path": 7},
        {"kind": "html", "times": 0},
        {"kind": "html", "times": True},
        {"kind": "lie", "answer": [1]},
        {"kind": "lag", "blocks": 1.5},
        {"kind": "status", "status": 429, "retry_after_s": -1},
        {"kind": "refuse", "accepted": 1},
        {"kind": "html", "probability": "often"},
        {"kind": "html", "id": 7},
    ],
)
async def test_a_rule_of_the_wrong_shape_is_refused(client: Client, body: dict[str, Any]) -> None:
    answer = await client.http.post("/devnet/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert (await client.http.get("/devnet/faults")).json() == {"faults": []}
