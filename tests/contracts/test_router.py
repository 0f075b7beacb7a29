"""What both routers do: pay once, skip, cancel for ever, refuse, pause, withdraw."""

import pytest

from tron_payment.contracts import CANCELED, MAX_BATCH, artifact, payment_id, signer_address
from tron_payment.core.address import address_bytes

from .world import (
    ALICE,
    BOB,
    CAROL,
    CHAIN_ID,
    COMPLIANCE,
    FLOAT,
    ISSUER,
    MALLORY,
    OPERATOR,
    OTHER_CHAIN_ID,
    OWNER,
    TREASURY,
    USDT,
    ZERO,
    Item,
    Receipt,
    Router,
    reference,
)

ITEM = Item(reference(1), ALICE, 25 * USDT)


def test_a_payment_arrives_with_its_event(router: Router) -> None:
    receipt = router.pay(ITEM)
    assert receipt.named("Paid") == [{"id": router.id_of(ITEM), "to": ALICE, "amount": 25 * USDT}]
    assert receipt.named("Transfer") == [
        {"from": router.contract.address, "to": ALICE, "value": 25 * USDT}
    ]
    assert router.token.view("balanceOf", ALICE) == 25 * USDT
    assert router.balance == FLOAT - 25 * USDT
    assert router.paid(ITEM)
    assert router.contract.view("takenBy", router.id_of(ITEM)) == router.id_of(ITEM)


def test_python_and_the_router_agree_about_the_id(router: Router) -> None:
    for item in (ITEM, Item(bytes(32), BOB, 1), Item(b"\xff" * 32, CAROL, 2**256 - 1)):
        on_chain = router.contract.view("paymentId", item.ref, item.to, item.units)
        assert on_chain == router.id_of(item)


def test_an_id_binds_chain_router_token_reference_recipient_and_amount() -> None:
    base = {
        "chain_id": CHAIN_ID,
        "router": ALICE,
        "token": BOB,
        "reference": reference(1),
        "recipient": CAROL,
        "units": 5,
    }
    others = {
        "chain_id": OTHER_CHAIN_ID,
        "router": MALLORY,
        "token": MALLORY,
        "reference": reference(2),
        "recipient": MALLORY,
        "units": 6,
    }
    first = payment_id(**base)  # type: ignore[arg-type]
    for field, other in others.items():
        changed = payment_id(**{**base, field: other})  # type: ignore[arg-type]
        assert changed != first, field
        same_slot = field in ("recipient", "units")
        assert (changed[:16] == first[:16]) is same_slot, field


def test_the_same_payment_again_is_skipped(router: Router) -> None:
    router.pay(ITEM)
    again = router.pay(ITEM)
    assert again.ok
    assert [event.name for event in again.events] == ["Skipped"]
    assert again.named("Skipped") == [{"id": router.id_of(ITEM)}]
    assert router.token.view("balanceOf", ALICE) == 25 * USDT


@pytest.mark.parametrize(
    "other",
    [Item(ITEM.ref, BOB, ITEM.units), Item(ITEM.ref, ALICE, ITEM.units + 1)],
    ids=["another recipient", "another amount"],
)
def test_a_reference_is_paid_once_whatever_comes_with_it(router: Router, other: Item) -> None:
    router.pay(ITEM)
    again = router.pay(other)
    assert [event.name for event in again.events] == ["Skipped"]
    assert router.balance == FLOAT - ITEM.units
    assert router.paid(ITEM)
    assert not router.paid(other)
    assert router.contract.view("takenBy", router.id_of(other)) == router.id_of(ITEM)


def test_a_batch_pays_everybody_in_order(router: Router) -> None:
    items = [Item(reference(n), to, (n + 1) * USDT) for n, to in enumerate((ALICE, BOB, ALICE))]
    receipt = router.pay_many(items)
    assert receipt.named("Paid") == [
        {"id": router.id_of(item), "to": item.to, "amount": item.units} for item in items
    ]
    assert router.token.view("balanceOf", ALICE) == 4 * USDT
    assert router.token.view("balanceOf", BOB) == 2 * USDT
    assert all(router.paid(item) for item in items)


