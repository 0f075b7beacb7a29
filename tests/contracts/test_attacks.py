"""The attack list of contracts/README.md, one by one where a test can show it."""

import re

import pytest

from tron_payment.core.address import address_bytes
from tron_payment.devnet.tvm import call

from .world import (
    ALICE,
    BOB,
    FLOAT,
    HERE,
    ISSUER,
    MALLORY,
    OPERATOR,
    OWNER,
    TREASURY,
    USDT,
    Item,
    Router,
    reference,
)

ITEM = Item(reference(1), ALICE, 25 * USDT)
OTHER = Item(reference(2), BOB, 5 * USDT)
# HostileToken's modes
HONEST, LIES, REFUSES, KEEPS, CHARGES, REENTERS, TRIES = range(7)


def misbehave(router: Router, mode: int, data: bytes = b"") -> None:
    router.token.must(MALLORY, "set", mode, data)


def test_an_honest_token_answering_true_is_fine_too(hostile: Router) -> None:
    assert hostile.pay(ITEM).named("Paid")


@pytest.mark.parametrize("mode", [LIES, REFUSES, KEEPS])
def test_what_did_not_arrive_in_full_was_not_paid(hostile: Router, mode: int) -> None:
    misbehave(hostile, mode)
    receipt = hostile.pay_many([OTHER, ITEM])
    assert hostile.refused("NotDelivered", receipt)["id"] == hostile.id_of(OTHER)
    misbehave(hostile, HONEST)
    assert not hostile.paid(ITEM)
    assert hostile.pay_many([OTHER, ITEM]).ok


def test_a_token_that_takes_more_than_it_gives_is_noticed(hostile: Router) -> None:
    misbehave(hostile, CHARGES)
    for receipt in (hostile.pay(ITEM), hostile.pay_many([ITEM])):
        hostile.refused("BalanceMismatch", receipt)
    hostile.contract.refuses("BalanceMismatch", OWNER, "withdraw", 5)
    assert hostile.balance == FLOAT


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("again", [ITEM, OTHER], ids=["the same payment", "another payment"])
def test_a_token_cannot_enter_again(hostile: Router, again: Item, many: bool) -> None:
    """It is no operator: its call is refused, and the payment goes on or falls with it."""
    misbehave(hostile, REENTERS, hostile.data_many([again]) if many else hostile.data_one(again))
    hostile.refused("NotOperator", hostile.pay(ITEM))
    assert hostile.balance == FLOAT

    misbehave(hostile, TRIES, hostile.data_many([again]) if many else hostile.data_one(again))
    receipt = hostile.pay(ITEM)
    assert [paid["id"] for paid in receipt.named("Paid")] == [hostile.id_of(ITEM)]
    assert not hostile.token.view("reentrySucceeded")
    assert hostile.balance == FLOAT - ITEM.units


def test_even_a_token_that_is_an_operator_pays_nothing_twice(hostile: Router) -> None:
    hostile.contract.must(OWNER, "setOperator", hostile.token.address, True)

    misbehave(hostile, REENTERS, hostile.data_one(ITEM))
    receipt = hostile.pay(ITEM)  # the slot was taken before the token was called
    assert [event.name for event in receipt.events] == ["Skipped", "Paid"]
    assert hostile.balance == FLOAT - ITEM.units

    misbehave(hostile, REENTERS, hostile.data_one(OTHER))
    hostile.refused("BalanceMismatch", hostile.pay(Item(reference(3), ALICE, 1)))
    assert not hostile.paid(OTHER)
    assert hostile.balance == FLOAT - ITEM.units


def test_a_token_that_is_an_operator_cannot_cancel_what_it_is_paying(hostile: Router) -> None:
    hostile.contract.must(OWNER, "setOperator", hostile.token.address, True)
    cancel = hostile.contract.kind.call_data("cancel", hostile.id_of(ITEM))
    misbehave(hostile, REENTERS, cancel)
    hostile.refused("AlreadyPaid", hostile.pay(ITEM))
    misbehave(hostile, TRIES, cancel)
    assert hostile.pay(ITEM).named("Paid")
    assert not hostile.contract.view("canceled", hostile.id_of(ITEM))


def test_a_recipient_has_no_say_in_a_withdrawal(hostile: Router) -> None:
    misbehave(hostile, REENTERS, hostile.contract.kind.call_data("withdraw", 5))
    hostile.refused("NotOwnerOrTreasury", hostile.contract.send(OWNER, "withdraw", 5))


@pytest.mark.parametrize("cancel_first", [True, False])
def test_cancel_and_payment_race_to_exactly_one_end(router: Router, cancel_first: bool) -> None:
    """Whoever orders the two, the reference ends paid or cancelled, and both sides can read it."""
    cancel = ("cancel", router.id_of(ITEM))
    if cancel_first:
        assert router.contract.send(OPERATOR, *cancel).named("Canceled")
        assert router.pay(ITEM).named("Skipped")
    else:
        assert router.pay(ITEM).named("Paid")
        router.contract.refuses("AlreadyPaid", OPERATOR, *cancel)
    assert router.paid(ITEM) is not cancel_first
    assert router.contract.view("canceled", router.id_of(ITEM)) is cancel_first
    assert router.balance == FLOAT - (0 if cancel_first else ITEM.units)


