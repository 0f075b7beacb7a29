"""A quarantined order ends as the solidified blocks prove, read again; else it stays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import Mongo
from tests.engine import network
from tests.engine.points import Points
from tests.engine.world import ALL_DOCUMENTS, BOB, World
from tron_payment.chain import NodeHasNot
from tron_payment.chain.answers import LogPart
from tron_payment.engine import Order, OrderStatus, quarantine
from tron_payment.engine.quarantine import Finding, NotProved, conclusion, finding_of

F = Finding


@pytest.fixture
async def world(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> World:
    points = Points()
    points.watch(monkeypatch)
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create(points)


@pytest.mark.parametrize(
    ("findings", "proves"),
    [
        ([F.PAID], OrderStatus.SETTLED),
        ([F.PARTLY], OrderStatus.SETTLED),
        ([F.DEAD, F.PAID], OrderStatus.SETTLED),
        ([F.PAID, F.PAID], OrderStatus.SETTLED),
        ([F.NOT_PAID], OrderStatus.FAILED),
        ([F.DEAD, F.DEAD], OrderStatus.FAILED),
        ([F.DEAD, F.NOT_PAID], OrderStatus.FAILED),
        ([], OrderStatus.FAILED),
        ([F.OPEN], None),
        ([F.PAID, F.OPEN], None),
        ([F.UNTOLD], None),
        ([F.DEAD, F.UNTOLD], None),
    ],
)
def test_what_findings_prove(findings: Sequence[Finding], proves: OrderStatus | None) -> None:
    assert conclusion(findings) is proves


@pytest.mark.parametrize(
    ("succeeded", "receipt", "proofs", "finding"),
    [
        (True, "SUCCESS", [], F.PAID),
        (True, "SUCCESS", ["met", "skipped"], F.PAID),
        (True, "SUCCESS", ["met", "missing"], F.PARTLY),
        (True, "SUCCESS", ["missing"], F.NOT_PAID),
        (False, "REVERT", [], F.NOT_PAID),
        (False, "OUT_OF_ENERGY", [], F.NOT_PAID),
        (True, "", ["met"], F.UNTOLD),
        (False, "DEFAULT", [], F.UNTOLD),
    ],
)
def test_what_a_receipt_means(
    succeeded: bool, receipt: str, proofs: Sequence[str], finding: Finding
) -> None:
    assert finding_of(succeeded, receipt, proofs) is finding


async def missing_event(world: World) -> None:
    await world.engine.place(replace(world.wish("a"), expects=world.wish("b", to=BOB).expects))
    for _ in range(10):
        await world.tick()
    assert (await world.order("a")).status is OrderStatus.QUARANTINED


async def test_a_success_that_paid_somebody_else_has_failed_and_nothing_stays_reserved(
    world: World,
) -> None:
    await missing_event(world)
    order = await world.order("a")
    evidence = await world.engine.quarantine.look(order)
    assert [seen.finding for seen in evidence.attempts] == [Finding.NOT_PAID]
    assert evidence.proves is OrderStatus.FAILED
    with pytest.raises(NotProved):
        await world.engine.quarantine.resolve(order, OrderStatus.SETTLED, "wished")
    assert (await world.order("a")).status is OrderStatus.QUARANTINED
    ended = await world.engine.quarantine.resolve(order, OrderStatus.FAILED, "two people")
    assert (ended.status, ended.reason) == (OrderStatus.FAILED, "two people")
    await world.tick(3)
    assert await world.engine.quarantine.orders() == []
    await world.assert_books_equal_chain()


async def test_a_success_that_paid_another_amount_to_the_right_one_proves_nothing(
    world: World,
) -> None:
    """A token that keeps a fee for itself: who calls that "not paid" pays again."""
    wish = world.wish("a")
    less = tuple(replace(each, units=each.units + 1) for each in wish.expects)
    await world.engine.place(replace(wish, expects=less))
    for _ in range(10):
        await world.tick()
    order = await world.order("a")
    assert order.status is OrderStatus.QUARANTINED
    evidence = await world.engine.quarantine.look(order)
    assert [seen.finding for seen in evidence.attempts] == [Finding.UNTOLD]
    assert evidence.proves is None
    with pytest.raises(NotProved):
        await world.engine.quarantine.resolve(order, OrderStatus.FAILED, "two people")
    assert (await world.order("a")).status is OrderStatus.QUARANTINED


async def test_a_success_of_which_the_token_says_nothing_proves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgraded token hands calls to a contract whose events are others: it may have arrived."""
    transfer = network._transfer

    def speaks_otherwise(*arguments: Any) -> list[LogPart] | None:
        return None if transfer(*arguments) is None else []

    monkeypatch.setattr(network, "_transfer", speaks_otherwise)
    await world.engine.place(world.wish("a", to=BOB))
    await world.tick(10)
    order = await world.order("a")
    assert (order.status, world.network.token[BOB]) == (OrderStatus.QUARANTINED, 5_000_000)
    evidence = await world.engine.quarantine.look(order)
    assert ([seen.finding for seen in evidence.attempts], evidence.proves) == ([F.UNTOLD], None)


