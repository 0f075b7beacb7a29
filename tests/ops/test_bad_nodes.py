"""Bad nodes against the running service: three nodes, two of which have to agree.

One bad node of three delays nothing for good; two bring settlement to a stand while sending goes
on; a contradiction about a solidified block stops everything until a person resumes, or, with
NODE_DISSENT=set_apart, only the node that was outvoted. Whatever happened, each payout is one
transfer, each deposit was credited once, and the books are the chain.
"""

import time
from collections.abc import Iterator

import pytest

from tests.ops.bad_nodes import Changed, Hidden, Lie, about_everything_but_blocks
from tests.ops.installation import until
from tests.ops.nodes_world import FINISHED, SETTLE_S, Round, World, hexed, parse_units, three_nodes

BLOCK_MS = 200
LAG_BLOCKS = 60
"""More than a node may be behind before somebody is told."""

HOUR_BLOCKS = 1_200
STAND_S = 3.0
"""Fifteen blocks."""

SEEN_BLOCKS = 10
"""Two seconds' worth: a block that has been solidified so long would have been followed."""

LIES = ("invented", "invented badly", "hidden", "changed", "failed")
FORKS = {"forked": BLOCK_MS, "forked behind": 2 * BLOCK_MS}
"""And its pace: one that is slower than the true chain stays behind it."""

FAULTS = ("down", "slow", "error", "points", "stuck")
SHORT = (("down", 0), ("stuck", 1))
"""Of `make test`; `make soak` has each fault at each node, and each lie."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with three_nodes(tmp_path_factory.mktemp("nodes"), BLOCK_MS) as made:
        made.settles(made.ask(1), "on a good day")  # the hot wallet's books are open
        yield made


@pytest.fixture(autouse=True)
def mended(world: World) -> Iterator[None]:
    """One test's fault is not the next one's."""
    yield
    for node in world.nodes:
        node.heal()


def break_down(world: World, fault: str, *which: int, blocks: int = LAG_BLOCKS) -> None:
    """Let these nodes have a fault that contradicts nobody's solidified blocks."""
    copy = world.copy(0) if fault == "stuck" else ""
    for node in (world.nodes[each] for each in which):
        match fault:
            case "down":
                node.down()
            case "slow":
                node.slow()
            case "error":
                node.error()
            case "points":
                node.lies(about_everything_but_blocks, swallows=True)
            case "stuck":
                node.shows(copy)
    if copy:
        world.live.devnet("/devnet/mine", blocks=blocks)


def heal(world: World, what: str) -> None:
    for node in world.nodes:
        node.heal()
    world.well(what)


def seen_by_an_operator(world: World, fault: str, which: int) -> str:
    """Which node it is and what it has stands in the figures and in words."""
    alias = f"node-{which + 1}"
    if fault in ("down", "slow", "error"):
        world.shows("node_up", (alias,), 0, fault)  # NodeDown

        def rests() -> str | None:
            status, body = world.health()
            found = [each for each in body.get("reasons", ()) if alias in each]
            told = status == 200 and body["status"] == "degraded" and len(found) == 1
            return found[0] if told and "rests after failures" in found[0] else None

        return str(until(rests, f"{alias} is told of", SETTLE_S))
    if fault == "stuck":

        def behind() -> bool:
            lag = world.figure("node_lag_blocks", alias)
            return lag is not None and lag > 40

        until(behind, f"{alias} is behind")  # NodeBehind
        (reason,) = [each for each in world.network()["reasons"] if alias in each]
        assert "blocks behind" in reason
        return str(reason)
    others = {f"node-{each}" for each in (1, 2, 3)} - {alias}
    for other in others:  # far ahead alone: the others look behind, and the following goes on
        until(lambda other=other: (world.figure("node_lag_blocks", other) or 0) > 40, other)
    seen = world.network()
    assert seen["agreement"]["state"] == "agreed", seen
    offset = world.figure("clock_offset_seconds")
    assert offset is not None and abs(offset) < 60, "one node does not tell the time"
    return "far ahead of the others"


def one_bad(world: World, fault: str, which: int, blocks: int = LAG_BLOCKS) -> None:
    """Payouts and deposits go on beside it."""
    break_down(world, fault, which, blocks=blocks)
    took_s = world.settles(world.ask(), f"{fault} node-{which + 1}")
    reason = seen_by_an_operator(world, fault, which)
    began = time.monotonic()
    heal(world, fault)
    well_s = time.monotonic() - began
    print(f"\n{fault} node-{which + 1}: settled in {took_s:.1f} s, well {well_s:.1f} s; {reason}")


@pytest.mark.parametrize(("fault", "which"), SHORT)
def test_one_bad_node_of_three_stops_nobody(world: World, fault: str, which: int) -> None:
    one_bad(world, fault, which)


