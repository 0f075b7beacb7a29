"""Every address is known before the block that can pay it is judged, whoever issued it."""

import random
from collections.abc import AsyncIterator

import pytest

from tests.chain import recorded
from tests.conftest import Mongo
from tests.engine.network import TOKEN
from tests.engine.world import ALL_DOCUMENTS, World, open_books
from tron_payment import chain
from tron_payment.chain import SolidBlock, SolidTransaction
from tron_payment.chain.answers import (
    CallValue,
    InternalPart,
    KeyValue,
    LogPart,
    Receipt,
    ReceiptPart,
)
from tron_payment.chain.transactions import TRANSFER_TOPIC
from tron_payment.core.address import Address, address_bytes, address_of, bare_bytes
from tron_payment.core.address_set import AddressSet
from tron_payment.db.cas import LostRace
from tron_payment.db.ledger import Draft, Holder, LedgerEntry, LedgerHead, Opened, View
from tron_payment.engine import Openings, Watched, movements
from tron_payment.engine.reserving import setting_aside

DICE = random.Random(20)
TOKEN_HEX = address_bytes(TOKEN)[1:].hex()


def somebody() -> Address:
    return address_of(DICE.randbytes(20))


@pytest.fixture
async def world(mongo: Mongo) -> World:
    await mongo.connect(ALL_DOCUMENTS)
    return await World.create()


def paying(number: int, *recipients: Address) -> SolidBlock:
    """A block in which strangers send TRX to these and to each other."""
    rows = []
    for index, to in enumerate([somebody(), *recipients, somebody()]):
        contract = chain.Transfer(somebody(), to, 5)
        raw = chain.encode(chain.RawData(contract, b"\0\1", bytes(8), 2**41, 2**41 + index))
        rows.append(SolidTransaction(raw, Receipt(id=chain.txid(raw)), index))
    parent_id = f"{number - 1:064x}"
    return SolidBlock(
        number, f"{number:064x}", parent_id, number * 3_000, tuple(rows), is_evidence=True
    )


def paid(part: SolidBlock) -> list[Address]:
    found = []
    for transaction in part.transactions:
        assert isinstance(transaction.contract, chain.Transfer)
        found.append(transaction.contract.to)
    return found


# ---- the set -------------------------------------------------------------------------------------


def test_a_set_in_eight_bytes_each_is_the_same_as_any_set() -> None:
    dice = random.Random(1)
    ours = [dice.randbytes(20) for _ in range(5_000)]
    compact, plain = AddressSet(ours[:2_000]), set(ours)
    compact.update(ours)
    assert len(compact) == len(plain)
    others = [dice.randbytes(20) for _ in range(5_000)]
    asked = [*ours[::7], *others, b"", b"\xff" * 20, bytes(20)]
    assert compact.perhaps(asked) == [each for each in asked if each in plain]


def test_the_bare_bytes_of_an_address() -> None:
    for raw in (bytes(20), b"\xff" * 20, *(DICE.randbytes(20) for _ in range(200))):
        assert bare_bytes(address_of(raw)) == raw


# ---- what is in a block --------------------------------------------------------------------------


async def test_addresses_opened_by_another_process_are_known_for_the_very_next_block(
    world: World,
) -> None:
    watched, other = world.engine.watched, world.another()
    first, second, third = somebody(), somebody(), somebody()
    assert paid(await watched.judge(paying(20, first))) == []
    await other.openings.open_fresh([first])
    assert paid(await watched.judge(paying(21, first, second))) == [first]
    await other.openings.open_fresh([second])
    await other.openings.request(third)  # one that may hold money: watched when this returns
    assert paid(await watched.judge(paying(22, third, first, second))) == [third, first, second]
    assert await Holder.find_one({"_id": third}) is not None


async def test_a_block_that_was_read_before_is_judged_by_what_is_known_when_it_is_judged(
    world: World,
) -> None:
    """Blocks are read ahead; what was issued meanwhile counts for all of them."""
    late = [somebody() for _ in range(3)]
    ahead = [paying(number, late[number % 3]) for number in range(30, 60)]
    watched = world.engine.watched
    await watched.judge(paying(29))
    for number, address in enumerate(late):
        await world.another().openings.open_fresh([address])
        for block in ahead[10 * number : 10 * number + 10]:
            issued = late[: number + 1]
            expected = [each for each in paid(block) if each in issued]
            assert paid(await watched.judge(block)) == expected


async def test_those_who_come_after_see_the_part_that_was_judged(world: World) -> None:
    watched, address = world.engine.watched, somebody()
    block = paying(20, address)
    part = await watched.judge(block)
    assert await watched.part(block) is part
    await world.another().openings.open_fresh([address])
    assert paid(await watched.judge(block)) == [address]  # judged again: looked again
    assert paid(await watched.part(paying(21, address))) == [address]


async def test_more_entries_than_are_read_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tron_payment.engine.watched.ENTRIES_AT_ONCE", 3)
    watched = world.engine.watched
    await watched.judge(paying(20))
    for count in (1, 2, 3, 4, 7):
        issued = [somebody() for _ in range(count)]
        for each in issued:
            await world.another().openings.open_fresh([each])
        assert paid(await watched.judge(paying(21, *issued))) == issued


async def test_a_new_process_knows_what_there_was_and_what_others_keep(world: World) -> None:
    fresh, kept = somebody(), somebody()
    await world.process.openings.open_fresh([fresh])
    watched = Watched()

    async def source() -> AsyncIterator[list[str]]:
        yield [kept]

    watched.sources.append(source)
    assert paid(await watched.judge(paying(20, kept, fresh))) == [kept, fresh]


