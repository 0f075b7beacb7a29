"""Fuzzed batches against a model: whatever is sent, a reference ends once, to the unit."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import ROUTERS
from .world import (
    ALICE,
    BOB,
    CAROL,
    FLOAT,
    OPERATOR,
    USDT,
    ZERO,
    Item,
    Receipt,
    Router,
    funded_router,
    reference,
)

PEOPLE = (ALICE, BOB, CAROL)

items = st.builds(
    Item,
    ref=st.sampled_from([reference(n) for n in range(6)]),
    to=st.sampled_from(PEOPLE),
    units=st.one_of(st.integers(1, 3 * USDT), st.sampled_from([FLOAT // 2, FLOAT])),
)
bad_items = st.builds(
    Item,
    ref=st.sampled_from([reference(n) for n in range(6)]),
    to=st.sampled_from([*PEOPLE, ZERO]),
    units=st.integers(0, 2),
)
batches = st.lists(st.one_of(items, items, items, bad_items), min_size=1, max_size=8)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), items),
        st.tuples(st.just("many"), batches),
        st.tuples(st.just("cancel"), items),
    ),
    min_size=1,
    max_size=8,
)


@dataclass
class Model:
    """What must be true on the chain, worked out without it."""

    taken: dict[bytes, Item | None] = field(default_factory=dict)  # None: cancelled
    balances: dict[str, int] = field(default_factory=dict)
    left: int = FLOAT

    def batch(self, wanted: Sequence[Item]) -> list[tuple[str, Item]] | None:
        """The events in order, or None when the whole is reverted and nothing changes."""
        taken, balances, left = dict(self.taken), dict(self.balances), self.left
        events = []
        for item in wanted:
            if item.ref in taken:
                events.append(("Skipped", item))
                continue
            if item.to == ZERO or item.units == 0 or item.units > left:
                return None
            taken[item.ref] = item
            balances[item.to] = balances.get(item.to, 0) + item.units
            left -= item.units
            events.append(("Paid", item))
        self.taken, self.balances, self.left = taken, balances, left
        return events


def told(router: Router, receipt: Receipt) -> list[tuple[str, bytes]]:
    return [(event.name, event.args["id"]) for event in receipt.events if event.name != "Transfer"]


@pytest.mark.parametrize("kind", ROUTERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=steps)
def test_any_sequence_of_payments_and_cancellations(
    kind: str, script: list[tuple[str, Item | list[Item]]]
) -> None:
    router, model = funded_router(kind), Model()
    for action, what in script:
        if action == "cancel":
            assert isinstance(what, Item)
            receipt = router.contract.send(OPERATOR, "cancel", router.id_of(what))
            if model.taken.get(what.ref) is None:
                assert told(router, receipt) == [("Canceled", router.id_of(what))]
                model.taken[what.ref] = None
            else:
                assert receipt.revert is not None
                assert receipt.revert.name == "AlreadyPaid"
            continue
        wanted = [what] if isinstance(what, Item) else what
        receipt = router.pay(wanted[0]) if action == "pay" else router.pay_many(wanted)
        expected = model.batch(wanted)
        if expected is None:
            assert receipt.outcome.result == "REVERT"
        else:
            assert told(router, receipt) == [(name, router.id_of(item)) for name, item in expected]

    assert router.balance == model.left
    for person in PEOPLE:
        assert router.token.view("balanceOf", person) == model.balances.get(person, 0)
    for ref, item in model.taken.items():
        probe = item or Item(ref, ALICE, 1)
        assert router.paid(probe) is (item is not None)
        assert router.contract.view("canceled", router.id_of(probe)) is (item is None)


@pytest.mark.parametrize(
    ("refs", "tos", "amounts"), [(2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 0), (2, 2, 1)]
)
def test_lists_of_different_length_are_refused(refs: int, tos: int, amounts: int) -> None:
    router = funded_router("PayoutRouterV0")
    assert router.contract.refuses(
        "InvalidBatch",
        OPERATOR,
        "payMany",
        [reference(n) for n in range(refs)],
        [ALICE] * tos,
        [1] * amounts,
    ) == {"length": refs}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tail=st.binary(max_size=200), cut=st.integers(0, 400))
def test_mangled_call_data_never_moves_money_to_a_stranger(tail: bytes, cut: int) -> None:
    """Cut short, or with something behind: the router pays what was meant, or nothing."""
    router = funded_router("PayoutRouterV0")
    item = Item(reference(1), ALICE, USDT)
    data = router.data_many([item, Item(reference(2), BOB, USDT)])
    router.contract.chain.execute(router.contract, data[:cut] + tail, OPERATOR)
    moved = FLOAT - router.balance
    gained = sum(router.token.view("balanceOf", person) for person in (ALICE, BOB))
    assert moved == gained
