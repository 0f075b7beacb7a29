"""Calls between contracts: energy forwarded and returned, context, value, failures, records."""

import pytest

from tron_payment.devnet.tvm import Outcome
from tron_payment.devnet.tvm.hashing import keccak

from .world import CONTRACT, LIMIT, NOBODY, OTHER, SENDER, TRX, TXID, World, asm, push


def invoke(
    kind: str = "CALL", to: bytes = OTHER, value: int = 0, gas: str = "GAS", out: int = 0
) -> str:
    """A call with no input that keeps `out` bytes of the answer at 0."""
    amount = f"{push(value)} " if kind in ("CALL", "CALLCODE") else ""
    return f"{push(out)} PUSH0 PUSH0 PUSH0 {amount}{push(to)} {gas} {kind}"


def returned(outcome: Outcome) -> int:
    assert outcome.result == "SUCCESS", outcome.error
    return int.from_bytes(outcome.output, "big")


RETURN_TOP = "PUSH0 MSTORE PUSH1 20 PUSH0 RETURN"


@pytest.fixture
def world() -> World:
    world = World()
    world.state.create_account(OTHER)
    world.state.commit()
    return world


@pytest.mark.parametrize(
    ("kind", "address", "caller", "value"),
    [
        ("CALL", OTHER, CONTRACT, 7),
        ("CALLCODE", CONTRACT, CONTRACT, 7),
        ("DELEGATECALL", CONTRACT, SENDER, 5),
        ("STATICCALL", OTHER, CONTRACT, 0),
    ],
)
def test_who_the_inner_code_thinks_it_is(
    world: World, kind: str, address: bytes, caller: bytes, value: int
) -> None:
    world.put(
        "ADDRESS PUSH0 MSTORE CALLER PUSH1 20 MSTORE CALLVALUE PUSH1 40 MSTORE"
        " PUSH1 60 PUSH0 RETURN",
        OTHER,
    )
    code = f"{invoke(kind, value=7, out=0x60)} POP PUSH1 60 PUSH0 RETURN"
    output = world.run(code, value=5).output
    assert output[12:32] == address
    assert output[44:64] == caller
    assert int.from_bytes(output[64:], "big") == value
    assert world.state.balance(OTHER) == (7 if kind == "CALL" else 0)


def test_delegated_code_works_on_the_callers_storage_and_factor(world: World) -> None:
    world.put("PUSH1 2a PUSH0 SSTORE", OTHER)
    world.state.factors[CONTRACT] = 10_000
    outcome = world.run(invoke("DELEGATECALL"))
    assert world.state.storage(CONTRACT, 0) == 0x2A
    assert world.state.storage(OTHER, 0) is None
    assert outcome.energy_penalty * 2 == outcome.energy_used


def test_the_factor_counts_for_its_own_contract_only(world: World) -> None:
    world.put("PUSH1 2a PUSH0 SSTORE", OTHER)
    world.state.factors[OTHER] = 10_000
    outcome = world.run(invoke())
    assert outcome.energy_penalty == 20_005
    assert outcome.energy_used == 2 * 20_005 + world.run(invoke(to=SENDER)).energy_used


@pytest.mark.parametrize("factor", [0, 7_280])
def test_each_contract_counts_what_its_own_operations_cost(world: World, factor: int) -> None:
    """Not the calls it makes, nor penalties, nor a stipend that came back (VM.play)."""
    world.put("PUSH1 2a PUSH0 SSTORE", OTHER)
    world.state.factors[OTHER] = factor
    world.state.factors[CONTRACT] = 3 * factor
    world.state.add_balance(CONTRACT, 1_000)
    outcome = world.run(
        f"{invoke()} POP {invoke(to=SENDER, value=1)} POP {invoke(to=(4).to_bytes(20, 'big'))}"
    )
    assert outcome.succeeded
    own = world.state.usages
    assert own[OTHER] == 20_005
    stipend = 2_300
    precompile = 15
    spent = outcome.energy_used - outcome.energy_penalty
    assert own[CONTRACT] == spent - own[OTHER] - precompile + stipend


def test_delegated_code_counts_for_the_caller_and_undone_work_for_nobody(world: World) -> None:
    world.put("PUSH1 2a PUSH0 SSTORE", OTHER)
    outcome = world.run(invoke("DELEGATECALL"))
    assert world.state.usages == {CONTRACT: outcome.energy_used}
    world.put("PUSH0 PUSH0 REVERT", OTHER)
    world.state.usages.clear()
    world.run(invoke())
    assert world.state.usages.get(OTHER, 0) == 0
    world.state.usages.clear()
    world.run("PUSH0 PUSH0 REVERT")
    assert not any(world.state.usages.values())


def test_a_value_call_to_a_known_account_gives_the_stipend_back(world: World) -> None:
    plain = world.run(invoke(to=SENDER)).energy_used
    assert world.run(invoke(to=SENDER, value=1)).energy_used == plain + 9_000 - 2_300


