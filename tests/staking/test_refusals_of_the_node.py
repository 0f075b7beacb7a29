"""What java-tron would refuse, said by us before and in our words: both are asked the same."""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.staking.raw_node import RawNode
from tests.staking.test_staking import done, refused
from tests.usdt.world import ALICE, BOB, World

SUN: Final = 1_000_000
RESOURCE = {"resource": "ENERGY"}


@dataclass(frozen=True)
class Case:
    """One wish to us, the same to the node, and what both say."""

    what: str
    body: dict[str, Any]
    status: int
    code: str
    node: str
    asked: dict[str, Any] = field(default_factory=dict)
    says: str = ""


def amount(trx: int) -> dict[str, Any]:
    return {"amount": str(trx), **RESOURCE}


CASES: Final = [
    Case("stake", {"amount": "0.999999", **RESOURCE}, 422, "amount_below_minimum",
         "freezebalancev2", {"frozen_balance": SUN - 1}, "greater than or equal to 1 TRX"),
    Case("stake", {"amount": "0", **RESOURCE}, 422, "invalid_amount",
         "freezebalancev2", {"frozen_balance": 0}, "must be positive"),
    Case("stake", amount(20_000), 409, "balance_too_low",
         "freezebalancev2", {"frozen_balance": 20_000 * SUN}, "less than or equal"),
    Case("unstake", {"amount": "1", "resource": "BANDWIDTH"}, 409, "stake_too_low",
         "unfreezebalancev2", {"unfreeze_balance": SUN, "resource": "BANDWIDTH"},
         "no frozenBalance(BANDWIDTH)"),
    Case("unstake", amount(101), 409, "stake_too_low",
         "unfreezebalancev2", {"unfreeze_balance": 101 * SUN}, "Invalid unfreeze_balance"),
    Case("withdraw", {}, 409, "nothing_to_withdraw",
         "withdrawexpireunfreeze", {}, "no unFreeze balance to withdraw"),
    Case("cancel-unstake", {}, 409, "nothing_to_cancel",
         "cancelallunfreezev2", {}, "No unfreezeV2 list to cancel"),
    Case("withdraw", {"what": "rewards"}, 409, "no_reward",
         "withdrawbalance", {}, "does not have any reward"),
    Case("vote", {"votes": []}, 422, "invalid_votes",
         "votewitnessaccount", {"votes": []}, "VoteNumber must more than 0"),
    Case("vote", {"votes": [{"address": ALICE, "count": 1}]}, 422, "unknown_representative",
         "votewitnessaccount", {"votes": [{"vote_address": ALICE, "vote_count": 1}]},
         "not exists"),
    Case("delegate", amount(1) | {"receiver_address": BOB}, 409, "receiver_not_activated",
         "delegateresource", {"balance": SUN, "receiver_address": BOB}, "not exists"),
    Case("delegate", {"amount": "0.5", **RESOURCE, "receiver_address": ALICE}, 422,
         "amount_below_minimum",
         "delegateresource", {"balance": SUN // 2, "receiver_address": ALICE},
         "greater than or equal to 1 TRX"),
    Case("delegate", amount(101) | {"receiver_address": ALICE}, 409, "delegation_too_high",
         "delegateresource", {"balance": 101 * SUN, "receiver_address": ALICE},
         "available FreezeEnergyV2 balance"),
    Case("delegate", amount(1) | {"receiver_address": ALICE, "lock_period_s": 3 * 864_001}, 422,
         "invalid_lock_period",
         "delegateresource",
         {"balance": SUN, "receiver_address": ALICE, "lock": True, "lock_period": 864_001},
         "lock period"),
    Case("undelegate", amount(1) | {"receiver_address": ALICE}, 409, "nothing_delegated",
         "undelegateresource", {"balance": SUN, "receiver_address": ALICE},
         "delegated Resource does not exist"),
]  # fmt: skip


async def test_every_refusal_is_ours_first(world: World) -> None:
    node = RawNode(world)
    await world.fund(ALICE, trx=1)
    await done(world, "stake", amount="100", resource="ENERGY")
    for case in CASES:
        body = {"owner_address": world.hot, **RESOURCE, **case.asked}
        said = await node.refusal(case.node, **body)
        assert case.says in said and said, (case, said)
        await refused(world, case.what, case.status, case.code, **case.body)


async def test_refusals_that_depend_on_what_was_done_before(world: World) -> None:
    node = RawNode(world)
    owner = {"owner_address": world.hot, **RESOURCE}
    token = world.house.deployment.usdt
    await world.fund(ALICE, trx=1)
    await done(world, "stake", amount="100", resource="ENERGY")
    for receiver, status, code, says in (
        (world.hot, 422, "receiver_is_owner", "must not be the same"),
        (token, 422, "receiver_is_contract", "contract addresses"),
    ):
        body = {"balance": SUN, "receiver_address": receiver}
        assert says in await node.refusal("delegateresource", **owner, **body)
        wish = amount(1) | {"receiver_address": receiver}
        await refused(world, "delegate", status, code, **wish)

    witness = (await world.house.nodes.read(lambda each: each.witnesses()))[0].address
    votes = [{"vote_address": witness, "vote_count": 101}]
    assert "tronPower" in await node.refusal("votewitnessaccount", **owner, votes=votes)
    wish = {"votes": [{"address": witness, "count": 101}]}
    await refused(world, "vote", 409, "voting_power_too_low", **wish)

    lend = {"receiver_address": ALICE, **RESOURCE}
    await done(world, "delegate", amount="10", lock_period_s=86_400, **lend)
    body = {"balance": SUN, "receiver_address": ALICE, "lock": True, "lock_period": 1200}
    assert "lock period" in await node.refusal("delegateresource", **owner, **body)
    await refused(world, "delegate", 409, "lock_too_short", amount="1", lock_period_s=3600, **lend)
    body = {"balance": 5 * SUN, "receiver_address": ALICE}
    assert "insufficient" in await node.refusal("undelegateresource", **owner, **body)
    await refused(world, "undelegate", 409, "delegation_locked", amount="5", **lend)
    body = {"balance": 11 * SUN, "receiver_address": ALICE}
    assert "insufficient" in await node.refusal("undelegateresource", **owner, **body)
    await refused(world, "undelegate", 409, "delegation_too_high", amount="11", **lend)
