"""TRX that contracts move: many nodes do not keep it, so that enough of them have to say so."""

from typing import Any

import pytest

from tron_payment import chain
from tron_payment.chain import blocks
from tron_payment.core.address import address_bytes, bare_of_hex

from .scripted import ScriptedChain, ScriptedNode
from .test_apart import apart, named

CONTRACT, OURS, OTHERS = ("41" + each * 20 for each in ("11", "2a", "33"))
MUCH_SUN = 10**12


def moved(to: str, sun: int, note: str = "call") -> dict[str, Any]:
    value = [{"callValue": sun}]
    names = {"caller_address": CONTRACT, "transferTo_address": to}
    return {**names, "callValueInfo": value, "note": note.encode().hex()}


def says(shared: ScriptedChain, *parts: dict[str, Any]) -> ScriptedNode:
    (receipt,) = shared.blocks[4].receipts()
    told = {"internal_transactions": list(parts)} if parts else {}
    return ScriptedNode(shared, replies={"gettransactioninfobyblocknum": [receipt | told]})


def nodes_of(outvotes: bool, *parts: tuple[dict[str, Any], ...]) -> chain.Nodes:
    shared = ScriptedChain(6)
    scripted = named(*(says(shared, *each) for each in parts))
    agreement = min(2, len(parts))
    return chain.Nodes([each.client() for each in scripted], agreement, outvotes=outvotes)


async def sums(nodes: chain.Nodes) -> tuple[list[int], list[int]]:
    """Sun that is believed, and sun that was only told."""
    (transaction,) = (await nodes.solid_block(4)).transactions
    internal, unproved = transaction.internal, transaction.unproved
    return [each.amount_sun for each in internal], [each.amount_sun for each in unproved]


TRUE, LIE = (moved(OURS, 5),), (moved(OURS, MUCH_SUN),)


@pytest.mark.parametrize("outvotes", [False, True])
@pytest.mark.parametrize(
    ("parts", "believed", "told"),
    [
        ((TRUE, TRUE, TRUE), [5], []),
        ((TRUE, (), TRUE), [5], []),
        (((), TRUE, TRUE), [5], []),
        ((LIE, (), ()), [], [MUCH_SUN]),
        (((), LIE, ()), [], [MUCH_SUN]),
        (((), (), ()), [], []),
    ],
    ids=["all", "one keeps none", "the one that is read keeps none", "one", "another", "nobody"],
)
async def test_what_enough_of_them_say_counts_whoever_is_read(
    outvotes: bool, parts: Any, believed: list[int], told: list[int]
) -> None:
    nodes = nodes_of(outvotes, *parts)
    assert await sums(nodes) == (believed, told)
    assert apart(nodes) == []


@pytest.mark.parametrize("outvotes", [False, True])
@pytest.mark.parametrize("parts", [(LIE, (), TRUE), (TRUE, LIE, TRUE), ((), LIE, LIE[:0], TRUE)])
async def test_who_says_otherwise_outvotes_nobody_and_is_not_outvoted(
    outvotes: bool, parts: Any
) -> None:
    nodes = nodes_of(outvotes, *parts)
    with pytest.raises(chain.ChainContradiction, match="internal transactions"):
        await nodes.solid_block(4)
    assert apart(nodes) == []


@pytest.mark.parametrize("outvotes", [False, True])
async def test_notes_of_freezes_that_only_some_keep_are_no_difference(outvotes: bool) -> None:
    more = (*TRUE, moved(OURS, 7, "freezeBalanceV2ForEnergy"))
    for parts in ((TRUE, more, more), (more, TRUE, more), (more, TRUE, TRUE)):
        nodes = nodes_of(outvotes, *parts)
        assert await sums(nodes) == ([5], [])
        assert apart(nodes) == []


async def test_one_node_alone_is_believed_where_one_is_enough() -> None:
    assert await sums(nodes_of(False, TRUE)) == ([5], [])


async def test_what_is_only_told_still_touches_whom_it_concerns() -> None:
    block = await nodes_of(False, LIE, (), ()).solid_block(4)
    assert block.touching({bytes.fromhex(OURS)[1:]}) == list(block.transactions)


async def test_only_what_all_that_are_needed_have_shown_is_evidence() -> None:
    for nodes in (nodes_of(False, TRUE), nodes_of(False, TRUE, (), TRUE)):
        block = await nodes.solid_block(4)
        assert block.is_evidence and block.only([]).is_evidence
    node = nodes_of(False, TRUE).members.usable(1)[0].client
    alone = chain.join(await node.block(4, solid=False), await node.receipts(4, solid=False))
    alone = chain.told_by_one(alone, node.alias)
    assert not alone.is_evidence
    assert [(each.internal, len(each.unproved)) for each in alone.transactions] == [((), 1)]


async def test_what_is_taken_of_those_who_tell_alike_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of what counts nothing is left out, nor for what somebody else tells."""
    monkeypatch.setattr(blocks, "TOLD_PER_BLOCK_MAX", 3)
    many = tuple(moved(OURS, sun) for sun in (1, 2, 3, 4, 5))
    nothing = tuple(moved(OURS, 0) for _ in range(5))
    assert await sums(nodes_of(False, many, (), ())) == ([], [1, 2, 3])
    assert await sums(nodes_of(False, (), (*nothing, *many), ())) == ([], [1, 2, 3])
    assert await sums(nodes_of(False, many, (), many)) == ([1, 2, 3, 4, 5], [])


@pytest.mark.parametrize(
    "wrong",
    [
        OURS[:20] + " " + OURS[20:],
        OURS[:20] + " " + OURS[21:],
        OURS[:39] + "  " + OURS[40:-1],
        " " + OURS,
        OURS + "\n",
        "+" + OURS[1:],
        "42" + OURS[2:],
        OURS[:-1],
        OURS[:-4],
        OURS + "00",
        "0x" + OURS[2:],
        OURS[:-1] + "\u0665",
        "",
    ],
)
async def test_an_address_has_forty_digits_or_forty_two_and_nothing_else(wrong: str) -> None:
    """Who writes it otherwise contradicts who does not, and is no party of anything."""
    assert bare_of_hex(wrong) is None
    block = await nodes_of(False, (moved(wrong, 5),)).solid_block(4)
    assert block.touching({bytes.fromhex(OURS)[1:]}) == []
    assert bytes.fromhex(OURS)[1:] not in block.parties()
    assert all(
        address_bytes(one.to).hex() != OURS for t in block.transactions for one in t.internal
    )
    if wrong:
        with pytest.raises(chain.ChainContradiction, match="internal transactions"):
            await nodes_of(False, (moved(wrong, 5),), TRUE, TRUE).solid_block(4)


@pytest.mark.parametrize("right", [OURS, OURS[2:], OURS.upper(), "41" + OURS[2:]])
def test_an_address_with_and_without_its_prefix(right: str) -> None:
    assert bare_of_hex(right) == bytes.fromhex(OURS)[1:]
