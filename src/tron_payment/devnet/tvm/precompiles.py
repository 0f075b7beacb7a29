"""Built-in contracts (java-tron PrecompiledContracts) and their prices."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey
from Crypto.Hash import RIPEMD160

from tron_payment.devnet.tvm import blake2, bn128
from tron_payment.devnet.tvm.frame import LONG_MAX
from tron_payment.devnet.tvm.hashing import keccak

_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_INT_MAX: Final = (1 << 31) - 1
_MODEXP_DIVISOR: Final = 20
_PAIR_BYTES: Final = 192
_BATCH_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class Precompile:
    """One built-in contract.

    Attributes:
        price: Energy for an input.
        execute: The output; None means failure, which costs all the forwarded energy.
        ticks_per_energy: The time it takes, by its price; see `frame.TICKS_PER_MS`.
    """

    price: Callable[[bytes], int]
    execute: Callable[[bytes], bytes | None]
    ticks_per_energy: int = 3


def precompile_at(word: int) -> Precompile | None:
    """The built-in contract at an address word; all 256 bits count."""
    return _PRECOMPILES.get(word)


def _per_word(base: int, word: int) -> Callable[[bytes], int]:
    return lambda data: base + word * ((len(data) + 31) // 32)


def recover(digest: bytes, v: int, r: bytes, s: bytes) -> bytes | None:
    """The 20-byte address that signed, or None. High `s` is accepted, as on TRON."""
    if v not in (27, 28):
        return None
    if not (0 < int.from_bytes(r, "big") < _N and 0 < int.from_bytes(s, "big") < _N):
        return None
    try:
        key = PublicKey.from_signature_and_message(r + s + bytes((v - 27,)), digest, hasher=None)
    except Exception:  # coincurve raises a bare Exception when no point fits
        return None
    return keccak(key.format(compressed=False)[1:])[12:]


def _ecrecover(data: bytes) -> bytes:
    """Nothing for a signature that is none."""
    if len(data) < 96:
        return b""
    padded = data[:128].ljust(128, b"\0")
    if any(padded[32:63]):
        return b""
    address = recover(padded[:32], padded[63], padded[64:96], padded[96:128])
    return b"" if address is None else address.rjust(32, b"\0")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha256_twice(data: bytes) -> bytes:
    """TRON's number 3: sha256 of the first 20 bytes of sha256."""
    return _sha256(_sha256(data)[:20])


def _ripemd160(data: bytes) -> bytes:
    """The true RIPEMD-160, at 0x20003."""
    return RIPEMD160.new(data).digest().rjust(32, b"\0")


def _modexp_lengths(data: bytes) -> tuple[int, int, int]:
    """Lengths of base, exponent and modulus; above 2^31-1 they count as that."""
    words = (int.from_bytes(data[32 * i : 32 * i + 32].ljust(32, b"\0"), "big") for i in range(3))
    base, exponent, modulus = (min(word, _INT_MAX) for word in words)
    return base, exponent, modulus


def _number(data: bytes, offset: int, size: int) -> int:
    """A big-endian number; the input goes on with zeros."""
    chunk = data[offset : offset + size]
    return int.from_bytes(chunk, "big") << 8 * (size - len(chunk)) if chunk else 0