def test_a_reference_twice_in_one_batch_is_paid_once(router: Router) -> None:
    twin = Item(ITEM.ref, BOB, 7)
    receipt = router.pay_many([ITEM, ITEM, twin])
    assert [event.name for event in receipt.events] == ["Transfer", "Paid", "Skipped", "Skipped"]
    assert receipt.named("Skipped") == [{"id": router.id_of(ITEM)}, {"id": router.id_of(twin)}]
    assert router.balance == FLOAT - ITEM.units


def test_a_batch_sent_again_pays_only_what_was_open(router: Router) -> None:
    items = [Item(reference(n), ALICE, USDT) for n in range(4)]
    router.pay_many(items[:2])
    router.contract.must(OPERATOR, "cancel", router.id_of(items[2]))
    receipt = router.pay_many(items)
    assert receipt.named("Skipped") == [{"id": router.id_of(item)} for item in items[:3]]
    assert [paid["id"] for paid in receipt.named("Paid")] == [router.id_of(items[3])]
    assert router.balance == FLOAT - 3 * USDT


def test_a_cancelled_reference_is_never_paid(router: Router) -> None:
    receipt = router.contract.must(OPERATOR, "cancel", router.id_of(ITEM))
    assert receipt.named("Canceled") == [{"id": router.id_of(ITEM)}]
    assert router.contract.view("canceled", router.id_of(ITEM))
    assert router.contract.view("takenBy", router.id_of(ITEM)) == CANCELED
    for item in (ITEM, Item(ITEM.ref, BOB, 1)):
        assert [event.name for event in router.pay(item).events] == ["Skipped"]
        assert not router.paid(item)
    assert router.balance == FLOAT


def test_cancelling_again_proves_it_again(router: Router) -> None:
    for sender in (OPERATOR, OWNER):
        receipt = router.contract.must(sender, "cancel", router.id_of(ITEM))
        assert receipt.named("Canceled") == [{"id": router.id_of(ITEM)}]


def test_what_was_paid_cannot_be_cancelled(router: Router) -> None:
    router.pay(ITEM)
    paid = {"id": router.id_of(ITEM)}
    for item in (ITEM, Item(ITEM.ref, BOB, 1)):
        assert (
            router.contract.refuses("AlreadyPaid", OPERATOR, "cancel", router.id_of(item)) == paid
        )
    assert router.paid(ITEM)
    assert not router.contract.view("canceled", router.id_of(ITEM))


def test_an_open_id_is_neither_paid_nor_cancelled(router: Router) -> None:
    for probe in (router.id_of(ITEM), bytes(32), CANCELED, b"\xff" * 32):
        assert router.contract.view("paid", probe) is False
        assert router.contract.view("canceled", probe) is False
        assert router.contract.view("takenBy", probe) == bytes(32)


def test_the_marks_themselves_are_no_ids(router: Router) -> None:
    for mark in (bytes(32), CANCELED):
        assert router.contract.refuses("InvalidId", OPERATOR, "cancel", mark) == {"id": mark}
    neighbour = (2).to_bytes(32, "big")  # shares the slot of the marks
    router.contract.must(OPERATOR, "cancel", neighbour)
    assert router.contract.view("paid", CANCELED) is False
    assert router.contract.view("paid", bytes(32)) is False


def test_money_goes_to_a_real_recipient(router: Router) -> None:
    for to in (ZERO, router.token.address, router.contract.address):
        bad = Item(reference(2), to, 1)
        expected = {"id": router.id_of(bad), "to": to}
        assert router.refused("InvalidRecipient", router.pay(bad)) == expected
        assert router.refused("InvalidRecipient", router.pay_many([ITEM, bad])) == expected
        assert not router.paid(ITEM)


