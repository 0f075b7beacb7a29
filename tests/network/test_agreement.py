"""`/status` says what the nodes show now: agreement, lag and circuits, not what was configured."""

from pathlib import Path
from typing import Any

from tests.network.second_node import SecondNode
from tests.usdt.world import SOLID, World, world_of
from tron_payment.network.agreement import LAG_BLOCKS_MAX, Accord, Agreement


async def status(world: World) -> dict[str, Any]:
    answer = await world.get("/tron/network/status", role="viewer")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_two_nodes_agree_contradict_lag_and_die(mongo: Any, tmp_path: Path) -> None:
    second = SecondNode()
    async with world_of(mongo, tmp_path, second_node=second) as world:
        chain = world.devnet.chain
        said = await status(world)
        solid = chain.solid_number
        assert (said["status"], said["agreement"]["state"]) == ("healthy", "agreed")
        assert said["agreement"]["agreeing"] == 2 and said["agreement"]["required"] == 1
        block_id = chain.block(solid).id.hex()
        assert said["agreement"]["block_number"] == solid
        assert said["agreement"]["block_ids"] == {"devnet": block_id, "second": block_id}

        second.lies = True
        said = await status(world)
        assert (said["status"], said["agreement"]["state"]) == ("degraded", "contradicted")
        assert said["agreement"]["block_ids"]["second"].endswith("f" * 48)
        assert any("contradict" in each for each in said["reasons"])

        second.lies, second.stuck_at = False, solid
        await world.mine(LAG_BLOCKS_MAX + SOLID)
        await world.work()
        said = await status(world)
        lagging = said["nodes"][1]
        assert lagging["alias"] == "second" and lagging["solid_block"] == solid
        assert lagging["lag_blocks"] == chain.solid_number - solid > LAG_BLOCKS_MAX
        assert said["agreement"]["block_ids"]["second"] is None
        assert said["agreement"]["agreeing"] == 1
        assert any("second is" in each and "behind" in each for each in said["reasons"])

        second.dead = True
        for _ in range(3):
            said = await status(world)
        dead = said["nodes"][1]
        assert (dead["state"], dead["failures"] >= 3) == ("open", True), dead
        assert "second rests" in " ".join(said["reasons"])
        assert said["nodes"][0]["state"] == "closed"


def test_too_few_is_not_a_contradiction() -> None:
    one = Agreement(2, 7, {"a": "11" * 32, "b": None})
    assert (one.accord, one.agreeing) == (Accord.TOO_FEW, 1)
    both = Agreement(2, 7, {"a": "11" * 32, "b": "11" * 32})
    assert (both.accord, both.agreeing) == (Accord.AGREED, 2)
    split = Agreement(1, 7, {"a": "11" * 32, "b": "22" * 32, "c": "11" * 32})
    assert (split.accord, split.agreeing) == (Accord.CONTRADICTED, 2)
    assert Agreement(1, 0, {}).accord is Accord.TOO_FEW
