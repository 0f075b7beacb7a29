"""What the books have no room for is left out, alone, and never the rest of the block."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Mongo
from tests.engine.world import ALL_DOCUMENTS, START_USDT, World
from tron_payment.core.address import Address, address_of
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.audit import canonical
from tron_payment.db.ledger import BALANCE_MAX, WORLD, Draft, Pocket, Posting, Room, View, account
from tron_payment.db.ledger_documents import deltas
from tron_payment.engine import Order
from tron_payment.engine.booking import Claim, book, bounded
from tron_payment.engine.domain import Spend
from tron_payment.engine.left_out import LEFT_OUT, REFS_MAX, kept
from tron_payment.engine.movements import Movement, MovementKind
from tron_payment.engine.settle import unmatched_facts

OURS = address_of(b"\x41" + bytes(19) + b"\x01")
OTHER = address_of(b"\x41" + bytes(19) + b"\x02")
HOLDERS = {OURS: 0}
ASKED = 5_000_000


def moved(txid: str, units: int, sender: Address, to: Address, asset: str = "BIG") -> Movement:
    return Movement(MovementKind.TRANSFER, txid, "log:0", asset, units, sender, to)


def test_one_claim_of_2_to_the_255_leaves_the_rest() -> None:
    moves = [moved("a", 2**255, OTHER, OURS), moved("b", 25, OTHER, OURS, "USDT")]
    booking = book(moves, HOLDERS, {}, 9, (), Room({}))
    assert [each.asset for each in booking.postings] == ["USDT"]
    assert booking.left_out_refs == ["a:log:0"]


def test_what_a_contract_claims_that_we_sent_is_no_transfer_of_ours() -> None:
    booking = book([moved("a", 2**200, OURS, OTHER)], HOLDERS, {}, 9, (), Room({}))
    assert (booking.postings, booking.unmatched) == ([], [])
    assert booking.left_out_refs == ["a:log:0"]


def test_what_a_contract_claims_that_we_sent_ourselves_can_be_written_down() -> None:
    booking = book([moved("a", 2**255, OURS, OURS)], HOLDERS, {}, 9, (), Room({}))
    [move] = booking.unmatched
    assert str(2**255) in canonical(unmatched_facts(move, 9))


def test_what_an_order_set_aside_comes_back_when_its_claim_is_left_out() -> None:
    claim = Claim("ord", (Spend(OURS, "BIG", 5),), True)
    reserved = {(account(OURS, Pocket.RESERVED), "BIG"): 5}
    moves = [moved("a", 2**63 - 1, OURS, OTHER)]
    booking = book(moves, HOLDERS, {"a": claim}, 9, ["a"], Room(reserved))
    assert booking.left_out_refs == ["a:log:0"]
    [posting] = booking.postings
    assert posting.destination == account(OURS, Pocket.AVAILABLE)
    assert (posting.units, booking.finals) == (5, ["ord"])


def test_a_balance_of_an_older_build_may_go_towards_zero() -> None:
    holder = account(OURS, Pocket.AVAILABLE)
    room = Room({(holder, "BIG"): UNITS_MAX, (WORLD, "BIG"): -UNITS_MAX})
    assert not room.take(Posting(WORLD, holder, "BIG", 1, "a:log:0"))
    assert room.take(Posting(holder, WORLD, "BIG", UNITS_MAX, "b:log:0"))


NAMES = [WORLD, account(OURS, Pocket.AVAILABLE), account(OURS, Pocket.RESERVED)]
BALANCES = st.integers(-BALANCE_MAX, BALANCE_MAX)
UNITS = st.one_of(st.integers(1, 10), st.integers(1, 2**64), st.integers(2**61, 2**63))


@given(
    st.tuples(BALANCES, BALANCES, BALANCES),
    st.lists(st.tuples(st.permutations(NAMES), UNITS), max_size=30),
)
def test_what_is_taken_fits_the_store(
    before: tuple[int, int, int], wanted: list[tuple[list[str], int]]
) -> None:
    balances = {(name, "BIG"): units for name, units in zip(NAMES, before, strict=True)}
    room = Room(balances)
    postings = [
        Posting(source, to, "BIG", units, f"{number}:log:0")
        for number, ((source, to, _), units) in enumerate(wanted)
    ]
    taken = bounded([each for each in postings if room.take(each)], most=3)
    assert all(each.units <= UNITS_MAX for each in taken)
    for key, delta in deltas(taken).items():
        assert abs(delta) <= UNITS_MAX
        assert abs(balances[key] + delta) <= BALANCE_MAX


def test_of_very_many_only_the_transactions_are_kept() -> None:
    assert kept(["a:log:0", "a:log:1"]) == ("a:log:0", "a:log:1")
    assert kept([f"a:log:{number}" for number in range(REFS_MAX + 1)]) == ("a",)


def test_of_an_order_all_fits_or_nothing_is_taken() -> None:
    available, reserved = account(OURS, Pocket.AVAILABLE), account(OURS, Pocket.RESERVED)
    room = Room({(reserved, "BIG"): BALANCE_MAX - 5, (available, "BIG"): 10})
    small = Posting(available, reserved, "BIG", 3, "a")
    assert not room.take_all([small, Posting(available, reserved, "BIG", 3, "a")])
    assert room.take_all([small, Posting(available, reserved, "BIG", 2, "b")])
    assert not room.take(Posting(available, reserved, "BIG", 1, "c"))


async def put(world: World, source: str, destination: str, units: int) -> None:
    async def build(view: View) -> Draft:
        posting = Posting(source, destination, "USDT", units, f"t{view.seq}")
        assert await view.fitting([posting])
        return Draft(f"test:{view.seq}", (posting,))

    await world.ledger.append(build)


async def test_setting_aside_and_giving_back_stay_within_the_same_bounds(mongo: Mongo) -> None:
    """A token of ours has gone mad: our books say that we have as much as they take."""
    await mongo.connect(ALL_DOCUMENTS)
    world = await World.create()
    key = world.key.address
    available, reserved = account(key, Pocket.AVAILABLE), account(key, Pocket.RESERVED)
    first, second = world.wish("a", 2 * ASKED), world.wish("b", ASKED)
    await world.engine.place(first)
    await world.process.engine.dispatcher.step()
    assert (await world.order("a")).status == "reserved"

    async def gate(orders: Sequence[Order]) -> dict[str, str]:
        return {each.id: "held" for each in orders if each.id == first.order_id}

    world.engine.gate(gate)
    await put(world, available, reserved, START_USDT - 2 * ASKED)
    await put(world, "x", reserved, BALANCE_MAX - START_USDT)
    await put(world, "y", available, ASKED)
    await world.engine.place(second)
    while await world.process.engine.dispatcher.step():
        pass
    assert (await world.order("b")).waiting_for == "funds", "no room to set it aside"

    await put(world, "y", available, BALANCE_MAX - 2 * ASKED)
    await world.engine.cancel("ord_a")
    await world.process.engine.dispatcher.close_books()
    order = await world.order("a")
    assert (order.status, order.books_open) == ("canceled", False)
    assert [(event, facts["cause"]) for event, facts in world.alarms] == [(LEFT_OUT, "close:ord_a")]
    held = (await world.ledger.holdings(key))["USDT"]
    assert held == {Pocket.AVAILABLE: BALANCE_MAX - ASKED, Pocket.RESERVED: BALANCE_MAX}
    assert (await world.ledger.holdings(key))["TRX"][Pocket.RESERVED] == 0, "what fits comes back"
    assert await world.ledger.verify() is None
