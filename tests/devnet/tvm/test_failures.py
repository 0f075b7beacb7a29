"""How a run ends when it does not end well: the name, the words, the energy, the state."""

import dataclasses
from typing import Any

import pytest

from tron_payment.devnet.tvm import Outcome, call

from .world import CONTRACT, ENV, LIMIT, OTHER, SENDER, TRX, World, asm, push

OVER = 3 * 1024 * 1024


def failed(outcome: Outcome, result: str, error: str, energy: int = LIMIT) -> None:
    assert (outcome.result, outcome.error, outcome.energy_used) == (result, error, energy)
    assert outcome.output == b""
    assert outcome.logs == ()


def test_a_revert_costs_what_it_used_and_returns_its_reason() -> None:
    world = World()
    outcome = world.run("PUSH1 ab PUSH1 00 SSTORE PUSH1 ff PUSH0 MSTORE PUSH1 20 PUSH0 REVERT")
    assert outcome.result == "REVERT"
    assert outcome.error == "REVERT opcode executed"
    assert outcome.energy_used == 6 + 20_000 + 3 + 2 + 4 + 3 + 2
    assert outcome.output == (0xFF).to_bytes(32, "big")
    assert world.state.storage(CONTRACT, 0) is None


@pytest.mark.parametrize(
    ("code", "result", "error"),
    [
        ("PUSH1 02 JUMP", "BAD_JUMP_DESTINATION", "Operation with pc isn't 'JUMPDEST': PC[2];"),
        (
            "PUSH1 04 JUMP PUSH1 5b",  # the JUMPDEST is a constant
            "BAD_JUMP_DESTINATION",
            "Operation with pc isn't 'JUMPDEST': PC[4];",
        ),
        (
            "PUSH5 0100000000 JUMP",
            "BAD_JUMP_DESTINATION",
            "Operation with pc isn't 'JUMPDEST': PC[-1];",
        ),
        (
            "PUSH1 01 PUSH4 80000000 JUMPI",
            "BAD_JUMP_DESTINATION",
            "Operation with pc isn't 'JUMPDEST': PC[-2147483648];",
        ),
        ("POP", "STACK_TOO_SMALL", "Expected stack size 1 but actual 0;"),
        ("PUSH0 ADD", "STACK_TOO_SMALL", "Expected stack size 2 but actual 1;"),
        ("PUSH0 PUSH0 SWAP16", "STACK_TOO_SMALL", "Expected stack size 17 but actual 2;"),
        ("PUSH0 DUP2", "STACK_TOO_SMALL", "Expected stack size 2 but actual 1;"),
        ("PUSH0 PUSH0 CALL", "STACK_TOO_SMALL", "Expected stack size 7 but actual 2;"),
        ("PUSH0 " * 1025, "STACK_TOO_LARGE", "Expected: overflow 1024 elements stack limit"),
        (
            "PUSH0 " * 1024 + "DUP16",
            "STACK_TOO_LARGE",
            "Expected: overflow 1024 elements stack limit",
        ),
        (
            f"{push(OVER - 31)} MLOAD",
            "OUT_OF_MEMORY",
            "Out of Memory when 'MLOAD' operation executing",
        ),
        (
            f"PUSH1 01 {push(OVER)} RETURN",
            "OUT_OF_MEMORY",
            "Out of Memory when 'RETURN' operation executing",
        ),
        (
            f"{push(2**256 - 1)} PUSH1 20 SHA3",
            "OUT_OF_MEMORY",
            "Out of Memory when 'SHA3' operation executing",
        ),
        (
            "PUSH1 01 PUSH0 PUSH0 RETURNDATACOPY",
            "UNKNOWN",
            f"Illegal RETURNDATACOPY arguments: offset ({0:064x}) + size ({1:064x})"
            " > RETURNDATASIZE (0)",
        ),
        (f"{push(2**62)} PUSH0 LOG0", "UNKNOWN", "BigInteger out of long range"),
    ],
)
def test_an_exception_burns_the_whole_limit(code: str, result: str, error: str) -> None:
    world = World()
    failed(world.run(f"PUSH1 01 PUSH0 SSTORE {code}"), result, error)
    assert world.state.storage(CONTRACT, 0) is None


