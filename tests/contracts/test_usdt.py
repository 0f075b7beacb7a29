"""TestUSDT does what main net's USDT does, surprises included."""

from .world import ALICE, BOB, CAROL, ISSUER, MALLORY, USDT, ZERO, Chain, Contract, deploy_usdt

MAX_UINT = 2**256 - 1
FALSE, TRUE = bytes(32), (1).to_bytes(32, "big")

# Of the verified main-net contract: selectors, and the first four bytes of topics.
SELECTORS = {
    "transfer": "a9059cbb",
    "transferFrom": "23b872dd",
    "approve": "095ea7b3",
    "balanceOf": "70a08231",
    "allowance": "dd62ed3e",
    "decimals": "313ce567",
    "symbol": "95d89b41",
    "name": "06fdde03",
    "totalSupply": "18160ddd",
    "basisPointsRate": "dd644f72",
    "maximumFee": "35390714",
    "calcFee": "75dc7d8c",
    "paused": "5c975abb",
    "isBlackListed": "e47d6060",
    "getBlackListStatus": "59bf1abe",
    "deprecated": "0e136b19",
    "upgradedAddress": "26976e3f",
    "oldBalanceOf": "b7a3446c",
    "addBlackList": "0ecb93c0",
    "removeBlackList": "e4997dc5",
    "destroyBlackFunds": "f3bdc228",
    "pause": "8456cb59",
    "unpause": "3f4ba83a",
    "deprecate": "0753c30c",
    "issue": "cc872b66",
    "redeem": "db006a75",
    "setParams": "c0324c77",
    "increaseApproval": "d73dd623",
    "decreaseApproval": "66188463",
    "owner": "8da5cb5b",
    "transferOwnership": "f2fde38b",
}
TOPICS = {
    "Transfer": "ddf252ad",
    "Approval": "8c5be1e5",
    "AddedBlackList": "42e16015",
    "RemovedBlackList": "d7e9ec6e",
    "DestroyedBlackFunds": "61e6e66b",
    "Issue": "cb8241ad",
    "Redeem": "702d5967",
    "Deprecate": "cc358699",
    "Params": "b044a1e4",
    "Pause": "6985a022",
    "Unpause": "7805862f",
    "OwnershipTransferred": "8be0079c",
}


def test_selectors_and_topics_are_those_of_main_net(usdt: Contract) -> None:
    for name, selector in SELECTORS.items():
        assert usdt.kind.selector(name).hex() == selector, name
    for name, prefix in TOPICS.items():
        assert usdt.kind.topic(name).hex().startswith(prefix), name


def test_the_constructor_names_the_token_and_credits_the_issuer(usdt: Contract) -> None:
    assert usdt.view("name") == "Tether USD"
    assert usdt.view("symbol") == "USDT"
    assert usdt.view("decimals") == 6
    assert usdt.view("owner") == ISSUER
    assert usdt.view("totalSupply") == usdt.view("balanceOf", ISSUER) == 1_000_000_000


def test_transfer_answers_false_although_it_moved_the_money(usdt: Contract) -> None:
    receipt = usdt.must(ISSUER, "transfer", ALICE, 5)
    assert receipt.outcome.output == FALSE
    assert receipt.named("Transfer") == [{"from": ISSUER, "to": ALICE, "value": 5}]
    assert usdt.view("balanceOf", ALICE) == 5


def test_transfer_from_and_approve_answer_true(usdt: Contract) -> None:
    approval = usdt.must(ISSUER, "approve", BOB, 10)
    assert approval.outcome.output == TRUE
    assert approval.named("Approval") == [{"owner": ISSUER, "spender": BOB, "value": 10}]
    assert usdt.must(BOB, "transferFrom", ISSUER, ALICE, 4).outcome.output == TRUE
    assert usdt.view("allowance", ISSUER, BOB) == 6
    assert not usdt.send(BOB, "transferFrom", ISSUER, ALICE, 7).ok