def lie_about(world: World, what: str, account: str) -> Lie:
    """A lie about blocks that concerns an address of ours or of a payout."""
    if not what.startswith("invented"):
        known = hexed(account)
        return Hidden(known) if what == "hidden" else Changed(known, failed=what == "failed")
    done = world.ask(1, deposit=False)  # the pattern
    world.settles(done, "a pattern")
    ((payout_id, recipient),) = done.payouts.items()
    return world.invention(payout_id, recipient, account, honest=what == "invented")


def stops(world: World, what: str, promised: Round, *liars: int) -> str:
    """Following stops, nothing is believed, and the operator is told; what is said.

    It says who stands alone if all three were heard; on a busy machine one may come too late. While
    the one liar is not heard, the two others settle what is true, as beside any node that is away;
    two liars that are heard first would be believed. Until the first block of a fork is solidified
    there is nothing to find out. `World.balanced` compares all of it with the true chain.
    """
    reason = world.halted(what)
    world.shows("follower_halted", (), 1, what)  # ChainContradicted
    ended = {"failed"} if len(liars) == 1 else {"failed", "settled"}
    assert not [each for each in promised.payouts if world.status(each) in ended]
    if len(liars) == 1:
        alias = f"node-{liars[0] + 1}"
        two_were_heard = "alone" not in reason and f"{alias}: " in reason
        assert two_were_heard or reason.endswith(f"alone: {alias}"), reason
        world.shows("node_contradicts", (alias,), 1, what)  # NodeContradicts

    def refused() -> bool:
        code, said = world.live.command_json("resume")
        assert code in (1, 3), "nobody goes on while a node contradicts"
        return code == 1 and not said["resumed"]

    until(refused, "the contradiction is seen again", SETTLE_S)
    return reason


def told(world: World, what: str, *liars: int) -> tuple[Round, Round]:
    """Let these nodes tell a lie about blocks.

    Returns:
        An invoice that nobody has paid, and a payout that was asked for.
    """
    unpaid = world.invoice()
    if what in FORKS:
        copy = world.copy(FORKS[what])
        for node in (world.nodes[each] for each in liars):
            node.shows(copy)
        return unpaid, world.ask(1)
    if what.startswith("invented"):
        lie = lie_about(world, what, unpaid.invoice_address)
        for node in (world.nodes[each] for each in liars):
            node.lies(lie)
        return unpaid, world.ask(1, deposit=False)
    world.live.devnet("/devnet/pace", block_ms=0)  # so that the lie is there before the block
    promised = world.ask(1, deposit=False)
    (recipient,) = promised.payouts.values()
    for node in (world.nodes[each] for each in liars):
        node.lies(lie_about(world, what, recipient))
    world.live.devnet("/devnet/pace", block_ms=BLOCK_MS)
    return unpaid, promised


def nothing_credited(world: World, unpaid: Round) -> None:
    seen = world.payment(unpaid.invoice)
    assert seen["status"] == "awaiting_payment" and parse_units(seen["received"]) == 0, seen


def would_be_settled(world: World) -> None:
    """Wait until what is in a block by now has been solidified for a while."""
    head, _ = world.heights()
    until(lambda: world.heights()[1] > head + SEEN_BLOCKS, "solidified long ago", SETTLE_S)


def contradicted(world: World, what: str, *liars: int, out: bool = False) -> None:
    """A lie about blocks: everything stops, and goes on when somebody has mended it.

    Args:
        out: The liar is taken out of the configuration instead of being mended.
    """
    unpaid, promised = told(world, what, *liars)
    reason = stops(world, what, promised, *liars)
    later = world.ask(1)
    would_be_settled(world)
    assert not any(world.status(each) in FINISHED for each in later.payouts), what
    began = time.monotonic()
    if out:
        world.restart(*(node for n, node in enumerate(world.nodes) if n not in liars))
    else:
        for node in world.nodes:
            node.heal()
    world.resumed()
    for done in (promised, later):
        world.settles(done, f"after {what}")
    took_s = time.monotonic() - began
    nothing_credited(world, unpaid)
    if out:
        for node in world.nodes:
            node.heal()
        world.restart(*world.nodes)
    world.well(what)
    print(f"\n{what} {[each + 1 for each in liars]}: drained {took_s:.1f} s after; {reason}")


def test_a_lie_about_a_block_stops_everything_until_a_person_resumes(world: World) -> None:
    contradicted(world, "invented", 0)