def test_exactly_1024_words_fit() -> None:
    assert World().run("PUSH0 " * 1024).energy_used == 2 * 1024


def test_exactly_three_megabytes_fit() -> None:
    words = OVER // 32
    outcome = World().run(f"{push(OVER - 32)} MLOAD", energy_limit=10**9)
    assert outcome.energy_used == 3 + 1 + 3 * words + words * words // 512


def test_invalid_costs_everything() -> None:
    failed(
        World().run(asm("PUSH0") + b"\xfe"),
        "ILLEGAL_OPERATION",
        "Invalid operation code: opCode[fe];",
    )


@pytest.mark.parametrize(
    ("limit", "name", "price", "used"),
    [(2, "PUSH1", 3, 0), (5, "PUSH1", 3, 3), (8, "ADD", 3, 6), (10, "SLOAD", 50, 9)],
)
def test_the_operation_that_ran_out_is_named(limit: int, name: str, price: int, used: int) -> None:
    failed(
        World().run("PUSH1 01 PUSH1 02 ADD SLOAD", energy_limit=limit),
        "OUT_OF_ENERGY",
        f"Not enough energy for '{name}' operation executing: curInvokeEnergyLimit[{limit}],"
        f" curOpEnergy[{price}], usedEnergy[{used}]",
        limit,
    )


LOOP = "JUMPDEST PUSH0 JUMP"
COMPUTED_LOOP = "JUMPDEST PUSH0 DUP1 POP JUMP"
CALLING_LOOP = f"JUMPDEST PUSH0 PUSH0 PUSH0 PUSH0 {push(OTHER)} GAS STATICCALL POP PUSH0 JUMP"


@pytest.mark.parametrize("code", [LOOP, COMPUTED_LOOP, CALLING_LOOP])
def test_a_loop_ends_when_its_time_is_over(code: str) -> None:
    """As java-tron's, which looks at the clock: everything is charged, nothing stays."""
    world = World()
    world.put("STOP", OTHER)
    env = dataclasses.replace(ENV, cpu_ms=1)
    world.put(code)
    outcome = call(
        world.state,
        env,
        origin=SENDER,
        to=CONTRACT,
        data=b"",
        value=5,
        energy_limit=10_000_000_000,
    )
    assert outcome.result == "OUT_OF_TIME"
    assert outcome.energy_used == 10_000_000_000
    assert outcome.error.startswith("CPU timeout for '")
    assert world.state.balance(SENDER) == 1_000 * TRX


