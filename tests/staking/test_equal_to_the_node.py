"""After every operation, and after time has passed over locks and unfreezings, resources, votes
and rewards are what the node says when it is asked directly."""

from typing import Any

from tests.staking.raw_node import RawNode
from tests.staking.test_staking import DAY_MS, books_equal_chain, done, refused, travel
from tests.usdt.world import ALICE, World
from tron_payment.core.clock import from_ms, rfc3339
from tron_payment.core.money import trx_text

RESOURCES = ("BANDWIDTH", "ENERGY")
CLAIM_MS = DAY_MS


async def equal(world: World, *others: str) -> None:
    """Everything that the four GET endpoints say, of the wallet and of the others."""
    node = RawNode(world)
    for address in (world.hot, *others):
        await _resources(world, node, address)
        await _status(world, node, address)
    await books_equal_chain(world)


async def _said(world: World, what: str, address: str) -> dict[str, Any]:
    answer = await world.get(f"/staking/{what}/{address}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def _resources(world: World, node: RawNode, address: str) -> None:
    theirs = await node.ask("getaccountresource", address=address)
    ours = await _said(world, "resources", address)
    for name, field in (
        ("energy_limit", "EnergyLimit"),
        ("energy_used", "EnergyUsed"),
        ("bandwidth_limit", "NetLimit"),
        ("bandwidth_used", "NetUsed"),
        ("free_bandwidth_limit", "freeNetLimit"),
        ("free_bandwidth_used", "freeNetUsed"),
        ("voting_power", "tronPowerLimit"),
        ("voting_power_used", "tronPowerUsed"),
    ):
        assert ours[name] == theirs.get(field, 0), (name, ours, theirs)
    for resource, kind in (("energy", "Energy"), ("bandwidth", "Net")):
        weight, total = theirs.get(f"Total{kind}Weight", 0), theirs[f"Total{kind}Limit"]
        given = 1000 * total // weight if weight else 0
        assert ours[f"{resource}_per_1000_trx"] == given


async def _status(world: World, node: RawNode, address: str) -> None:
    account = await node.account(address)
    ours = await _said(world, "status", address)
    staked = {row.get("type", "BANDWIDTH"): row.get("amount", 0) for row in account["frozenV2"]}
    energy = account.get("account_resource", {})
    lent = {
        "BANDWIDTH": account.get("delegated_frozenV2_balance_for_bandwidth", 0),
        "ENERGY": energy.get("delegated_frozenV2_balance_for_energy", 0),
    }
    borrowed = {
        "BANDWIDTH": account.get("acquired_delegated_frozenV2_balance_for_bandwidth", 0),
        "ENERGY": energy.get("acquired_delegated_frozenV2_balance_for_energy", 0),
    }
    assert ours["staked"] == {each: trx_text(staked.get(each, 0)) for each in RESOURCES}
    assert ours["lent"] == {each: trx_text(lent[each]) for each in RESOURCES}
    assert ours["borrowed"] == {each: trx_text(borrowed[each]) for each in RESOURCES}
    pending = [
        (trx_text(row["unfreeze_amount"]), rfc3339(from_ms(row["unfreeze_expire_time"])))
        for row in account.get("unfrozenV2", [])
    ]
    assert [(each["amount"], each["expires_at"]) for each in ours["unstaking"]] == pending
    votes = [(row["vote_address"], row["vote_count"]) for row in account.get("votes", [])]
    assert [(each["address"], each["count"]) for each in ours["votes"]] == votes

    reward = (await node.ask("getReward", address=address)).get("reward", 0)
    claims = await _said(world, "rewards", address)
    assert ours["reward"] == claims["reward"] == trx_text(reward)
    last = account.get("latest_withdraw_time", 0)
    assert claims["last_claim_at"] == (rfc3339(from_ms(last)) if last else None)
    over = world.devnet.chain.head.timestamp_ms - last >= CLAIM_MS
    assert claims["claimable"] is (over and reward > 0)

    left = await node.ask("getavailableunfreezecount", owner_address=address)
    assert ours["unstakes_left"] == left.get("count", 0)
    free = await node.ask("getcanwithdrawunfreezeamount", owner_address=address)
    assert ours["withdrawable"] == trx_text(free.get("amount", 0))
    balance = await _said(world, "balance", address)
    assert balance["available"] == trx_text(account.get("balance", 0))
    assert balance["withdrawable"] == ours["withdrawable"]
    assert balance["reward"] == ours["reward"]


async def test_a_year_of_operations_leaves_us_and_the_node_of_one_mind(world: World) -> None:
    await world.fund(ALICE, trx=1)
    await equal(world)
    await done(world, "stake", amount="2000", resource="ENERGY")
    await equal(world)
    await done(world, "stake", amount="1000", resource="BANDWIDTH")
    await equal(world)
    witnesses = await world.house.nodes.read(lambda node: node.witnesses())
    votes = [{"address": each.address, "count": 1000 + n} for n, each in enumerate(witnesses[:2])]
    await done(world, "vote", votes=votes)
    await equal(world)

    lend = {"receiver_address": ALICE, "resource": "ENERGY"}
    await done(world, "delegate", amount="500", lock_period_s=3 * 86_400, **lend)
    await equal(world, ALICE)
    await done(world, "delegate", amount="200", **lend)
    await equal(world, ALICE)
    await done(world, "undelegate", amount="150", **lend)
    await equal(world, ALICE)
    await refused(world, "undelegate", 409, "delegation_locked", amount="51", **lend)
    await travel(world, 4)  # over the lock
    await equal(world, ALICE)
    await travel(world, 1)  # a cycle in which the votes counted from its beginning
    await equal(world)
    await done(world, "undelegate", amount="550", **lend)
    await equal(world, ALICE)

    await done(world, "withdraw", what="rewards")
    await equal(world)
    await refused(world, "withdraw", 409, "claim_too_early", what="rewards")
    await done(world, "unstake", amount="1600", resource="ENERGY")  # takes votes with it
    await equal(world)
    await done(world, "unstake", amount="300", resource="BANDWIDTH")
    await equal(world)
    await done(world, "cancel-unstake")
    await equal(world)
    await done(world, "unstake", amount="700", resource="BANDWIDTH")
    await travel(world, 13)
    await equal(world)
    await refused(world, "withdraw", 409, "nothing_to_withdraw")
    await travel(world, 1)  # over the unfreezing
    await equal(world)
    await done(world, "withdraw")
    await equal(world)
    await done(world, "withdraw", what="rewards")
    await equal(world)
    await travel(world, 330)
    await equal(world)


async def test_used_energy_is_the_nodes_and_comes_back_like_it(world: World) -> None:
    await done(world, "stake", amount="5000", resource="ENERGY")
    wish = {"wallet_id": await world.wallet_id(), "to_address": ALICE, "amount": "1"}
    assert (await world.post("/usdt/transfer", wish)).status_code == 202
    await world.settle()
    used = (await _said(world, "resources", world.hot))["energy_used"]
    assert used > 0
    await _resources(world, RawNode(world), world.hot)
    await world.mine(1, skip_ms=DAY_MS // 2)
    await _resources(world, RawNode(world), world.hot)
    assert 0 < (await _said(world, "resources", world.hot))["energy_used"] < used
    await world.mine(1, skip_ms=DAY_MS)
    await _resources(world, RawNode(world), world.hot)
    assert (await _said(world, "resources", world.hot))["energy_used"] == 0