def test_an_allowance_without_limit_is_not_used_up(usdt: Contract) -> None:
    usdt.must(ISSUER, "approve", BOB, MAX_UINT)
    usdt.must(BOB, "transferFrom", ISSUER, ALICE, 4)
    assert usdt.view("allowance", ISSUER, BOB) == MAX_UINT


def test_an_allowance_can_be_raised_and_lowered_to_nothing(usdt: Contract) -> None:
    usdt.must(ALICE, "increaseApproval", BOB, 7)
    usdt.must(ALICE, "decreaseApproval", BOB, 2)
    assert usdt.view("allowance", ALICE, BOB) == 5
    usdt.must(ALICE, "decreaseApproval", BOB, 6)
    assert usdt.view("allowance", ALICE, BOB) == 0


def test_nobody_sends_more_than_he_has_or_to_nobody(usdt: Contract) -> None:
    assert not usdt.send(ALICE, "transfer", BOB, 1).ok
    assert not usdt.send(ISSUER, "transfer", BOB, 1_000_000_001).ok
    assert not usdt.send(ISSUER, "transfer", ZERO, 1).ok
    assert usdt.send(ALICE, "transfer", BOB, 0).ok


def test_a_transfer_to_oneself_keeps_the_balance(usdt: Contract) -> None:
    usdt.must(ISSUER, "transfer", ISSUER, 77)
    assert usdt.view("balanceOf", ISSUER) == 1_000_000_000


def test_the_blacklisted_receive_and_cannot_send(usdt: Contract) -> None:
    usdt.must(ISSUER, "transfer", ALICE, 5)
    usdt.must(ALICE, "approve", BOB, 5)
    assert usdt.must(ISSUER, "addBlackList", ALICE).named("AddedBlackList") == [{"_user": ALICE}]
    assert usdt.view("isBlackListed", ALICE)
    assert usdt.view("getBlackListStatus", ALICE)
    usdt.must(ISSUER, "transfer", ALICE, 5)
    assert not usdt.send(ALICE, "transfer", BOB, 1).ok
    assert not usdt.send(BOB, "transferFrom", ALICE, BOB, 1).ok
    removed = usdt.must(ISSUER, "removeBlackList", ALICE)
    assert removed.named("RemovedBlackList") == [{"_user": ALICE}]
    usdt.must(ALICE, "transfer", BOB, 10)


def test_a_blacklisted_spender_still_spends_for_others(usdt: Contract) -> None:
    usdt.must(ISSUER, "approve", BOB, 5)
    usdt.must(ISSUER, "addBlackList", BOB)
    usdt.must(BOB, "transferFrom", ISSUER, CAROL, 5)


def test_destroyed_funds_leave_no_transfer_event(usdt: Contract) -> None:
    usdt.must(ISSUER, "transfer", ALICE, 5)
    assert not usdt.send(ISSUER, "destroyBlackFunds", ALICE).ok
    usdt.must(ISSUER, "addBlackList", ALICE)
    receipt = usdt.must(ISSUER, "destroyBlackFunds", ALICE)
    assert [event.name for event in receipt.events] == ["DestroyedBlackFunds"]
    assert receipt.named("DestroyedBlackFunds") == [{"_blackListedUser": ALICE, "_balance": 5}]
    assert usdt.view("balanceOf", ALICE) == 0
    assert usdt.view("totalSupply") == 999_999_995


def test_a_pause_stops_transfers_and_approvals(usdt: Contract) -> None:
    assert usdt.must(ISSUER, "pause").named("Pause") == [{}]
    for function, args in (
        ("transfer", (ALICE, 1)),
        ("transferFrom", (ISSUER, ALICE, 1)),
        ("approve", (ALICE, 1)),
        ("increaseApproval", (ALICE, 1)),
        ("decreaseApproval", (ALICE, 1)),
        ("pause", ()),
    ):
        assert not usdt.send(ISSUER, function, *args).ok, function
    assert usdt.must(ISSUER, "unpause").named("Unpause") == [{}]
    assert not usdt.send(ISSUER, "unpause").ok
    usdt.must(ISSUER, "transfer", ALICE, 1)


