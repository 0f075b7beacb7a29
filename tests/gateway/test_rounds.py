"""One of many that is refused stops none of the others, and is told after them."""

from typing import Any

import pytest

from tron_payment.chain import NodeRefused, NodesUnavailable
from tron_payment.db.cas import LostRace
from tron_payment.db.faults import StoreUnavailable
from tron_payment.engine import MustWait
from tron_payment.gateway.rounds import AWAY_MAX, Refusals

ODD = NodeRefused("ERROR", "whatever it is")
AWAY = NodesUnavailable("nobody answers")


async def answering(outcome: Any) -> bool:
    if isinstance(outcome, BaseException):
        raise outcome
    return bool(outcome)


async def test_the_first_refusal_is_told_after_all_were_looked_at() -> None:
    refusals = Refusals()
    outcomes = (LostRace("later"), MustWait("funds"), ODD, AWAY, True)
    assert [await refusals.alone(answering(each)) for each in outcomes] == [False] * 4 + [True]
    with pytest.raises(NodeRefused):
        refusals.tell()


async def test_waiting_is_no_refusal() -> None:
    refusals = Refusals()
    for each in (LostRace("later"), MustWait("funds"), True, False):
        await refusals.alone(answering(each))
    refusals.tell()


async def test_a_store_that_is_away_stops_all() -> None:
    with pytest.raises(StoreUnavailable):
        await Refusals().alone(answering(StoreUnavailable()))


async def test_so_many_whom_no_node_answers_are_an_outage() -> None:
    refusals = Refusals()
    for _ in range(AWAY_MAX):
        assert not refusals.are_an_outage
        await refusals.alone(answering(AWAY))
    assert refusals.are_an_outage
