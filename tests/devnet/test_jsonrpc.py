"""``/jsonrpc``: what wallets and log scanners ask."""

from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, CAROL, Client
from tests.devnet.test_contracts import REVERT, deploy
from tron_payment.devnet import Devnet
from tron_payment.devnet.api import jsonlogs
from tron_payment.devnet.keys import from_base58check, keccak

TRANSFER = "0x" + keccak(b"Transfer(address,address,uint256)").hex()
INVALID_PARAMS, INTERNAL, INVALID_REQUEST, NO_METHOD = -32602, -32000, -32600, -32601


def eth(address: bytes) -> str:
    return "0x" + address[1:].hex()


def topic(address: bytes) -> str:
    return "0x" + address[1:].hex().rjust(64, "0")


def usdt(devnet: Devnet) -> bytes:
    address = from_base58check(devnet.info()["usdt_contract"])
    assert address is not None
    return address


async def ask(client: Client, method: str, *params: Any) -> Any:
    answer = await client.post("/jsonrpc", jsonrpc="2.0", id=7, method=method, params=params)
    assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
    return answer["result"] if "result" in answer else answer["error"]


async def test_the_chain_says_who_and_where_it_is(client: Client, devnet: Devnet) -> None:
    await devnet.mine(30)
    chain = devnet.chain
    assert await ask(client, "eth_chainId") == "0x" + chain.genesis_id[-4:].hex()
    assert await ask(client, "net_version") == "0x" + chain.genesis_id[-4:].hex()
    assert await ask(client, "eth_blockNumber") == hex(chain.head.number)
    assert await ask(client, "eth_gasPrice") == "0x64"
    assert await ask(client, "eth_syncing") is False
    final = await ask(client, "eth_getBlockByNumber", "finalized", False)
    assert final["number"] == hex(chain.solid_number)
    assert final["hash"] == "0x" + chain.solid_block.id.hex()
    by_hash = await ask(client, "eth_getBlockByHash", final["hash"], False)
    assert by_hash == final
    assert await ask(client, "eth_getBlockByNumber", "0xffffff", False) is None


async def test_balance_and_code_of_the_newest_block(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "2.5")
    assert await ask(client, "eth_getBalance", eth(ALICE.address), "latest") == hex(2_500_000)
    assert await ask(client, "eth_getBalance", "0x" + ALICE.hex, "latest") == hex(2_500_000)
    assert await ask(client, "eth_getCode", eth(ALICE.address), "latest") == "0x"
    assert len(await ask(client, "eth_getCode", eth(usdt(devnet)), "latest")) > 1_000
    for tag, text in (
        ("pending", "TAG [earliest | pending | finalized] not supported"),
        ("0x1", "QUANTITY not supported, just support TAG as latest"),
        ("soon", "invalid block number"),
    ):
        error = await ask(client, "eth_getBalance", eth(ALICE.address), tag)
        assert error == {"code": INVALID_PARAMS, "message": text, "data": "{}"}


