"""Arithmetic on 256-bit words: functions of the stack alone."""

from collections.abc import Callable
from typing import Final

from tron_payment.devnet.tvm.frame import WORD_MAX

_SIGN: Final = 1 << 255
_MODULUS: Final = 1 << 256


def _signed(word: int) -> int:
    return word - _MODULUS if word & _SIGN else word


def _sdiv(stack: list[int]) -> None:
    """Signed division towards zero; by zero it is 0."""
    a, b = _signed(stack.pop()), _signed(stack[-1])
    quotient = abs(a) // abs(b) if b else 0
    stack[-1] = (quotient if (a < 0) == (b < 0) else -quotient) & WORD_MAX


def _mod(stack: list[int]) -> None:
    a, b = stack.pop(), stack[-1]
    stack[-1] = a % b if b else 0


def _smod(stack: list[int]) -> None:
    """The remainder with the sign of the dividend."""
    a, b = _signed(stack.pop()), _signed(stack[-1])
    rest = abs(a) % abs(b) if b else 0
    stack[-1] = (-rest if a < 0 else rest) & WORD_MAX


def _addmod(stack: list[int]) -> None:
    a, b, modulus = stack.pop(), stack.pop(), stack[-1]
    stack[-1] = (a + b) % modulus if modulus else 0


def _mulmod(stack: list[int]) -> None:
    a, b, modulus = stack.pop(), stack.pop(), stack[-1]
    stack[-1] = a * b % modulus if modulus else 0


def _signextend(stack: list[int]) -> None:
    """Spread the sign of byte `k`, counted from the lowest."""
    k, word = stack.pop(), stack[-1]
    if k < 31:
        low = (1 << (8 * k + 8)) - 1
        negative = word >> (8 * k + 7) & 1
        stack[-1] = word | (WORD_MAX ^ low) if negative else word & low


def _slt(stack: list[int]) -> None:
    a, b = stack.pop(), stack[-1]
    stack[-1] = int(_signed(a) < _signed(b))


def _sgt(stack: list[int]) -> None:
    a, b = stack.pop(), stack[-1]
    stack[-1] = int(_signed(a) > _signed(b))


def _xor(stack: list[int]) -> None:
    a = stack.pop()
    stack[-1] ^= a


def _byte(stack: list[int]) -> None:
    """Byte `i`, counted from the highest."""
    i, word = stack.pop(), stack[-1]
    stack[-1] = word >> (8 * (31 - i)) & 0xFF if i < 32 else 0


def _sar(stack: list[int]) -> None:
    shift, word = stack.pop(), stack[-1]
    stack[-1] = _signed(word) >> min(shift, 255) & WORD_MAX


OPERATIONS: Final[dict[int, Callable[[list[int]], None]]] = {
    0x05: _sdiv,
    0x06: _mod,
    0x07: _smod,
    0x08: _addmod,
    0x09: _mulmod,
    0x0B: _signextend,
    0x12: _slt,
    0x13: _sgt,
    0x18: _xor,
    0x1A: _byte,
    0x1D: _sar,
}
