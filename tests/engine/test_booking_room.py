"""What the books have no room for is left out, alone, and never the rest of the block."""

from hypothesis import given
from hypothesis import strategies as st

from tron_payment.core.address import Address, address_of
from tron_payment.core.money import UNITS_MAX
from tron_payment.db.audit import canonical
from tron_payment.db.ledger import BALANCE_MAX, WORLD, Pocket, Posting, Room, account
from tron_payment.db.ledger_documents import deltas
from tron_payment.engine.booking import Claim, book, bounded
from tron_payment.engine.domain import Spend
from tron_payment.engine.left_out import REFS_MAX, kept
from tron_payment.engine.movements import Movement, MovementKind
from tron_payment.engine.settle import unmatched_facts

OURS = address_of(b"\x41" + bytes(19) + b"\x01")
OTHER = address_of(b"\x41" + bytes(19) + b"\x02")
HOLDERS = {OURS: 0}


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
