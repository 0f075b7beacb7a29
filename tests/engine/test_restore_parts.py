"""Parts of a store that were restored at two moments: what the journal has ended is not signed.

A dump without its oplog copies the orders some seconds before the journal and the cursors.
"""

import pytest

from tests.conftest import Mongo
from tests.engine.test_restore import UNITS, begun_why
from tests.engine.test_young_restore import JOURNAL_DOCUMENTS, make_world
from tests.engine.world import ALL_DOCUMENTS, BOB, World
from tron_payment.engine import Order, OrderStatus
from tron_payment.engine.waiting import JOURNAL_CLOSED


async def orders_from_before(world: World) -> None:
    """An order is paid; then the orders alone are put back to where it was to be signed."""
    await world.tick(2)
    await world.engine.place(world.wish("a", UNITS, to=BOB))
    while (await world.order("a")).status is not OrderStatus.RESERVED:
        assert await world.engine.dispatcher.step()
    orders = Order.get_pymongo_collection()
    rows = await orders.find({}).to_list()
    await world.run_until_final("a")
    await world.tick(3)
    await orders.delete_many({})
    await orders.insert_many(rows)
    world.start()


@pytest.mark.parametrize("remembers", [False, True])
async def test_what_the_journal_has_ended_is_not_signed_again(
    mongo: Mongo, remembers: bool
) -> None:
    """Also when the signer, which has a journal of its own, would."""
    await mongo.connect([*ALL_DOCUMENTS, *JOURNAL_DOCUMENTS])
    world = await make_world() if remembers else await World.create()
    await orders_from_before(world)
    await world.engine.place(world.wish("b", UNITS))
    await world.run_until_final("b")
    await world.tick(40)
    assert await begun_why() == [], "nothing else tells"
    order = await world.order("a")
    assert (order.status, order.waiting_for) == (OrderStatus.RESERVED, JOURNAL_CLOSED)
    assert world.network.token[BOB] == UNITS
    await world.engine.cancel(order.id)
    await world.run_until_final("a")
    assert world.network.token[BOB] == UNITS
    await world.assert_books_equal_chain()