async def test_a_store_that_went_back_is_read_anew(world: World) -> None:
    """Its journal has other entries under the numbers that we have seen."""
    watched, openings = world.engine.watched, world.process.openings
    gone, after = [somebody() for _ in range(4)], [somebody() for _ in range(6)]
    before = await LedgerHead.find_one({"_id": "head"})
    assert before is not None
    for each in gone:
        await openings.open_fresh([each])
    await watched.judge(paying(20))
    await LedgerEntry.find({"_id": {"$gt": before.applied}}).delete()
    await Holder.find({"_id": {"$in": gone}}).delete()
    await before.replace()
    for count, address in enumerate(after, 1):  # fewer, as many, more than were seen
        await openings.open_fresh([address])
        assert paid(await watched.judge(paying(21, *after))) == after[:count]


async def test_no_block_is_applied_on_a_store_that_lacks_the_one_before(world: World) -> None:
    while await world.follower.step():
        pass
    position = await chain.MongoCursors().load()
    assert position is not None
    with pytest.raises(LostRace):
        await world.engine.on_block(paying(position.number + 2))


async def test_nothing_is_set_aside_for_a_signer_without_books(world: World) -> None:
    """What it signed would not be found in blocks."""
    stranger = somebody()
    await world.engine.place(world.trx_wish("one"))
    order = await world.engine.find("ord_one")
    assert order is not None
    order.signer = stranger

    async def draft() -> Draft | None:
        view: View = await world.ledger.view()
        return await setting_aside(view, [order], {order.id: []})

    assert await draft() is None
    await open_books(world.ledger, stranger)
    made = await draft()
    assert made is not None and made.reserves == (order.id,)


# ---- nothing that moves is left out --------------------------------------------------------------


def _random_receipt(dice: random.Random, raw: bytes) -> Receipt:
    def word() -> str:
        return dice.randbytes(20).hex().rjust(64, "0")

    logs = [
        LogPart(TOKEN_HEX, [TRANSFER_TOPIC, word(), word()], f"{dice.randrange(9):064x}")
        for _ in range(dice.randrange(3))
    ]
    internals = [
        InternalPart(
            caller=dice.choice(["41", ""]) + dice.randbytes(20).hex(),
            to="41" + dice.randbytes(20).hex(),
            values=[CallValue(dice.randrange(1, 9))],
            note=b"call".hex(),
        )
        for _ in range(dice.randrange(3))
    ]
    return Receipt(
        id=chain.txid(raw),
        fee_sun=dice.randrange(3),
        receipt=ReceiptPart(result="SUCCESS"),
        log=logs,
        internal_transactions=internals,
        withdraw_amount_sun=dice.randrange(3),
        withdraw_expire_sun=dice.randrange(3),
        cancel_unfreeze=[KeyValue("ENERGY", dice.randrange(3))],
    )


def test_every_side_of_every_movement_is_a_party_of_its_transaction() -> None:
    dice, seen = random.Random(3), 0
    for name, recording in recorded.TRANSACTIONS.items():
        raw = chain.encode(recorded.raw_data_of(recording))
        for _ in range(20):
            transaction = SolidTransaction(raw, _random_receipt(dice, raw))
            parties = {bytes(each) for each in transaction.parties()}
            block = SolidBlock(1, "0" * 64, "0" * 64, 1, (transaction,))
            for move in movements(block, {TOKEN: "USDT"}):
                for side in (move.sender, move.recipient):
                    if side is not None:
                        assert address_bytes(side)[1:] in parties, (name, move)
                        seen += 1
    assert seen > 1_000


@pytest.mark.parametrize("dirt", ["", "zz" * 20, "a b" * 13 + "c", "41"])
def test_the_parties_of_a_block_are_those_of_its_transactions(dirt: str) -> None:
    """Digits of one that are none, or too few of them, do not hide those of another."""
    dice = random.Random(4)
    for _ in range(20):
        rows = []
        for name in dice.sample(sorted(recorded.TRANSACTIONS), 8):
            raw = chain.encode(recorded.raw_data_of(recorded.TRANSACTIONS[name]))
            receipt = _random_receipt(dice, raw)
            if dirt and dice.random() < 0.3:
                receipt.log.append(LogPart(TOKEN_HEX, ["0" * 24 + dirt], ""))
                receipt.internal_transactions.append(InternalPart(caller=dirt, to=dirt))
            rows.append(SolidTransaction(raw, receipt, len(rows)))
        block = SolidBlock(1, "0" * 64, "0" * 64, 1, tuple(rows))
        each = {party for row in rows for party in row.parties() if len(party) == 20}
        assert block.parties() >= each
        whole = b"".join(row.raw for row in rows)
        assert all(party in whole for party in block.parties() - each if len(party) == 20)
        assert block.touching(each) == rows


async def test_what_is_asked_for_is_watched_before_it_can_be_given_out(world: World) -> None:
    """A hundred at once are one entry, and asking again changes nothing."""
    openings: Openings = world.process.openings
    many = [somebody() for _ in range(100)]
    before = await LedgerEntry.find_all().count()
    await openings.request(*many)
    await openings.request(*many)
    assert await LedgerEntry.find_all().count() == before + 1
    assert paid(await world.engine.watched.judge(paying(20, *many))) == many
    entry = await LedgerEntry.find_all().sort("-_id").first_or_none()
    assert entry is not None and entry.opens == [Opened(each, 0) for each in many]
