"""More transfers in a block than an entry of the journal takes: booked in sums, or they wait."""

from dataclasses import replace
from typing import Final

import msgspec
import pytest

from tests.conftest import Mongo
from tests.engine.network import sent_by_contract
from tests.engine.world import ALICE, ALL_DOCUMENTS, BOB, World, assert_books, reference
from tron_payment.chain import INTERNAL_MAX, MongoCursors
from tron_payment.core.address import Address, address_of
from tron_payment.db.ledger import POSTINGS_MAX, WORLD, LedgerEntry, Pocket, Posting, account
from tron_payment.engine import InternalVerdict, internal
from tron_payment.engine.booking import bounded
from tron_payment.engine.internal import AHEAD_BLOCKS, LATE_PER_BLOCK_MAX, SIDES_MAX

MANY: Final = 22_255
"""What one transaction can have: `INTERNAL_MAX` says why."""

STRANGER = address_of(b"\x41" + reference("stranger")[:20])
TXID = "ab" * 32


def test_the_bounds_leave_room_for_what_strangers_send_themselves() -> None:
    assert POSTINGS_MAX < MANY < INTERNAL_MAX
    assert 2 * SIDES_MAX <= POSTINGS_MAX // 2
    assert LATE_PER_BLOCK_MAX <= SIDES_MAX


async def test_a_transaction_of_more_transfers_than_an_entry_takes_is_booked(mongo: Mongo) -> None:
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create(nodes=1, solid_lag=1)
    address = world.key.address
    txid = world.network.forward(STRANGER, address, 1)
    world.network.trx[address] += MANY - 1
    world.nodes[0].tells = lambda receipt: (
        receipt
        if receipt.id != txid
        else msgspec.structs.replace(
            receipt, internal_transactions=receipt.internal_transactions * MANY
        )
    )
    world.pass_time(3)
    while await world.follower.step():
        pass
    number = world.network.included[txid]
    assert world.follower.status().number > number
    entry = await LedgerEntry.find_one({"cause": f"block:{number}"})
    assert entry is not None
    assert [posting.units for posting in entry.postings] == [MANY]
    verdict = await InternalVerdict.get(txid)
    assert verdict is not None and (verdict.counted_in, verdict.proposal) == (number, "")
    await assert_books(world.network, world.ledger, [address])


@pytest.mark.parametrize("is_late", [False, True], ids=["at_once", "late"])
async def test_a_block_takes_so_many_parties_and_the_rest_comes_later(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """Four transactions to two of us each, and room for one of them in a block."""
    await mongo.connect(ALL_DOCUMENTS)
    monkeypatch.setattr(internal, "SIDES_MAX", 3)
    world = await World.create(nodes=2, solid_lag=1, agreement=2)
    mine = [world.key.address, await opened(world, "second")]
    txids = [world.network.forward(STRANGER, mine[0], units) for units in (1, 2, 3, 4)]
    world.network.trx[mine[1]] += 40
    hidden = is_late

    for node in world.nodes:
        node.tells = lambda receipt, node=node: (
            receipt
            if receipt.id not in txids
            else msgspec.structs.replace(
                receipt,
                internal_transactions=[]
                if hidden and node is world.nodes[1]
                else [*receipt.internal_transactions, sent_by_contract(mine[1], 10)],
            )
        )
    world.pass_time(2)
    for _ in range(3):
        while await world.follower.step():
            pass
        hidden = False
        for _ in range(len(txids)):
            await world.engine.internal.step()
        world.pass_time(AHEAD_BLOCKS + 1)
    blocks: dict[int | None, int] = {}
    for _ in range(8):
        while await world.follower.step():
            pass
        await world.engine.internal.step()
        world.pass_time(AHEAD_BLOCKS + 1)
    for verdict in await InternalVerdict.find_all().to_list():
        assert not verdict.proposal
        blocks[verdict.counted_in] = blocks.get(verdict.counted_in, 0) + 1
    assert sorted(blocks.values()) == [1, 1, 1, 1] and None not in blocks
    at = await MongoCursors().load()
    assert at is not None and all(number and number <= at.number for number in blocks)
    await assert_books(world.network, world.ledger, mine)


async def opened(world: World, name: str) -> Address:
    address = address_of(b"\x41" + reference(name)[:20])
    await world.process.openings.open_fresh([address])
    return address


def test_what_an_entry_takes_stays_as_it_is() -> None:
    found = [posting(f"{TXID}:log:{number}", 1) for number in range(3)]
    assert bounded(found, most=3) == found


def test_sums_keep_transactions_and_orders_apart_as_long_as_they_can() -> None:
    tokens = [posting(f"{TXID}:log:{number}", 1) for number in range(5)]
    others = [posting(f"{'cd' * 32}:log:{number}", 2) for number in range(5)]
    called = [posting(f"{TXID}:int:{number}", 3) for number in range(5)]
    again = [posting(f"{'cd' * 32}:int:{number}", 4) for number in range(5)]
    orders = [posting("ord_1", 5) for _ in range(3)]
    to_bob = [replace(tokens[0], destination=account(BOB, Pocket.AVAILABLE))]
    every = [*tokens, *others, *called, *again, *orders, *to_bob]
    by_transaction = bounded(every, most=10)
    assert [(p.ref, p.units) for p in by_transaction] == [
        (tokens[0].ref, 5), (others[0].ref, 10), (called[0].ref, 15), (again[0].ref, 20),
        *[("ord_1", 5)] * 3, (to_bob[0].ref, 1),
    ]  # fmt: skip
    assert [(p.ref, p.units) for p in bounded(every, most=1)] == [
        (f"{TXID}:sum:2", 15), (called[0].ref, 15), (again[0].ref, 20),
        *[("ord_1", 5)] * 3, (to_bob[0].ref, 1),
    ]  # fmt: skip
    assert [p.transactions for p in bounded(every, most=1)] == [2, *[1] * 6]


def posting(ref: str, units: int) -> Posting:
    return Posting(WORLD, account(ALICE, Pocket.AVAILABLE), "USDT", units, ref)
