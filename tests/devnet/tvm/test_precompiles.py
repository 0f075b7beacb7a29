"""The built-in contracts: answers, prices, and what a bad input costs."""

import hashlib

import pytest
from coincurve import PrivateKey

from tron_payment.devnet.tvm import blake2
from tron_payment.devnet.tvm.bn128 import ORDER, P
from tron_payment.devnet.tvm.hashing import keccak

from .world import CONTRACT, LIMIT, SENDER, World, push

KEY = PrivateKey(b"\x01" * 32)
ADDRESS = keccak(KEY.public_key.format(compressed=False)[1:])[12:]
HASH = keccak(b"hello")
G2 = (
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
)


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def signature() -> tuple[bytes, int]:
    """r and s, and v as 27 or 28."""
    signed = KEY.sign_recoverable(HASH, hasher=None)
    return signed[:64], signed[64] + 27


def ask(number: int, data: bytes, energy: int = 500_000) -> tuple[int, bytes, int]:
    """Call a built-in contract: its flag, its answer, the energy the call took beyond 40."""
    world = World()
    load = "CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY"
    invoke = f"PUSH0 PUSH0 CALLDATASIZE PUSH0 {push(number)} {push(energy)} STATICCALL"
    tell = "PUSH0 MSTORE RETURNDATASIZE PUSH0 PUSH1 20 RETURNDATACOPY"
    finish = "PUSH1 20 RETURNDATASIZE ADD PUSH0 RETURN"
    outcome = world.run(
        f"{load} {invoke} {tell} {finish}",
        data=data,
    )
    assert outcome.result == "SUCCESS", outcome.error
    return int.from_bytes(outcome.output[:32], "big"), outcome.output[32:], outcome.energy_used


def price(number: int, data: bytes) -> int:
    """What the built-in contract charges: the call against one that is refused nothing."""
    world = World()
    spent = []
    for address in (number, int.from_bytes(SENDER, "big")):
        code = (
            "CALLDATASIZE PUSH0 PUSH0 CALLDATACOPY"
            f" PUSH0 PUSH0 CALLDATASIZE PUSH0 {push(address)} {push(900_000)} STATICCALL"
        )
        spent.append(world.run(code, data=data).energy_used)
    return spent[0] - spent[1]


def test_ecrecover_finds_who_signed() -> None:
    rs, v = signature()
    flag, answer, _ = ask(1, HASH + words(v) + rs)
    assert (flag, answer) == (1, ADDRESS.rjust(32, b"\0"))
    assert price(1, HASH + words(v) + rs) == 3_000


@pytest.mark.parametrize("v", [0, 1, 26, 29, 27 + (1 << 8)])
def test_ecrecover_answers_nothing_for_a_wrong_v(v: int) -> None:
    rs, _ = signature()
    assert ask(1, HASH + words(v) + rs)[:2] == (1, b"")


@pytest.mark.parametrize("data", [b"", HASH, HASH + words(27, 0, 1), HASH + words(27, 1 << 255, 0)])
def test_ecrecover_answers_nothing_for_what_is_no_signature(data: bytes) -> None:
    assert ask(1, data)[:2] == (1, b"")


@pytest.mark.parametrize(
    ("number", "data", "answer", "cost"),
    [
        (2, b"abc", hashlib.sha256(b"abc").digest(), 72),
        (2, b"", hashlib.sha256(b"").digest(), 60),
        (3, b"abc", hashlib.sha256(hashlib.sha256(b"abc").digest()[:20]).digest(), 720),
        (4, b"abc" * 20, b"abc" * 20, 21),
        (
            0x20003,
            b"abc",
            bytes.fromhex("8eb208f7e05d987a9b044a8e98c6b087f15a0bfc").rjust(32, b"\0"),
            720,
        ),
        (5, words(1, 1, 1) + b"\x03\x05\x07", bytes((pow(3, 5, 7),)), 0),
        (5, words(0, 0, 0), b"", 0),
        (5, words(1, 1, 1) + b"\x03\x05\x00", b"", 0),
        (
            5,
            words(1, 32, 32, 0)[:96] + b"\x03" + words(P - 2, P),
            words(pow(3, P - 2, P)),
            32 * 32 * 253 // 20,
        ),
        (6, words(1, 2, 1, 2), None, 150),
        (6, b"", bytes(64), 150),
        (7, words(1, 2, ORDER), bytes(64), 6_000),
        (7, words(1, 2, 1), words(1, 2), 6_000),
        (8, b"", words(1), 45_000),
        (8, words(1, 2, *G2), words(0), 79_000),
        (8, words(1, 2, *G2, 1, P - 2, *G2), words(1), 113_000),
        (8, words(0, 0, *G2), words(1), 79_000),
    ],
)
def test_an_answer_and_its_price(number: int, data: bytes, answer: bytes | None, cost: int) -> None:
    flag, output, _ = ask(number, data)
    assert flag == 1
    assert output == (answer if answer is not None else ask(7, words(1, 2, 2))[1])
    assert price(number, data) == cost


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (6, words(1, 1)),
        (6, words(P, 0)),
        (7, words(1, 3, 1)),
        (8, words(1, 2, *G2)[:-1]),
        (8, words(1, 2, 1, 1, 1, 1)),
        (8, words(1, 2, G2[1], G2[0], *G2[2:])),
    ],
)
def test_no_point_costs_all_that_was_forwarded(number: int, data: bytes) -> None:
    flag, output, energy = ask(number, data, energy=500_000)
    assert (flag, output) == (0, b"")
    assert energy > 500_000