def test_a_stranger_cannot_cancel_ahead_of_a_payment(router: Router) -> None:
    router.contract.refuses("NotOwnerOrOperator", MALLORY, "cancel", router.id_of(ITEM))
    assert router.pay(ITEM).named("Paid")


def test_a_fee_switched_on_stops_payments_and_not_the_evacuation(router: Router) -> None:
    router.token.must(ISSUER, "setParams", 10, 2)
    assert router.refused("NotDelivered", router.pay(ITEM)) == {
        "id": router.id_of(ITEM),
        "to": ALICE,
        "amount": ITEM.units,
    }
    router.refused("NotDelivered", router.pay_many([OTHER, ITEM]))
    assert router.balance == FLOAT
    router.contract.must(OWNER, "withdraw", 1_000 * USDT)
    assert router.token.view("balanceOf", TREASURY) == 999 * USDT
    router.token.must(ISSUER, "setParams", 0, 0)
    assert router.pay(ITEM).named("Paid")


def test_a_paused_token_pays_nothing_and_marks_nothing(router: Router) -> None:
    router.token.must(ISSUER, "pause")
    receipt = router.pay_many([OTHER, ITEM])
    assert receipt.outcome.result == "REVERT"
    router.token.must(ISSUER, "unpause")
    assert len(router.pay_many([OTHER, ITEM]).named("Paid")) == 2


def test_a_blacklisted_router_pays_nothing_and_marks_nothing(router: Router) -> None:
    router.token.must(ISSUER, "addBlackList", router.contract.address)
    assert router.pay(ITEM).outcome.result == "REVERT"
    assert not router.contract.send(OWNER, "withdraw", 1).ok
    router.contract.must(OPERATOR, "cancel", router.id_of(OTHER))
    router.token.must(ISSUER, "removeBlackList", router.contract.address)
    assert router.pay(ITEM).named("Paid")


def test_destroyed_funds_are_seen_before_anything_is_paid(router: Router) -> None:
    router.token.must(ISSUER, "addBlackList", router.contract.address)
    router.token.must(ISSUER, "destroyBlackFunds", router.contract.address)
    router.token.must(ISSUER, "removeBlackList", router.contract.address)
    assert router.refused("InsufficientFunds", router.pay(ITEM))["available"] == 0


def test_a_blacklisted_recipient_is_paid_so_it_must_be_refused_before(router: Router) -> None:
    router.token.must(ISSUER, "addBlackList", ALICE)
    assert router.pay(ITEM).named("Paid")


def test_money_survives_the_loss_of_the_owner_key(router: Router) -> None:
    router.contract.must(OPERATOR, "pause")
    router.contract.must(TREASURY, "withdraw", FLOAT)
    assert router.token.view("balanceOf", TREASURY) == FLOAT


def test_a_stolen_owner_key_cannot_withdraw_to_itself(router: Router) -> None:
    router.contract.must(OWNER, "withdraw", FLOAT)
    assert router.token.view("balanceOf", TREASURY) == FLOAT
    assert router.token.view("balanceOf", OWNER) == 0


def test_a_stolen_operator_key_is_shut_out(router: Router) -> None:
    router.contract.must(OWNER, "pause")
    router.contract.must(OWNER, "setOperator", OPERATOR, False)
    router.contract.must(OWNER, "unpause")
    router.refused("NotOperator", router.pay(ITEM))
    router.contract.refuses("NotOwnerOrOperator", OPERATOR, "pause")


def test_too_little_energy_pays_nobody_and_marks_nothing(router: Router) -> None:
    """Whatever the limit, a batch is paid as a whole or not at all."""
    chain = router.contract.chain
    for limit in range(10_000, 150_000, 7_001):
        outcome = call(
            chain.state,
            chain.env,
            origin=address_bytes(OPERATOR)[1:],
            to=address_bytes(router.contract.address)[1:],
            data=router.data_many([OTHER, ITEM]),
            value=0,
            energy_limit=limit,
        )
        chain.state.commit()
        paid = (router.paid(OTHER), router.paid(ITEM))
        if outcome.succeeded:
            assert paid == (True, True)
            return
        assert paid == (False, False), limit
        assert router.balance == FLOAT
    pytest.fail("the last limit should have been enough")


def test_every_test_that_the_attack_list_names_exists() -> None:
    page = (HERE.parent.parent / "contracts" / "README.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page.split("## The attack list")[1]))
    sources = "".join(each.read_text() for each in HERE.glob("test_*.py"))
    assert len(named) > 20
    assert {name for name in named if f"def {name}(" not in sources} == set()
