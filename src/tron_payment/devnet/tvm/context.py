"""Operations that look at the account, the block, the transaction and the storage."""

from collections.abc import Callable
from typing import Final

from tron_payment.devnet.tvm.failures import NO_SUCH_TRC10, Halt, TransferFailed
from tron_payment.devnet.tvm.frame import LONG_MAX, Frame, address_of_word
from tron_payment.devnet.tvm.hashing import keccak

_SSTORE_SET: Final = 20_000
_SSTORE_CHANGE: Final = 5_000
_BLOCK_HASHES: Final = 256
_PREFIX: Final = 0x41 << 160
_KECCAK_OF_NOTHING: Final = int.from_bytes(keccak(b""), "big")
TOKEN_ID_FLOOR: Final = 1_000_000
"""TRC-10 ids lie above it (java-tron VMConstant.MIN_TOKEN_ID)."""


def _push(read: Callable[[Frame], int]) -> Callable[[Frame], None]:
    def action(frame: Frame) -> None:
        frame.stack.append(read(frame))

    return action


def _of_account(read: Callable[[Frame, bytes], int]) -> Callable[[Frame], None]:
    """An operation that replaces an address by something about the account."""

    def action(frame: Frame) -> None:
        frame.stack[-1] = read(frame, address_of_word(frame.stack[-1]))

    return action


def _code_hash(frame: Frame, address: bytes) -> int:
    """keccak of the code; of nothing for a plain account; 0 when there is no account."""
    if code := frame.state.code(address):
        return int.from_bytes(keccak(code), "big")
    return _KECCAK_OF_NOTHING if frame.state.exists(address) else 0


def _calldataload(frame: Frame) -> None:
    offset = frame.stack[-1]
    chunk = frame.data[offset : offset + 32] if offset < len(frame.data) else b""
    frame.stack[-1] = int.from_bytes(chunk.ljust(32, b"\0"), "big")


def _blockhash(frame: Frame) -> None:
    wanted, now = frame.stack[-1], frame.run.env.block_number
    known = max(0, now - _BLOCK_HASHES) <= wanted < now
    frame.stack[-1] = int.from_bytes(frame.run.env.block_hash(wanted), "big") if known else 0


def _blobhash(frame: Frame) -> None:
    frame.stack[-1] = 0


def _sstore(frame: Frame) -> None:
    """20,000 to fill an absent slot, 5,000 for every other write, no refund."""
    key, value = frame.stack[-1], frame.stack[-2]
    absent = frame.state.storage(frame.address, key) is None
    frame.charge(_SSTORE_SET if absent and value else _SSTORE_CHANGE, "SSTORE")
    frame.require_mutable()
    del frame.stack[-2:]
    frame.state.set_storage(frame.address, key, value)


def _tload(frame: Frame) -> None:
    frame.stack[-1] = frame.run.transient.get((frame.address, frame.stack[-1]), 0)


def _tstore(frame: Frame) -> None:
    frame.require_mutable()
    key = frame.stack.pop()
    frame.run.transient[frame.address, key] = frame.stack.pop()


def _check_token_id(word: int) -> None:
    """java-tron Program.checkTokenIdInTokenBalance; the word is a signed number there."""
    if word > LONG_MAX and word < (1 << 256) - LONG_MAX - 1:
        raise TransferFailed(NO_SUCH_TRC10)
    if word <= TOKEN_ID_FLOOR or word > LONG_MAX:
        raise Halt("UNKNOWN", NO_SUCH_TRC10)


def _tokenbalance(frame: Frame) -> None:
    """Nobody holds TRC-10 tokens here."""
    _check_token_id(frame.stack.pop())
    frame.stack[-1] = 0


ACTIONS: Final[dict[int, Callable[[Frame], None]]] = {
    0x30: _push(lambda frame: int.from_bytes(frame.address, "big")),
    0x31: _of_account(lambda frame, address: frame.state.balance(address)),
    0x32: _push(lambda frame: int.from_bytes(frame.run.origin, "big")),
    0x33: _push(lambda frame: int.from_bytes(frame.caller, "big")),
    0x34: _push(lambda frame: frame.value),
    0x35: _calldataload,
    0x36: _push(lambda frame: len(frame.data)),
    0x3A: _push(lambda frame: frame.run.env.energy_price_sun if frame.version == 1 else 0),
    0x3B: _of_account(lambda frame, address: len(frame.state.code(address))),
    0x3D: _push(lambda frame: len(frame.returned)),
    0x3F: _of_account(_code_hash),
    0x40: _blockhash,
    0x41: _push(lambda frame: _PREFIX | int.from_bytes(frame.run.env.coinbase, "big")),
    0x42: _push(lambda frame: frame.run.env.timestamp_s),
    0x43: _push(lambda frame: frame.run.env.block_number),
    0x44: _push(lambda frame: 0),
    0x45: _push(lambda frame: 0),
    0x46: _push(lambda frame: frame.run.env.chain_id),
    0x47: _push(lambda frame: frame.state.balance(frame.address)),
    0x48: _push(lambda frame: frame.run.env.energy_price_sun),
    0x49: _blobhash,
    0x4A: _push(lambda frame: 0),
    0x55: _sstore,
    0x59: _push(lambda frame: len(frame.memory)),
    0x5A: _push(lambda frame: frame.limit - frame.used),
    0x5C: _tload,
    0x5D: _tstore,
    0xD1: _tokenbalance,
    0xD2: _push(lambda frame: 0),
    0xD3: _push(lambda frame: 0),
    0xD4: _of_account(lambda frame, address: int(bool(frame.state.code(address)))),
}