async def test_a_long_lifetime_is_read_look_by_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What people sign may live for a day: one look does not read it all, and none begins anew."""
    monkeypatch.setattr(quarantine, "LIFETIME_BLOCKS_MAX", 5)
    world.network.drop = lambda txid: True
    await world.engine.place(world.wish("a"))
    order = await world.order("a")
    while not (order.tried and order.tried[0].death):
        await world.tick()
        order = await world.order("a")
    first = order.tried[0]
    assert first.death is not None
    blocks = first.death.to_block - first.ref_block_number
    found = [
        (await world.engine.quarantine.look(order)).attempts[0].finding
        for _ in range(-(-blocks // 5) + 1)
    ]
    assert blocks > 10 and found[-2:] == [F.DEAD, F.DEAD]
    assert found[:-2] == [F.OPEN] * len(found[:-2])


async def test_what_turned_up_after_its_proof_of_death_is_settled_by_its_block(
    world: World,
) -> None:
    """As test_hostile has it, and what the engine then proves."""
    order = await contradicted(world)
    evidence = await world.engine.quarantine.look(order)
    assert evidence.attempts[0].finding is Finding.PAID
    assert evidence.proves is OrderStatus.SETTLED
    ended = await world.engine.quarantine.resolve(order, OrderStatus.SETTLED, "two people")
    assert ended.status is OrderStatus.SETTLED
    assert ended.outcome is not None and ended.outcome.txid == order.tried[0].txid
    await world.tick(3)
    await world.assert_books_equal_chain()


async def test_a_node_that_has_forgotten_it_proves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await contradicted(world)
    await world.tick(60)

    async def forgotten(txid: str, solid: bool = True) -> None:
        raise NodeHasNot("node", "has no such transaction")

    for node in world.nodes:
        monkeypatch.setattr(node, "transaction_info", forgotten)
    evidence = await world.engine.quarantine.look(order)
    assert evidence.attempts[0].finding is Finding.OPEN
    assert evidence.proves is None


async def contradicted(world: World) -> Order:
    """An order whose first attempt was proved dead, and then stands in a block."""
    world.network.drop = lambda txid: True
    await world.engine.place(world.wish("a"))
    while not (await world.order("a")).tried:
        await world.tick()
    first = (await world.order("a")).live
    assert first is not None

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {"ord_a": "test"}

    world.engine.gate(gate)
    while (await world.order("a")).status is not OrderStatus.RESERVED:
        await world.tick()
    world.network.revive(first.raw, world.key.address)
    await world.tick(world.network.solid_lag + 1)
    found = await world.order("a")
    assert found.status is OrderStatus.QUARANTINED
    return found
