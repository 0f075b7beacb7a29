"""Contracts that come and go: addresses, the price of code, constructors that fail."""

import pytest

from tron_payment.devnet.tvm import Outcome, create
from tron_payment.devnet.tvm.creation import internal_address, salted_address
from tron_payment.devnet.tvm.hashing import keccak

from .world import (
    CONTRACT,
    ENV,
    LIMIT,
    NOBODY,
    OTHER,
    SENDER,
    TRX,
    TXID,
    World,
    asm,
    push,
)

RETURN_TOP = "PUSH0 MSTORE PUSH1 20 PUSH0 RETURN"


def constructor(runtime: bytes) -> bytes:
    """Code that returns `runtime`, which is at most 32 bytes long."""
    size = len(runtime)
    return asm(f"{push(int.from_bytes(runtime, 'big'))} PUSH0 MSTORE") + asm(
        f"PUSH1 {size:02x} PUSH1 {32 - size:02x} RETURN"
    )


def deploy(world: World, init_code: bytes, limit: int = LIMIT, value: int = 0) -> Outcome:
    outcome = create(
        world.state,
        ENV,
        origin=SENDER,
        address=NOBODY,
        init_code=init_code,
        value=value,
        energy_limit=limit,
    )
    world.state.commit()
    return outcome


RUNTIME = asm(f"PUSH1 2a {RETURN_TOP}")
INIT_ENERGY = 3 + 2 + 1 + 3 + 3 + 3


def test_a_deployment_stores_its_code_for_200_a_byte() -> None:
    world = World()
    outcome = deploy(world, constructor(RUNTIME))
    assert outcome.result == "SUCCESS"
    assert outcome.output == RUNTIME == world.state.code(NOBODY)
    assert outcome.energy_used == INIT_ENERGY + 200 * len(RUNTIME)
    assert int.from_bytes(world.run(to=NOBODY).output, "big") == 0x2A


def test_a_deployment_may_carry_value_and_sees_no_calldata() -> None:
    world = World()
    code = asm("CALLDATASIZE PUSH0 SSTORE CALLVALUE PUSH1 01 SSTORE ADDRESS PUSH1 02 SSTORE")
    assert deploy(world, code, value=TRX).result == "SUCCESS"
    assert world.state.balance(NOBODY) == TRX
    assert world.state.storage(NOBODY, 1) == TRX
    assert world.state.storage(NOBODY, 2) == int.from_bytes(NOBODY, "big")
    assert world.state.exists(NOBODY)
    assert world.state.code(NOBODY) == b""


def test_code_that_cannot_be_paid_for_is_not_stored() -> None:
    world = World()
    price = 200 * len(RUNTIME)
    outcome = deploy(world, constructor(RUNTIME), limit=INIT_ENERGY + price - 1)
    assert outcome.result == "OUT_OF_ENERGY"
    assert outcome.error == (
        "Not enough energy for 'save just created contract code' executing: "
        f"needEnergy[{price}], leftEnergy[{price - 1}];"
    )
    assert outcome.energy_used == INIT_ENERGY + price - 1
    assert not world.state.exists(NOBODY)


def test_code_must_not_begin_with_ef() -> None:
    outcome = deploy(World(), constructor(b"\xef\x00"))
    assert (outcome.result, outcome.energy_used) == ("INVALID_CODE", LIMIT)
    assert outcome.error == "invalid code: must not begin with 0xef"


def test_a_constructor_that_reverts_costs_what_it_used() -> None:
    world = World()
    outcome = deploy(world, asm("PUSH0 PUSH0 REVERT"), value=TRX)
    assert (outcome.result, outcome.energy_used) == ("REVERT", 4)
    assert world.state.balance(SENDER) == 1_000 * TRX


def creating(init_code: bytes, opcode: str = "CREATE", value: int = 0, salt: int = 0) -> str:
    """Put init code of at most 64 bytes into memory and create from it; leaves the address."""
    size = len(init_code)
    padded = init_code.ljust(64, b"\0")
    memory = f"{push(padded[:32])} PUSH0 MSTORE {push(padded[32:])} PUSH1 20 MSTORE"
    extra = f"{push(salt)} " if opcode == "CREATE2" else ""
    return f"{memory} {extra}PUSH1 {size:02x} PUSH0 {push(value)} {opcode}"


def created(outcome: Outcome) -> bytes:
    assert outcome.result == "SUCCESS", outcome.error
    return outcome.output[12:]