def test_an_address_word_with_the_41_prefix_is_refused(router: Router) -> None:
    """TRON's 21 bytes in a word are not an address to solc's decoder: no silent masking."""
    data = router.data_one(ITEM)
    bare = bytes(12) + address_bytes(ALICE)[1:]
    assert data.count(bare) == 1
    prefixed = data.replace(bare, bytes(11) + address_bytes(ALICE))
    receipt = router.contract.chain.execute(router.contract, prefixed, OPERATOR)
    assert receipt.outcome.result == "REVERT"
    assert router.pay(ITEM).ok


def test_nothing_is_not_an_amount(router: Router) -> None:
    bad = Item(reference(2), BOB, 0)
    assert router.refused("InvalidAmount", router.pay(bad)) == {"id": router.id_of(bad)}


def test_more_than_the_router_holds_reverts_the_whole_batch(router: Router) -> None:
    greedy = Item(reference(2), BOB, FLOAT)
    error = router.refused("InsufficientFunds", router.pay_many([ITEM, greedy]))
    assert error == {
        "id": router.id_of(greedy),
        "available": FLOAT - ITEM.units,
        "amount": FLOAT,
    }
    assert router.balance == FLOAT
    assert not router.paid(ITEM)
    assert router.pay(greedy).ok
    assert router.balance == 0


def test_a_batch_has_at_least_one_and_at_most_so_many(router: Router) -> None:
    assert router.contract.view("MAX_BATCH") == MAX_BATCH
    assert router.refused("InvalidBatch", router.pay_many([])) == {"length": 0}
    over = [Item(reference(n), ALICE, 1) for n in range(MAX_BATCH + 1)]
    assert router.refused("InvalidBatch", router.pay_many(over)) == {"length": MAX_BATCH + 1}
    receipt = router.pay_many(over[:MAX_BATCH])
    assert len(receipt.named("Paid")) == MAX_BATCH


def test_only_an_operator_pays(router: Router) -> None:
    for sender in (MALLORY, OWNER, TREASURY, signer_address(COMPLIANCE)):
        assert router.refused("NotOperator", router.pay(ITEM, sender)) == {"account": sender}
        assert router.refused("NotOperator", router.pay_many([ITEM], sender)) == {"account": sender}


def test_only_owner_and_operator_cancel_and_pause(router: Router) -> None:
    for sender in (MALLORY, TREASURY):
        router.contract.refuses("NotOwnerOrOperator", sender, "cancel", router.id_of(ITEM))
        router.contract.refuses("NotOwnerOrOperator", sender, "pause")
    assert router.pay(ITEM).ok


def test_the_owner_names_and_dismisses_operators(router: Router) -> None:
    named = router.contract.must(OWNER, "setOperator", BOB, True)
    assert named.named("OperatorSet") == [{"account": BOB, "allowed": True}]
    assert router.pay(ITEM, BOB).ok
    dismissed = router.contract.must(OWNER, "setOperator", OPERATOR, False)
    assert dismissed.named("OperatorSet") == [{"account": OPERATOR, "allowed": False}]
    router.refused("NotOperator", router.pay(Item(reference(2), ALICE, 1), OPERATOR))
    router.contract.refuses("InvalidSetting", OWNER, "setOperator", ZERO, True)
    for sender in (OPERATOR, MALLORY, BOB):
        router.contract.refuses("OwnableUnauthorizedAccount", sender, "setOperator", sender, True)


def test_a_pause_stops_payments_and_nothing_else(router: Router) -> None:
    for stopper in (OPERATOR, OWNER):
        assert router.contract.must(stopper, "pause").named("Paused") == [{"account": stopper}]
        assert router.contract.view("paused")
        router.refused("EnforcedPause", router.pay(ITEM))
        router.refused("EnforcedPause", router.pay_many([ITEM]))
        router.contract.must(OPERATOR, "cancel", router.id_of(Item(reference(stopper), BOB, 1)))
        router.contract.must(OWNER, "withdraw", 1)
        router.contract.refuses("OwnableUnauthorizedAccount", OPERATOR, "unpause")
        router.contract.must(OWNER, "unpause")
    assert router.pay(ITEM).ok