def _modexp_price(data: bytes) -> int:
    base, exponent, modulus = _modexp_lengths(data)
    x = max(base, modulus)
    if x <= 64:
        complexity = x * x
    elif x <= 1024:
        complexity = x * x // 4 + 96 * x - 3072
    else:
        complexity = x * x // 16 + 480 * x - 199_680
    head_size = min(exponent, 32)
    head = _number(data, 96 + base, head_size)
    adjusted = 8 * max(0, exponent - 32) + max(0, head.bit_length() - 1)
    return min(complexity * max(adjusted, 1) // _MODEXP_DIVISOR, LONG_MAX)


def _modexp(data: bytes) -> bytes:
    base_size, exponent_size, size = _modexp_lengths(data)
    if size == 0:
        return b""
    base = _number(data, 96, base_size)
    exponent = _number(data, 96 + base_size, exponent_size)
    modulus = _number(data, 96 + base_size + exponent_size, size)
    if modulus == 0:
        return b""
    return pow(base, exponent, modulus).to_bytes(size, "big")


def _word(data: bytes, index: int) -> int:
    return int.from_bytes(data[32 * index : 32 * index + 32].ljust(32, b"\0"), "big")


def _g1_bytes(point: bn128.G1) -> bytes:
    x, y = point or (0, 0)
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _bn128_add(data: bytes) -> bytes | None:
    try:
        a = bn128.g1(_word(data, 0), _word(data, 1))
        b = bn128.g1(_word(data, 2), _word(data, 3))
    except bn128.NoPoint:
        return None
    return _g1_bytes(bn128.add(a, b))


def _bn128_multiply(data: bytes) -> bytes | None:
    try:
        point = bn128.g1(_word(data, 0), _word(data, 1))
    except bn128.NoPoint:
        return None
    return _g1_bytes(bn128.multiply(point, _word(data, 2)))


def _bn128_pairing(data: bytes) -> bytes | None:
    """One word, 1 when the pairings multiply to 1. Fp2 numbers come imaginary part first."""
    if len(data) % _PAIR_BYTES:
        return None
    pairs = []
    try:
        for first in range(0, len(data) // 32, _PAIR_BYTES // 32):
            x1, y1, x_i, x_r, y_i, y_r = (_word(data, first + k) for k in range(6))
            pairs.append((bn128.g1(x1, y1), bn128.g2((x_r, x_i), (y_r, y_i))))
    except bn128.NoPoint:
        return None
    return int(bn128.pairing_is_one(pairs)).to_bytes(32, "big")


def _batch_validate_sign(data: bytes) -> bytes:
    """Byte i of the answer is 1 when signature i over the hash is by address i.

    The input is the ABI's (bytes32 hash, bytes[] signatures, address[] addresses); whatever
    cannot be read answers zeros.
    """
    words = [data[i : i + 32] for i in range(0, len(data) - 31, 32)]
    answer = bytearray(32)
    try:
        signatures = _signatures(words, int.from_bytes(words[1], "big") // 32, data)
        first = int.from_bytes(words[2], "big") // 32
        count = int.from_bytes(words[first], "big")
        if not 0 < count <= _BATCH_MAX or count != len(signatures):
            return bytes(answer)
        for i, signature in enumerate(signatures):
            address = words[first + 1 + i][12:]
            if len(signature) >= 65:
                v = signature[64] + 27 if signature[64] < 27 else signature[64]
                signer = recover(words[0], v, signature[:32], signature[32:64])
                answer[i] = int(signer == address)
    except IndexError:
        return bytes(32)
    return bytes(answer)


def _signatures(words: list[bytes], first: int, data: bytes) -> list[bytes]:
    """The ABI's bytes[] whose length stands in word `first`.

    Raises:
        IndexError: An offset or a length points outside the input.
    """
    if first > len(words) - 1:
        return []
    count = int.from_bytes(words[first], "big")
    if count > len(words):
        raise IndexError("more signatures than words")
    found = []
    for i in range(count):
        at = first + 1 + int.from_bytes(words[first + 1 + i], "big") // 32
        size = int.from_bytes(words[at], "big")
        found.append(data[32 * at + 32 : 32 * at + 32 + min(size, len(data))])
    return found


_PRECOMPILES: Final[dict[int, Precompile]] = {
    1: Precompile(lambda data: 3_000, _ecrecover),
    2: Precompile(_per_word(60, 12), _sha256),
    3: Precompile(_per_word(600, 120), _sha256_twice),
    4: Precompile(_per_word(15, 3), lambda data: data),
    5: Precompile(_modexp_price, _modexp),
    6: Precompile(lambda data: 150, _bn128_add),
    7: Precompile(lambda data: 6_000, _bn128_multiply),
    8: Precompile(lambda data: 45_000 + 34_000 * (len(data) // _PAIR_BYTES), _bn128_pairing),
    9: Precompile(lambda data: 1_500 * (max(0, len(data) // 32 - 5) // 6), _batch_validate_sign),
    0x20003: Precompile(_per_word(600, 120), _ripemd160),
    0x20009: Precompile(blake2.rounds, blake2.compress, ticks_per_energy=30),
}