def test_a_fee_is_taken_from_what_the_recipient_gets(chain: Chain) -> None:
    usdt = deploy_usdt(chain, 100_000 * USDT)
    params = usdt.must(ISSUER, "setParams", 10, 2)
    assert params.named("Params") == [{"feeBasisPoints": 10, "maxFee": 2 * USDT}]
    usdt.must(ISSUER, "transfer", ALICE, 10_000 * USDT)

    receipt = usdt.must(ALICE, "transfer", BOB, 1_000 * USDT)
    assert receipt.named("Transfer") == [
        {"from": ALICE, "to": BOB, "value": 999 * USDT},
        {"from": ALICE, "to": ISSUER, "value": 1 * USDT},
    ]
    assert usdt.view("calcFee", 5_000 * USDT) == 2 * USDT
    usdt.must(ALICE, "approve", CAROL, 5_000 * USDT)
    usdt.must(CAROL, "transferFrom", ALICE, BOB, 5_000 * USDT)
    assert usdt.view("balanceOf", BOB) == (999 + 4_998) * USDT
    assert usdt.view("allowance", ALICE, CAROL) == 0


def test_the_fee_has_its_bounds(usdt: Contract) -> None:
    usdt.must(ISSUER, "setParams", 19, 49)
    assert usdt.view("basisPointsRate") == 19
    assert usdt.view("maximumFee") == 49 * USDT
    assert not usdt.send(ISSUER, "setParams", 20, 49).ok
    assert not usdt.send(ISSUER, "setParams", 19, 50).ok


def test_issue_and_redeem_move_the_supply(usdt: Contract) -> None:
    issued = usdt.must(ISSUER, "issue", 10)
    assert issued.named("Issue") == [{"amount": 10}]
    assert issued.named("Transfer") == [{"from": ZERO, "to": ISSUER, "value": 10}]
    redeemed = usdt.must(ISSUER, "redeem", 4)
    assert redeemed.named("Redeem") == [{"amount": 4}]
    assert redeemed.named("Transfer") == [{"from": ISSUER, "to": ZERO, "value": 4}]
    assert usdt.view("totalSupply") == 1_000_000_006
    assert not usdt.send(ISSUER, "redeem", 1_000_000_007).ok


def test_only_the_owner_governs(usdt: Contract) -> None:
    for function, args in (
        ("pause", ()),
        ("unpause", ()),
        ("addBlackList", (ALICE,)),
        ("removeBlackList", (ALICE,)),
        ("destroyBlackFunds", (ALICE,)),
        ("setParams", (1, 1)),
        ("issue", (1,)),
        ("redeem", (1,)),
        ("deprecate", (ALICE,)),
        ("transferOwnership", (MALLORY,)),
    ):
        assert not usdt.send(MALLORY, function, *args).ok, function
    moved = usdt.must(ISSUER, "transferOwnership", ALICE)
    assert moved.named("OwnershipTransferred") == [{"previousOwner": ISSUER, "newOwner": ALICE}]
    usdt.must(ALICE, "issue", 1)
    assert not usdt.send(ALICE, "transferOwnership", ZERO).ok


def test_a_deprecated_token_answers_for_the_one_after_it(chain: Chain, usdt: Contract) -> None:
    newer = deploy_usdt(chain, 42)
    deprecated = usdt.must(ISSUER, "deprecate", newer.address)
    assert deprecated.named("Deprecate") == [{"newAddress": newer.address}]
    assert usdt.view("totalSupply") == usdt.view("balanceOf", ISSUER) == 42
    assert usdt.view("oldBalanceOf", ISSUER) == 1_000_000_000
    assert not usdt.send(ISSUER, "transfer", ALICE, 1).ok  # the newer one has no *ByLegacy