async def test_a_call_answers_or_says_why_not(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.fund(ALICE, "3", "USDT")
    call = {"to": eth(usdt(devnet)), "data": "0x70a08231" + topic(ALICE.address)[2:]}
    assert int(await ask(client, "eth_call", call, "latest"), 16) == 3_000_000
    energy = await ask(client, "eth_estimateGas", call)
    assert int(energy, 16) > 100
    nowhere = call | {"to": eth(BOB.address)}
    error = await ask(client, "eth_call", nowhere, "latest")
    assert (error["code"], error["message"]) == (INVALID_REQUEST, "Smart contract is not exist.")
    reverting = (await deploy(client, ALICE, REVERT))["contract_address"]
    error = await ask(client, "eth_call", {"to": "0x" + reverting}, "latest")
    assert (error["code"], error["message"]) == (INTERNAL, "REVERT opcode executed")
    assert await ask(client, "eth_estimateGas", {"to": eth(BOB.address), "value": "0x1"}) == "0x0"


async def test_a_transaction_and_its_receipt(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    token = usdt(devnet)
    waiting = (
        await client.post("/devnet/faucet", address=ALICE.text, amount="1", currency="USDT")
    )["txid"]
    shown = await ask(client, "eth_getTransactionByHash", "0x" + waiting)
    assert (shown["blockNumber"], shown["to"]) == ("0x", eth(token))
    assert await ask(client, "eth_getTransactionReceipt", "0x" + waiting) is None
    await devnet.mine()
    receipt = await ask(client, "eth_getTransactionReceipt", "0x" + waiting)
    info = await client.wallet("gettransactioninfobyid", value=waiting)
    assert receipt["status"] == "0x1"
    assert receipt["gasUsed"] == hex(info["receipt"]["energy_usage_total"])
    assert receipt["blockNumber"] == hex(info["blockNumber"])
    assert (receipt["contractAddress"], receipt["effectiveGasPrice"]) == (None, "0x64")
    (log,) = receipt["logs"]
    assert log["topics"][0] == TRANSFER and log["topics"][2] == topic(ALICE.address)
    shown = await ask(client, "eth_getTransactionByHash", "0x" + waiting)
    block = await ask(client, "eth_getBlockByNumber", shown["blockNumber"], True)
    assert block["transactions"] == [shown]
    for name, key in (("Number", "number"), ("Hash", "hash")):
        method = f"eth_getTransactionByBlock{name}AndIndex"
        assert await ask(client, method, block[key], "0x0") == shown
        count = await ask(client, f"eth_getBlockTransactionCountBy{name}", block[key])
        assert count == "0x1"
    assert await ask(client, "eth_getTransactionByHash", "0x" + "ab" * 32) is None


async def test_a_failed_call_has_status_0(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    reverting = (await deploy(client, ALICE, REVERT))["contract_address"]
    info = await client.run(
        "triggersmartcontract", ALICE, contract_address=reverting, fee_limit=10**8
    )
    receipt = await ask(client, "eth_getTransactionReceipt", "0x" + info["id"])
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])


async def test_one_call_finds_the_transfers_to_many_addresses(
    client: Client, devnet: Devnet
) -> None:
    first = devnet.chain.head.number
    for wallet, amount in ((ALICE, "1"), (BOB, "2"), (CAROL, "3"), (ALICE, "4")):
        await client.post("/devnet/faucet", address=wallet.text, amount=amount, currency="USDT")
        if wallet is BOB:
            await devnet.mine()
    await devnet.mine()
    query = {
        "fromBlock": hex(first),
        "toBlock": "latest",
        "topics": [TRANSFER, None, [topic(ALICE.address), topic(CAROL.address)]],
    }
    everywhere = await ask(client, "eth_getLogs", query)
    found = await ask(client, "eth_getLogs", query | {"address": [eth(usdt(devnet))]})
    assert everywhere == found
    assert [int(log["data"], 16) for log in found] == [1_000_000, 3_000_000, 4_000_000]
    assert [log["logIndex"] for log in found] == ["0x0", "0x0", "0x1"]
    assert all(log["removed"] is False for log in found)
    block_hash = found[0]["blockHash"]
    one = await ask(client, "eth_getLogs", {"blockHash": block_hash, "topics": query["topics"]})
    assert one == found[:1]
    newest = await ask(client, "eth_getLogs", {})
    assert [int(log["data"], 16) for log in newest] == [3_000_000, 4_000_000]
    assert await ask(client, "eth_getLogs", query | {"address": eth(BOB.address)}) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"fromBlock": "0x5", "toBlock": "0x1"}, "please verify: fromBlock <= toBlock"),
        ({"address": "0x12"}, "invalid address: invalid address hash value"),
        ({"topics": [None] * 5}, "topics size should be <= 4"),
        ({"topics": ["0x12"]}, "invalid topic(s): invalid topic"),
        ({"topics": [["0x" + "ab" * 32] * 1_001]}, "exceed max topics: 1000"),
        ({"fromBlock": "soon"}, "invalid block number"),
        ({"blockHash": "0x" + "ab" * 32}, "invalid blockHash"),
    ],
)
async def test_a_filter_that_makes_no_sense(
    client: Client, query: dict[str, Any], message: str
) -> None:
    error = await ask(client, "eth_getLogs", query)
    assert error == {"code": INVALID_PARAMS, "message": message, "data": "{}"}


async def test_the_range_of_a_search_is_bounded(
    client: Client, devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jsonlogs.MAX_BLOCK_RANGE == 5_000
    monkeypatch.setattr(jsonlogs, "MAX_BLOCK_RANGE", 20)  # fewer blocks to make
    await devnet.mine(25)
    head = devnet.chain.head.number
    error = await ask(client, "eth_getLogs", {"fromBlock": hex(head - 21), "toBlock": "latest"})
    assert error["message"] == "exceed max block range: 20"
    assert await ask(client, "eth_getLogs", {"fromBlock": hex(head - 20)}) == []


async def test_requests_come_one_by_one_or_together(client: Client) -> None:
    request = {"jsonrpc": "2.0", "method": "eth_blockNumber", "params": []}
    batch = [request | {"id": 1}, request | {"id": 2, "method": "eth_sendRawTransaction"}]
    answers = (await client.http.post("/jsonrpc", json=batch)).json()
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["error"]["code"] == NO_METHOD
    assert "does not exist/is not available" in answers[1]["error"]["message"]
    broken = (await client.http.post("/jsonrpc", content=b"{")).json()
    assert broken["error"]["code"] == -32700
    assert (await ask(client, "eth_getBalance"))["code"] == INVALID_PARAMS
    bodies: list[Any] = [[], {}, 7, {"method": "eth_chainId", "params": {}}]
    for body in bodies:
        assert "error" in (await client.http.post("/jsonrpc", json=body)).json()
    assert (await client.http.get("/jsonrpc")).status_code == 404


async def test_a_lagging_node_lags_here_too(client: Client, devnet: Devnet) -> None:
    await devnet.mine(10)
    await client.post("/devnet/faults", path="/jsonrpc", kind="lag", blocks=4)
    assert await ask(client, "eth_blockNumber") == hex(devnet.chain.head.number - 4)