def test_a_withdrawal_goes_to_the_treasury_only(router: Router) -> None:
    for sender in (OWNER, TREASURY):
        receipt = router.contract.must(sender, "withdraw", 10 * USDT)
        assert receipt.named("Withdrawn") == [{"by": sender, "amount": 10 * USDT}]
    assert router.token.view("balanceOf", TREASURY) == 20 * USDT
    assert router.balance == FLOAT - 20 * USDT
    for sender in (OPERATOR, MALLORY):
        router.contract.refuses("NotOwnerOrTreasury", sender, "withdraw", 1)
    router.contract.refuses("InvalidAmount", OWNER, "withdraw", 0)
    router.contract.refuses("InsufficientFunds", OWNER, "withdraw", FLOAT)


def test_ownership_is_handed_over_in_two_steps(router: Router) -> None:
    router.contract.refuses("OwnableUnauthorizedAccount", MALLORY, "transferOwnership", MALLORY)
    router.contract.must(OWNER, "transferOwnership", BOB)
    assert router.contract.view("owner") == OWNER
    assert router.contract.view("pendingOwner") == BOB
    router.contract.refuses("OwnableUnauthorizedAccount", MALLORY, "acceptOwnership")
    router.contract.must(BOB, "acceptOwnership")
    assert router.contract.view("owner") == BOB
    router.contract.refuses("OwnableUnauthorizedAccount", OWNER, "setOperator", OWNER, True)
    router.contract.refuses("OwnerRequired", BOB, "renounceOwnership")


def test_a_router_is_not_made_with_senseless_roles(router: Router) -> None:
    chain, token = router.contract.chain, router.token.address
    compliance = (signer_address(COMPLIANCE),) if router.is_kyc else ()
    kind = artifact("PayoutRouterKYC" if router.is_kyc else "PayoutRouterV0")
    bad: list[tuple[str, tuple[object, ...]]] = [
        ("InvalidSetting", (ALICE, OWNER, TREASURY, OPERATOR, *compliance)),
        ("InvalidSetting", (token, OWNER, ZERO, OPERATOR, *compliance)),
        ("InvalidSetting", (token, OWNER, token, OPERATOR, *compliance)),
        ("InvalidSetting", (token, OWNER, TREASURY, ZERO, *compliance)),
        ("OwnableInvalidOwner", (token, ZERO, TREASURY, OPERATOR, *compliance)),
    ]
    if router.is_kyc:
        bad.append(("InvalidSetting", (token, OWNER, TREASURY, OPERATOR, ZERO)))
    itself = chain.next_contract(MALLORY)
    bad.insert(0, ("InvalidSetting", (token, OWNER, itself, OPERATOR, *compliance)))
    for error, args in bad:
        receipt = chain.try_deploy(kind, *args, sender=MALLORY)
        assert isinstance(receipt, Receipt)
        assert receipt.revert is not None
        assert receipt.revert.name == error


def test_a_router_takes_no_trx(router: Router) -> None:
    assert all(
        entry.get("stateMutability") != "payable"
        for entry in router.contract.kind.abi
        if entry["type"] in ("function", "constructor")
    )
    assert not any(e["type"] in ("receive", "fallback") for e in router.contract.kind.abi)


def test_the_roles_are_readable(router: Router) -> None:
    assert router.contract.view("token") == router.token.address
    assert router.contract.view("treasury") == TREASURY
    assert router.contract.view("owner") == OWNER
    assert router.contract.view("isOperator", OPERATOR)
    assert not router.contract.view("isOperator", ISSUER)