def test_time_that_is_over_in_an_inner_call_is_over_for_all() -> None:
    world = World()
    world.put(LOOP, OTHER)
    world.put(f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {push(OTHER)} GAS CALL")
    settings: dict[str, Any] = {"origin": SENDER, "to": CONTRACT, "data": b"", "value": 0}
    env = dataclasses.replace(ENV, cpu_ms=1)
    outcome = call(world.state, env, energy_limit=10_000_000_000, **settings)
    assert outcome.result == "OUT_OF_TIME"
    assert [step.rejected for step in outcome.internal] == [True]


def test_the_penalty_is_named_when_there_is_a_factor() -> None:
    world = World()
    world.state.factors[CONTRACT] = 10_000
    failed(
        world.run("PUSH1 01 PUSH1 02 SSTORE", energy_limit=100),
        "OUT_OF_ENERGY",
        "Not enough energy for 'SSTORE' operation executing: curInvokeEnergyLimit[100],"
        " curOpEnergy[20000], penaltyEnergy[20000], usedEnergy[12]",
        100,
    )


def test_calls_and_logs_say_it_in_their_own_words() -> None:
    world = World()
    failed(
        world.run("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 CALL", energy_limit=50),
        "OUT_OF_ENERGY",
        "Not enough energy for 'CALL' operation executing: opEnergy[40], programEnergy[36]",
        50,
    )
    failed(
        world.run("PUSH1 64 PUSH0 LOG0", energy_limit=100),
        "OUT_OF_ENERGY",
        "Not enough energy for 'LOG0' operation executing: opEnergy[800], programEnergy[95]",
        100,
    )


def test_a_jump_into_a_segment_checks_that_segment() -> None:
    """The loop's first round has energy, a later one has not."""
    outcome = World().run("JUMPDEST PUSH0 POP PUSH0 JUMP", energy_limit=100)
    assert outcome.result == "OUT_OF_ENERGY"
    # a round costs 1 + 2 + 2 + 2 + 8 = 15; after six of them 90 are used
    assert outcome.error.endswith("curOpEnergy[8], usedEnergy[97]")


@pytest.mark.parametrize(
    "code",
    [
        "PUSH1 01 PUSH0 SSTORE",
        "PUSH1 01 PUSH0 TSTORE",
        "PUSH0 PUSH0 LOG0",
        "PUSH0 PUSH0 PUSH0 CREATE",
        "PUSH0 PUSH0 PUSH0 PUSH0 CREATE2",
        "PUSH0 SUICIDE",
        f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH1 01 {push(SENDER)} PUSH0 CALL",
    ],
)
def test_a_static_call_changes_nothing(code: str) -> None:
    failed(
        World().run(code, static=True),
        "UNKNOWN",
        "Attempt to call a state modifying opcode inside STATICCALL",
    )


def test_a_static_call_may_read_and_call_without_value() -> None:
    code = f"PUSH0 SLOAD PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {push(SENDER)} GAS CALL"
    assert World().run(code, static=True).result == "SUCCESS"


def test_the_value_arrives_and_comes_back_when_the_call_fails() -> None:
    world = World()
    assert world.run("CALLVALUE PUSH0 SSTORE", value=3 * TRX).result == "SUCCESS"
    assert world.state.storage(CONTRACT, 0) == 3 * TRX
    assert world.state.balance(CONTRACT) == 13 * TRX
    world.run(b"\xfe", value=3 * TRX)
    assert world.state.balance(CONTRACT) == 13 * TRX
    assert world.state.balance(SENDER) == 997 * TRX


@pytest.mark.parametrize(("origin", "value"), [(SENDER, 10_000 * TRX), (CONTRACT, 1)])
def test_value_that_cannot_move_fails_for_free(origin: bytes, value: int) -> None:
    outcome = World().run("STOP", origin=origin, value=value)
    assert (outcome.result, outcome.energy_used) == ("TRANSFER_FAILED", 0)


def test_calling_a_function_far_back_in_the_code_takes_no_longer() -> None:
    """Ten thousand instructions lie between; only those that run take time."""
    filler = "JUMPDEST " * 10_000
    world = World()
    # A function at 4 that jumps back to its caller, filler, then a loop that calls it 1,000 times.
    head = "PUSH2 {main} JUMP JUMPDEST JUMP "
    main = len(asm(head.format(main="0000") + filler))
    loop = main + 1 + 3
    body = f"JUMPDEST PUSH2 03e8 JUMPDEST PUSH2 {loop + 7:04x} PUSH1 04 JUMP JUMPDEST"
    code = head.format(main=f"{main:04x}") + filler + body
    code += f" PUSH1 01 SWAP1 SUB DUP1 PUSH2 {loop:04x} JUMPI STOP"
    world.put(code)
    env = dataclasses.replace(ENV, cpu_ms=1)  # 50,000 instructions; 14,000 run
    settings: dict[str, Any] = {"origin": SENDER, "to": CONTRACT, "data": b"", "value": 0}
    outcome = call(world.state, env, energy_limit=10_000_000, **settings)
    assert outcome.result == "SUCCESS", outcome.error
