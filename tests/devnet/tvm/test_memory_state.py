"""The state in dictionaries: marks, and what a transaction's end does."""

from tron_payment.devnet.tvm import MemoryState

A, B = b"\x01" * 20, b"\x02" * 20


def test_a_revert_takes_everything_back_to_its_mark() -> None:
    state = MemoryState()
    state.add_balance(A, 5)
    outer = state.snapshot()
    state.set_storage(A, 1, 7)
    inner = state.snapshot()
    state.set_storage(A, 1, 8)
    state.set_code(B, b"\x00")
    state.add_balance(A, -2)
    state.add_balance(B, 2)
    state.revert(inner)
    assert state.storage(A, 1) == 7
    assert (state.balance(A), state.balance(B)) == (5, 0)
    assert not state.exists(B)
    assert state.code(B) == b""
    state.revert(outer)
    assert state.storage(A, 1) is None
    assert state.balance(A) == 5


def test_a_zero_is_present_until_the_transaction_ends() -> None:
    state = MemoryState()
    state.set_storage(A, 1, 0)
    assert state.storage(A, 1) == 0
    state.commit()
    assert state.storage(A, 1) is None
    assert state.snapshot() == 0


def test_a_reverted_zero_stays_absent() -> None:
    state = MemoryState()
    mark = state.snapshot()
    state.set_storage(A, 1, 0)
    state.revert(mark)
    state.commit()
    assert state.storage(A, 1) is None
