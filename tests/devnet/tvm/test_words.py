"""What the operations on words answer, at the edges where languages differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .world import CONTRACT, ENV, NOBODY, OTHER, SENDER, World, push

MAX = (1 << 256) - 1
MIN_SIGNED = 1 << 255


@pytest.mark.parametrize(
    ("name", "operands", "answer"),
    [
        ("ADD", (MAX, 2), 1),
        ("SUB", (1, 2), MAX),
        ("MUL", (MAX, MAX), 1),
        ("DIV", (7, 2), 3),
        ("DIV", (7, 0), 0),
        ("SDIV", (MAX - 6, 2), MAX - 2),  # -7 / 2 = -3
        ("SDIV", (MIN_SIGNED, MAX), MIN_SIGNED),  # -2^255 / -1 wraps
        ("SDIV", (1, 0), 0),
        ("MOD", (7, 3), 1),
        ("MOD", (7, 0), 0),
        ("SMOD", (MAX - 6, 3), MAX),  # -7 % 3 = -1
        ("SMOD", (7, MAX - 2), 1),  # 7 % -3 = 1
        ("SMOD", (7, 0), 0),
        ("ADDMOD", (MAX, 2, 10), (MAX + 2) % 10),
        ("ADDMOD", (1, 2, 0), 0),
        ("MULMOD", (MAX, MAX, 12), MAX * MAX % 12),
        ("MULMOD", (1, 2, 0), 0),
        ("EXP", (2, 255), MIN_SIGNED),
        ("EXP", (2, 256), 0),
        ("EXP", (0, 0), 1),
        ("SIGNEXTEND", (0, 0xFF), MAX),
        ("SIGNEXTEND", (0, 0x17F), 0x7F),
        ("SIGNEXTEND", (31, 5), 5),
        ("SIGNEXTEND", (MAX, 5), 5),
        ("LT", (1, 2), 1),
        ("GT", (1, 2), 0),
        ("SLT", (MAX, 0), 1),
        ("SGT", (MAX, 0), 0),
        ("EQ", (5, 5), 1),
        ("ISZERO", (0,), 1),
        ("ISZERO", (MAX,), 0),
        ("AND", (12, 10), 8),
        ("OR", (12, 10), 14),
        ("XOR", (12, 10), 6),
        ("NOT", (0,), MAX),
        ("BYTE", (31, 0x1234), 0x34),
        ("BYTE", (30, 0x1234), 0x12),
        ("BYTE", (32, MAX), 0),
        ("SHL", (255, 3), MIN_SIGNED),
        ("SHL", (256, 1), 0),
        ("SHR", (4, 0xFF), 0xF),
        ("SHR", (256, MAX), 0),
        ("SAR", (4, MAX - 0xFE), MAX - 0xF),
        ("SAR", (MAX, MIN_SIGNED), MAX),
        ("SAR", (300, 5), 0),
    ],
)
def test_an_operation_on_words(name: str, operands: tuple[int, ...], answer: int) -> None:
    code = " ".join(push(operand) for operand in reversed(operands))
    assert World().answer(f"{code} {name}") == answer


@given(a=st.integers(0, MAX), b=st.integers(1, MAX))
def test_division_and_remainder_belong_together(a: int, b: int) -> None:
    """a = (a / b) x b + a % b for signed and unsigned words alike."""
    world = World()
    pair = f"{push(b)} {push(a)}"
    for divide, rest in (("DIV", "MOD"), ("SDIV", "SMOD")):
        product = f"{push(b)} {pair} {divide} MUL"
        assert world.answer(f"{product} {pair} {rest} ADD") == a


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("ADDRESS", int.from_bytes(CONTRACT, "big")),
        ("ORIGIN", int.from_bytes(SENDER, "big")),
        ("CALLER", int.from_bytes(SENDER, "big")),
        ("COINBASE", int.from_bytes(b"\x41" + ENV.coinbase, "big")),
        ("CHAINID", 0x2B6653DC),
        ("TIMESTAMP", ENV.timestamp_s),
        ("NUMBER", 1_000),
        ("DIFFICULTY", 0),
        ("GASLIMIT", 0),
        ("GASPRICE", 100),
        ("BASEFEE", 100),
        ("SELFBALANCE", 10_000_000),
        (f"{push(SENDER)} BALANCE", 1_000_000_000),
        (f"{push(b'x' * 12 + SENDER)} BALANCE", 1_000_000_000),  # only 20 bytes count
        (f"{push(NOBODY)} BALANCE", 0),
        ("PUSH2 03e7 BLOCKHASH", 999),
        ("PUSH2 02e8 BLOCKHASH", 744),
        ("PUSH2 02e7 BLOCKHASH", 0),  # 257 blocks ago
        ("PUSH2 03e8 BLOCKHASH", 0),  # this block
        (f"{push(OTHER)} EXTCODEHASH", 0),
        (
            f"{push(SENDER)} EXTCODEHASH",
            0xC5D2460186F7233C927E7DB2DCC703C0E500B653CA82273B7BFAD8045D85A470,
        ),
        (f"{push(CONTRACT)} ISCONTRACT", 1),
        (f"{push(SENDER)} ISCONTRACT", 0),
        ("PUSH1 01 PUSH1 ff TSTORE PUSH1 ff TLOAD", 1),
        ("PUSH1 ff TLOAD", 0),
        ("MSIZE", 0),
        ("PUSH1 1f MLOAD POP MSIZE", 64),
        ("PC PC", 1),
        ("CODESIZE", 7),
        ("GAS", 1_000_000 - 2),
        ("PUSH1 00 BLOBHASH", 0),
        ("PUSH1 ab PUSH1 1f MSTORE8 PUSH1 20 PUSH0 PUSH1 20 MCOPY PUSH1 20 MLOAD", 0xAB),
    ],
)
def test_what_a_contract_sees(code: str, answer: int) -> None:
    assert World().answer(code) == answer


def test_an_old_contract_sees_no_price() -> None:
    world = World()
    world.state.versions[CONTRACT] = 0
    assert world.answer("GASPRICE") == 0


@pytest.mark.parametrize(
    ("offset", "answer"),
    [(0, "0102030405" + "00" * 27), (4, "05" + "00" * 31), (5, "00" * 32), (MAX, "00" * 32)],
)
def test_calldata_goes_on_with_zeros(offset: int, answer: str) -> None:
    world = World()
    code = f"{push(offset)} CALLDATALOAD PUSH0 MSTORE PUSH1 20 PUSH0 RETURN"
    assert world.run(code, data=bytes.fromhex("0102030405")).output.hex() == answer
    copy = f"PUSH1 20 {push(offset)} PUSH0 CALLDATACOPY PUSH1 20 PUSH0 RETURN"
    assert world.run(copy, data=bytes.fromhex("0102030405")).output.hex() == answer
