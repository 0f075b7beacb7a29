"""An order's way on the real store and a simulated network."""

import pytest

from tests.conftest import Mongo
from tests.engine.world import ALICE, ALL_DOCUMENTS, START_USDT, World
from tron_payment.db.ledger import Pocket
from tron_payment.engine import OrderSigned, OrderStatus


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


async def test_an_order_is_settled_on_a_solidified_block_and_booked(world: World) -> None:
    await world.engine.place(world.wish("a"))
    await world.run_until_final("a")
    order = await world.order("a")
    assert order.status is OrderStatus.SETTLED
    assert order.outcome is not None and order.outcome.proofs == {"a": "met"}
    assert world.network.token[ALICE] == 5_000_000
    assert ("ord_a", "settled") in world.heard
    await world.assert_books_equal_chain()


async def test_equal_orders_have_different_txids(world: World) -> None:
    names = [f"n{i}" for i in range(20)]
    await world.engine.place_many([world.wish(name) for name in names])
    await world.run_until_final(*names)
    txids = {(await world.order(name)).tried[0].txid for name in names}
    assert len(txids) == 20
    assert world.network.token[ALICE] == 20 * 5_000_000
    await world.assert_books_equal_chain()


async def test_a_lost_transaction_is_rebuilt_only_after_its_proof_of_death(world: World) -> None:
    lost: set[str] = set()
    world.network.drop = lambda txid: txid in lost or (not lost and not lost.add(txid))
    await world.engine.place(world.wish("a"))
    await world.run_until_final("a")
    order = await world.order("a")
    assert [a.death is not None for a in order.tried] == [True, False]
    first = order.tried[0]
    assert first.death is not None
    assert first.death.block_timestamp_ms >= first.expiration_ms
    assert first.death.from_block == first.ref_block_number
    assert world.network.token[ALICE] == 5_000_000
    await world.assert_books_equal_chain()


async def test_a_reverted_order_fails_and_its_fee_is_booked(world: World) -> None:
    world.network.revert = lambda txid: True
    await world.engine.place(world.wish("a"))
    await world.run_until_final("a")
    order = await world.order("a")
    assert order.status is OrderStatus.FAILED
    assert order.outcome is not None and order.outcome.receipt == "REVERT"
    assert world.network.token[ALICE] == 0
    await world.assert_books_equal_chain()


async def test_orders_beyond_the_funds_wait_and_nothing_is_overdrawn(world: World) -> None:
    names = [f"n{i}" for i in range(4)]
    await world.engine.place_many([world.wish(n, START_USDT * 2 // 5) for n in names])
    for _ in range(10):
        await world.tick()
    orders = [await world.order(name) for name in names]
    assert sorted(o.status for o in orders) == ["queued", "queued", "settled", "settled"]
    assert {o.waiting_for for o in orders if o.status is OrderStatus.QUEUED} == {"funds"}
    for order in orders:
        if order.status is OrderStatus.QUEUED:
            await world.engine.cancel(order.id)
    await world.run_until_final(*names)
    await world.assert_books_equal_chain()


async def test_a_signed_order_cannot_be_canceled(world: World) -> None:
    await world.engine.place(world.wish("a"))
    await world.tick()
    with pytest.raises(OrderSigned):
        await world.engine.cancel("ord_a")


async def test_a_canceled_order_gives_its_funds_back_and_can_never_be_reserved(
    world: World,
) -> None:
    await world.engine.place(world.wish("a"))
    await world.engine.cancel("ord_a")
    await world.run_until_final("a")
    assert await world.ledger.balance(world.key.address, Pocket.RESERVED, "USDT") == 0
    assert await world.ledger.balance(world.key.address, Pocket.AVAILABLE, "USDT") == START_USDT
    await world.assert_books_equal_chain()


async def test_the_journal_can_be_recomputed(world: World) -> None:
    await world.engine.place_many([world.wish(f"n{i}") for i in range(3)])
    await world.run_until_final("n0", "n1", "n2")
    recomputed = await world.ledger.recompute()
    for asset, pockets in (await world.ledger.holdings(world.key.address)).items():
        for pocket, units in pockets.items():
            assert recomputed.get((f"{world.key.address}:{pocket}", asset), 0) == units