def test_too_little_energy_costs_what_there_was() -> None:
    flag, output, energy = ask(2, b"", energy=59)
    assert (flag, output) == (0, b"")
    assert energy < 200
    assert ask(2, b"", energy=60)[0] == 1


def batch(signers: list[bytes], signatures: list[bytes]) -> bytes:
    """The ABI's (bytes32, bytes[], address[])."""
    padded = [words(len(item)) + item + bytes(-len(item) % 32) for item in signatures]
    offsets, at = [], 32 * len(padded)
    for item in padded:
        offsets.append(at)
        at += len(item)
    tail = words(len(padded), *offsets) + b"".join(padded)
    heads = words(96, 96 + len(tail))
    accounts = words(len(signers), *(int.from_bytes(signer, "big") for signer in signers))
    return HASH + heads + tail + accounts


def test_batch_validate_sign_marks_the_good_ones() -> None:
    rs, v = signature()
    good = rs + bytes((v,))
    low = rs + bytes((v - 27,))
    data = batch([ADDRESS, SENDER, ADDRESS, ADDRESS], [good, good, low, b"short"])
    assert ask(9, data)[1].hex() == "01000100" + "00" * 28
    assert price(9, batch([ADDRESS], [good])) == 1_500


@pytest.mark.parametrize(
    "data",
    [b"", HASH, words(0, 2**200, 2**200), words(0, 96, 96, 2**100), batch([ADDRESS], [])],
)
def test_batch_validate_sign_answers_zeros_for_what_it_cannot_read(data: bytes) -> None:
    assert ask(9, data)[:2] == (1, bytes(32))


def test_the_whole_answer_lands_in_memory_whatever_room_was_asked_for() -> None:
    """java-tron before the SELFDESTRUCT restriction writes past the out size, for free."""
    world = World()
    code = f"PUSH0 PUSH0 PUSH0 PUSH0 {push(2)} GAS STATICCALL POP PUSH1 20 PUSH0 RETURN"
    assert world.run(code).output == hashlib.sha256(b"").digest()


def test_a_precompile_has_no_dirty_twin() -> None:
    """All 256 bits of the address word count; another word is a plain account."""
    assert ask(2 + (1 << 200), b"abc")[:2] == (1, b"")


def test_value_for_a_precompile_without_account_fails() -> None:
    world = World()
    outcome = world.run(f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH1 01 {push(2)} GAS CALL")
    assert (outcome.result, outcome.error) == ("UNKNOWN", "transfer failure")
    assert outcome.energy_used == LIMIT
    world.state.create_account((2).to_bytes(20, "big"))
    assert world.run().result == "SUCCESS"
    assert world.state.balance((2).to_bytes(20, "big")) == 1
    assert world.state.balance(CONTRACT) == 9_999_999


def blake2b_by_f(message: bytes, rounds: int = 12, final: int = 1) -> bytes:
    """The input whose answer is the BLAKE2b hash of a message of at most one block."""
    iv = blake2.IV
    h = [iv[0] ^ 0x01010040, *iv[1:]]
    return (
        rounds.to_bytes(4, "big")
        + b"".join(word.to_bytes(8, "little") for word in h)
        + message.ljust(128, b"\0")
        + len(message).to_bytes(16, "little")
        + bytes((final,))
    )


@pytest.mark.parametrize("message", [b"", b"abc", b"x" * 128])
def test_blake2f_makes_blake2b(message: bytes) -> None:
    flag, answer, _ = ask(0x20009, blake2b_by_f(message))
    assert flag == 1
    assert answer == hashlib.blake2b(message).digest()
    assert price(0x20009, blake2b_by_f(message)) == 12


def test_blake2f_answers_as_eip_152_says() -> None:
    """Its test vectors 4 (no round) and 6 (not the last block)."""
    _, answer, _ = ask(0x20009, blake2b_by_f(b"abc", rounds=0))
    assert answer.hex().startswith("08c9bcf367e6096a3ba7ca8485ae67bb2bf894fe72f36e3c")
    _, answer, _ = ask(0x20009, blake2b_by_f(b"abc", final=0))
    assert answer.hex().startswith(
        "75ab69d3190a562c51aef8d88f1c2775876944407270c42c9844252c26d2875298"
    )


@pytest.mark.parametrize("data", [b"", bytes(212), bytes(214), bytes(212) + b"\x02"])
def test_blake2f_refuses_other_inputs(data: bytes) -> None:
    flag, answer, _ = ask(0x20009, data)
    assert (flag, answer) == (0, b"")