def test_create_counts_the_steps_of_the_transaction() -> None:
    world = World()
    init = constructor(RUNTIME)
    first = created(world.run(f"{creating(init, value=3)} {RETURN_TOP}"))
    assert first == keccak(TXID + bytes(8))[12:] == internal_address(TXID, 0)
    assert world.state.code(first) == RUNTIME
    assert world.state.balance(first) == 3
    call = f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {push(SENDER)} GAS CALL POP"
    second = created(world.run(f"{call} {creating(init)} {RETURN_TOP}"))
    assert second == keccak(TXID + (1).to_bytes(8, "big"))[12:]


def test_create2_hashes_41_where_ethereum_has_ff() -> None:
    world = World()
    init = constructor(RUNTIME)
    address = created(world.run(f"{creating(init, 'CREATE2', salt=9)} {RETURN_TOP}"))
    assert address == salted_address(CONTRACT, 9, init)
    assert address == keccak(b"\x41" + CONTRACT + (9).to_bytes(32, "big") + keccak(init))[12:]


def test_the_price_of_a_creation() -> None:
    world = World()
    init = constructor(RUNTIME)
    memory = 2 * (3 + 1 + 3) + 2 + 3
    inner = INIT_ENERGY + 200 * len(RUNTIME)
    plain = world.run(creating(init))
    assert plain.energy_used == memory + 3 + 2 + 3 + 32_000 + inner
    salted = world.run(creating(init, "CREATE2", salt=1))
    assert salted.energy_used == plain.energy_used + 3 + 2 * 6


def test_the_same_address_cannot_be_used_twice() -> None:
    world = World()
    init = constructor(RUNTIME)
    world.run(creating(init, "CREATE2"))
    outcome = world.run(f"{creating(init, 'CREATE2')} {RETURN_TOP}")
    assert created(outcome) == bytes(20)
    assert outcome.energy_used > LIMIT * 62 // 64  # all that was forwarded is lost
    assert [step.rejected for step in outcome.internal] == [True]


def test_an_account_with_money_may_become_a_contract() -> None:
    world = World()
    init = constructor(RUNTIME)
    address = salted_address(CONTRACT, 0, init)
    world.state.add_balance(address, 5)
    assert created(world.run(f"{creating(init, 'CREATE2')} {RETURN_TOP}")) == address
    assert world.state.balance(address) == 5


@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
def test_an_inner_constructor_that_reverts_leaves_its_reason(opcode: str) -> None:
    world = World()
    init = asm("PUSH1 2a PUSH0 MSTORE PUSH1 20 PUSH0 REVERT")
    outcome = world.run(f"{creating(init, opcode, value=5)} RETURNDATASIZE ADD {RETURN_TOP}")
    assert int.from_bytes(outcome.output, "big") == 32
    assert world.state.balance(CONTRACT) == 10 * TRX
    assert outcome.energy_used < 40_000


@pytest.mark.parametrize("init", [b"\xfe", constructor(b"\xef")])
def test_an_inner_constructor_that_fails_costs_all_it_was_given(init: bytes) -> None:
    outcome = World().run(f"{creating(init, value=5)} {RETURN_TOP}")
    assert created(outcome) == bytes(20)
    assert outcome.energy_used > LIMIT * 62 // 64
    assert [(step.note, step.rejected) for step in outcome.internal] == [("create", True)]


def test_a_creation_without_the_money_is_refused() -> None:
    outcome = World().run(f"{creating(b'', value=11 * TRX)} {RETURN_TOP}")
    assert created(outcome) == bytes(20)
    assert outcome.internal == ()


def test_a_creation_with_an_absurd_value_fails() -> None:
    outcome = World().run(creating(b"", value=1 << 63))
    assert (outcome.result, outcome.error) == ("UNKNOWN", "BigInteger out of long range")


def test_selfdestruct_pays_the_heir_and_removes_the_code_afterwards() -> None:
    world = World()
    outcome = world.run(f"{push(OTHER)} SUICIDE")
    assert outcome.result == "SUCCESS"
    assert world.state.balance(OTHER) == 10 * TRX
    assert world.state.balance(CONTRACT) == 0
    assert world.state.code(CONTRACT) == b""
    [step] = outcome.internal
    assert (step.caller, step.to, step.value, step.note) == (CONTRACT, OTHER, 10 * TRX, "suicide")


def test_a_contract_that_leaves_everything_to_itself_burns_it() -> None:
    world = World()
    world.run(f"{push(CONTRACT)} SUICIDE")
    assert world.state.balance(CONTRACT) == 0


def test_a_reverted_selfdestruct_did_not_happen() -> None:
    world = World()
    world.put(f"{push(SENDER)} SUICIDE", OTHER)
    world.state.add_balance(OTHER, 7)
    world.run(f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {push(OTHER)} GAS CALL PUSH0 PUSH0 REVERT")
    assert world.state.code(OTHER) != b""
    assert world.state.balance(OTHER) == 7
