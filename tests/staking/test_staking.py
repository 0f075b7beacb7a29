"""Every staking operation from the request to the chain, and what the books say of it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.usdt.world import ALICE, World
from tron_payment.db.cas import LostRace
from tron_payment.db.events import Event
from tron_payment.db.ledger import Pocket
from tron_payment.engine import Order, OrderStatus
from tron_payment.staking import domain

DAY_MS = 24 * 3600 * 1000
TRX = 1_000_000


async def ask(world: World, path: str, **body: Any) -> Any:
    body = {"wallet_id": await world.wallet_id(), **body}
    answer = await world.post(f"/staking/{path}", body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def done(world: World, path: str, **body: Any) -> Any:
    """Ask, settle, and see that it is settled."""
    stake = await ask(world, path, **body)
    await world.settle()
    seen = (await world.get(f"/staking/operations/{stake['stake_id']}")).json()
    assert seen["status"] == "settled", seen
    return seen


async def operation(world: World, stake_id: str) -> Any:
    return (await world.get(f"/staking/operations/{stake_id}")).json()


async def refused(world: World, path: str, status: int, code: str, **body: Any) -> dict[str, Any]:
    body = {"wallet_id": await world.wallet_id(), **body}
    before = await Order.count()
    answer = await world.post(f"/staking/{path}", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await Order.count() == before, "a refusal leaves nothing"
    return answer.json()


async def travel(world: World, days: int) -> None:
    """Let days pass on the chain, and let our follower see it."""
    await world.mine(1, skip_ms=days * DAY_MS)
    await world.mine(22)
    await world.work()


async def status(world: World) -> Any:
    answer = await world.get(f"/staking/status/{world.hot}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pockets(world: World) -> dict[Pocket, int]:
    return (await world.house.ledger.holdings(world.hot))["TRX"]


async def books_equal_chain(world: World) -> None:
    """What the ledger says of the wallet is what the node says of it."""
    account = await world.house.nodes.account(world.hot, solid=True)
    held = await pockets(world)
    assert held.get(Pocket.RESERVED, 0) == 0, held
    assert held[Pocket.AVAILABLE] == account.balance_sun, held
    assert held.get(Pocket.STAKED, 0) == account.staked_sun, held
    assert held.get(Pocket.UNFREEZING, 0) == account.unfreezing_sun, held


async def test_stake_unstake_wait_withdraw(world: World) -> None:
    first = await done(world, "stake", amount="1000", resource="ENERGY")
    assert first["stake_id"].startswith("stk_") and first["amount"] == "1000"
    seen = await status(world)
    assert seen["staked"] == {"BANDWIDTH": "0", "ENERGY": "1000"}
    assert seen["voting_power"] == 1000
    resources = (await world.get(f"/staking/resources/{world.hot}")).json()
    assert resources["energy_limit"] > 0 and resources["energy_per_1000_trx"] > 0

    await done(world, "unstake", amount="400", resource="ENERGY")
    seen = await status(world)
    assert (seen["staked"]["ENERGY"], seen["unstakes_left"]) == ("600", 31)
    (waiting,) = seen["unstaking"]
    assert (waiting["amount"], waiting["ended"]) == ("400", False)
    problem = await refused(world, "withdraw", 409, "nothing_to_withdraw")
    assert problem["next_expires_at"] == waiting["expires_at"]

    await travel(world, 14)
    (event,) = await Event.find({"type": "unstaking.ended"}).to_list()
    assert event.data["amount"] == "400"
    assert (await status(world))["withdrawable"] == "400"
    await done(world, "withdraw")
    assert (await status(world))["unstaking"] == []
    balance = (await world.get(f"/staking/balance/{world.hot}")).json()
    assert (balance["staked"], balance["unstaking"], balance["withdrawable"]) == ("600", "0", "0")
    statistics = (await world.get("/staking/statistics")).json()
    assert statistics["unstaking"] == []
    assert {each["operation"] for each in statistics["operations"]} == {
        "stake",
        "unstake",
        "withdraw_unstaked",
    }


async def test_what_gives_back_waits_for_no_money(world: World) -> None:
    """A wallet that has staked nearly all it has gets it back by its free bandwidth."""
    made = (await world.post("/wallets", {"label": "stake", "kind": "hot"})).json()
    await world.settle()
    await world.fund(made["address"], trx=3)
    await world.settle()
    me = {"wallet_id": made["wallet_id"]}
    for path, body in (
        ("stake", {"amount": "2.6", "resource": "ENERGY"}),
        ("unstake", {"amount": "2.6", "resource": "ENERGY"}),
        ("cancel-unstake", {}),
    ):
        await done(world, path, **me, **body)  # the third burns, the free bytes are used up
    left = (await world.house.ledger.holdings(made["address"]))["TRX"][Pocket.AVAILABLE]
    await travel(world, 2)
    out = await done(world, "unstake", amount="2.6", resource="ENERGY", **me)
    order = await Order.find_one({"subject": out["stake_id"]})
    assert order is not None and [h.units for h in order.held] == [left]
    bound = await world.house.engine.fees.bound(order.wanted_contract)
    assert 0 < left < bound.hold_sun and order.outcome.fee_sun == 0
    pockets = (await world.house.ledger.holdings(made["address"]))["TRX"]
    assert (pockets[Pocket.AVAILABLE], pockets.get(Pocket.RESERVED, 0)) == (left, 0)


async def test_cancel_unstake_stakes_again(world: World) -> None:
    await refused(world, "cancel-unstake", 409, "nothing_to_cancel")
    await done(world, "stake", amount="500", resource="BANDWIDTH")
    await done(world, "unstake", amount="200", resource="BANDWIDTH")
    await done(world, "cancel-unstake")
    seen = await status(world)
    assert (seen["staked"]["BANDWIDTH"], seen["unstaking"]) == ("500", [])
    assert (await world.get("/staking/statistics")).json()["unstaking"] == []


async def test_delegate_with_lock_and_undelegate(world: World) -> None:
    await done(world, "stake", amount="500", resource="ENERGY")
    wish = {"receiver_address": ALICE, "resource": "ENERGY"}
    await refused(world, "delegate", 409, "receiver_not_activated", amount="100", **wish)
    await world.fund(ALICE, trx=1)
    await done(world, "delegate", amount="100", lock_period_s=86_400, **wish)
    await done(world, "delegate", amount="50", **wish)
    rows = {(d["amount"], d["locked_until"] is None) for d in (await status(world))["delegations"]}
    assert rows == {("100", False), ("50", True)}
    borrowed = (await world.get(f"/staking/status/{ALICE}")).json()
    assert borrowed["borrowed"]["ENERGY"] == "150" and borrowed["borrowed_from"] == [world.hot]

    problem = await refused(world, "undelegate", 409, "delegation_locked", amount="120", **wish)
    assert problem["free_trx"] == "50"
    await refused(world, "undelegate", 409, "delegation_too_high", amount="151", **wish)
    await refused(world, "delegate", 409, "lock_too_short", amount="10", lock_period_s=3600, **wish)
    await done(world, "undelegate", amount="50", **wish)
    await travel(world, 2)
    await done(world, "undelegate", amount="100", **wish)
    await refused(world, "undelegate", 409, "nothing_delegated", amount="1", **wish)
    await books_equal_chain(world)


async def test_vote_and_claim_rewards(world: World) -> None:
    await done(world, "stake", amount="1000", resource="ENERGY")
    witness = (await world.house.nodes.read(lambda node: node.witnesses()))[0].address
    votes = [{"address": witness, "count": 900}]
    await refused(world, "withdraw", 409, "no_reward", what="rewards")
    await done(world, "vote", votes=votes)
    assert (await status(world))["votes"] == votes
    await travel(world, 1)
    await travel(world, 1)
    rewards = (await world.get(f"/staking/rewards/{world.hot}")).json()
    assert rewards["claimable"] is True and rewards["reward"] != "0"
    before = (await pockets(world))[Pocket.AVAILABLE]
    await done(world, "withdraw", what="rewards")
    assert (await pockets(world))[Pocket.AVAILABLE] > before
    await refused(world, "withdraw", 409, "claim_too_early", what="rewards")
    await books_equal_chain(world)


BAD_WISHES: list[tuple[str, int, str, dict[str, Any]]] = [
    ("stake", 422, "amount_below_minimum", {"amount": "0.999999", "resource": "ENERGY"}),
    ("stake", 422, "invalid_amount", {"amount": "0", "resource": "ENERGY"}),
    ("stake", 409, "balance_too_low", {"amount": "10001", "resource": "ENERGY"}),
    ("stake", 422, "invalid_field", {"amount": "1", "resource": "TRON_POWER"}),
    ("unstake", 409, "stake_too_low", {"amount": "1", "resource": "ENERGY"}),
    ("withdraw", 409, "nothing_to_withdraw", {}),
    ("withdraw", 409, "no_reward", {"what": "rewards"}),
    ("vote", 422, "invalid_votes", {"votes": []}),
    ("vote", 422, "invalid_votes", {"votes": [{"address": ALICE, "count": 0}]}),
    ("vote", 422, "unknown_representative", {"votes": [{"address": ALICE, "count": 1}]}),
    (
        "delegate",
        422,
        "invalid_lock_period",
        {"amount": "1", "resource": "ENERGY", "receiver_address": ALICE, "lock_period_s": 0},
    ),
    (
        "undelegate",
        409,
        "nothing_delegated",
        {"amount": "1", "resource": "ENERGY", "receiver_address": ALICE},
    ),
]


async def test_what_the_chain_would_refuse_is_refused_before(world: World) -> None:
    for what, status_code, code, body in BAD_WISHES:
        await refused(world, what, status_code, code, **body)


async def test_delegation_to_oneself_or_a_contract_or_of_too_much(world: World) -> None:
    await done(world, "stake", amount="10", resource="ENERGY")
    token = world.house.deployment.usdt
    wish = {"amount": "5", "resource": "ENERGY"}
    await refused(world, "delegate", 422, "receiver_is_owner", receiver_address=world.hot, **wish)
    await refused(world, "delegate", 422, "receiver_is_contract", receiver_address=token, **wish)
    await world.fund(ALICE, trx=1)
    much = {"amount": "11", "resource": "ENERGY", "receiver_address": ALICE}
    assert (await refused(world, "delegate", 409, "delegation_too_high", **much))[
        "lendable_trx"
    ] == "10"
    witness = (await world.house.nodes.read(lambda node: node.witnesses()))[0].address
    votes = [{"address": witness, "count": 11}]
    assert (await refused(world, "vote", 409, "voting_power_too_low", votes=votes))[
        "voting_power"
    ] == 10


async def test_the_33rd_pending_unstake_is_refused(world: World) -> None:
    await done(world, "stake", amount="100", resource="ENERGY")
    for _ in range(32):
        await ask(world, "unstake", amount="1", resource="ENERGY")
    await world.settle()
    assert (await status(world))["unstakes_left"] == 0
    problem = await refused(
        world, "unstake", 409, "too_many_unstakes", amount="1", resource="ENERGY"
    )
    assert problem["next_expires_at"]


async def test_an_operation_that_became_impossible_waits_and_can_be_canceled(world: World) -> None:
    await done(world, "stake", amount="10", resource="ENERGY")
    one = await ask(world, "unstake", amount="10", resource="ENERGY")
    two = await ask(world, "unstake", amount="10", resource="ENERGY")
    await world.work()
    await world.mine()
    await world.settle()
    seen = [
        (await world.get(f"/staking/operations/{each['stake_id']}")).json() for each in (one, two)
    ]
    by_status = {each["status"]: each for each in seen}
    assert "settled" in by_status, seen
    (late,) = [each for each in seen if each["status"] != "settled"]
    if late["status"] == "broadcast":
        await world.mine(1, skip_ms=400_000)
        await world.settle()
        late = (await world.get(f"/staking/operations/{late['stake_id']}")).json()
    assert late["status"] == "queued", late
    assert late["waiting_for"] == "chain_would_refuse: stake_too_low"
    answer = await world.post(f"/staking/operations/{late['stake_id']}/cancel", None)
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled"), answer.text
    await world.work()
    assert await Order.find({"status": OrderStatus.SIGNED.value}).count() == 0


async def test_roles_and_repeats(world: World) -> None:
    body = {"wallet_id": await world.wallet_id(), "amount": "5", "resource": "ENERGY"}
    for role in ("viewer", "merchant", "admin", "auditor", "approver"):
        assert (await world.post("/staking/stake", body, role=role)).status_code == 403
    first = await world.post("/staking/stake", body, role="treasurer", key="key-of-the-client-1")
    again = await world.post("/staking/stake", body, role="treasurer", key="key-of-the-client-1")
    assert first.status_code == 202 and first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    dry = await world.post("/staking/stake", body | {"dry_run": True}, key=None)
    assert dry.status_code == 200 and dry.json()["would_be_status"] == "queued"
    await world.settle()
    assert (await status(world))["staked"]["ENERGY"] == "5"
    for what in ("status", "balance", "rewards", "resources"):
        assert (await world.get(f"/staking/{what}/nonsense")).json()["code"] == "invalid_address"
        answer = await world.get(f"/staking/{what}/{ALICE}", role="viewer")
        assert answer.status_code == (200 if what == "resources" else 404)


async def test_the_books_follow_unstaking_canceling_and_withdrawing(world: World) -> None:
    await done(world, "stake", amount="1000", resource="ENERGY")
    await books_equal_chain(world)
    await done(world, "unstake", amount="400", resource="ENERGY")
    await books_equal_chain(world)
    await done(world, "cancel-unstake")
    await books_equal_chain(world)
    await done(world, "unstake", amount="300", resource="ENERGY")
    await travel(world, 14)
    await done(world, "withdraw")
    await books_equal_chain(world)


async def test_what_the_chain_would_refuse_fails_before_it_is_about_something_else(
    world: World,
) -> None:
    """Of two cancelations the second has nothing to cancel; a later unstaking is none of its."""
    await done(world, "stake", amount="1000", resource="ENERGY")
    await done(world, "unstake", amount="400", resource="ENERGY")
    both = [await ask(world, "cancel-unstake") for _ in range(2)]
    await world.settle()
    await world.settle()
    await travel(world, 30)
    await done(world, "unstake", amount="600", resource="ENERGY")
    seen = [await operation(world, each["stake_id"]) for each in both]
    (late,) = [each for each in seen if each["status"] != "settled"]
    assert late["status"] == "failed", late
    assert late["reason"] == "expired: chain_would_refuse: nothing_to_cancel", late
    (kept,) = (await status(world))["unstaking"]
    assert kept["amount"] == "600"
    await books_equal_chain(world)


async def test_what_waits_for_money_waits_a_day_and_no_longer(world: World) -> None:
    """The answer says until when; the money that comes later is used for nothing."""
    made = (await world.post("/wallets", {"label": "poor", "kind": "hot"})).json()
    await world.settle()
    await world.fund(made["address"], trx=100)
    await world.settle()
    me = {"wallet_id": made["wallet_id"], "amount": "99.9", "resource": "ENERGY"}
    waits = await ask(world, "stake", **me)
    assert waits["waits_until"] > waits["created_at"]
    await world.settle()
    late = await operation(world, waits["stake_id"])
    assert (late["status"], late["waiting_for"]) == ("queued", "funds"), late
    await travel(world, 1)
    await world.fund(made["address"], trx=100)
    await world.settle()
    late = await operation(world, waits["stake_id"])
    assert (late["status"], late["reason"]) == ("failed", "expired"), late


async def test_what_cannot_be_given_up_now_is_held_and_given_up_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while a restored store reads what it has forgotten: it is neither ended nor signed."""
    await done(world, "stake", amount="1000", resource="ENERGY")

    async def not_now(*_: Any) -> None:
        raise LostRace("not yet")

    with monkeypatch.context() as early:
        early.setattr(domain, "WAIT_MAX", timedelta(0))
        early.setattr(world.house.engine, "refuse", not_now)
        held = await ask(world, "unstake", amount="400", resource="ENERGY")
        await world.settle()
        seen = await operation(world, held["stake_id"])
        assert (seen["status"], seen["waiting_for"], seen["txid"]) == ("queued", "expired", None)
        early.undo()
        early.setattr(domain, "WAIT_MAX", timedelta(0))
        await world.settle()
        assert (await operation(world, held["stake_id"]))["status"] == "failed"
    assert (await status(world))["unstaking"] == []


def test_an_operation_is_over_when_it_is_too_old_for_what_it_waits_for() -> None:
    minutes, day = domain.REFUSED_MAX, domain.WAIT_MAX
    moment = timedelta(seconds=1)
    for age, detached, would_be_refused, over in (
        (minutes - moment, False, True, False),
        (minutes, False, True, True),
        (minutes, True, True, True),
        (minutes, False, False, False),
        (day - moment, False, False, False),
        (day, False, False, True),
        (day, True, False, False),
        (domain.WAIT_DETACHED_MAX, True, False, True),
    ):
        assert domain.is_over(age, detached, would_be_refused) is over, (age, detached)
