"""tronpy, unmodified, runs its ordinary flows against the devnet."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from tronpy import AsyncTron
from tronpy.async_contract import AsyncContract
from tronpy.keys import PrivateKey
from tronpy.providers import AsyncHTTPProvider

from tests.devnet.client import ALICE, BOB, CAROL, Client, Wallet
from tron_payment.devnet import Devnet, DevnetConfig
from tron_payment.devnet.faucet import ARTIFACT


def key_of(wallet: Wallet) -> PrivateKey:
    return PrivateKey(wallet.key)


@pytest.fixture
async def devnet() -> AsyncIterator[Devnet]:
    """Blocks by hand, beginning now: tronpy takes expirations from the machine's clock."""
    node = Devnet(DevnetConfig(block_ms=0, seed="tronpy"))
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def tron(devnet: Devnet) -> AsyncIterator[AsyncTron]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(devnet.asgi)) as http:
        provider = AsyncHTTPProvider("http://devnet.example", client=http)
        conf = {"fee_limit": 15_000_000_000, "timeout": 10.0, "max_future_block": 20}
        yield AsyncTron(provider, conf=conf)


async def settle(devnet: Devnet, builder: Any, *wallets: Wallet) -> dict[str, Any]:
    """Build, sign and broadcast with tronpy; mine; wait as tronpy waits."""
    transaction = await builder.build()
    for wallet in wallets:
        transaction = transaction.sign(key_of(wallet))
    sent = await transaction.broadcast()
    await devnet.mine()
    info: dict[str, Any] = await sent.wait()
    return info


async def test_it_transfers_and_reads(client: Client, devnet: Devnet, tron: AsyncTron) -> None:
    await client.fund(ALICE)
    info = await settle(
        devnet, tron.trx.transfer(ALICE.text, BOB.text, 5_000_000).memo("hello"), ALICE
    )
    assert info["fee"] == 2_100_000  # activation, its bandwidth, the memo
    assert await tron.get_account_balance(BOB.text) == Decimal(5)
    block = await tron.get_block()
    assert block["transactions"][0]["txID"] == info["id"]
    assert (await tron.get_transaction(info["id"]))["ret"] == [{"contractRet": "SUCCESS"}]
    assert await tron.get_latest_block_number() == devnet.chain.head.number
    parameters = {entry["key"]: entry.get("value") for entry in await tron.get_chain_parameters()}
    assert parameters["getEnergyFee"] == 100
    assert await tron.get_estimated_energy(
        ALICE.text, devnet.info()["usdt_contract"], "decimals()", ""
    )


async def test_it_deploys_calls_and_reads_events(
    client: Client, devnet: Devnet, tron: AsyncTron
) -> None:
    await client.fund(ALICE, "10000")
    artifact = json.loads(ARTIFACT.read_text())
    code = artifact["bytecode"].removeprefix("0x")
    arguments = (
        f"{1_000_000:064x}{128:064x}{192:064x}{6:064x}"
        f"{4:064x}{b'Mine'.hex():0<64}{2:064x}{b'MM'.hex():0<64}"
    )
    contract = AsyncContract(name="Mine", bytecode=code + arguments, abi=artifact["abi"])
    info = await settle(
        devnet, tron.trx.deploy_contract(ALICE.text, contract).fee_limit(10**10), ALICE
    )
    assert info["receipt"]["result"] == "SUCCESS"

    token = await tron.get_contract(info["contract_address"])
    assert await token.functions.symbol() == "MM"
    assert await token.functions.balanceOf(ALICE.text) == 1_000_000
    builder = await token.functions.transfer(BOB.text, 250)
    info = await settle(devnet, builder.with_owner(ALICE.text).fee_limit(10**8), ALICE)
    assert info["receipt"]["result"] == "SUCCESS"
    (event,) = list(token.events.Transfer.process_receipt(info))
    assert event["args"]["value"] == 250
    assert await token.functions.balanceOf(BOB.text) == 250


async def test_it_stakes_delegates_and_votes(
    client: Client, devnet: Devnet, tron: AsyncTron
) -> None:
    await client.fund(ALICE)
    await client.fund(BOB, "1")
    trx = tron.trx
    await settle(devnet, trx.freeze_balance(ALICE.text, 500_000_000, "ENERGY"), ALICE)
    await settle(
        devnet,
        trx.delegate_resource(ALICE.text, BOB.text, 200_000_000, "ENERGY"),
        ALICE,
    )
    resource = await tron.get_account_resource(BOB.text)
    assert resource["EnergyLimit"] == 180_000_000_000 * 200 // 500
    witness = (await tron.list_witnesses())[0]["address"]
    await settle(devnet, trx.vote_witness(ALICE.text, (witness, 500)), ALICE)
    await settle(
        devnet,
        trx.undelegate_resource(ALICE.text, BOB.text, 200_000_000, "ENERGY"),
        ALICE,
    )
    await settle(
        devnet, trx.unfreeze_balance(ALICE.text, "ENERGY", unfreeze_balance=500_000_000), ALICE
    )
    account = await tron.get_account(ALICE.text)
    assert account["unfrozenV2"][0]["unfreeze_amount"] == 500_000_000
    assert "votes" not in account  # no power, no votes


async def test_it_signs_together(client: Client, devnet: Devnet, tron: AsyncTron) -> None:
    await client.fund(ALICE)
    permission = await tron.get_account_permission(ALICE.text)
    keys = [{"address": wallet.text, "weight": 1} for wallet in (ALICE, BOB, CAROL)]
    active = permission["actives"][0] | {"keys": keys, "threshold": 2}
    update = {"owner": permission["owner"], "actives": [active]}
    info = await settle(devnet, tron.trx.account_permission_update(ALICE.text, update), ALICE)
    assert info["fee"] == 100_000_000
    builder = tron.trx.transfer(ALICE.text, BOB.text, 1_000_000).permission_id(2)
    info = await settle(devnet, builder, BOB, CAROL)
    assert info["fee"] >= 1_000_000  # two signatures cost 1 TRX
    assert await tron.get_account_balance(BOB.text) == Decimal(1)
