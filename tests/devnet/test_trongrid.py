"""TronGrid's v1: shapes, filters and pages."""

from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, Client
from tron_payment.devnet import Devnet
from tron_payment.devnet.genesis import FAUCET
from tron_payment.devnet.keys import base58check


async def get(client: Client, path: str, **query: Any) -> Any:
    response = await client.http.get(f"/v1/{path}", params=query)
    return response.json()


async def test_an_account_shows_its_tokens(client: Client, devnet: Devnet) -> None:
    assert (await get(client, f"accounts/{ALICE.text}"))["data"] == []
    await client.fund(ALICE)
    await client.fund(ALICE, "7.5", "USDT")
    (account,) = (await get(client, f"accounts/{ALICE.text}"))["data"]
    assert account["balance"] == 1_000_000_000
    assert account["address"] == ALICE.hex
    assert account["trc20"] == [{devnet.info()["usdt_contract"]: "7500000"}]
    confirmed = await get(client, f"accounts/{ALICE.text}", only_confirmed="true")
    assert confirmed["data"] == []


async def test_token_transfers_come_page_by_page(client: Client, devnet: Devnet) -> None:
    for amount in range(1, 6):
        await client.post("/devnet/faucet", address=ALICE.text, amount=str(amount), currency="USDT")
        if amount % 2:
            await devnet.mine()
    seen, query = [], {"limit": 2, "order_by": "block_timestamp,asc"}
    while True:
        page = await get(client, f"accounts/{ALICE.text}/transactions/trc20", **query)
        assert page["success"]
        assert page["meta"]["page_size"] == len(page["data"])
        seen += [entry["value"] for entry in page["data"]]
        if "fingerprint" not in page["meta"]:
            break
        assert page["meta"]["fingerprint"] in page["meta"]["links"]["next"]
        query["fingerprint"] = page["meta"]["fingerprint"]
    assert seen == [f"{amount}000000" for amount in range(1, 6)]
    newest = await get(client, f"accounts/{ALICE.text}/transactions/trc20", limit=1)
    entry = newest["data"][0]
    assert entry["value"] == "5000000"
    assert entry["token_info"] == {
        "symbol": "USDT",
        "address": devnet.info()["usdt_contract"],
        "decimals": 6,
        "name": "Tether USD",
    }
    assert (entry["from"], entry["to"]) == (base58check(FAUCET), ALICE.text)
    assert entry["type"] == "Transfer"


async def test_only_solid_transactions_are_confirmed(client: Client, devnet: Devnet) -> None:
    txid = await client.fund(ALICE)
    path = f"accounts/{ALICE.text}/transactions"
    assert (await get(client, path, only_confirmed="true"))["data"] == []
    (entry,) = (await get(client, path, only_unconfirmed="true"))["data"]
    assert entry["txID"] == txid
    assert entry["ret"] == [{"contractRet": "SUCCESS", "fee": 1_100_000}]
    assert entry["net_fee"] == 100_000
    await devnet.mine(27)
    (entry,) = (await get(client, path, only_confirmed="true", only_to="true"))["data"]
    assert entry["txID"] == txid
    assert (await get(client, path, only_from="true"))["data"] == []


async def test_events_are_decoded_with_the_deployed_abi(client: Client, devnet: Devnet) -> None:
    txid = await client.fund(BOB, "3", "USDT")
    contract = devnet.info()["usdt_contract"]
    page = await get(client, f"contracts/{contract}/events", event_name="Transfer", limit=1)
    (event,) = page["data"]
    assert event["transaction_id"] == txid
    assert event["event_name"] == "Transfer"
    assert event["_unconfirmed"]
    assert event["result"]["1"] == "0x" + BOB.hex[2:]
    assert event["result"]["2"] == "3000000"
    assert (await get(client, f"transactions/{txid}/events"))["data"] == [event]
    assert (await get(client, f"contracts/{contract}/events", event_name="Nope"))["data"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("accounts/T123", 400),
        (f"accounts/{ALICE.text}/transactions?limit=201", 400),
        (f"accounts/{ALICE.text}/transactions?fingerprint=x", 400),
        ("nothing", 404),
    ],
)
async def test_what_cannot_be_answered_says_so(client: Client, path: str, status: int) -> None:
    response = await client.http.get(f"/v1/{path}")
    assert response.status_code == status
    assert response.json()["success"] is False


async def test_a_block_shows_its_events(client: Client, devnet: Devnet) -> None:
    for amount in ("1", "2", "3"):
        await client.post("/devnet/faucet", address=ALICE.text, amount=amount, currency="USDT")
    await devnet.mine()
    number = devnet.chain.head.number
    newest = (await get(client, "blocks/latest/events", limit=2))["data"]
    assert [event["result"]["value"] for event in newest] == ["3000000", "2000000"]
    await devnet.mine()
    query = {"limit": 2, "order_by": "block_timestamp,asc"}
    page = await get(client, f"blocks/{number}/events", **query)
    rest = await get(
        client, f"blocks/{number}/events", fingerprint=page["meta"]["fingerprint"], **query
    )
    values = [event["result"]["value"] for event in page["data"] + rest["data"]]
    assert values == ["1000000", "2000000", "3000000"]
    assert (await get(client, "blocks/latest/events"))["data"] == []
    assert (await get(client, "blocks/x/events"))["statusCode"] == 400