def test_a_value_call_to_a_new_account_creates_it(world: World) -> None:
    plain = world.run(invoke(to=SENDER)).energy_used
    outcome = world.run(invoke(to=NOBODY, value=TRX))
    assert outcome.energy_used == plain + 9_000 + 25_000 - 2_300
    assert world.state.balance(NOBODY) == TRX
    assert world.state.exists(NOBODY)


def test_a_call_without_value_creates_nothing(world: World) -> None:
    assert returned(world.run(f"{invoke(to=NOBODY)} {RETURN_TOP}")) == 1
    assert not world.state.exists(NOBODY)


def test_the_receiver_may_spend_the_stipend(world: World) -> None:
    """`transfer()` forwards nothing of its own, yet 2,300 arrive."""
    world.put(f"GAS {RETURN_TOP}", OTHER)
    code = f"{invoke(value=1, gas='PUSH0', out=0x20)} POP PUSH1 20 PUSH0 RETURN"
    assert returned(world.run(code)) == 2_298


def test_one_part_in_64_stays(world: World) -> None:
    world.put(f"GAS {RETURN_TOP}", OTHER)
    code = f"{invoke(out=0x20)} POP PUSH1 20 PUSH0 RETURN"
    before = 3 + 2 + 2 + 2 + 3 + 3 + 2 + 40 + 3  # pushes, GAS, CALL and a word of memory
    left = LIMIT - before
    assert returned(world.run(code)) == left - left // 64 - 2
    world.state.versions[CONTRACT] = 0
    assert returned(world.run(code)) == left - 2


def test_a_failing_call_consumes_all_that_was_forwarded(world: World) -> None:
    world.put(b"\xfe", OTHER)
    outcome = world.run(f"{invoke(gas=push(100_000))} {RETURN_TOP}")
    assert returned(outcome) == 0
    plain = world.run(f"{invoke(to=SENDER, gas=push(100_000))} {RETURN_TOP}").energy_used
    assert outcome.energy_used == plain + 100_000


def test_an_old_contract_has_nothing_left_after_a_failing_call(world: World) -> None:
    world.put(b"\xfe", OTHER)
    world.state.versions[CONTRACT] = 0
    outcome = world.run(f"{invoke()} POP")
    assert (outcome.result, outcome.energy_used) == ("OUT_OF_ENERGY", LIMIT)


def test_a_reverting_call_gives_energy_and_reason_back(world: World) -> None:
    world.put("PUSH1 2a PUSH0 SSTORE PUSH1 2a PUSH0 MSTORE PUSH1 20 PUSH0 REVERT", OTHER)
    inner = 5 + 20_000 + 3 + 2 + 1 + 3 + 3 + 2
    outcome = world.run(f"{invoke(out=0x20)} RETURNDATASIZE ADD PUSH0 MLOAD ADD {RETURN_TOP}")
    assert returned(outcome) == 0 + 32 + 0x2A
    plain = world.run(f"{invoke(out=0x20, to=SENDER)} RETURNDATASIZE ADD PUSH0 MLOAD ADD STOP")
    assert outcome.energy_used - inner - (2 + 1 + 3 + 2) == plain.energy_used
    assert world.state.storage(OTHER, 0) is None


def test_a_failing_call_leaves_no_data(world: World) -> None:
    world.put(b"\xfe", OTHER)
    code = f"{invoke(gas=push(1_000))} RETURNDATASIZE ADD {RETURN_TOP}"
    assert returned(world.run(code)) == 0


def test_logs_of_a_reverted_call_are_dropped(world: World) -> None:
    world.put("PUSH0 PUSH0 LOG0 PUSH0 PUSH0 REVERT", OTHER)
    outcome = world.run(f"PUSH1 01 PUSH0 PUSH0 LOG1 {invoke()}")
    assert [log.address for log in outcome.logs] == [CONTRACT]
    world.put("PUSH0 PUSH0 LOG0", OTHER)
    outcome = world.run(f"PUSH1 01 PUSH0 PUSH0 LOG1 {invoke()}")
    assert [log.address for log in outcome.logs] == [CONTRACT, OTHER]
    assert outcome.logs[0].topics == ((1).to_bytes(32, "big"),)


def test_transient_words_of_a_reverted_call_are_dropped(world: World) -> None:
    world.put("PUSH1 01 PUSH0 TSTORE PUSH0 PUSH0 REVERT", OTHER)
    assert returned(world.run(f"{invoke('DELEGATECALL')} PUSH0 TLOAD {RETURN_TOP}")) == 0
    world.put("PUSH1 01 PUSH0 TSTORE", OTHER)
    assert returned(world.run(f"{invoke('DELEGATECALL')} PUSH0 TLOAD {RETURN_TOP}")) == 1
    assert returned(world.run(f"PUSH0 TLOAD {RETURN_TOP}")) == 0  # the next transaction