def outvoted(world: World, what: str, liar: int) -> None:
    """With NODE_DISSENT=set_apart a lie of one of three stops nobody but the liar."""
    alias = f"node-{liar + 1}"
    world.restart(*world.nodes, NODE_DISSENT="set_apart")
    try:
        unpaid, promised = told(world, what, liar)
        took_s = world.settles(promised, f"beside {what}")
        world.shows("node_apart", (alias,), 1, what)  # NodeContradicts, TooFewNodes
        later_s = world.settles(world.ask(), "with the two others")
        nothing_credited(world, unpaid)
        (reason,) = [each for each in world.network()["reasons"] if "set apart" in each]
        assert alias in reason
        world.restart(*world.nodes)
        world.shows("node_apart", (alias,), 1, "remembered")
        code, said = world.live.command_json("resume")
        assert code == 1 and [each["node"] for each in said["nodes"]] == [alias], said
        world.nodes[liar].heal()

        def back() -> bool:
            code, _ = world.live.command_json("resume")
            assert code in (0, 1, 3), code
            return code == 0

        until(back, "the node is let back", SETTLE_S)
        world.shows("node_apart", (alias,), 0, "let back")
        world.well(what)
    finally:
        world.restart(*world.nodes, NODE_DISSENT="stop")
    print(f"\n{what} {alias}: settled {took_s:.1f} s, then {later_s:.1f} s; {reason}")


def stands(world: World, fault: str, *which: int) -> None:
    """With two bad ones nothing is settled, what was accepted is sent, and all of it drains.

    A process that starts looks at the chain with two nodes before it signs: this one has.
    """
    world.settles(world.ask(1, deposit=False), "two bad ones are still to come")
    break_down(world, fault, *which)
    promised = world.ask()
    if fault in ("down", "slow", "error"):
        until(lambda: too_few_in_use(world), "TooFewNodes", 60)

    def sent() -> bool:
        return all(world.received(each, solid=False) for each in promised.payouts.values())

    until(sent, "what was accepted is sent", SETTLE_S)
    would_be_settled(world)
    assert all(world.status(each) not in ("settled", "failed") for each in promised.payouts)
    assert world.payment(promised.invoice)["status"] == "awaiting_payment"
    heal(world, fault)
    took_s = world.settles(promised, f"after two {fault}")
    print(f"\ntwo {fault}: both sent meanwhile, settled {took_s:.1f} s after they are well")


def too_few_in_use(world: World) -> bool:
    """Of three nodes less than two; a figure that is not there yet says nothing."""
    up = [world.figure("node_up", f"node-{n}") for n in (1, 2, 3)]
    return None not in up and sum(each for each in up if each) < 2


def test_two_bad_nodes_of_three_make_settlement_wait(world: World) -> None:
    stands(world, "down", 0, 1)


def test_a_chain_that_halts_is_waited_for(world: World) -> None:
    world.live.devnet("/devnet/pace", block_ms=0)
    promised = world.ask()
    before = world.heights()
    time.sleep(STAND_S)
    assert world.heights() == before, "it stands"
    assert not any(world.status(each) == "settled" for each in promised.payouts)
    world.live.devnet("/devnet/pace", block_ms=BLOCK_MS)
    world.settles(promised, "after the halt")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_any_one_of_the_three_may_be_bad(world: World, fault: str, which: int) -> None:
    one_bad(world, fault, which)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_stood_still_for_an_hour_stops_nobody(world: World) -> None:
    one_bad(world, "stuck", 0, blocks=HOUR_BLOCKS)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["slow", "error", "stuck"])
def test_any_two_bad_nodes_make_settlement_wait(world: World, fault: str) -> None:
    stands(world, fault, 0, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("what", "which"), [*zip(LIES, (2, 0, 0, 1, 2), strict=True)], ids=LIES)
def test_any_lie_about_a_block_stops_everything(world: World, what: str, which: int) -> None:
    contradicted(world, what, which)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("what", "which"), [*zip(LIES, (1, 0, 2, 0, 1), strict=True)], ids=LIES)
def test_any_outvoted_liar_stops_nobody(world: World, what: str, which: int) -> None:
    outvoted(world, what, which)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("what", "liars"),
    [("forked", (0,)), ("forked", (0, 1)), ("forked behind", (0,)), ("forked behind", (2,))],
    ids=str,
)
def test_a_fork_stops_everything(world: World, what: str, liars: tuple[int, ...]) -> None:
    contradicted(world, what, *liars)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_outvoted_fork_stops_nobody(world: World) -> None:
    outvoted(world, "forked behind", 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["invented", "hidden", "failed"])
def test_two_that_tell_the_same_lie_are_not_believed(world: World, what: str) -> None:
    contradicted(world, what, 0, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_the_liar_taken_out_the_two_others_go_on(world: World) -> None:
    contradicted(world, "changed", 0, out=True)


def test_after_all_that_each_was_paid_once_and_the_books_are_the_chain(world: World) -> None:
    world.balanced()
