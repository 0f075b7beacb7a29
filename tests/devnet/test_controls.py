"""Time, forks, snapshots and failures on command."""

import httpx
import pytest

from tests.devnet.client import ALICE, BOB, Client
from tron_payment.devnet import Devnet


async def transfer(client: Client, amount: int = 1_000_000) -> str:
    built = await client.wallet(
        "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=amount
    )
    assert (await client.send(built, ALICE))["result"]
    return str(built["txID"])


async def test_a_fork_moves_a_transaction_to_another_block(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await devnet.mine(25)
    txid = await transfer(client)
    await devnet.mine(3)
    before = await client.wallet("gettransactioninfobyid", value=txid)
    old_head = devnet.chain.head

    answer = await client.post("/devnet/fork", depth=3, wait_blocks=2)
    assert answer["taken_back"] == [txid]
    assert answer["head"] == old_head.number + 1
    after = await client.wallet("gettransactioninfobyid", value=txid)
    assert after["blockNumber"] == before["blockNumber"] + 2
    assert await client.wallet("getblockbyid", value=old_head.id.hex()) == {}
    balance = (await client.wallet("getaccount", address=BOB.hex))["balance"]
    assert balance == 1_000_000
    for number in range(1, devnet.chain.head.number):
        block, child = devnet.chain.block(number), devnet.chain.block(number + 1)
        assert block is not None and child is not None
        assert child.parent == block.id


async def test_a_fork_can_lose_a_transaction_and_everything_it_did(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    await devnet.mine(25)
    before = await client.wallet("getaccount", address=ALICE.hex)
    txid = await transfer(client)
    await devnet.mine()
    await client.post("/devnet/fork", depth=1, drop=[txid])
    assert await client.wallet("gettransactionbyid", value=txid) == {}
    assert await client.wallet("getaccount", address=BOB.hex) == {}
    after = await client.wallet("getaccount", address=ALICE.hex)
    assert after["balance"] == before["balance"]


async def test_a_solid_block_is_never_taken_back(client: Client, devnet: Devnet) -> None:
    await devnet.mine(40)
    answer = await client.http.post("/devnet/fork", json={"depth": 19})
    assert answer.status_code == 409
    assert (await client.http.post("/devnet/fork", json={"depth": 18})).status_code == 200


async def test_a_flapping_node_shows_two_histories(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await devnet.mine(25)
    txid = await transfer(client)
    await devnet.mine()
    await client.post("/devnet/fork", depth=1, drop=[txid])
    await client.post("/devnet/faults", path="/wallet/*", kind="flap")
    seen = [await client.wallet("gettransactioninfobyid", value=txid) for _ in range(4)]
    assert [bool(info) for info in seen] == [False, True, False, True]


async def test_a_restored_snapshot_is_the_same_chain(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.post("/devnet/snapshot", name="before")
    head = devnet.chain.head.id
    await transfer(client)
    await devnet.mine(5)
    restored = await client.post("/devnet/restore", name="before")
    assert devnet.chain.head.id == head
    assert restored["head"] == devnet.chain.head.number
    assert await client.wallet("getaccount", address=BOB.hex) == {}
    await transfer(client)
    await devnet.mine()
    assert (await client.wallet("getaccount", address=BOB.hex))["balance"] == 1_000_000


async def test_time_travel_lets_stake_come_back(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.run("freezebalancev2", ALICE, frozen_balance=100_000_000, resource="ENERGY")
    await client.run("unfreezebalancev2", ALICE, unfreeze_balance=100_000_000, resource="ENERGY")
    await client.post("/devnet/time", advance_ms=14 * 86_400_000)
    await devnet.mine()
    info = await client.run("withdrawexpireunfreeze", ALICE)
    assert info["withdraw_expire_amount"] == 100_000_000
    account = await client.wallet("getaccount", address=ALICE.hex)
    assert account["balance"] == 1_000_000_000 - info.get("fee", 0)


async def test_a_parameter_changes_with_the_next_block(client: Client, devnet: Devnet) -> None:
    await client.post("/devnet/parameters", getEnergyFee=210)
    prices = (await client.wallet("getenergyprices"))["prices"]
    assert prices == f"0:100,{devnet.chain.head.timestamp_ms}:210"
    refused = await client.http.post("/devnet/parameters", json={"getNothing": 1})
    assert refused.status_code == 400


async def test_a_lost_answer_still_happened(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.post("/devnet/faults", path="/wallet/broadcast*", kind="drop_answer", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await transfer(client)
    assert len(devnet.chain.pending) == 1
    await client.post("/devnet/faults", path="/wallet/broadcast*", kind="drop_request", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await transfer(client, 2)
    assert len(devnet.chain.pending) == 1


async def test_faults_apply_as_often_as_they_say(client: Client, devnet: Devnet) -> None:
    await client.post("/devnet/faults", kind="status", status=429, times=2, retry_after_s=7)
    answers = [await client.http.post("/wallet/getnowblock") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert (await client.http.get("/devnet/faults")).json() == {"faults": []}


async def test_rules_are_removed_one_by_one_or_all(client: Client, devnet: Devnet) -> None:
    ids = [(await client.post("/devnet/faults", kind="html"))["id"] for _ in range(3)]
    removed = await client.http.delete("/devnet/faults", params={"id": ids[1]})
    assert removed.json() == {"removed": 1}
    left = (await client.http.get("/devnet/faults")).json()["faults"]
    assert [rule["id"] for rule in left] == [ids[0], ids[2]]
    assert (await client.http.delete("/devnet/faults")).json() == {"removed": 2}
    assert (await client.http.delete("/devnet/faults?id=x")).status_code == 400


async def test_a_lagging_node_is_late_in_everything(client: Client, devnet: Devnet) -> None:
    await devnet.mine(30)
    await client.fund(ALICE)
    await client.post("/devnet/faults", path="/wallet/*", kind="lag", blocks=5)
    now = await client.wallet("getnowblock")
    assert now["block_header"]["raw_data"]["number"] == devnet.chain.head.number - 5
    assert await client.wallet("getaccount", address=ALICE.hex) == {}


async def test_a_node_can_lie_stutter_and_refuse(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    lie = {"block_header": {"raw_data": {"number": 7_000_000}}}
    await client.post("/devnet/faults", kind="lie", answer=lie, times=1)
    assert (await client.wallet("getnowblock"))["block_header"]["raw_data"]["number"] == 7_000_000
    await client.post("/devnet/faults", kind="truncate", times=1)
    with pytest.raises(ValueError, match="char"):
        await client.wallet("getnowblock")
    await client.post("/devnet/faults", kind="html", times=1)
    assert "<html>" in (await client.http.post("/wallet/getnowblock")).text
    await client.post(
        "/devnet/faults",
        path="/wallet/broadcast*",
        kind="refuse",
        code="NOT_ENOUGH_EFFECTIVE_CONNECTION",
        message="P2P broadcast failed.",
        accepted=True,
        times=1,
    )
    built = await client.wallet(
        "createtransaction", owner_address=ALICE.hex, to_address=BOB.hex, amount=1
    )
    answer = await client.send(built, ALICE)
    assert answer["code"] == "NOT_ENOUGH_EFFECTIVE_CONNECTION"
    assert len(devnet.chain.pending) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "nonsense"},
        {"kind": "status", "status": 200},
        {"kind": "delay", "delay_ms": -1},
        {"kind": "lag", "blocks": 1, "surprise": True},
        {"kind": "delay", "probability": 2},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(
    client: Client, body: dict[str, object]
) -> None:
    assert (await client.http.post("/devnet/faults", json=body)).status_code == 400


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "1.2345678", 5, "", "²", "9" * 40])
async def test_the_faucet_wants_a_decimal_string(client: Client, amount: object) -> None:
    answer = await client.http.post(
        "/devnet/faucet", json={"address": ALICE.text, "amount": amount, "currency": "TRX"}
    )
    assert answer.status_code == 400
