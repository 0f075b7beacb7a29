"""Real bytecode on the chain: bills, failures, shares, internal transactions, the dynamic model."""

import json
from typing import Any

import pytest

from tests.devnet.client import ALICE, BOB, CAROL, Client, Wallet
from tron_payment.devnet import Devnet
from tron_payment.devnet.faucet import ARTIFACT
from tron_payment.devnet.keys import from_base58check

REVERT = "60006000fd"
BURN_ALL = "fe"
FORWARDER = "60006000600060003460003573" + "ffffffffffffffffffffffffffffffffffffffff" + "165af1"
"""Calls the address in its first argument with the value it got, with all energy."""


def constructor(runtime: str) -> str:
    """Init code that returns `runtime`."""
    size = len(runtime) // 2
    return f"60{size:02x}80600b6000396000f3" + runtime


async def deploy(client: Client, owner: Wallet, runtime: str, **options: Any) -> dict[str, Any]:
    fields = {"consume_user_resource_percent": 100, "origin_energy_limit": 10_000_000}
    return await client.run(
        "deploycontract",
        owner,
        name="test",
        bytecode=constructor(runtime),
        fee_limit=1_000_000_000,
        **(fields | options),
    )


async def call(
    client: Client, caller: Wallet, contract: str, data: str = "", **options: Any
) -> dict[str, Any]:
    fields = {"fee_limit": 100_000_000} | options
    return await client.run(
        "triggersmartcontract", caller, contract_address=contract, data=data, **fields
    )


