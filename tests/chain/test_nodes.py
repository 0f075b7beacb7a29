"""Several nodes: reads fail over, broadcasts reach all, contradictions are never smoothed over."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tron_payment import chain
from tron_payment.chain.breaker import FAILURES_TO_OPEN, OPEN_FIRST_S, OPEN_MAX_S
from tron_payment.chain.calls import RATE_LIMIT_REST_S

from .scripted import ALICE, BOB, ScriptedChain, ScriptedNode, client_of, fixed
from .test_apart import apart, named


class Seconds:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def nodes_of(*scripted: ScriptedNode, agreement: int = 1, clock: Any = None) -> chain.Nodes:
    for alias, node in zip("abcdef", scripted, strict=False):
        node.alias = alias
    clients = [node.client() for node in scripted]
    return chain.Nodes(clients, agreement, clock or Seconds())


async def test_a_read_goes_to_the_next_node_when_one_is_down() -> None:
    shared = ScriptedChain(5)
    bad, good = ScriptedNode(shared, down=True), ScriptedNode(shared)
    nodes = nodes_of(bad, good)

    assert (await nodes.head()).number == 5
    assert (await nodes.pick()).alias == "b"

    bad_status, good_status = nodes.status()
    assert (bad_status.failures, bad_status.last_error) == (2, "node a: HTTP status 503")
    assert (good_status.failures, good_status.head) == (0, 5)


async def test_nobody_there_is_said_and_nothing_else() -> None:
    nodes = nodes_of(ScriptedNode(ScriptedChain(1), down=True))
    with pytest.raises(chain.NodesUnavailable):
        await nodes.head()
    with pytest.raises(chain.NodesUnavailable):
        await nodes.solid_head()
    with pytest.raises(chain.NodesUnavailable):
        await nodes.check_genesis(None)


async def test_a_refusal_with_a_code_is_an_answer_but_a_bare_error_is_asked_elsewhere() -> None:
    refusing, good = ScriptedNode(ScriptedChain(1)), ScriptedNode(ScriptedChain(1))
    nodes = nodes_of(refusing, good)
    good.replies["triggerconstantcontract"] = {"result": {"result": True}, "energy_used": 5}

    refusing.replies["triggerconstantcontract"] = {"Error": "class java.lang.Oops"}
    assert (await nodes.constant_call(ALICE, BOB, b"")).energy_used == 5

    refusing.replies["triggerconstantcontract"] = {"result": {"code": "CONTRACT_VALIDATE_ERROR"}}
    with pytest.raises(chain.NodeRefused):
        await nodes.constant_call(ALICE, BOB, b"")
    assert nodes.status()[0].failures == 0


async def test_the_breaker_rests_a_failing_node_and_tries_it_once() -> None:
    clock, shared = Seconds(), ScriptedChain(3)
    bad, good = ScriptedNode(shared, down=True), ScriptedNode(shared)
    nodes = nodes_of(bad, good, clock=clock)
    for _ in range(FAILURES_TO_OPEN):
        await nodes.head()
    assert nodes.status()[0].breaker is chain.BreakerState.OPEN
    asked = len(bad.asked)

    await nodes.probe()
    assert len(bad.asked) == asked, "a resting node is left alone"

    clock.now += OPEN_FIRST_S
    await nodes.head()
    await nodes.solid_head()
    await nodes.broadcast(b"bytes")
    assert len(bad.asked) == asked, "nothing that can do without it waits for a trial"
    await nodes.probe()
    assert len(bad.asked) > asked
    asked = len(bad.asked)
    assert nodes.status()[0].breaker is chain.BreakerState.OPEN

    clock.now += OPEN_FIRST_S
    await nodes.probe()
    assert len(bad.asked) == asked, "each failed trial doubles the rest"

    bad.down = False
    clock.now += OPEN_MAX_S
    await nodes.probe()
    assert nodes.status()[0].breaker is chain.BreakerState.CLOSED


async def test_a_node_that_asks_for_rest_is_left_alone_at_once() -> None:
    clock, shared = Seconds(), ScriptedChain(3)
    limited, good = ScriptedNode(shared), ScriptedNode(shared)
    limited.replies["getblock"] = {"Error": "class x : lack of computing resources"}
    nodes = nodes_of(limited, good, clock=clock)
    await nodes.head()
    clock.now += RATE_LIMIT_REST_S - 1
    await nodes.probe()
    assert len(limited.asked) == 1
    clock.now += 1
    await nodes.probe()
    assert len(limited.asked) > 1


async def test_only_one_trial_is_under_way_and_a_canceled_one_is_forgotten() -> None:
    clock, shared = Seconds(), ScriptedChain(3)
    bad, good = ScriptedNode(shared, down=True), ScriptedNode(shared)
    nodes = nodes_of(bad, good, clock=clock)
    for _ in range(FAILURES_TO_OPEN):
        await nodes.head()
    clock.now += OPEN_MAX_S
    bad.down, bad.slow = False, asyncio.Event()
    trial = asyncio.create_task(nodes.probe())
    while nodes.status()[0].breaker is not chain.BreakerState.HALF_OPEN:
        await asyncio.sleep(0)
    asked = len(bad.asked)

    assert (await nodes.head()).number == 3
    assert len(bad.asked) <= asked + 2, "a probe asks for both heads"

    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert nodes.status()[0].breaker is chain.BreakerState.OPEN
    bad.slow.set()
    await nodes.probe()
    assert nodes.status()[0].breaker is chain.BreakerState.CLOSED


async def test_a_broadcast_reaches_every_node_and_survives_each_failure() -> None:
    shared = ScriptedChain(1)
    good, down, busy, odd = (ScriptedNode(shared) for _ in range(4))
    down.down = True
    busy.replies["broadcasthex"] = {
        "result": False,
        "code": "SERVER_BUSY",
        "message": "Server busy.",
    }
    odd.replies["broadcasthex"] = {"Error": "class java.lang.NullPointerException : x"}

    answers = await nodes_of(good, down, busy, odd).broadcast(b"signed")

    assert [(each.node, each.accepted, each.code) for each in answers] == [
        ("a", True, "SUCCESS"),
        ("b", False, "UNAVAILABLE"),
        ("c", False, "SERVER_BUSY"),
        ("d", False, "ERROR"),
    ]
    assert good.told == [b"signed"]


async def test_a_broadcast_goes_out_even_when_all_nodes_rest() -> None:
    node = ScriptedNode(ScriptedChain(1), down=True)
    nodes = nodes_of(node)
    for _ in range(FAILURES_TO_OPEN):
        await nodes.broadcast(b"signed")
    assert nodes.status()[0].breaker is chain.BreakerState.OPEN
    node.down = False
    (answer,) = await nodes.broadcast(b"signed")
    assert answer.accepted


async def test_the_solid_head_is_the_one_that_enough_nodes_have_reached() -> None:
    shared = ScriptedChain(10)
    nodes = nodes_of(
        ScriptedNode(shared, solid=9), ScriptedNode(shared, solid=7), ScriptedNode(shared, solid=2),
        agreement=2,
    )  # fmt: skip
    assert (await nodes.solid_head()).number == 7
    assert [each.lag_blocks for each in nodes.status()] == [0, 2, 7]


async def test_a_block_counts_when_enough_nodes_show_it() -> None:
    shared = ScriptedChain(5)
    first, second = ScriptedNode(shared), ScriptedNode(shared)
    nodes = nodes_of(first, second, agreement=2)

    block = await nodes.solid_block(4)

    assert block.block_id == shared.blocks[4].block_id
    assert isinstance(block.transactions[0].contract, chain.Transfer)
    assert second.asked == ["getblock 4", "gettransactioninfobyblocknum 4"]

    second.solid = 3
    with pytest.raises(chain.NodesUnavailable, match="confirmed by 0 of 1"):
        await nodes.solid_block(4)
    second.down = True
    with pytest.raises(chain.NodesUnavailable):
        await nodes.solid_block(4)


async def test_two_nodes_with_different_blocks_are_a_contradiction() -> None:
    shared = ScriptedChain(5)
    honest, liar = ScriptedNode(shared), ScriptedNode(shared.fork_at(4, "lie"))
    nodes = nodes_of(honest, liar, agreement=2)
    assert (await nodes.solid_block(3)).number == 3

    with pytest.raises(chain.ChainContradiction) as contradiction:
        await nodes.solid_block(4)

    assert honest.chain.blocks[4].block_id in contradiction.value.extra["a"]
    assert liar.chain.blocks[4].block_id in contradiction.value.extra["b"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"fee": 5}, id="another fee"),
        pytest.param({"receipt": {"result": "SUCCESS"}}, id="another result"),
        pytest.param({"result": "FAILED"}, id="a failure"),
        pytest.param({"log": [{"address": "00" * 20}]}, id="another event"),
        pytest.param({"withdraw_amount": 5}, id="a reward"),
    ],
)
async def test_receipts_that_differ_are_a_contradiction_too(change: dict[str, Any]) -> None:
    shared = ScriptedChain(5)
    liar = ScriptedNode(shared)
    (receipt,) = shared.blocks[4].receipts()
    liar.replies["gettransactioninfobyblocknum"] = [receipt | change]
    for pair in ((ScriptedNode(shared), liar), (liar, ScriptedNode(shared))):
        with pytest.raises(chain.ChainContradiction):
            await nodes_of(*pair, agreement=2).solid_block(4)


async def test_what_only_some_nodes_keep_is_no_contradiction() -> None:
    shared = ScriptedChain(5)
    thorough = ScriptedNode(shared)
    (receipt,) = shared.blocks[4].receipts()
    internal = {
        "caller_address": "41" + "11" * 20,
        "transferTo_address": "41" + "22" * 20,
        "callValueInfo": [{"callValue": 5}],
        "note": b"call".hex(),
    }
    thorough.replies["gettransactioninfobyblocknum"] = [
        receipt | {"internal_transactions": [internal], "resMessage": "00"}
    ]
    nodes = nodes_of(ScriptedNode(shared), thorough, agreement=2)
    assert (await nodes.solid_block(4)).number == 4

    other = ScriptedNode(shared)
    other.replies["gettransactioninfobyblocknum"] = [
        receipt | {"internal_transactions": [internal | {"rejected": True}]}
    ]
    with pytest.raises(chain.ChainContradiction, match="internal"):
        await nodes_of(thorough, other, agreement=2).solid_block(4)


async def test_receipts_that_are_not_there_yet_only_delay() -> None:
    shared = ScriptedChain(5)
    late = ScriptedNode(shared)
    late.replies["gettransactioninfobyblocknum"] = []
    with pytest.raises(chain.NodesUnavailable, match="confirmed by 0 of 1"):
        await nodes_of(ScriptedNode(shared), late, agreement=2).solid_block(4)


async def test_a_transaction_invented_in_an_empty_block_is_a_contradiction() -> None:
    shared = ScriptedChain(4)
    full = shared.blocks[4]
    shared.blocks[4] = empty = replace(full, transactions=())
    liar = ScriptedNode(shared)
    liar.replies["getblockbynum"] = full.json() | {"blockID": empty.block_id}
    liar.replies["gettransactioninfobyblocknum"] = full.receipts()
    for place in range(3):
        scripted = [ScriptedNode(shared) for _ in range(3)]
        scripted[place] = liar
        with pytest.raises(chain.ChainContradiction, match=f"alone: {'abc'[place]}$"):
            await nodes_of(*scripted, agreement=2).solid_block(4)


async def test_a_header_with_another_time_is_a_contradiction() -> None:
    shared = ScriptedChain(5)
    liar = ScriptedNode(shared)
    header = shared.blocks[4].json()
    header["block_header"]["raw_data"]["timestamp"] += 3_000
    liar.replies["getblock"] = header
    with pytest.raises(chain.ChainContradiction, match="parent or time"):
        await nodes_of(ScriptedNode(shared), liar, agreement=2).solid_block(4)


async def test_one_dissenter_outweighs_any_number_of_confirmations() -> None:
    shared = ScriptedChain(5)
    liar = ScriptedNode(shared.fork_at(4, "lie"))
    nodes = nodes_of(ScriptedNode(shared), ScriptedNode(shared), liar, agreement=2)
    with pytest.raises(chain.ChainContradiction):
        await nodes.solid_block(4)


async def test_who_stands_alone_is_named_where_a_majority_can_tell() -> None:
    shared = ScriptedChain(5)
    for place in range(3):
        scripted = [ScriptedNode(shared) for _ in range(3)]
        scripted[place] = liar = ScriptedNode(shared.fork_at(4, "lie"))
        nodes, name = nodes_of(*scripted, agreement=2), "abc"[place]
        with pytest.raises(chain.ChainContradiction, match=f"; alone: {name}$"):
            await nodes.solid_block(4)
        blamed = [each.alias for each in nodes.status() if each.contradicts]
        assert blamed == [name]
        await nodes.solid_block(3)
        assert any(each.contradicts for each in nodes.status()), "another block settles nothing"
        liar.chain = shared
        await nodes.solid_block(4)
        assert not any(each.contradicts for each in nodes.status())

    other = ScriptedNode(shared.fork_at(4, "another lie"))
    pair = nodes_of(ScriptedNode(shared), ScriptedNode(shared.fork_at(4, "lie")), agreement=2)
    everybody = nodes_of(
        ScriptedNode(shared), ScriptedNode(shared.fork_at(4, "lie")), other, agreement=2
    )
    for nodes in (pair, everybody):
        with pytest.raises(chain.ChainContradiction) as contradiction:
            await nodes.solid_block(4)
        assert "alone" not in contradiction.value.reason
        assert all(each.contradicts for each in nodes.status())


async def test_neither_a_node_that_stands_still_nor_one_that_runs_ahead_tells_the_time() -> None:
    shared, early = ScriptedChain(8), ScriptedChain(2)
    ahead = ScriptedNode(shared)
    header = shared.blocks[8].json()
    header["block_header"]["raw_data"]["timestamp"] += 3_600_000
    ahead.replies["getblock"] = header
    for odd in (ScriptedNode(early), ahead):
        for place in range(3):
            scripted = [ScriptedNode(shared) for _ in range(3)]
            scripted[place] = odd
            for agreement in (1, 2):
                head = await nodes_of(*scripted, agreement=agreement).head()
                assert head.timestamp_ms == shared.blocks[8].timestamp_ms
    high = ScriptedNode(shared)  # the time of the others, a height of its own
    header = shared.blocks[8].json()
    header["block_header"]["raw_data"]["number"] = 5_000
    high.replies["getblock"] = header
    for place in range(3):
        scripted = [ScriptedNode(shared) for _ in range(3)]
        scripted[place] = high
        assert (await nodes_of(*scripted, agreement=2).head()).number == 8
    one_left = nodes_of(ScriptedNode(shared), *(ScriptedNode(shared, down=True),) * 2, agreement=2)
    assert (await one_left.head()).number == 8, "sending goes on with one"


async def test_reads_go_to_a_node_that_is_not_behind() -> None:
    shared, early = ScriptedChain(60), ScriptedChain(10)
    stuck, liar, good = ScriptedNode(early), ScriptedNode(shared), ScriptedNode(shared)
    nodes = nodes_of(stuck, ScriptedNode(shared), ScriptedNode(shared), agreement=2)
    assert (await nodes.pick()).alias == "a", "nothing is known yet"
    await nodes.solid_head()
    assert (await nodes.pick()).alias == "b"
    stuck.chain = shared
    await nodes.solid_head()
    assert (await nodes.pick()).alias == "a", "it has caught up"

    header = shared.blocks[60].json()
    header["block_header"]["raw_data"]["number"] = 5_000
    liar.replies["getblock"] = header
    for agreement in (1, 2):
        nodes = nodes_of(good, ScriptedNode(shared), liar, agreement=agreement)
        await nodes.solid_head()
        assert (await nodes.pick()).alias == "a", "one node alone makes nobody behind"


async def test_receipts_of_another_backend_are_read_from_the_next_node() -> None:
    shared = ScriptedChain(5)
    mixed, good = ScriptedNode(shared), ScriptedNode(shared)
    mixed.replies["gettransactioninfobyblocknum"] = []
    nodes = nodes_of(mixed, good)
    assert len((await nodes.solid_block(4)).transactions) == 1
    good.replies = mixed.replies
    with pytest.raises(chain.NodesUnavailable, match="1 transactions, 0 receipts"):
        await nodes.solid_block(4)


async def test_a_node_of_another_chain_is_refused_at_once_or_when_it_appears() -> None:
    ours, theirs = ScriptedChain(3), ScriptedChain(3)
    theirs.blocks[0] = type(theirs.blocks[0])(0, "0" * 64, 0, salt="theirs")
    genesis = ours.blocks[0].block_id
    with pytest.raises(chain.WrongNetwork):
        await nodes_of(ScriptedNode(ours), ScriptedNode(theirs)).check_genesis(None)
    with pytest.raises(chain.WrongNetwork):
        await nodes_of(ScriptedNode(theirs)).check_genesis(genesis)

    late, good = ScriptedNode(theirs, down=True), ScriptedNode(ours)
    nodes = nodes_of(late, good)
    assert await nodes.check_genesis(genesis) == genesis
    late.down = False
    assert (await nodes.pick()).alias == "b"
    assert "genesis" in nodes.status()[0].last_error


async def test_a_probe_asks_everybody() -> None:
    shared = ScriptedChain(8)
    nodes = nodes_of(ScriptedNode(shared, solid=6), ScriptedNode(shared, down=True))
    up, down = await nodes.probe()
    assert (up.head, up.solid, up.lag_blocks) == (8, 6, 0)
    assert (down.head, down.solid, down.lag_blocks) == (0, 0, 6)
    assert down.failures == 2


@pytest.mark.parametrize("outvotes", [False, True])
@pytest.mark.parametrize("place", range(2))
async def test_no_receipts_are_no_witness_of_an_empty_block(place: int, outvotes: bool) -> None:
    """A node that keeps no receipts must not confirm the lie that nothing is in the block: what
    was paid in it would be paid again."""
    shared = ScriptedChain(6)
    hides = {
        "getblockbynum": shared.blocks[4].json() | {"transactions": []},
        "gettransactioninfobyblocknum": [],
    }
    liar = ScriptedNode(shared, replies=hides)
    forgetful = ScriptedNode(shared, replies={"gettransactioninfobyblocknum": []})
    away = ScriptedNode(shared)
    scripted = [forgetful, away]
    scripted.insert(place, liar)
    scripted = named(*scripted)
    scripted[-1].down = True
    nodes = chain.Nodes([each.client() for each in scripted], 2, outvotes=outvotes)
    with pytest.raises((chain.ChainContradiction, chain.NodesUnavailable)):
        await nodes.solid_block(4)
    scripted[-1].down = False
    for member in nodes.members:
        member.breaker.succeeded()  # a test has no time to rest
    with pytest.raises((chain.ChainContradiction, chain.NodesUnavailable)):
        await nodes.solid_block(4)  # one has shown it whole
    assert apart(nodes) == (["ab"[place]] if outvotes else [])
    forgetful.replies.clear()
    if outvotes:
        assert len((await nodes.solid_block(4)).transactions) == 1


async def test_a_block_without_transactions_is_confirmed_by_those_that_show_none() -> None:
    shared = ScriptedChain(6)
    replies = {
        "getblockbynum": shared.blocks[4].json() | {"transactions": []},
        "gettransactioninfobyblocknum": [],
    }
    empty = [ScriptedNode(shared, replies=replies) for _ in range(2)]
    nodes = chain.Nodes([each.client() for each in empty], 2)
    assert (await nodes.solid_block(4)).transactions == ()


def priced(alias: str, price: int | None) -> chain.NodeClient:
    """A node that tells this price of energy, or none."""
    listed = [{"key": "getEnergyFee", "value": price}, {"key": "getTransactionFee"}]
    return client_of(fixed({"chainParameter": listed} if price else {}), alias)


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ((100, 100, 1), 100),
        ((1, 100, 100), 100),
        ((100, 9_999, 100), 100),
        ((1, 100, None), 100),
        ((None, 100, 210), 210),
        ((None, None, 100), 100),
        ((None, None, None), None),
    ],
)
async def test_no_node_tells_a_price_against_the_others(
    told: tuple[int | None, ...], believed: int | None
) -> None:
    """Of three the middle one, of two the higher one: too small a limit burns for nothing. Who is
    alone for now is believed: what was accepted goes on being sent."""

    clients = [priced(alias, price) for alias, price in zip("abc", told, strict=True)]
    nodes = chain.Nodes(clients, 2, Seconds())
    if believed is None:
        with pytest.raises(chain.NodesUnavailable):
            await nodes.parameters()
    else:
        assert (await nodes.parameters())["getEnergyFee"] == believed


async def test_who_has_rested_is_asked_for_the_price_beside_one_that_is_alone() -> None:
    """Else it alone would tell, though the others were away for a moment only."""
    seconds = Seconds()
    clients = [priced(alias, price) for alias, price in zip("abc", (1, 100, 100), strict=True)]
    nodes = chain.Nodes(clients, 2, seconds)
    for member in list(nodes.members)[1:]:
        for _ in range(FAILURES_TO_OPEN):
            member.breaker.failed("away")
    assert (await nodes.parameters())["getEnergyFee"] == 1, "nobody else may be asked yet"
    seconds.now += OPEN_MAX_S
    assert (await nodes.parameters())["getEnergyFee"] == 100
