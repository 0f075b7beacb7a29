"""Stake 2.0 beyond the recording: locks, shares of use, bounds, rewards, recovery."""

from tests.devnet.client import ALICE, BOB, CAROL, Client
from tron_payment.devnet import Devnet

TRX = 1_000_000
HOUR_MS = 3_600_000


async def refused(client: Client, path: str, **body: object) -> str:
    answer = await client.wallet(path, owner_address=ALICE.hex, **body)
    return str(answer["Error"]).partition(" : ")[2]


async def test_locked_stake_cannot_be_taken_back_before_its_time(
    client: Client, devnet: Devnet
) -> None:
    await client.fund(ALICE)
    await client.fund(BOB)
    await client.run("freezebalancev2", ALICE, frozen_balance=100 * TRX, resource="ENERGY")
    lent = {"receiver_address": BOB.hex, "resource": "ENERGY"}
    await client.run(
        "delegateresource", ALICE, balance=40 * TRX, lock=True, lock_period=100, **lent
    )
    assert "insufficient" in await refused(client, "undelegateresource", balance=TRX, **lent)
    words = await refused(
        client, "delegateresource", balance=TRX, lock=True, lock_period=10, **lent
    )
    assert words.startswith("The lock period for ENERGY this time cannot be less than")
    await devnet.mine(110)
    await client.run("undelegateresource", ALICE, balance=40 * TRX, **lent)
    shown = await client.wallet("getdelegatedresourcev2", fromAddress=ALICE.hex, toAddress=BOB.hex)
    assert shown == {}


async def test_at_most_thirty_two_unfreezings_wait(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "10000")
    await client.run("freezebalancev2", ALICE, frozen_balance=100 * TRX, resource="BANDWIDTH")
    for _ in range(32):
        await client.run("unfreezebalancev2", ALICE, unfreeze_balance=TRX, resource="BANDWIDTH")
    words = await refused(client, "unfreezebalancev2", unfreeze_balance=TRX, resource="BANDWIDTH")
    assert words == "Invalid unfreeze operation, unfreezing times is over limit"
    await client.post("/devnet/time", advance_ms=15 * 24 * HOUR_MS)
    await devnet.mine()
    info = await client.run("unfreezebalancev2", ALICE, unfreeze_balance=TRX, resource="BANDWIDTH")
    assert info["withdraw_expire_amount"] == 32 * TRX


async def test_use_recovers_within_a_day(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE)
    await client.fund(BOB)
    await client.run("createtransaction", ALICE, to_address=BOB.hex, amount=1)
    used = (await client.wallet("getaccountresource", address=ALICE.hex))["freeNetUsed"]
    assert 260 < used < 275
    await client.post("/devnet/time", advance_ms=12 * HOUR_MS)
    half = (await client.wallet("getaccountresource", address=ALICE.hex))["freeNetUsed"]
    assert abs(half - used / 2) < 2
    await client.post("/devnet/time", advance_ms=13 * HOUR_MS)
    assert "freeNetUsed" not in await client.wallet("getaccountresource", address=ALICE.hex)


async def test_votes_earn_rewards_once_a_day(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "20000000")
    await client.run("freezebalancev2", ALICE, frozen_balance=10**13, resource="ENERGY")
    witness = (await client.wallet("listwitnesses"))["witnesses"][0]
    votes = [{"vote_address": witness["address"], "vote_count": 10**7}]
    await client.run("votewitnessaccount", ALICE, votes=votes)
    await client.post("/devnet/time", advance_ms=6 * HOUR_MS)
    counted = (await client.wallet("listwitnesses"))["witnesses"][0]
    assert counted["voteCount"] == witness["voteCount"] + 10**7
    assert (await client.wallet("getReward", address=ALICE.hex)) == {"reward": 0}
    await devnet.mine(60)
    await client.post("/devnet/time", advance_ms=6 * HOUR_MS)
    reward = (await client.wallet("getReward", address=ALICE.hex))["reward"]
    assert reward > 0
    info = await client.run("withdrawbalance", ALICE)
    assert info["withdraw_amount"] == reward
    assert "less than 24 hours" in await refused(client, "withdrawbalance")


async def test_a_delegate_uses_anothers_bandwidth(client: Client, devnet: Devnet) -> None:
    await client.fund(ALICE, "100000")
    await client.fund(BOB)
    await client.fund(CAROL)
    await client.run("freezebalancev2", ALICE, frozen_balance=10_000 * TRX, resource="BANDWIDTH")
    await client.run(
        "delegateresource",
        ALICE,
        balance=5_000 * TRX,
        receiver_address=BOB.hex,
        resource="BANDWIDTH",
    )
    info = await client.run("createtransaction", BOB, to_address=CAROL.hex, amount=1)
    assert info["receipt"] == {"net_usage": 265}
    resource = await client.wallet("getaccountresource", address=BOB.hex)
    assert resource["NetUsed"] == 265
    assert "freeNetUsed" not in resource