def test_static_spreads_to_inner_calls(world: World) -> None:
    world.put("PUSH1 01 PUSH0 SSTORE", NOBODY)
    world.put(f"{invoke(to=NOBODY, gas='PUSH2 7530')} {RETURN_TOP}", OTHER)
    code = f"{invoke('STATICCALL', out=0x20)} POP PUSH1 20 PUSH0 RETURN"
    assert returned(world.run(code)) == 0
    assert world.state.storage(NOBODY, 0) is None


def test_too_little_money_is_an_answer_not_a_failure(world: World) -> None:
    plain = world.run(f"{invoke(to=SENDER)} {RETURN_TOP}").energy_used
    outcome = world.run(f"{invoke(value=11 * TRX)} {RETURN_TOP}")
    assert returned(outcome) == 0
    assert outcome.energy_used == plain + 9_000 - 2_300
    assert outcome.internal == ()


@pytest.mark.parametrize(
    ("to", "value", "error"),
    [
        (CONTRACT, 1, "transfer trx failed: Cannot transfer TRX to yourself."),
        (OTHER, 1 << 63, "endowment out of long range"),
    ],
)
def test_a_transfer_that_cannot_be_costs_only_what_was_used(
    world: World, to: bytes, value: int, error: str
) -> None:
    outcome = world.run(f"PUSH1 01 PUSH0 SSTORE {invoke(to=to, value=value)}")
    assert (outcome.result, outcome.error) == ("TRANSFER_FAILED", error)
    pushes = 3 + 3 * 2 + 3 + 3 + 2
    assert outcome.energy_used == 20_005 + pushes + 40 + 9_000 - 2_300
    assert world.state.storage(CONTRACT, 0) is None


def test_an_inner_transfer_that_cannot_be_fails_the_inner_call(world: World) -> None:
    world.put(invoke(to=OTHER, value=1), OTHER)
    world.state.add_balance(OTHER, 5)
    plain = world.run(f"{invoke(to=SENDER, gas=push(50_000))} {RETURN_TOP}").energy_used
    outcome = world.run(f"{invoke(gas=push(50_000))} {RETURN_TOP}")
    assert returned(outcome) == 0
    assert outcome.energy_used == plain + 50_000  # what the inner call had left is lost too


def test_calls_end_at_depth_64(world: World) -> None:
    """A contract that calls itself and counts: 65 frames, the last call is refused."""
    code = f"PUSH0 SLOAD PUSH1 01 ADD PUSH0 SSTORE {invoke(to=CONTRACT)}"
    outcome = world.run(code, energy_limit=10_000_000)
    assert outcome.result == "SUCCESS"
    assert world.state.storage(CONTRACT, 0) == 65
    assert len(outcome.internal) == 64


def test_the_steps_are_recorded_in_order_with_their_hashes(world: World) -> None:
    world.put(invoke(to=SENDER, value=2), OTHER)
    outcome = world.run(f"{invoke(value=7)} {invoke(to=SENDER, value=1)}")
    steps = outcome.internal
    assert [(step.caller, step.to, step.value, step.note) for step in steps] == [
        (CONTRACT, OTHER, 7, "call"),
        (OTHER, SENDER, 2, "call"),
        (CONTRACT, SENDER, 1, "call"),
    ]
    assert not any(step.rejected for step in steps)

    def digest(parent: bytes, to: bytes, value: int, nonce: int) -> bytes:
        numbers = value.to_bytes(8, "big") + nonce.to_bytes(8, "big")
        return keccak(parent + b"\x41" + to + numbers)

    assert steps[0].hash == digest(TXID, OTHER, 7, 1)
    assert steps[1].hash == digest(steps[0].hash, SENDER, 2, 2)
    assert steps[2].hash == digest(TXID, SENDER, 1, 3)


def test_a_failed_call_marks_its_steps_and_no_others(world: World) -> None:
    world.put(asm(invoke(to=SENDER, value=2)) + b"\xfe", OTHER)
    outcome = world.run(f"{invoke(to=SENDER)} {invoke(value=7, gas='PUSH2 ffff')}")
    assert [step.rejected for step in outcome.internal] == [False, True, True]
    assert world.state.balance(OTHER) == 0
    outcome = world.run(f"{invoke(to=SENDER)} PUSH0 PUSH0 REVERT")
    assert [step.rejected for step in outcome.internal] == [True]


def token_call(token_id: int, value: int) -> str:
    return (
        f"PUSH0 PUSH0 PUSH0 PUSH0 {push(token_id)} {push(value)} {push(SENDER)} GAS CALLTOKEN"
        f" {RETURN_TOP}"
    )


def test_nobody_holds_trc10_tokens(world: World) -> None:
    assert returned(world.run(token_call(1_000_001, 0))) == 1
    assert returned(world.run(token_call(1_000_001, 5))) == 0
    outcome = world.run(token_call(7, 5))
    assert outcome.result == "TRANSFER_FAILED"
    assert outcome.error == "validateForSmartContract failure:not valid token id"
    assert world.state.balance(CONTRACT) == 10 * TRX
