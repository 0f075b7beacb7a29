"""What is said to the Ledger TRON app, byte for byte. Pure.

Observed on app 0.7.1: class E0; a chunk carries at most 250 bytes of data, the path among them in
the first, and holds whole top-level fields of raw_data.
"""

from collections.abc import Sequence
from typing import Final

from tron_payment.devices import errors
from tron_payment.devices.errors import DeviceError, DeviceFault, UnsupportedTransaction
from tron_payment.devices.paths import Path, ledger_path

CLASS: Final = 0xE0
OK: Final = 0x9000
PUBLIC_KEY: Final = 0x02
SIGN: Final = 0x04
SIGN_HASH: Final = 0x05
CONFIGURATION: Final = 0x06

SINGLE: Final = 0x10
FIRST: Final = 0x00
MORE: Final = 0x80
LAST: Final = 0x90

CHUNK_BYTES_MAX: Final = 250
HASH_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 65
SIGNATURE_BYTES: Final = 65

WHICH_APP: Final = bytes.fromhex("b001000000")
"""Asked of the operating system. The Ethereum app shares class and instructions with ours."""

_STATUS: Final[dict[int, type[DeviceError]]] = {
    0x6985: errors.UserRefused,
    0x5501: errors.UserRefused,
    0x5515: errors.DeviceLocked,
    0x6982: errors.PathRefused,
    0x6A8A: errors.PathRefused,
    0x6A80: errors.UnsupportedTransaction,
    0x6A8B: errors.DataSettingRequired,
    0x6A8C: errors.SignByHashRequired,
    0x6A8D: errors.CustomContractsRequired,
    0x6D00: errors.WrongApp,
    0x6E00: errors.WrongApp,
    0x6E01: errors.WrongApp,
    0x6511: errors.WrongApp,
}


def refusal(status: int) -> DeviceError:
    """The error of a status word."""
    kind = _STATUS.get(status)
    if kind is not None:
        return kind()
    return DeviceFault(f"the device answered status {status:04X}: reconnect it and try again")


def command(instruction: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> bytes:
    """One APDU of the TRON app."""
    assert len(data) <= 255, "an APDU's data has one length byte"
    return bytes((CLASS, instruction, p1, p2, len(data))) + data


def ask_address(path: Path, *, display: bool) -> bytes:
    return command(PUBLIC_KEY, int(display), 0, ledger_path(path))


def ask_hash_signature(path: Path, digest: bytes) -> bytes:
    assert len(digest) == HASH_BYTES
    return command(SIGN_HASH, 0, 0, ledger_path(path) + digest)


def ask_signature(path: Path, raw: bytes) -> list[bytes]:
    """The APDUs that carry a transaction's bytes, always beginning anew.

    Raises:
        UnsupportedTransaction: One field alone is longer than a chunk.
    """
    head = ledger_path(path)
    chunks, chunk = [], head
    for field in top_level_fields(raw):
        if len(field) > CHUNK_BYTES_MAX:
            raise UnsupportedTransaction(
                f"a part of {len(field)} bytes is too long for the device ({CHUNK_BYTES_MAX})"
            )
        if len(chunk) + len(field) > CHUNK_BYTES_MAX:
            chunks.append(chunk)
            chunk = b""
        chunk += field
    chunks.append(chunk)
    if len(chunks) == 1:
        return [command(SIGN, SINGLE, 0, chunks[0])]
    kinds = [FIRST, *[MORE] * (len(chunks) - 2), LAST]
    return [command(SIGN, kind, 0, data) for kind, data in zip(kinds, chunks, strict=True)]


def top_level_fields(raw: bytes) -> list[bytes]:
    """The fields of raw_data with their tags, in order; the bytes were read strictly before."""
    fields, start = [], 0
    while start < len(raw):
        tag, position = _varint(raw, start)
        number, position = _varint(raw, position)
        kind = tag & 7
        if kind == 2:
            position += number
        elif kind != 0:
            raise UnsupportedTransaction(f"a field of wire type {kind}")
        if position > len(raw):
            raise UnsupportedTransaction("a field is longer than the transaction")
        fields.append(raw[start:position])
        start = position
    return fields


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(raw):
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
    raise UnsupportedTransaction("a number does not end")


def read_app(answer: bytes) -> tuple[str, str]:
    """Name and version of the open app.

    Raises:
        PromptPending: This is no answer to that question: it belongs to an earlier one.
    """
    try:
        if answer[0] != 1:
            raise ValueError
        name, rest = _text(answer[1:])
        version, _ = _text(rest)
    except (IndexError, ValueError):
        raise errors.PromptPending from None
    return name, version


def read_address(answer: bytes) -> str:
    """The address that the device derived.

    Raises:
        DeviceFault: Another shape.
    """
    if len(answer) < PUBLIC_KEY_BYTES + 2 or answer[0] != PUBLIC_KEY_BYTES:
        raise DeviceFault
    size = answer[1 + PUBLIC_KEY_BYTES]
    text = answer[2 + PUBLIC_KEY_BYTES :][:size]
    if len(text) != size or not text.isascii():
        raise DeviceFault
    return text.decode()


def read_signature(answers: Sequence[bytes]) -> bytes:
    """The last chunk's answer; the ones before are empty.

    Raises:
        DeviceFault: Another shape.
    """
    if any(answers[:-1]) or len(answers[-1]) != SIGNATURE_BYTES:
        raise DeviceFault
    return answers[-1]


def _text(raw: bytes) -> tuple[str, bytes]:
    size = raw[0]
    if len(raw) < 1 + size:
        raise ValueError
    return raw[1 : 1 + size].decode("ascii"), raw[1 + size :]
