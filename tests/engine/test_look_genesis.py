"""A process that starts beside the very first block of a chain, which has no date."""

from tests.conftest import Mongo
from tests.engine.world import ALL_DOCUMENTS, World
from tron_payment.chain import Position
from tron_payment.engine import SafeMode


async def test_a_start_beside_the_undated_genesis_block_is_no_restored_store(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=1)
    genesis = world.network.blocks[0]
    at = Position(0, genesis.header.block_id, 0, 0)
    world.pass_time(3)
    world.engine.safe_mode.look_anew()
    await world.engine.safe_mode.look(at)
    assert await SafeMode.count() == 0
