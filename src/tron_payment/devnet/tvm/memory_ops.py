"""Operations on memory: copies, hashes, events, and the ways to end with an answer."""

from collections.abc import Callable
from typing import Final

from tron_payment.devnet.tvm import failures
from tron_payment.devnet.tvm.failures import Halt
from tron_payment.devnet.tvm.frame import LONG_MAX, WORD_MAX, Frame, address_of_word
from tron_payment.devnet.tvm.hashing import keccak
from tron_payment.devnet.tvm.interface import Log

_SHA3: Final = 30
_SHA3_WORD: Final = 6
_COPY_WORD: Final = 3
_EXTCODECOPY: Final = 20
_MCOPY: Final = 3
_MSTORE8: Final = 1
_EXP: Final = 10
_EXP_BYTE: Final = 10
_LOG: Final = 375
_LOG_TOPIC: Final = 375
_LOG_BYTE: Final = 8


def needed(offset: int, size: int) -> int:
    """The memory end that a range asks for; an empty range asks for none."""
    return offset + size if size else 0


def _words(size: int) -> int:
    return (size + 31) >> 5


def _exp(frame: Frame) -> None:
    base, exponent = frame.stack[-1], frame.stack[-2]
    frame.charge(_EXP + _EXP_BYTE * ((exponent.bit_length() + 7) // 8), "EXP")
    frame.stack.pop()
    frame.stack[-1] = pow(base, exponent, WORD_MAX + 1)


def _sha3(frame: Frame) -> None:
    offset, size = frame.stack[-1], frame.stack[-2]
    growth = frame.growth(needed(offset, size), "SHA3")
    frame.charge(_SHA3 + growth + _SHA3_WORD * _words(size), "SHA3")
    frame.stack.pop()
    frame.stack[-1] = int.from_bytes(keccak(frame.read(offset, size)), "big")


def _mstore8(frame: Frame) -> None:
    offset, word = frame.stack[-1], frame.stack[-2]
    frame.charge(_MSTORE8 + frame.growth(offset + 1, "MSTORE8"), "MSTORE8")
    del frame.stack[-2:]
    frame.write(offset, bytes((word & 0xFF,)))


def _pay_copy(frame: Frame, base: int, end: int, size: int, name: str) -> None:
    growth = frame.growth(end, name)
    frame.charge(base + growth + _COPY_WORD * _words(size), name)


def _slice(source: bytes, offset: int, size: int) -> bytes:
    """Bytes of a source that goes on with zeros for ever."""
    if offset >= len(source):
        return bytes(size)
    return source[offset : offset + size].ljust(size, b"\0")


def _calldatacopy(frame: Frame) -> None:
    to, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3]
    _pay_copy(frame, 0, needed(to, size), size, "CALLDATACOPY")
    del frame.stack[-3:]
    frame.write(to, _slice(frame.data, offset, size))


def _codecopy(frame: Frame) -> None:
    to, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3]
    _pay_copy(frame, 0, needed(to, size), size, "CODECOPY")
    del frame.stack[-3:]
    frame.write(to, _slice(frame.program.code, offset, size))


def _extcodecopy(frame: Frame) -> None:
    word, to, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3], frame.stack[-4]
    _pay_copy(frame, _EXTCODECOPY, needed(to, size), size, "EXTCODECOPY")
    del frame.stack[-4:]
    frame.write(to, _slice(frame.state.code(address_of_word(word)), offset, size))


def _returndatacopy(frame: Frame) -> None:
    """Reading past the end of the returned data is an error, not zeros."""
    to, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3]
    _pay_copy(frame, 0, needed(to, size), size, "RETURNDATACOPY")
    del frame.stack[-3:]
    if offset + size > len(frame.returned):
        raise Halt(
            "UNKNOWN",
            f"Illegal RETURNDATACOPY arguments: offset ({offset:064x}) + size ({size:064x})"
            f" > RETURNDATASIZE ({len(frame.returned)})",
        )
    frame.write(to, frame.returned[offset : offset + size])


def _mcopy(frame: Frame) -> None:
    to, offset, size = frame.stack[-1], frame.stack[-2], frame.stack[-3]
    _pay_copy(frame, _MCOPY, needed(max(to, offset), size), size, "MCOPY")
    del frame.stack[-3:]
    frame.write(to, frame.read(offset, size))


def _log(count: int) -> Callable[[Frame], None]:
    name = f"LOG{count}"

    def action(frame: Frame) -> None:
        stack = frame.stack
        offset, size = stack[-1], stack[-2]
        left = frame.limit - frame.used
        if _LOG_BYTE * size > left:
            if _LOG_BYTE * size > LONG_MAX:
                raise failures.number_too_large()
            raise failures.out_of_energy_early(name, _LOG_BYTE * size, left)
        growth = frame.growth(needed(offset, size), name)
        frame.charge(_LOG + _LOG_TOPIC * count + _LOG_BYTE * size + growth, name)
        frame.require_mutable()
        topics = tuple(stack[-3 - i].to_bytes(32, "big") for i in range(count))
        del stack[-2 - count :]
        frame.logs.append(Log(frame.address, topics, frame.read(offset, size)))

    return action


def _stop(frame: Frame) -> None:
    frame.output = b""


def _answer(frame: Frame, name: str) -> None:
    offset, size = frame.stack[-1], frame.stack[-2]
    frame.charge(frame.growth(needed(offset, size), name), name)
    frame.output = frame.read(offset, size)


def _return(frame: Frame) -> None:
    _answer(frame, "RETURN")


def _revert(frame: Frame) -> None:
    _answer(frame, "REVERT")
    frame.reverted = True


ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {
    0x0A: _exp,
    0x20: _sha3,
    0x37: _calldatacopy,
    0x39: _codecopy,
    0x3C: _extcodecopy,
    0x3E: _returndatacopy,
    0x53: _mstore8,
    0x5E: _mcopy,
    **{0xA0 + count: _log(count) for count in range(5)},
}

ENDS: Final[dict[int, Callable[[Frame], None]]] = {0x00: _stop, 0xF3: _return, 0xFD: _revert}
