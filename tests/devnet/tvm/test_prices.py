"""The price of every operation, against java-tron 4.8.0's EnergyCost with main net's proposals."""

import pytest

from tron_payment.devnet.tvm.opcodes import OPERATIONS

from .world import CONTRACT, NOBODY, OTHER, World, asm, push

FIXED = {
    0: "STOP",
    1: "JUMPDEST",
    2: "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE RETURNDATASIZE COINBASE"
    " TIMESTAMP NUMBER DIFFICULTY GASLIMIT CHAINID BASEFEE BLOBBASEFEE POP PC MSIZE GAS PUSH0"
    " CALLTOKENVALUE CALLTOKENID",
    3: "ADD SUB LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR CALLDATALOAD BLOBHASH"
    " DUP1 DUP2 DUP16 SWAP1 SWAP2 SWAP16",
    5: "MUL DIV SDIV MOD SMOD SIGNEXTEND SELFBALANCE",
    8: "ADDMOD MULMOD",
    20: "BALANCE EXTCODESIZE BLOCKHASH ISCONTRACT",
    50: "SLOAD FREEZEEXPIRETIME",
    100: "TLOAD TSTORE",
    400: "EXTCODEHASH",
    10_000: "FREEZEBALANCEV2 UNFREEZEBALANCEV2 CANCELALLUNFREEZEV2 WITHDRAWEXPIREUNFREEZE"
    " DELEGATERESOURCE UNDELEGATERESOURCE",
    20_000: "UNFREEZE WITHDRAWREWARD",
}


@pytest.mark.parametrize(
    ("name", "price"), [(name, price) for price, names in FIXED.items() for name in names.split()]
)
def test_a_fixed_price(name: str, price: int) -> None:
    pops = next(row.pops for row in OPERATIONS.values() if row.name == name)
    outcome = World().run("PUSH1 00 " * pops + name)
    assert outcome.result == "SUCCESS"
    assert outcome.energy_used == 3 * pops + price


@pytest.mark.parametrize("size", range(1, 33))
def test_a_push_costs_3_whatever_its_size(size: int) -> None:
    assert World().run(f"PUSH{size} 01").energy_used == 3


