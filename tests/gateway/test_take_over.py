"""A process that takes over the work."""

from tests.gateway.world import World
from tron_payment.assembly import SHARED, take_turns
from tron_payment.loops import Loop


async def nothing_to_do() -> bool:
    return False


async def test_it_looks_at_the_store_anew_before_it_signs(gateway: World) -> None:
    """What it has seen of the store is as old as its last turn, and it may have been restored."""
    made = gateway.assembly
    at = await made.house.cursors.load()
    assert at is not None

    async def calls_of_a_look() -> int:
        before = sum(each.calls for each in made.house.nodes.status())
        assert await made.house.engine.safe_mode.why_not_sign(at) == ""
        return sum(each.calls for each in made.house.nodes.status()) - before

    await calls_of_a_look()
    for name in SHARED - {each.name for each in made.loops.all}:
        made.loops.add(Loop(name, nothing_to_do, 1))
    take_turns(made, "b")
    (turn,) = [each for each in made.loops.all if each.name == "leases.turn"]
    assert await calls_of_a_look() == 0
    await turn.step()  # takes it
    assert await calls_of_a_look() > 0
    await turn.step()  # keeps it
    assert await calls_of_a_look() == 0