async def test_a_revert_costs_what_it_used_and_a_crash_all_it_may(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    reverting = (await deploy(client, ALICE, REVERT))["contract_address"]
    info = await call(client, ALICE, reverting)
    assert info["receipt"]["energy_usage_total"] == 6
    assert (info["result"], info["receipt"]["result"]) == ("FAILED", "REVERT")
    assert bytes.fromhex(info["resMessage"]) == b"REVERT opcode executed"

    crashing = (await deploy(client, ALICE, BURN_ALL))["contract_address"]
    info = await call(client, ALICE, crashing, fee_limit=2_000_000)
    assert info["receipt"]["energy_usage_total"] == 20_000
    assert info["receipt"]["energy_fee"] == 2_000_000
    assert info["receipt"]["result"] == "ILLEGAL_OPERATION"


async def test_a_failed_call_gives_the_value_back(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    contract = (await deploy(client, ALICE, REVERT))["contract_address"]
    before = (await client.wallet("getaccount", address=ALICE.hex))["balance"]
    info = await call(client, ALICE, contract, call_value=5_000_000)
    after = (await client.wallet("getaccount", address=ALICE.hex))["balance"]
    assert before - after == info["fee"]


async def test_trx_that_a_contract_moves_is_an_internal_transaction(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    contract = (await deploy(client, ALICE, FORWARDER))["contract_address"]
    word = BOB.hex[2:].rjust(64, "0")
    info = await call(client, ALICE, contract, word, call_value=3_000_000)
    (step,) = info["internal_transactions"]
    assert step["caller_address"] == contract
    assert step["transferTo_address"] == BOB.hex
    assert step["callValueInfo"] == [{"callValue": 3_000_000}]
    assert bytes.fromhex(step["note"]) == b"call"
    assert info["receipt"]["energy_usage_total"] > 25_000  # Bob's account is new
    bob = await client.wallet("getaccount", address=BOB.hex)
    assert bob["balance"] == 3_000_000
    page = (await client.http.get(f"/v1/accounts/{BOB.text}/transactions")).json()
    assert page["data"][0]["txID"] == info["id"]


async def test_the_creator_pays_his_share_from_his_stake(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "100000")
    await client.fund(BOB)
    await client.run("freezebalancev2", ALICE, frozen_balance=10**10, resource="ENERGY")
    runtime = "6001600055"  # one slot: 20,000 and a bit
    contract = (await deploy(client, ALICE, runtime, consume_user_resource_percent=30))[
        "contract_address"
    ]
    receipt = (await call(client, BOB, contract))["receipt"]
    total = receipt["energy_usage_total"]
    assert receipt["origin_energy_usage"] == total * 70 // 100
    assert receipt["energy_fee"] == (total - total * 70 // 100) * 100
    usage = await client.wallet("getaccountresource", address=ALICE.hex)
    assert usage["EnergyUsed"] >= receipt["origin_energy_usage"]


async def test_stake_is_used_before_anything_is_burned(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "100000")
    await client.run("freezebalancev2", ALICE, frozen_balance=10**10, resource="ENERGY")
    contract = (await deploy(client, ALICE, "6001600055"))["contract_address"]
    info = await call(client, ALICE, contract)
    assert info["receipt"]["energy_usage"] == info["receipt"]["energy_usage_total"]
    assert "energy_fee" not in info["receipt"]


async def test_the_dynamic_model_raises_the_price_of_a_busy_contract(
    client: Client, devnet: Devnet
) -> None:
    await client.post("/devnet/parameters", getDynamicEnergyThreshold=10_000)
    await client.fund(ALICE)
    await client.fund(ALICE, "100", "USDT")
    await client.fund(BOB, "1", "USDT")
    contract = from_base58check(devnet.info()["usdt_contract"])
    assert contract is not None
    data = "a9059cbb" + BOB.hex[2:].rjust(64, "0") + f"{1:064x}"
    base = None
    # What a contract did in the chain's first cycle is forgotten, as on java-tron.
    await client.post("/devnet/time", advance_ms=6 * 3_600_000)
    await devnet.mine()
    for factor in (0, 2_000, 4_400, 7_280):
        shown = await client.wallet("getcontractinfo", value=contract.hex())
        assert shown["contract_state"].get("energy_factor", 0) == factor
        receipt = (await call(client, ALICE, contract.hex(), data))["receipt"]
        base = base or receipt["energy_usage_total"]
        penalty = receipt.get("energy_penalty_total", 0)
        assert receipt["energy_usage_total"] == base + penalty
        assert 0 <= base * factor // 10_000 - penalty < base // 20
        await client.post("/devnet/time", advance_ms=6 * 3_600_000)


async def test_an_endless_loop_is_out_of_time_and_pays_all(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "20000")
    await client.post("/devnet/parameters", getMaxCpuTimeOfOneTx=5)
    looping = (await deploy(client, ALICE, "5b5f56"))["contract_address"]
    info = await call(client, ALICE, looping, fee_limit=10_000_000_000)
    assert (info["result"], info["receipt"]["result"]) == ("FAILED", "OUT_OF_TIME")
    assert info["receipt"]["energy_fee"] == 10_000_000_000
    assert bytes.fromhex(info["resMessage"]) == b"CPU timeout for 'JUMP' operation executing"
    tried = await client.wallet(
        "triggerconstantcontract", owner_address=ALICE.hex, contract_address=looping, data="00"
    )
    assert tried["result"]["code"] == "OTHER_ERROR"
    assert b"OutOfTimeException : CPU timeout" in bytes.fromhex(tried["result"]["message"])


async def test_a_contract_shows_what_was_deployed(client: Client, devnet: Devnet) -> None:
    contract = from_base58check(devnet.info()["usdt_contract"])
    assert contract is not None
    shown = await client.wallet("getcontract", value=contract.hex())
    artifact = json.loads(ARTIFACT.read_text())
    assert shown["bytecode"].startswith(artifact["bytecode"].removeprefix("0x"))
    assert len(shown["abi"]["entrys"]) == len(artifact["abi"])
    account = await client.wallet("getaccount", address=contract.hex())
    assert account["type"] == "Contract"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"consume_user_resource_percent": 101}, "percent must be >= 0 and <= 100"),
        ({"origin_energy_limit": 0}, "The originEnergyLimit must be > 0"),
        ({"name": "n" * 33}, "contractName's length cannot be greater than 32"),
    ],
)
async def test_a_deployment_that_cannot_be_is_refused(
    client: Client, change: dict[str, Any], words: str
) -> None:
    await client.fund(CAROL)
    fields = {
        "name": "n",
        "bytecode": "00",
        "fee_limit": 1,
        "consume_user_resource_percent": 100,
        "origin_energy_limit": 1,
    }
    answer = await client.wallet("deploycontract", owner_address=CAROL.hex, **(fields | change))
    assert words in answer["Error"]