WORKED_OUT = (
    ("PUSH1 03 JUMP JUMPDEST", 3 + 8 + 1),
    ("PUSH0 PUSH0 JUMPI", 2 + 2 + 10),
    ("PUSH1 01 PUSH1 06 JUMPI STOP JUMPDEST", 3 + 3 + 10 + 1),
    # memory: 3 a word + words^2 / 512, and 1 for the operation itself
    ("PUSH0 PUSH0 MSTORE", 2 + 2 + 1 + 3),
    ("PUSH0 MLOAD", 2 + 1 + 3),
    ("PUSH0 PUSH0 MSTORE8", 2 + 2 + 1 + 3),
    ("PUSH1 01 MLOAD", 3 + 1 + 6),
    ("PUSH2 4000 MLOAD", 3 + 1 + 3 * 513 + 513 * 513 // 512),
    ("PUSH0 MLOAD MLOAD", 2 + 1 + 3 + 1),
    # hashing and copying: by word
    ("PUSH0 PUSH0 SHA3", 2 + 2 + 30),
    ("PUSH1 21 PUSH0 SHA3", 3 + 2 + 30 + 6 + 2 * 6),
    ("PUSH1 21 PUSH0 PUSH0 CALLDATACOPY", 3 + 2 + 2 + 6 + 2 * 3),
    ("PUSH1 20 PUSH0 PUSH0 CODECOPY", 3 + 2 + 2 + 3 + 3),
    ("PUSH0 PUSH0 PUSH0 RETURNDATACOPY", 6),
    ("PUSH1 20 PUSH0 PUSH0 PUSH0 EXTCODECOPY", 3 + 2 + 2 + 2 + 20 + 3 + 3),
    ("PUSH1 20 PUSH1 20 PUSH0 MCOPY", 3 + 3 + 2 + 3 + 6 + 3),
    # arithmetic by the exponent's bytes
    ("PUSH0 PUSH1 02 EXP", 2 + 3 + 10),
    ("PUSH1 ff PUSH1 02 EXP", 3 + 3 + 20),
    ("PUSH2 0100 PUSH1 02 EXP", 3 + 3 + 30),
    # events
    ("PUSH0 PUSH0 LOG0", 2 + 2 + 375),
    ("PUSH0 PUSH0 PUSH1 20 PUSH0 LOG2", 2 * 3 + 3 + 3 * 375 + 8 * 32 + 3),
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 LOG4", 6 * 2 + 5 * 375),
    # ends
    ("PUSH0 PUSH0 RETURN", 4),
    ("PUSH1 20 PUSH0 RETURN", 3 + 2 + 3),
    ("PUSH1 20 PUSH0 REVERT", 3 + 2 + 3),
    # storage
    ("PUSH1 01 PUSH0 SSTORE", 3 + 2 + 20_000),
    ("PUSH0 PUSH0 SSTORE", 2 + 2 + 5_000),
    # calls without value; a contract of version 1 gets back what it did not use
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 CALL", 7 * 2 + 40),
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 STATICCALL", 6 * 2 + 40),
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 DELEGATECALL", 6 * 2 + 40),
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 CALLCODE", 7 * 2 + 40),
    ("PUSH3 0f4241 PUSH0 TOKENBALANCE POP", None),
    ("PUSH0 PUSH3 0f4241 TOKENBALANCE POP", 2 + 3 + 20 + 2),
    ("PUSH0 PUSH0 PUSH0 PUSH0 PUSH3 0f4241 PUSH0 PUSH0 PUSH0 CALLTOKEN", 7 * 2 + 3 + 40),
    # stake: the old kind pays for a new account, votes for the two arrays in memory
    ("PUSH0 PUSH0 PUSH0 FREEZE", 6 + 20_000 + 25_000),
    ("PUSH0 PUSH0 PUSH0 PUSH0 VOTEWITNESS", 8 + 30_000 + 3),
    # creations of nothing
    ("PUSH0 PUSH0 PUSH0 CREATE", 6 + 32_000),
    ("PUSH0 PUSH0 PUSH0 PUSH0 CREATE2", 8 + 32_000),
)


@pytest.mark.parametrize(("code", "price"), WORKED_OUT)
def test_a_price_that_is_worked_out(code: str, price: int | None) -> None:
    outcome = World().run(code)
    if price is None:
        assert outcome.result == "UNKNOWN"
    else:
        assert outcome.result in ("SUCCESS", "REVERT"), outcome.error
        assert outcome.energy_used == price


def test_every_operation_has_a_price_here() -> None:
    priced = {name for names in FIXED.values() for name in names.split()}
    priced |= {word for code, _ in WORKED_OUT for word in code.split()}
    priced |= {"SUICIDE"}  # below
    rows = {operation.name for operation in OPERATIONS.values()}
    families = ("PUSH", "DUP", "SWAP", "LOG")
    assert {name for name in rows - priced if not name.startswith(families)} == set()


def test_every_opcode_outside_the_table_is_invalid() -> None:
    world = World()
    for opcode in range(256):
        if opcode not in OPERATIONS:
            outcome = world.run(bytes((opcode,)))
            assert outcome.result == "ILLEGAL_OPERATION"
            assert outcome.error == f"Invalid operation code: opCode[{opcode:02x}];"


@pytest.mark.parametrize(
    ("before", "after", "price"),
    [(None, 1, 20_000), (None, 0, 5_000), (7, 8, 5_000), (7, 7, 5_000), (7, 0, 5_000)],
)
def test_sstore_asks_only_whether_the_slot_is_there(
    before: int | None, after: int, price: int
) -> None:
    world = World()
    if before is not None:
        world.state.set_storage(CONTRACT, 0, before)
        world.state.commit()
    assert world.run(f"PUSH1 {after:02x} PUSH0 SSTORE").energy_used == 5 + price
    assert world.state.storage(CONTRACT, 0) == (after or None)


def test_a_slot_emptied_in_this_transaction_is_still_there() -> None:
    world = World()
    world.state.set_storage(CONTRACT, 0, 7)
    world.state.commit()
    refill = "PUSH0 PUSH0 SSTORE PUSH1 01 PUSH0 SSTORE"
    assert world.run(refill).energy_used == 4 + 5_000 + 5 + 5_000
    world.run("PUSH0 PUSH0 SSTORE")
    assert world.run("PUSH1 01 PUSH0 SSTORE").energy_used == 5 + 20_000


@pytest.mark.parametrize(
    ("heir", "price"), [(NOBODY, 25_000), (OTHER, 0), (CONTRACT, 0)], ids=["new", "known", "self"]
)
def test_selfdestruct_pays_for_a_new_account(heir: bytes, price: int) -> None:
    world = World()
    world.state.create_account(OTHER)
    assert world.run(f"{push(heir)} SUICIDE").energy_used == 3 + price


def test_the_factor_rounds_down_at_every_operation() -> None:
    """4 x floor(3 x 1.2) + floor(50 x 1.2): not floor(62 x 1.2)."""
    world = World()
    world.state.factors[CONTRACT] = 2_000
    outcome = world.run("PUSH1 00 PUSH1 00 PUSH1 00 PUSH1 00 SLOAD")
    assert (outcome.energy_used, outcome.energy_penalty) == (4 * 3 + 60, 10)


def test_memory_growth_and_its_operation_are_one_price_for_the_factor() -> None:
    """floor((1 + 6) x 1.5), not floor(1 x 1.5) + floor(6 x 1.5) = 10; here both pushes are 4."""
    world = World()
    world.state.factors[CONTRACT] = 5_000
    outcome = world.run(asm("PUSH1 00 PUSH1 20 MSTORE"))
    assert (outcome.energy_used, outcome.energy_penalty) == (4 + 4 + 10, 1 + 1 + 3)


def test_code_without_a_stop_ends_well_at_its_last_byte() -> None:
    assert World().run("PUSH1 00").energy_used == 3
    assert World().run(bytes.fromhex("7f01")).energy_used == 3
